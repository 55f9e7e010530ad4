"""Weights drawn anew, as theory asks of each layer: what a twin is given, and what a network drawn badly should get.

The standard deviation of a matrix is that of `measure.layer_facts.expected_std`: He's in front of ReLU and its
relatives, LeCun's in front of SELU, Glorot's otherwise. In front of a rectifier entries are normal (He et al. 2015).
Elsewhere the matrix is orthogonal up to that scale: with what is linear around 0 it keeps not only the mean but all
singular values of the product over depth (Saxe et al. 2014; Pennington, Schoenholz and Ganguli 2017). Of a recurrent
layer each gate is drawn by itself: what comes in by Glorot, the state by an orthogonal matrix (Le, Jaitly and Hinton
2015), and the forget gate of an LSTM begins open, with a bias of 1 (Jozefowicz et al. 2015, section 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from evenflow.diagnose.drawing import USUAL_TABLE, constant, zero
from evenflow.measure.layer_facts import MULTIPLYING, RECURRENT, Weights, expected_std, is_rectifier
from evenflow.measure.sites import is_weight_layer, parameter_kind
from evenflow.measure.transforms import plainly_readable
from evenflow.spec.setting import Layer, Setting

_GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}
_LARGEST = 1024
"""Rows and columns beyond which a matrix is drawn entry by entry, as making it orthogonal takes seconds."""


@torch.no_grad()
def redraw(model: nn.Module, setting: Setting, generator: torch.Generator) -> None:
    """Draw the weights of a model anew, in place; biases become 0, normalisations the identity.

    What is frozen stays as it is, and so do slopes, embeddings of a usual size, whatever is no matrix of a layer, and
    what begins small on purpose: a last layer of zeros, and the end of a residual branch that is smaller than theory
    asks.

    Args:
        model: to be changed; a copy where the original is to stay.
        setting: of this model, whose layers say what stands behind each.
        generator: of the CPU, whose state decides what is drawn.

    >>> layer = nn.Linear(2, 3)
    >>> redraw(layer, Setting(), torch.Generator().manual_seed(0))
    >>> layer.bias.tolist()
    [0.0, 0.0, 0.0]
    """
    layers = {layer.name: layer for layer in setting.layers}
    last = setting.layers[-1].name if setting.layers else ""
    tables = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding | nn.EmbeddingBag)}
    done: set[int] = set()  # a weight that two layers share is drawn once
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            _draw_table(module, generator)
        elif "Norm" in type(module).__name__:
            _make_identity(module)
        elif is_weight_layer(module):
            layer = layers.get(name or type(module).__name__)
            if _multiplies(module, layer):
                left = _is_small_on_purpose(module, layer, last)
                _draw_layer(module, layer, left, tables | done, generator)
            done |= {id(one) for one in module.parameters(recurse=False)}


def _multiplies(module: nn.Module, layer: Layer | None) -> bool:
    """Whether the weights of a module are multiplied with signals; others may be added, as embeddings of places are."""
    return isinstance(module, MULTIPLYING) or (layer is not None and not math.isnan(layer.expected_std))


def _draw_layer(
    module: nn.Module, layer: Layer | None, left: bool, taken: set[int], generator: torch.Generator
) -> None:
    """Weights that are `left` stay as they are."""
    activation = layer.activation if layer is not None else ""
    for name, parameter in _own(module):
        if id(parameter) in taken:
            continue
        kind = parameter_kind(module, name, parameter)
        if kind == "bias":
            parameter.zero_()
            if isinstance(module, nn.LSTM | nn.LSTMCell) and name.startswith("bias_ih"):
                parameter.view(4, -1)[1] = 1.0  # torch's order of the gates: input, forget, cell, output
        elif kind == "weight" and "bias" not in name and not left:
            turned = _is_turned(parameter, layer)
            for part in _parts(module, name, parameter):
                _draw(part, module, activation, turned, generator, state=name.startswith("weight_hh"))


def _draw(
    part: Tensor, module: nn.Module, activation: str, turned: bool, generator: torch.Generator, state: bool
) -> None:
    field = math.prod(part.shape[2:])
    rows, columns = part.shape[0], math.prod(part.shape[1:])
    units, inputs = (part.shape[1], rows) if turned else (rows, part.shape[1])
    weights = Weights(nn.Parameter(part, requires_grad=False), None, inputs * field, units * field, turned)
    if isinstance(module, RECURRENT):
        std = 1 / math.sqrt(rows) if state else math.sqrt(2 / (rows + columns))
    else:
        std = expected_std(weights, module, activation)
    rectified = is_rectifier(activation) and not isinstance(module, RECURRENT)
    if rectified or min(rows, columns) > _LARGEST:
        drawn = torch.empty(rows, columns).normal_(0.0, std, generator=generator)
    else:  # the entries of an orthogonal matrix have a standard deviation of 1 / √max(rows, columns)
        drawn = nn.init.orthogonal_(
            torch.empty(rows, columns), std * math.sqrt(max(rows, columns)), generator=generator
        )
    part.copy_(drawn.view(part.shape))


def _parts(module: nn.Module, name: str, weight: Tensor) -> tuple[Tensor, ...]:
    """The matrices that one parameter holds: of each gate, of queries, keys and values, of each group."""
    count = _GATES.get(type(module).__name__, 1)
    if isinstance(module, nn.MultiheadAttention) and name == "in_proj_weight":
        count = 3
    return weight.chunk(count)


def _is_turned(weight: Tensor, layer: Layer | None) -> bool:
    """Whether the units are the columns, by the fans that the setting has read."""
    if layer is None or weight.ndim < 2 or weight.shape[0] == weight.shape[1]:
        return False
    field = math.prod(weight.shape[2:])
    return (layer.fan_in, layer.fan_out) == (weight.shape[0] * field, weight.shape[1] * field)


def _is_small_on_purpose(module: nn.Module, layer: Layer | None, last: str) -> bool:
    if layer is None or isinstance(module, RECURRENT):
        return False
    if layer.name == last or zero(layer):
        return zero(layer) and (layer.name == last or layer.residual)
    return layer.residual and layer.weight_std < layer.expected_std and not constant(layer)


def _draw_table(module: nn.Embedding | nn.EmbeddingBag, generator: torch.Generator) -> None:
    table = module.weight
    if not (table.requires_grad and plainly_readable(table)) or not table.numel():
        return
    low, high = USUAL_TABLE
    if low <= float(table.double().std(correction=0)) <= high:
        return
    table.copy_(torch.empty(table.shape).normal_(generator=generator))
    if module.padding_idx is not None:
        table[module.padding_idx] = 0.0


def _make_identity(module: nn.Module) -> None:
    for name, parameter in _own(module):
        parameter.fill_(0.0 if parameter_kind(module, name, parameter) == "shift" else 1.0)
    if isinstance(module, nn.modules.batchnorm._NormBase):
        module.reset_running_stats()


def _own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module itself that are trained and can be written to."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.requires_grad and parameter.is_floating_point() and plainly_readable(parameter):
            yield name, parameter
