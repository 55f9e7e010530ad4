"""How widely the weights of every layer should be spread, by what stands in front of it, and the lines that draw them.

With f the activation in front of a layer and n its inputs, pre-activations keep a second moment of 1 where

    σ = g / √n        g = 1 / √E[f(z)²], z ~ N(0, 1)

(Bingham and Miikkulainen 2021, equation 2; He et al. 2015 for ReLU). In front of the first layer stand the data, whose
second moment takes the place of E[f²]. Of L branches beside skip connections each adds a share 1/L (Zhang et al. 2019;
Hayou et al. 2021). The state of a recurrent layer passes through an orthogonal matrix (Le, Jaitly and Hinton 2015).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from evenflow.errors import SpecError
from evenflow.measure.layer_facts import RECURRENT
from evenflow.measure.sites import CONVOLUTIONS
from evenflow.measure.transforms import plainly_readable
from evenflow.prescribe.draw_lines import draw_lines
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.trace import Call, Trace
from evenflow.spec.activation import activation
from evenflow.spec.initialisation import gain
from evenflow.spec.setting import Setting
from evenflow.theory.critical import critical_line, critical_point

Way = Literal["gain", "he", "xavier", "lecun", "orthogonal", "critical"]

_NORMALISED = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")
_SUMS = ("add", "__add__", "__iadd__", "__radd__", "sum", "sub", "__sub__")
_PARAMETRISED = ("weight_g", "weight_v", "weight_orig", "weight_u")
_TABLE = (0.01, 2.0)  # standard deviations of embeddings in use, from BERT's 0.02 to torch's 1
_PLAIN: dict[str, str] = {
    "he": 'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
    "xavier": "nn.init.xavier_normal_(layer.weight)",
    "lecun": 'nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")',
}


@dataclass(frozen=True)
class Matrix:
    """A matrix of weights that signals are multiplied with.

    Args:
        name: of the parameter.
        layer: dotted path of its module.
        fan_in, fan_out: of one unit, one input.
        before: catalogue name of the activation in front of it; "identity" where there is none, "" for the data.
        state: whether it takes the state of a recurrent layer to the next step.
        table: whether it is an embedding; one of a usual size is left out.
        last: whether no other comes behind it.
    """

    name: str
    layer: str
    fan_in: int
    fan_out: int
    before: str
    state: bool = False
    table: bool = False
    last: bool = False


def matrices(trace: Trace, model: nn.Module, instead: Mapping[int, str] | None = None) -> tuple[Matrix, ...]:
    """The matrices of a model that are in training, in the order of execution.

    Args:
        trace, model: of it.
        instead: for the places of activations that are changed, the name of the new one.
    """
    named = dict(model.named_parameters())
    modules = dict(model.named_modules())
    found: dict[str, Matrix] = {}
    for one in trace.calls:
        for name in one.weights:
            weight = named.get(name)
            if weight is None or name in found or not weight.requires_grad or not plainly_readable(weight):
                continue
            layer, _, own = name.rpartition(".")
            module = modules[layer]
            if "parametrizations." in name or own in _PARAMETRISED:
                continue  # a size or a direction, of which the weights are computed
            table = isinstance(module, nn.Embedding | nn.EmbeddingBag)
            if not weight.numel() or (table and _is_usual(weight, module)):
                continue
            inputs, outputs = _fans(module, tuple(weight.shape), one)
            before = _before(trace, one, instead or {})
            if own == "out_proj.weight" or "weight_hh" in own or (own[-3:-1] == "_l" and own[-1] != "0"):
                before = "identity"
            found[name] = Matrix(
                name,
                layer,
                inputs,
                outputs,
                before,
                state="weight_hh" in own,
                table=table,
                last=not trace.is_hidden(one.place),
            )
    return tuple(found.values())


def _is_usual(weight: nn.Parameter, module: nn.Module) -> bool:
    low, high = _TABLE
    usual = low <= float(weight.detach().double().std(correction=0)) <= high
    return usual or getattr(module, "padding_idx", None) is not None


def _fans(module: nn.Module, shape: tuple[int, ...], one: Call) -> tuple[int, int]:
    field = math.prod(shape[2:])
    rows, columns = shape[0], shape[1]
    if isinstance(module, RECURRENT):
        return columns, module.hidden_size
    if isinstance(module, nn.MultiheadAttention):
        return columns, module.embed_dim
    turned = isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) or (
        one.name != "linear" and not one.name.startswith("conv") and one.shape[-1:] == (columns,)
    )
    return (rows * field, columns * field) if turned else (columns * field, rows * field)


def _before(trace: Trace, one: Call, instead: Mapping[int, str]) -> str:
    """What the signal that a matrix takes has come through last."""
    place = next((each for each in one.takes), -1)
    while place >= 0:
        above = trace.calls[place]
        if place in instead:
            return instead[place]
        if above.activation:
            return above.activation
        if above.has_weights or above.name in _NORMALISED or above.name in _SUMS:
            return "identity"
        place = next(
            (each for each in above.takes if trace.is_computed(each)), above.takes[0] if above.takes else -1
        )
    return ""


def gain_before(one: Matrix, setting: Setting) -> float:
    """g of the activation in front of a matrix, or what brings the data to a second moment of 1."""
    if one.before == "":
        floating = [each for each in setting.inputs if not each.integer]
        second = floating[0].mean ** 2 + floating[0].std ** 2 if len(floating) == 1 else math.nan
        return 1 / math.sqrt(second) if 0 < second < math.inf else 1.0
    try:
        return gain(one.before)
    except SpecError:  # not of the catalogue, or one without a second moment
        return 1.0


def spreads(found: Sequence[Matrix], way: Way, setting: Setting) -> dict[str, float]:
    """The standard deviation of every matrix's entries; of those that are drawn orthogonal the factor."""
    residual = [layer.name for layer in setting.layers if layer.residual]
    result: dict[str, float] = {}
    for one in found:
        size = 1 / math.sqrt(one.fan_in)
        if one.state or one.table:
            size = 1.0
        elif way == "he":
            size = math.sqrt(2 / one.fan_in)
        elif way == "xavier":
            size = math.sqrt(2 / (one.fan_in + one.fan_out))
        elif way == "gain":
            size *= gain_before(one, setting)
            if one.layer in residual:
                size /= math.sqrt(len(residual))
        elif way == "orthogonal":
            size = gain_before(one, setting) if one.before else 1.0
        result[one.name] = float(f"{size:.6g}")
    return result


