"""What of a network is read beside its parameters: the places of its activations, and f′ there."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from evenflow.measure.capture import Signal
from evenflow.measure.statistics import elementwise_slope
from evenflow.spec.activation import Activation
from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.families import AnyNetwork
from evenflow.spec.network import Network
from evenflow.spec.recurrent import RecurrentNetwork


@dataclass(frozen=True)
class Watched:
    """A module whose output is an activation.

    Args:
        name: dotted path of the module.
        depth: of the matrix in front of it, counted in the order of execution from 1.
        function: f; None of gated cells, whose states are no function of one number.
        channels: whether units stand in the second axis, as channels of images do, and not in the last.
        states: whether it is a recurrent layer, whose inputs and outputs are sequences.
    """

    name: str
    depth: int
    function: Activation | None
    channels: bool = False
    states: bool = False

    def units(self, values: Tensor) -> int:
        """Of a tensor that the module takes or gives."""
        return values.shape[1 if self.channels else -1]

    def slope(self, model: nn.Module, signal: Signal) -> Tensor | None:
        """f'(z) at every entry, units in the last axis; None where there is no f.

        A recurrent layer shows its states alone: f' then is what it is where f has this value.
        """
        if self.function is None:
            return None
        if self.states:
            states = signal.outputs.detach()
            return 1 - states**2 if self.function.name == "tanh" else (states > 0).to(states.dtype)
        slope = elementwise_slope(model.get_submodule(self.name), signal.inputs)
        return slope.movedim(1, -1) if self.channels else slope


def watched(network: AnyNetwork) -> tuple[Watched, ...]:
    """The activations of a network in order.

    >>> [one.name for one in watched(Network(depth=2))]
    ['activation_1', 'activation_2']
    """
    if isinstance(network, RecurrentNetwork):
        function = network.activations[0] if network.cell == "rnn" else None
        return tuple(
            Watched(f"hidden_{layer}", 2 * layer, function, states=True)
            for layer in range(1, network.layers + 1)
        )
    numbered = list(enumerate(network.activations, start=1))
    if isinstance(network, Network | ConvolutionalNetwork):
        images = isinstance(network, ConvolutionalNetwork)
        return tuple(Watched(f"activation_{layer}", layer, one, images) for layer, one in numbered)
    # before block 1 stands the map of the tokens, and a block has four maps, of which the third is in front of f
    return tuple(Watched(f"block_{block}.activation", 4 * block, one) for block, one in numbered)
