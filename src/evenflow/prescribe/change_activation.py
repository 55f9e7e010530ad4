"""Another activation function in the hidden layers, whether modules or lines of code apply it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from evenflow.errors import SpecError
from evenflow.prescribe.activations import CLASSES, TITLES, Site, counted, hidden_activations
from evenflow.prescribe.class_edits import activation_edits
from evenflow.prescribe.drawing import Way, drawn, matrices
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.placing import blocked, home
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Trace, trace_of
from evenflow.spec.activation import activation
from evenflow.theory.gaussian import moments
from evenflow.wording import number

_ONE_SIDED = ("leaky_relu", "elu", "gelu", "silu", "prelu", "selu")
_CENTRED = ("elu", "selu", "tanh", "leaky_relu", "gelu")
_BOUNDED = ("tanh", "relu", "selu", "gelu")
_USUAL = ("relu", "gelu", "elu", "leaky_relu", "selu", "silu", "prelu", "tanh")
_ORDER = {
    "dead_units": _ONE_SIDED,
    "not_zero_centred": _CENTRED,
    "exploding_activations": _BOUNDED,
    "exploding_gradient": _BOUNDED,
}
"""What to try first, by the finding."""
_SIGNS: dict[str, Sign] = {
    "dead_units": "dead_units",
    "saturated_activations": "saturation",
    "correlation_collapse": "alike_samples",
    "exploding_activations": "activation_growth",
    "exploding_gradient": "gradient_growth",
}
_WEIGHTS: dict[str, tuple[Way, str]] = {
    "selu": ("lecun", "LeCun et al. (1998)"),
    "tanh": ("xavier", "Glorot and Bengio (2010)"),
    "elu": ("gain", "σ = g/√n with the gain g of ELU"),
}
"""What an activation asks for; He's otherwise."""
_COSTS = {"prelu": 1}  # its slopes are parameters


def forms(view: View) -> Sequence[Prescription]:
    """One for every other function, that which fits the first finding best before the others."""
    if why_not(view):
        return ()
    trace = trace_of(view)
    finding = answered(view, REMEDY.answers)
    rule = finding.rule if finding else ""
    found = []
    hidden = hidden_activations(trace, view.training.patient.model)
    for name in dict.fromkeys((*_ORDER.get(rule, ()), *_USUAL)):
        sites = _replaceable(hidden, name)
        if not sites:
            continue
        operation = operation_for(trace, view.training.patient.model, sites, name)
        what = f"Replace {counted(sites)} by {TITLES[name]}"
        one = Prescription(
            remedy=REMEDY.name,
            choice=name,
            title=what,
            why=because(finding, _slopes(sites, name)),
            sign=_SIGNS.get(rule, "gradient_ratio"),
            change=operation,
            code=partial(_code, operation, view, sites, name),
            size=2,
            inference=_COSTS.get(name, 0),
        )
        found += [one, *_with_weights(view, one, operation, sites)]
    return found


def _code(operation: Operation, view: View, sites: Sequence[Site], name: str) -> Code:
    return operation.code(activation_edits(view.training.patient.model, sites, name))


def _with_weights(
    view: View, one: Prescription, operation: Operation, sites: Sequence[Site]
) -> Iterator[Prescription]:
    """The same with weights drawn anew for the new activation."""
    model, trace, name = view.training.patient.model, trace_of(view), one.choice
    instead = {place: name for site in sites for place in site.places}
    layers = matrices(trace, model, instead)
    if not layers:
        return
    way, words = _WEIGHTS.get(name, ("he", "He et al. (2015)"))
    weights = drawn(layers, model, way, view.setting)
    both = operation.then(weights)

    def code() -> Code:
        return replace(both.code(), parts=(one.code(), weights.code()))

    yield replace(
        one,
        choice=f"{name}+{way}",
        title=f"{one.title}, and draw the weights anew: {words}",
        change=both,
        code=code,
        size=3,
        keeps_weights=False,
    )


def _replaceable(hidden: Sequence[Site], name: str) -> tuple[Site, ...]:
    """The activations that another one would take the place of; of a function call no PReLU can."""
    return tuple(one for one in hidden if one.activation != name and not (one.function and name == "prelu"))


