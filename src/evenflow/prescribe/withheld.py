"""What is known not to help, and why: such remedies are not offered, whatever else would speak for them."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding
from evenflow.errors import EvenflowError
from evenflow.prescribe.change_optimiser import ADAPTIVE, THROWN
from evenflow.prescribe.check_inputs import counted
from evenflow.prescribe.prescription import View
from evenflow.spec.properties import properties

DEEP = 6
"""Hidden layers of one flat activation from which on no independent weights carry a gradient through."""
FLAT = 0.26
"""Largest slope of an activation that shrinks the gradient at every layer: a sigmoid's is 0.25."""

LARGE = 1e-3
"""ε of Adam and its kin beside which gradients are small: such a step goes with their size again. 1e-8 is usual."""

_STEPS = ("lower_learning_rate", "raise_learning_rate", "warm_up", "clip_gradients", "raise_clip_norm")
_CLIPPING = ("clip_gradients",)
_SIGNAL = (
    *("add_normalisation", "normalise_first_layer", "change_activation", "reinitialise", "zero_biases"),
    *("add_skip_connections", "scale_residual_branches", "pre_norm", "open_forget_gates"),
)
_GIVEN = (
    "not in the optimiser",
    "cut off",
    "learning rate 0",
    "frozen but in the optimiser",
    "frozen on purpose",
)
"""Causes of weights that stand still which somebody wrote so."""
_BORN = (
    "the units are silent before the first step, and no step moves a unit that gets no gradient: how long it is does "
    "not matter"
)


def withheld(view: View, root: Finding, name: str) -> str:
    """Why a remedy cannot help against a root; "" where it may.

    Args:
        view: of the training.
        root: that is to be answered.
        name: of the remedy.
    """
    if root.rule == "vanishing_gradient" and name in _CLIPPING:
        return "clipping makes gradients smaller; what has vanished does not come back by it"
    if name == "change_optimiser" and root.rule not in THROWN and _is_adaptive(view):
        return "the optimiser divides the size of the gradient out already, so that another one finds no more in it"
    if root.rule == "symmetric_init" and name in (*_STEPS, "change_optimiser", *_normalisations()):
        return "units that are alike get the same gradient and stay alike, whatever becomes of a step or a signal"
    if root.rule == "frozen_layers":
        return _against_standing_still(root, name)
    if root.rule == "dead_units" and root.first_step is not None and root.first_step <= 0 and name in _STEPS:
        return _BORN
    if root.rule == "nonfinite_origin" and name != "check_inputs" and _is_in_data(view):
        return "the data themselves hold NaN or infinity, which no setting of a training takes out"
    if name == "reinitialise" and root.rule not in ("symmetric_init", "poor_init"):
        return _no_draw_helps(view)
    return ""


def _is_adaptive(view: View) -> bool:
    optimizer = view.training.patient.optimizer
    added = max((float(group.get("eps") or 0.0) for group in optimizer.param_groups), default=0.0)
    return type(optimizer).__name__ in ADAPTIVE and added <= LARGE


def _normalisations() -> tuple[str, ...]:
    return ("add_normalisation", "normalise_first_layer", "standardise_input")


def _against_standing_still(root: Finding, name: str) -> str:
    cause = str(root.evidence.get("cause", ""))
    if cause == "cut off" and name in (*_SIGNAL, *_STEPS, "change_optimiser", "standardise_input"):
        return "the graph is cut between these weights and the loss; no signal, however well scaled, crosses the cut"
    if cause in _GIVEN and name in (*_SIGNAL, "clip_gradients", "standardise_input"):
        return f"the weights stand still for they are {cause}; their signals and gradients have nothing to do with it"
    return ""


def _is_in_data(view: View) -> bool:
    return counted(view.training)[0] > 0


def _no_draw_helps(view: View) -> str:
    """A deep stack of sigmoids has no independent initialisation that carries signals through and gradients back."""
    names = [
        layer.activation.partition(":")[0]
        for layer in view.setting.layers
        if layer.activation and not layer.normalisation and not layer.residual
    ]
    flat = [name for name in names if _largest_slope(name) <= FLAT]
    if len(flat) < DEEP or len(flat) < 0.7 * len(names):
        return ""
    return (
        f"{len(flat)} layers of {flat[0]}, whose slope is {_largest_slope(flat[0]):.2g} at most, shrink the gradient "
        "at every layer, whatever independent weights are drawn; only weights so large that they drive the units into "
        "their flat parts would make up for it (for a sigmoid, a variance of 103 / fan-in)"
    )


def _largest_slope(name: str) -> float:
    try:
        return float(properties(name).max_slope)
    except EvenflowError:  # an activation that the catalogue does not know may do anything
        return math.inf
