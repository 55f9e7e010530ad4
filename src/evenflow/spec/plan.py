"""A network layer by layer, with the numbers that theory needs: what a specification or a live model boils down to.

A plan knows no data and no framework. Theory predicts from it; a reader of live models writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation
from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.spec.network import Network

Normalisation = Literal["none", "batch", "layer", "rms"]
Residual = Literal["none", "pre", "post"]


@dataclass(frozen=True)
class PlanLayer:
    """One linear map and what follows it: *[normalisation], activation, [normalisation], [dropout]*.

    Args:
        name: of the linear map, such as `hidden_1`.
        shaped: name of the activation behind it, such as `activation_1`; empty for the output layer.
        fan_in, fan_out: inputs and units.
        weight_variance: of one entry of the weights, which have mean 0.
        bias_variance: of one entry of the biases, which have mean 0; 0 where there is no bias.
        orthogonal: whether the weights are a multiple of an orthogonal matrix instead of independent draws.
        bias: whether there is a bias at all, even one that starts at 0.
        activation: f, or None for the output layer.
        normalisation: of this layer.
        after: whether the normalisation stands behind the activation.
        dropout: share of activations set to 0.
    """

    name: str
    shaped: str
    fan_in: int
    fan_out: int
    weight_variance: float
    bias_variance: float = 0.0
    orthogonal: bool = False
    bias: bool = True
    activation: Activation | None = None
    normalisation: Normalisation = "none"
    after: bool = False
    dropout: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A fully connected network from its inputs to its logits.

    Args:
        layers: the linear maps in order; the last one has no activation.
        residual: `none`, `pre` (x + s·W f(N(x))) or `post` (f(N(x + s·W x))); between layers of equal width.
        residual_scale: s.

    Raises:
        SpecError: there is no hidden layer, or two neighbouring layers do not fit.
    """

    layers: tuple[PlanLayer, ...]
    residual: Residual = "none"
    residual_scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.layers) < 2:
            raise SpecError("a prediction needs a hidden layer and an output layer; the network has depth 0")
        for before, layer in pairwise(self.layers):
            if before.fan_out != layer.fan_in:
                raise SpecError(
                    f'layer "{layer.name}" takes {layer.fan_in} inputs, but "{before.name}" in front of it '
                    f"has {before.fan_out} units"
                )

    @property
    def hidden(self) -> tuple[PlanLayer, ...]:
        """Every layer but the output layer."""
        return self.layers[:-1]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every hidden layer."""
        return tuple(layer.fan_out for layer in self.hidden)

    @property
    def plain(self) -> bool:
        """Whether there is neither a normalisation nor a skip connection."""
        return self.residual == "none" and all(layer.normalisation == "none" for layer in self.hidden)


def plan_of(network: Network, inputs: int, outputs: int) -> Plan:
    """The plan of a specification.

    Args:
        network: the specification.
        inputs: features of a sample.
        outputs: number of logits.

    Raises:
        SpecError: the initialisation gives every weight or bias one constant value, so that nothing is random.

    >>> plan_of(Network(depth=2, width=8, initialisation="he"), 4, 3).layers[1].weight_variance
    0.25
    """
    sizes = (inputs, *network.widths, outputs)
    before = ("identity", *network.activation_names)
    functions = (*network.activations, None)
    layers = []
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        weights = weight_draw(network.initialisation, fan_in, fan_out, before[number - 1])
        biases = bias_draw(network.bias_initialisation, network.initialisation, fan_in)
        if weights.distribution == "constant" or (biases.distribution == "constant" and biases.scale != 0):
            term = (
                network.initialisation if weights.distribution == "constant" else network.bias_initialisation
            )
            raise SpecError(
                f'initialisation "{term}" makes all units of a layer start alike, and theory is about random '
                "draws of mean 0; choose another, or draw the network itself"
            )
        if weights.scale == 0:
            raise SpecError(
                f'initialisation "{network.initialisation}": weights of 0 pass neither signal nor gradient'
            )
        function = functions[number - 1]
        hidden = function is not None
        layers.append(
            PlanLayer(
                name=f"hidden_{number}" if hidden else "output",
                shaped=f"activation_{number}" if hidden else "",
                fan_in=fan_in,
                fan_out=fan_out,
                weight_variance=weights.mean_square(fan_in, fan_out),
                bias_variance=biases.scale**2,
                orthogonal=weights.distribution == "orthogonal",
                activation=function,
                normalisation=network.normalisation if hidden else "none",
                after=network.normalisation_position == "after",
                dropout=network.dropout if hidden else 0.0,
            )
        )
    return Plan(tuple(layers), network.residual, network.residual_scale)
