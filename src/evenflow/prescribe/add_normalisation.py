"""Normalisations between every linear map and its activation, or of the first layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from evenflow.measure.sites import CONVOLUTIONS
from evenflow.prescribe.activations import hidden_activations
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, home, in_place_of, runs, single
from evenflow.prescribe.prescription import Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Trace, trace_of
from evenflow.wording import plural

Kind = Literal["batch", "layer", "rms"]

NORMALISING = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")
_ATTENDING = ("scaled_dot_product_attention", "softmax", "matmul", "__matmul__", "bmm", "einsum")
"""What takes queries, keys and values, whose scale has a meaning."""
_TITLES = {"batch": "BatchNorm", "layer": "LayerNorm", "rms": "RMSNorm"}
_DOES = {
    "batch": "what every activation takes has mean 0 and variance 1 over the batch, whatever the weights",
    "layer": "what an activation takes has mean 0 and variance 1 over the units of each sample, whatever the weights",
    "rms": "what an activation takes has root mean square 1 over the units of each sample, whatever the weights",
}
_SIGNS: dict[str, Sign] = {
    "dead_units": "dead_units",
    "saturated_activations": "saturation",
    "exploding_activations": "activation_growth",
    "exploding_gradient": "gradient_growth",
    "correlation_collapse": "alike_samples",
    "unnormalised_input": "loss",
}


def forms(view: View) -> Sequence[Prescription]:
    """Batch normalisation before the others: it keeps samples apart, and sigmoids from their flat parts."""
    if why_not(view):
        return ()
    finding = answered(view, REMEDY.answers)
    found = []
    for kind in ("batch", "layer", "rms"):
        places = _places(view, kind)
        what = "in front of", "activation"
        if not places:
            places, what = _behind(view, kind), ("behind", "layer")
        operation = Operation(in_place_of(places))
        if not places or not runs(view, operation):
            continue
        found.append(
            Prescription(
                remedy=REMEDY.name,
                choice=kind,
                title=f"Put {_TITLES[kind]} {what[0]} {plural(len(places), what[1])}",
                why=because(finding, _DOES[kind]),
                sign=_SIGNS.get(finding.rule if finding else "", "gradient_ratio"),
                change=operation,
                code=operation.code,
                size=3,
                inference=1,
            )
        )
    return found


def _places(view: View, kind: Kind) -> dict[str, str]:
    """For every module that is replaced what takes its place: the activation with a norm in front, or its layer."""
    model, trace = view.training.patient.model, trace_of(view)
    places: dict[str, str] = {}
    for site in hidden_activations(trace, model):
        alone = not site.function and single(trace, site.name) is not None
        for place in site.places:
            run = single(trace, site.name) if alone else None
            source = trace.source(run.source if run else next(iter(trace.calls[place].takes), -1))
            if source < 0 or trace.calls[source].name in NORMALISING:
                continue
            if not alone and not trace.calls[source].has_weights:
                continue
            name = site.name if alone else trace.calls[source].module
            shape = run.taken if run else trace.calls[source].shape
            new = norm(kind, shape, _channels_second(trace, source), home(model))
            if new and (alone or (single(trace, name) is not None and not _is_read(model, name))):
                places[name] = f"nn.Sequential({new}, old)" if alone else f"nn.Sequential(old, {new})"
    return places


def _behind(view: View, kind: Kind) -> dict[str, str]:
    """The same for the hidden layers, where no activation can be told: products, or functions of the user's own."""
    model, trace = view.training.patient.model, trace_of(view)
    places: dict[str, str] = {}
    for run in trace.visits:
        if not isinstance(run.module, (nn.Linear, *CONVOLUTIONS)) or not run.plain:
            continue
        if single(trace, run.name) is None or not trace.is_hidden(run.result) or _is_read(model, run.name):
            continue
        users = {one.name for one in trace.consumers(run.result)}
        if users & {*NORMALISING, *_ATTENDING}:
            continue
        new = norm(kind, run.given, isinstance(run.module, CONVOLUTIONS), home(model))
        if new:
            places[run.name] = f"nn.Sequential(old, {new})"
    return places


def _is_read(model: nn.Module, name: str) -> bool:
    """Whether torch's own code reads a layer's weights: a Transformer's, for its fused kernel."""
    return isinstance(
        model.get_submodule(name.rpartition(".")[0]), nn.TransformerEncoderLayer | nn.TransformerDecoderLayer
    )


def _channels_second(trace: Trace, place: int) -> bool:
    """Whether the units of a signal are its second dimension: behind convolutions."""
    while place >= 0:
        one = trace.calls[place]
        if one.has_weights:
            return one.name.startswith("conv")
        place = next((each for each in one.takes if each >= 0), -1)
    return False


