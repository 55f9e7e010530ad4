"""Weights drawn anew: He's, Glorot's or LeCun's, orthogonal, with the gain of this activation, critical, or by data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evenflow.measure.sites import CONVOLUTIONS
from evenflow.prescribe.draw_lines import rest_lines
from evenflow.prescribe.drawing import Matrix, Way, critical, drawn, matrices
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.prescription import Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Trace, trace_of
from evenflow.spec.setting import Layer, Setting
from evenflow.wording import number, plural

_TITLES: dict[str, str] = {
    "gain": "with the gain of their activations, σ = g/√n",
    "he": "as He et al. (2015) do, σ = √(2/n)",
    "xavier": "as Glorot and Bengio (2010) do, σ = √(2/(n_in + n_out))",
    "lecun": "as LeCun et al. (1998) do, σ = 1/√n",
    "orthogonal": "as orthogonal matrices times the gain of their activations",
    "critical": "on the critical line, with biases",
    "data": "and scale them by data to outputs of variance 1",
    "where_needed": "with the gain of their activations",
}
_SIGNS: dict[str, Sign] = {
    "symmetric_init": "alike_units",
    "dead_units": "dead_units",
    "saturated_activations": "saturation",
    "exploding_activations": "activation_growth",
    "exploding_gradient": "gradient_growth",
    "correlation_collapse": "alike_samples",
}
_RECTIFIERS = (
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "hardswish",
    "softplus",
)
_FAR = 3.0  # times too wide or too narrow; torch's own start is √6 times narrower than He's
_ALIKE = 0.9  # share of distinct units below which a layer is drawn anew


def forms(view: View) -> Sequence[Prescription]:
    """Every way of drawing, that which fits the activation before the others."""
    if why_not(view):
        return ()
    model, trace = view.training.patient.model, trace_of(view)
    found = matrices(trace, model)
    finding = answered(view, REMEDY.answers)
    rule = finding.rule if finding else ""
    result = []
    for choice, names, operation in _operations(found, trace, view):
        count = plural(len({one.layer for one in found if one.name in names}), "layer")
        result.append(
            Prescription(
                remedy=REMEDY.name,
                choice=choice,
                title=f"Draw the weights of {count} anew, {_TITLES[choice]}",
                why=because(finding, _spread(found, view.setting, names)),
                sign=_SIGNS.get(rule, "gradient_ratio"),
                change=operation,
                code=operation.code,
                size=2,
                keeps_weights=False,
            )
        )
    return result


def _operations(found: Sequence[Matrix], trace: Trace, view: View) -> list[tuple[str, list[str], Operation]]:
    model, setting = view.training.patient.model, view.setting
    names = [one.name for one in found]
    functions = list(dict.fromkeys(one.before.partition(":")[0] for one in found))
    hidden = [one for one in functions if one not in ("", "identity")]
    first = hidden[0] if hidden else "identity"
    ways: tuple[Way, ...] = (
        ("lecun", "gain", "orthogonal", "he", "xavier")
        if first == "selu"
        else ("he", "gain", "orthogonal", "xavier", "lecun")
        if first in _RECTIFIERS
        else ("xavier", "orthogonal", "gain", "lecun", "he")
    )
    needy = [one.name for one in found if not one.table and _needs(one, setting)]
    result: list[tuple[str, list[str], Operation]] = []
    if needy and len(needy) < len(names):
        result.append(("where_needed", needy, drawn(found, model, "gain", setting, only=needy)))
    result += [(way, names, drawn(found, model, way, setting)) for way in ways]
    by_data = _scaled(found, trace, view)
    if by_data is not None:
        result.insert(2, ("data", names, by_data))
    if len(hidden) == 1 and not any(layer.residual or layer.normalisation for layer in setting.layers):
        at = critical(found, model, setting, first) if _is_known(first) else None
        if at is not None:
            result.append(("critical", names, at))
    return result


def _scaled(found: Sequence[Matrix], trace: Trace, view: View) -> Operation | None:
    """Orthogonal matrices, then layer by layer scaled by what the data make of them; of torch's layers only."""
    model = view.training.patient.model
    layers = [
        one.layer
        for one in found
        if isinstance(model.get_submodule(one.layer), (nn.Linear, *CONVOLUTIONS)) and trace.runs_of(one.layer)
    ]
    if not layers:
        return None
    names = written(dict.fromkeys(layers))
    batch = view.training.plan.batches[0].inputs
    sample = "sample, _ = next(iter(batches))\n"
    if isinstance(batch, Tensor) and not batch.is_cpu:
        sample += f'sample = sample.to("{batch.device}")\n'
    if not isinstance(batch, Tensor) or _is_moved_by_a_batch(model):
        first = drawn(found, model, "orthogonal", view.setting)
        return first.then(Operation(f"{sample}scale_layers(model, {names}, sample)\n", in_place=True))
    alone = all(one.layer in layers and model.get_parameter(one.name).dtype == torch.float32 for one in found)
    if alone:
        first = "\n".join(["torch.manual_seed(0)", *rest_lines(model, None)])
    else:
        first = drawn(found, model, "orthogonal", view.setting).lines.strip()
    lines = [
        f"for name in {names}:",
        "    layer, made = model.get_submodule(name), []",
        *(["    nn.init.orthogonal_(layer.weight)"] if alone else []),
        "    handle = layer.register_forward_hook(lambda *given: made.append(given[-1].std()))",
        "    with torch.no_grad():",
        "        model(sample)",
        '        if 0 < made[0] < float("inf"):',
        "            layer.weight /= made[0]  # what the layer puts out then has standard deviation 1",
        "    handle.remove()",
    ]
    return Operation(first + "\n" + sample + "\n".join(lines) + "\n", in_place=True)


