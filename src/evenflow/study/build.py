"""From a specification to the `torch.nn.Module` that a PyTorch user would have written."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from evenflow.spec.activation import Activation
from evenflow.spec.network import Network
from evenflow.study.draws import initial_parameters


def build(network: Network, inputs: int, outputs: int, seed: int = 0) -> nn.Module:
    """Build and initialise a network.

    Args:
        network: the specification.
        inputs: features of a sample; the module takes a tensor of shape (batch, inputs).
        outputs: number of classes; the module returns logits of shape (batch, outputs).
        seed: equal seeds give equal initial draws wherever shapes agree.

    Returns:
        An `nn.Sequential` (without residual connections) or a `ResidualNetwork`, with children
        `hidden_1`, `norm_1`, `activation_1`, `dropout_1`, … `output`, in float32 on the CPU.
    """
    layers = _layers(network, inputs, outputs)
    model = nn.Sequential(layers) if network.residual == "none" else ResidualNetwork(layers, network)
    values = initial_parameters(network, inputs, outputs, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(torch.from_numpy(values[name]))
    return model


class ResidualNetwork(nn.Module):
    """Hidden layers joined by skip connections.

    With x the stream and u = f(N(x)) what a hidden layer makes of it, the next stream is

        pre:  x + s·W u   (He et al. 2016b: the skip is never touched)
        post: u + s·W u   (He et al. 2016a: the activation stands behind the addition)
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], network: Network) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.skip_is_untouched = network.residual == "pre"
        self.scale = network.residual_scale
        # What follows the linear map of each hidden layer, in order.
        self.shapers = [
            [name for name in layers if name.endswith(f"_{layer}") and not name.startswith("hidden")]
            for layer in range(1, network.layers + 1)
        ]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        stream = self.get_submodule("hidden_1")(inputs)
        signal = self._shape(1, stream)
        for layer in range(2, len(self.shapers) + 1):
            branch = self.get_submodule(f"hidden_{layer}")(signal)
            stream = (stream if self.skip_is_untouched else signal) + self.scale * branch
            signal = self._shape(layer, stream)
        return self.get_submodule("output")(signal)

    def _shape(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        for name in self.shapers[layer - 1]:
            stream = self.get_submodule(name)(stream)
        return stream


class Elementwise(nn.Module):
    """A registered activation as a module."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.function(inputs)

    def extra_repr(self) -> str:
        return self.function.name


def activation_module(function: Activation, units: int) -> nn.Module:
    """The module of `torch.nn` for a catalogue activation; `Elementwise` for a registered one."""
    if function.custom:
        return Elementwise(function)
    parameter = 0.0 if function.parameter is None else function.parameter
    match function.name.partition(":")[0]:
        case "leaky_relu":
            return nn.LeakyReLU(parameter)
        case "prelu":
            return nn.PReLU(units, init=parameter)
        case "elu":
            return nn.ELU(parameter)
        case "gelu_tanh":
            return nn.GELU(approximate="tanh")
        case name:
            return _PLAIN[name]()


_PLAIN: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softsign": nn.Softsign,
    "identity": nn.Identity,
}
_NORMALISATIONS: dict[str, type[nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}


def _layers(network: Network, inputs: int, outputs: int) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    fan_in = inputs
    for number, (width, function) in enumerate(
        zip(network.widths, network.activations, strict=True), start=1
    ):
        layers[f"hidden_{number}"] = nn.Linear(fan_in, width)
        steps = [(f"activation_{number}", activation_module(function, width))]
        if network.normalisation != "none":
            norm = (f"norm_{number}", _NORMALISATIONS[network.normalisation](width))
            steps.insert(0 if network.normalisation_position == "before" else 1, norm)
        if network.dropout:
            steps.append((f"dropout_{number}", nn.Dropout(network.dropout)))
        layers.update(steps)
        fan_in = width
    layers["output"] = nn.Linear(fan_in, outputs)
    return layers