def operation_for(trace: Trace, model: nn.Module, sites: Sequence[Site], name: str) -> Operation:
    """The lines that put one activation in the place of others."""
    modules = [one for one in sites if not one.function]
    lines: list[str] = []
    if modules:
        lines += _modules(trace, model, [one.name for one in modules], _module(model, name))
    encoders = [one for one in sites if one.function and _is_torchs(model, one)]
    if encoders:
        lines += [
            f"for name in {written(one.name for one in encoders)}:",
            f"    model.get_submodule(name).activation = F.{name}",
        ]
    calls: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for one in sites:
        if one.function and one not in encoders:
            calls.setdefault((one.function, () if one.every else one.ordinals), []).append(one.name)
    for (function, ordinals), names in calls.items():
        some = f", calls={{{', '.join(map(str, ordinals))}}}" if ordinals else ""
        if names == [""]:
            lines.append(f'Instead(model, "{function}", "{name}"{some})')
            continue
        lines += [
            f"for name in {written(names)}:",
            f'    Instead(model.get_submodule(name), "{function}", "{name}"{some})',
        ]
    if any(isinstance(one, nn.TransformerEncoderLayer) for one in model.modules()):
        lines += [
            "for layer in model.modules():",
            "    if isinstance(layer, nn.TransformerEncoderLayer):  # which function its fused kernel computes",
            f"        layer.activation_relu_or_gelu = {{'relu': 1, 'gelu': 2}}.get('{name}', 0)".replace(
                "'", '"'
            ),
        ]
    return Operation("\n".join(lines) + "\n")


def _module(model: nn.Module, name: str) -> str:
    """Where it has a parameter, of the model's kind and on its device."""
    return f"nn.{CLASSES[name]}(){home(model) if name == 'prelu' else ''}"


def _is_torchs(model: nn.Module, site: Site) -> bool:
    owner = model.get_submodule(site.name)
    return isinstance(owner, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and site.every


def _modules(trace: Trace, model: nn.Module, names: Sequence[str], new: str) -> list[str]:
    """By their classes where all modules of these are meant, by name otherwise."""
    every = [path for name in names for path in trace.names[name]]
    kinds = {type(model.get_submodule(name)) for name in every}
    of_kind = [
        name for name, one in model.named_modules(remove_duplicate=False) if isinstance(one, tuple(kinds))
    ]
    if sorted(of_kind) == sorted(every) and all(getattr(nn, one.__name__, None) is one for one in kinds):
        shown = sorted(f"nn.{one.__name__}" for one in kinds)
        return [
            "for name, module in list(model.named_modules(remove_duplicate=False)):",
            f"    if isinstance(module, {shown[0] if len(shown) == 1 else '(' + ', '.join(shown) + ')'}):",
            f"        model.set_submodule(name, {new})",
        ]
    return [f"for name in {written(every)}:", f"    model.set_submodule(name, {new})"]


def why_not(view: View) -> str:
    """Why no activation can be changed."""
    if view.keep_activation:
        return "activations are to stay as they are"
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    hidden = hidden_activations(trace_of(view), view.training.patient.model)
    if not any(_replaceable(hidden, name) for name in _USUAL):
        return "no activation between layers is applied by a module or a function call that can be replaced"
    return ""


def _slopes(sites: Sequence[Site], name: str) -> str:
    """E[f'(z)²], z ~ N(0, 1): the share of the squared gradient that an activation lets through on its way back."""
    old = sites[0].activation
    try:
        before = f", that of {TITLES.get(old, old)} {number(float(moments(old, 1.0).slope_second))}"
    except SpecError:  # no function of the catalogue
        before = ""
    after = number(float(moments(activation(name), 1.0).slope_second))
    return f"at inputs of variance 1 the mean squared slope of {TITLES[name]} is {after}{before}"


REMEDY = Remedy(
    name="change_activation",
    title="another activation function in the hidden layers",
    answers=(
        "vanishing_gradient",
        "saturated_activations",
        "dead_units",
        "not_zero_centred",
        "correlation_collapse",
        "exploding_activations",
        "exploding_gradient",
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Every layer multiplies the gradient by the slope of its activation. A sigmoid's is ¼ at most, so that a deep "
        "stack of them passes next to nothing back, whatever its weights are drawn from; ReLU's is 1 above 0 and 0 "
        "below, so that a unit that is below 0 for every sample learns nothing any more, which a slope on both sides "
        "(leaky ReLU, ELU, GELU) does not allow.\n\n"
        "Weights that were drawn for one activation may be too small or too large for another: in a deep network the "
        "change alone often does not help, and goes with an initialisation for the new function. Gates, attention and "
        "the model's output keep their functions."
    ),
)