def norm(kind: Kind, shape: Sequence[int], second: bool, to: str = "") -> str:
    """The expression of a normalisation for signals of a shape; "" where there is none.

    >>> norm("batch", (32, 16, 8, 8), True), norm("layer", (32, 7, 64), False), norm("rms", (32, 16, 8), True)
    ('nn.BatchNorm2d(16)', 'nn.LayerNorm(64)', '')
    """
    if len(shape) < 2 or (kind == "batch" and shape[0] < 2):
        return ""
    if second and len(shape) > 2:
        new = {
            "batch": f"nn.BatchNorm{len(shape) - 2}d({shape[1]})",
            "layer": f"nn.GroupNorm(1, {shape[1]})",
            "rms": "",
        }[kind]
    elif kind == "batch":
        new = f"{'nn.BatchNorm1d' if len(shape) == 2 else 'BatchNormOfLast'}({shape[-1]})"
    else:
        new = f"nn.{_TITLES[kind]}({shape[-1]})"
    return f"{new}{to}" if new else ""


def why_not(view: View) -> str:
    """Why nothing can be normalised."""
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    if not _places(view, "layer") and not _behind(view, "layer"):
        return "in front of every activation between layers that can be found a normalisation stands already"
    return ""


def first_forms(view: View) -> Sequence[Prescription]:
    """A normalisation in front of the first layer, or behind it."""
    if first_why_not(view):
        return ()
    finding = answered(view, FIRST.answers)
    name, taken, given, second = _first(view)
    model = view.training.patient.model
    to = home(model)
    before, behind = norm("batch", taken, second, to), norm("batch", given, second, to)
    found = []
    for choice, expression in {
        "before": before and f"nn.Sequential({before}, old)",
        "behind": behind and f"nn.Sequential(old, {behind})",
    }.items():
        operation = Operation(in_place_of({name: expression}) if expression else "")
        if not expression or not runs(view, operation):
            continue
        where = "in front of" if choice == "before" else "behind"
        found.append(
            Prescription(
                remedy=FIRST.name,
                choice=choice,
                title=f'Put BatchNorm {where} the first layer, "{name}"',
                why=because(
                    finding,
                    "whatever the scale of the inputs, what the layer passes on has mean 0 and variance 1"
                    if choice == "behind"
                    else "every feature of the inputs gets mean 0 and variance 1 over the batch",
                ),
                sign="loss",
                change=operation,
                code=operation.code,
                size=2,
                inference=1,
            )
        )
    return found


def _first(view: View) -> tuple[str, tuple[int, ...], tuple[int, ...], bool]:
    """The first layer, what it takes and gives, and whether its units stand second; no name where there is none."""
    trace = trace_of(view)
    for one in trace.visits:
        if isinstance(one.module, (nn.Linear, *CONVOLUTIONS)) and not trace.is_computed(one.source):
            if single(trace, one.name) is None:
                break
            return one.name, one.taken, one.given, isinstance(one.module, CONVOLUTIONS)
    return "", (), (), False


def first_why_not(view: View) -> str:
    """Why the first layer cannot be normalised."""
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    if not _first(view)[0]:
        return "the inputs do not go into one linear or convolutional layer"
    return ""


REMEDY = Remedy(
    name="add_normalisation",
    title="normalisations in front of the activations",
    answers=(
        "vanishing_gradient",
        "exploding_gradient",
        "exploding_activations",
        "saturated_activations",
        "dead_units",
        "correlation_collapse",
        "poor_init",
        "not_zero_centred",
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A normalisation brings what goes into an activation to mean 0 and variance 1, whatever the weights are. "
        "Batch normalisation (Ioffe and Szegedy 2015) takes the mean over samples, layer normalisation (Ba et al. "
        "2016) over units.\n\n"
        "It is no cure for depth by itself: batch normalisation without skip connections multiplies the gradient by "
        "E[f'²]/Var[f] per layer, 1.21 in norm for ReLU (Yang et al. 2019), and layer normalisation does not keep a "
        "sigmoid's gradient from vanishing. Batch normalisation needs batches of more than a few samples."
    ),
)
FIRST = Remedy(
    name="normalise_first_layer",
    title="a normalisation at the first layer",
    answers=("unnormalised_input",),
    forms=first_forms,
    why_not=first_why_not,
    explanation=(
        "Inputs of very different scales make one direction of the loss steep and the others flat. A batch "
        "normalisation at the first layer learns their means and variances on the way, and keeps them for inference; "
        "standardised inputs do the same without a layer."
    ),
)