def _is_moved_by_a_batch(model: nn.Module) -> bool:
    """Whether a batch that goes through may leave something behind, or meets chance: buffers, dropout."""
    return next(model.buffers(), None) is not None or any(
        "Dropout" in type(one).__name__ for one in model.modules()
    )


def _needs(one: Matrix, setting: Setting) -> bool:
    """Whether a layer's weights are far from what theory asks, or its units alike."""
    layer = _layer(one, setting)
    if layer is None:
        return False
    ratio = layer.weight_std / layer.expected_std if layer.expected_std else 1.0
    alike = layer.distinct_units < _ALIKE or layer.distinct_inputs < _ALIKE
    return alike or not (1 / _FAR <= ratio <= _FAR or ratio != ratio)


def _layer(one: Matrix, setting: Setting) -> Layer | None:
    return next((layer for layer in setting.layers if layer.name == one.layer), None)


def _spread(found: Sequence[Matrix], setting: Setting, names: Sequence[str]) -> str:
    """How the weights are spread now, the furthest from theory of them."""
    layers = [
        layer for one in found if one.name in names for layer in (_layer(one, setting),) if layer is not None
    ]
    drowned = max(layers, key=_bias, default=None)
    if drowned is not None and _bias(drowned) > 1:
        return (
            f'the biases of layer "{drowned.name}" have mean {number(drowned.bias_mean)} and standard deviation '
            f"{number(drowned.bias_std)}, beside signals of about 1"
        )
    known = [layer for layer in layers if layer.expected_std > 0 and layer.weight_std == layer.weight_std]
    if not known:
        return "weights of the size that their activations ask for keep signals and gradients even over depth"
    worst = max(known, key=lambda layer: abs(_ratio(layer) - 1 / _ratio(layer)))
    return (
        f'the weights of layer "{worst.name}" have standard deviation {number(worst.weight_std)} where theory asks for '
        f"{number(worst.expected_std)}"
    )


def _bias(layer: Layer) -> float:
    """Root mean square of a layer's biases, 0 where it has none."""
    size = math.hypot(layer.bias_mean, layer.bias_std)
    return size if size == size else 0.0


def _ratio(layer: Layer) -> float:
    return max(layer.weight_std / layer.expected_std, 1e-12)


def _is_known(name: str) -> bool:
    from evenflow.spec.activation import activation_names

    return name in activation_names()


def why_not(view: View) -> str:
    """Why no weights can be drawn anew."""
    model = view.training.patient.model
    if not any(not one.table for one in matrices(trace_of(view), model)):
        return "no matrix of the model's layers is in training"
    return ""


REMEDY = Remedy(
    name="reinitialise",
    title="weights drawn anew, as their activations ask for",
    answers=(
        "poor_init",
        "symmetric_init",
        "vanishing_gradient",
        "exploding_gradient",
        "exploding_activations",
        "correlation_collapse",
        "saturated_activations",
        "dead_units",
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Weights that are too small shrink signals and gradients from layer to layer, weights that are too large blow "
        "them up or drive activations into their flat parts, and units with equal weights learn the same. Each "
        "activation asks for a size of its own: √(2/n) for ReLU, a little less for tanh, and with a bias on the "
        "critical line for GELU and SiLU.\n\n"
        "What was learned is lost. For a deep stack of sigmoids no independent weights help at all: their critical "
        "line begins at a variance of 45."
    ),
)
