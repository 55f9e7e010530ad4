"""What each remedy changes in a specification: from the original and a form to the fields that become others.

The formulas are those of the remedies on models in `prescribe`, and stand there with their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from evenflow.errors import SpecError
from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.families import AnyNetwork
from evenflow.spec.initialisation import bias_draw, gain
from evenflow.spec.network import Network
from evenflow.spec.recurrent import KEEPS, RecurrentNetwork
from evenflow.spec.specification import Specification
from evenflow.spec.transformer import TransformerNetwork

Fields = Mapping[str, object]
Change = Callable[[Specification, str, Mapping[str, float]], Fields]

CUSTOMARY_NORM = 1.0
WARM_UP_SHARE, FEWEST_WARM_UP_STEPS = 0.1, 5
MOMENTUM = 0.9
_ADAPTIVE = ("adam", "adamw")


class Unfit(Exception):  # noqa: N818 - a reason that is handed up, not an error of the user's
    """Why a remedy cannot be carried out, in words."""


def _change_activation(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """Another activation in every hidden layer, and behind a plus the initialisation that goes with it."""
    name, plus, weights = form.partition("+")
    if set(specification.network.activation_names) == {name}:
        raise Unfit(f"the activation is {name} already")
    drawn = {"initialisation": weights, "bias_initialisation": "auto"} if plus else {}
    return {"activation": name, **drawn}


def _reinitialise(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """Other weights, and biases as go with them: 0."""
    beyond = {
        "critical": "no initialisation of a specification has a gain that is handed over and biases to go with it",
        "data": "a specification draws its weights without looking at data",
        "where_needed": "a specification has one initialisation for all layers",
    }
    if form in beyond:
        raise Unfit(beyond[form])
    if form == "orthogonal" and isinstance(specification.network, Network | ConvolutionalNetwork):
        names = set(specification.network.activation_names)
        if len(names) > 1:
            raise Unfit("its activations need several gains, and orthogonal takes one")
        factor = gain(names.pop())
        form = "orthogonal" if factor == 1 else f"orthogonal:{factor:.6g}"
    network = specification.network
    biases = bias_draw(network.bias_initialisation, network.initialisation, 1)
    if network.initialisation == form and biases.scale == 0:
        raise Unfit("its weights are drawn so already")
    return {"initialisation": form, "bias_initialisation": "auto"}


def _zero_biases(specification: Specification, _form: str, _: Mapping[str, float]) -> Fields:
    network = specification.network
    if bias_draw(network.bias_initialisation, network.initialisation, 1).scale == 0:
        raise Unfit("its biases are 0 already")
    return {"bias_initialisation": "zero"}


def _add_normalisation(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """In front of every activation."""
    if specification.network.normalisation != "none":
        raise Unfit(f"its layers have a normalisation already, {specification.network.normalisation}")
    if form == "batch" and specification.training.batch == 1:
        raise Unfit("batch normalisation needs batches of at least 2 samples")
    return {"normalisation": form, **_in_front(specification)}


def _in_front(specification: Specification) -> Fields:
    """Where a normalisation of hidden layers is to stand; other families have one place for it."""
    placed = hasattr(specification.network, "normalisation_position")
    return {"normalisation_position": "before"} if placed else {}


def _add_skip_connections(specification: Specification, form: str, measured: Mapping[str, float]) -> Fields:
    """Plain branches, or branches times 1/√(2L)."""
    network = specification.network
    if form == "zero":
        raise Unfit("residual_scale is a number and not learned")
    if network.residual != "none":
        raise Unfit("it has skip connections already")
    if _branches(network) < 1:
        raise Unfit("it has no hidden layer behind another")
    if len(set(network.widths)) > 1:
        raise Unfit("skip connections need hidden layers of equal width")
    scale = measured.get("scale", _branch_scale(specification)) if form == "scaled" else 1.0
    return {"residual": "pre", "residual_scale": scale}


def _scale_residual_branches(
    specification: Specification, form: str, measured: Mapping[str, float]
) -> Fields:
    network = specification.network
    if form == "zero":
        raise Unfit("residual_scale is a number and not learned")
    if network.residual == "none" or _branches(network) < 1:
        raise Unfit("it has no residual branches")
    if network.residual_scale != 1.0:
        raise Unfit(f"its branches are scaled already, by {network.residual_scale:g}")
    return {"residual_scale": measured.get("scale", _branch_scale(specification))}


def _branch_scale(specification: Specification) -> float:
    """1/√(2L) for L branches."""
    return float(f"{1 / math.sqrt(2 * _branches(specification.network)):.4g}")


def _branches(network: AnyNetwork) -> int:
    """Of a Transformer two a block; else one a hidden layer but the first."""
    return 2 * network.layers if isinstance(network, TransformerNetwork) else network.layers - 1


def _pre_norm(specification: Specification, _form: str, _: Mapping[str, float]) -> Fields:
    network = specification.network
    if network.residual != "post" or network.normalisation == "none":
        raise Unfit("it has no normalisation behind the sum of branch and skip")
    return {"residual": "pre", **_in_front(specification)}


def _clip_gradients(specification: Specification, form: str, measured: Mapping[str, float]) -> Fields:
    """By the norm; by value only where the bound was measured."""
    if form == "adaptive":
        raise Unfit("clip is none, norm or value, and bounds no unit by its own weights")
    if form == "value" and "bound" not in measured:
        raise Unfit("the bound of an entry is measured on gradients, which a specification does not have")
    bound = measured.get("bound", CUSTOMARY_NORM)
    kind, there = specification.network.clipping
    if kind == form and there is not None and there <= bound:
        raise Unfit(f"its gradients are clipped already, {specification.network.clip}")
    return {"clip": f"{form}:{bound:g}"}


def _raise_clip_norm(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    kind, there = specification.network.clipping
    if kind != "norm" or there is None:
        raise Unfit("it does not clip the norm of its gradients")
    if form != "none" and float(form) <= there:
        raise Unfit(f"{form} is no more than the bound that it has, {there:g}")
    return {"clip": "none" if form == "none" else f"norm:{float(form):g}"}


def _change_learning_rate(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """By a factor."""
    if form == "from 0":
        raise Unfit("the learning rate of a specification is above 0")
    return {"learning_rate": float(f"{specification.training.learning_rate * float(form):.6g}")}


def _warm_up(specification: Specification, _form: str, _: Mapping[str, float]) -> Fields:
    """Linear, over the first tenth."""
    if specification.training.warm_up:
        raise Unfit(f"it warms up already, over {specification.training.warm_up} steps")
    return {"warm_up": max(round(WARM_UP_SHARE * specification.training.steps), FEWEST_WARM_UP_STEPS)}


def _change_optimiser(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """Adam or AdamW for gradient descent, gradient descent with momentum for these; weight decay stays."""
    kind, _space, rate = form.partition(" ")
    now = specification.training.optimiser
    if kind not in (*_ADAPTIVE, "sgd"):
        raise Unfit(f'optimisers of a specification are sgd, adam and adamw; "{kind}" is none of them')
    if (kind in _ADAPTIVE) == (now in _ADAPTIVE):
        raise Unfit(f"its optimiser is {now} already")
    decay = {"weight_decay": specification.training.decay}
    if kind == "sgd":
        return {"optimiser": "momentum", "momentum": MOMENTUM, "learning_rate": float(rate), **decay}
    return {"optimiser": kind, "learning_rate": float(rate), **decay}


def _standardise_input(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    if form == "whole":
        raise Unfit("data of a specification are standardised feature by feature")
    if specification.data.standardise:
        raise Unfit("its inputs are standardised already")
    return {"standardise": True}


def _lower_weight_decay(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """By a factor."""
    if specification.training.decay == 0:
        raise Unfit("its weight decay is 0 already")
    return {"weight_decay": specification.training.decay * float(form)}


def _lower_dropout(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    if specification.network.dropout <= float(form):
        raise Unfit(f"its dropout is {specification.network.dropout:g} already")
    return {"dropout": float(form)}


def _open_forget_gates(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    network = specification.network
    if not isinstance(network, RecurrentNetwork) or network.cell not in KEEPS:
        raise Unfit("it has no gates")
    if form == "length":
        raise Unfit("forget_bias is one number for all units")
    if network.forget_bias >= float(form):
        raise Unfit(f"the bias of its gates is {network.forget_bias:g} already")
    return {"forget_bias": float(form)}


def _replace_recurrence(specification: Specification, form: str, _: Mapping[str, float]) -> Fields:
    """By gated cells, their gates open from the start."""
    network = specification.network
    if not isinstance(network, RecurrentNetwork):
        raise Unfit("it has no recurrent layer")
    if network.cell != "rnn":
        raise Unfit(f"its cells have gates already: {network.cell}")
    return {"cell": form, "activation": "tanh", "forget_bias": 1.0}


def _checked(change: Change) -> Change:
    """The same, with a form that is no number said to be none."""

    def checked(specification: Specification, form: str, measured: Mapping[str, float]) -> Fields:
        try:
            return change(specification, form, measured)
        except ValueError:
            raise SpecError(f'form "{form}": a number is needed') from None

    return checked


CHANGES: Mapping[str, Change] = {
    "lower_learning_rate": _checked(_change_learning_rate),
    "raise_learning_rate": _checked(_change_learning_rate),
    "warm_up": _warm_up,
    "change_optimiser": _checked(_change_optimiser),
    "clip_gradients": _clip_gradients,
    "raise_clip_norm": _checked(_raise_clip_norm),
    "standardise_input": _standardise_input,
    "lower_weight_decay": _checked(_lower_weight_decay),
    "lower_dropout": _checked(_lower_dropout),
    "change_activation": _change_activation,
    "reinitialise": _reinitialise,
    "zero_biases": _zero_biases,
    "add_normalisation": _add_normalisation,
    "add_skip_connections": _add_skip_connections,
    "scale_residual_branches": _scale_residual_branches,
    "pre_norm": _pre_norm,
    "open_forget_gates": _checked(_open_forget_gates),
    "replace_recurrence": _replace_recurrence,
}
"""Remedies by name, as `prescribe.catalogue` has them."""