def drawn(
    found: Sequence[Matrix], model: nn.Module, way: Way, setting: Setting, only: Collection[str] | None = None
) -> Operation:
    """The lines that draw weights anew; biases become 0, normalisations the identity.

    Args:
        found: all matrices.
        model: they belong to.
        way: of drawing.
        setting: of the training.
        only: names of the matrices to draw, where not all are.
    """
    if only is None and way in _PLAIN and _is_plain(found, model):
        return Operation(_plain(model, way), in_place=True)
    some = [one for one in found if only is None or one.name in only]
    lines = draw_lines(some, model, spreads(some, way, setting), way == "orthogonal", rest=only is None)
    return Operation(lines, in_place=True)


def critical(found: Sequence[Matrix], model: nn.Module, setting: Setting, name: str) -> Operation | None:
    """Weights and biases on the critical line of an activation; None where it has no such point at ordinary size."""
    line = critical_line(activation(name))
    if line.kind == "none" or not line.starts < 10:
        return None
    stable = line.stable_from if line.stable_from < 20 else line.starts
    point = critical_point(name, max(1.0, 1.25 * stable))
    weight, bias = math.sqrt(point.weight_variance), math.sqrt(point.bias_variance)
    if bias == 0:
        return None  # the gain of the activation says the same
    sizes = {}
    for one in found:
        size = weight
        if one.before in ("", "identity"):
            size = math.sqrt(point.variance - point.bias_variance) * gain_before(one, setting)
        sizes[one.name] = float(f"{1.0 if one.state or one.table else size / math.sqrt(one.fan_in):.6g}")
    return Operation(draw_lines(found, model, sizes, bias=bias), in_place=True)


def _is_plain(found: Sequence[Matrix], model: nn.Module) -> bool:
    """Whether all weights are those of torch's linear and convolutional layers, and all of these in training."""
    kinds = (nn.Linear, *CONVOLUTIONS)
    modules = [one for one in model.modules() if isinstance(one, kinds)]
    tables = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding | nn.EmbeddingBag)}
    named = dict(model.named_parameters())
    taken = {one.name for one in found}
    own = {name for name, one in named.items() if one.ndim > 1 and id(one) not in tables}
    held = {
        id(one)
        for module in modules
        for one in (module._parameters.get("weight"),)
        if isinstance(one, nn.Parameter)
    }
    return (
        taken == own
        and all(id(named[name]) in held for name in taken)
        and all(getattr(nn, type(one).__name__, None) is type(one) for one in modules)
        and not any("Norm" in type(one).__name__ for one in model.modules())
    )


def _plain(model: nn.Module, way: str) -> str:
    kinds = sorted(
        {f"nn.{type(one).__name__}" for one in model.modules() if isinstance(one, (nn.Linear, *CONVOLUTIONS))}
    )
    shown = kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"
    lines = [
        "torch.manual_seed(0)",
        "for layer in model.modules():",
        f"    if isinstance(layer, {shown}):",
        f"        {_PLAIN[way]}",
        "        if layer.bias is not None:",
        "            nn.init.zeros_(layer.bias)",
    ]
    return "\n".join(lines) + "\n"
