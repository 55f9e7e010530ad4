"""How much a prescription promises before it is tried: by a twin that tried it already, by theory, by one batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from evenflow.diagnose.twins import CLEARLY, Comparison, compared
from evenflow.doctor.copying import untouched_randomness
from evenflow.errors import EvenflowError
from evenflow.prescribe.flow import Flow, flow_of
from evenflow.prescribe.prescription import Prescription, View
from evenflow.wording import number

TWINS: dict[str, tuple[str, ...]] = {
    "standardise_input": ("inputs",),
    "normalise_first_layer": ("inputs",),
    "mend_output_layer": ("output",),
    "mend_loss": ("output",),
    "add_to_optimiser": ("unfrozen",),
    "register_modules": ("unfrozen",),
    "unfreeze": ("unfrozen",),
    "reinitialise": ("weights",),
}
"""Which twin of the doctor's has tried the same change, by the remedy's name."""
SEEN = (
    *("check_inputs", "raise_clip_norm", "raise_precision", "remove_detach", "pass_gradient_through"),
    *("mend_loss", "lower_weight_decay", "lower_dropout", "guard_operation", "zero_gradients"),
    *("hold_learning_rate", "add_activation", "raise_epsilon"),
)
"""Remedies that apply only where what they take away was seen in the training itself, and is known to do harm."""
RATES = ("lower_learning_rate", "raise_learning_rate")
NEAR = 0.05
"""Relative difference of two learning rates that counts as none."""
LITTLE = 0.2
"""Badness at the start below which there is nothing to mend there."""
MUCH, SOME = 0.5, 0.1
"""Share of the badness that a change takes away, to be called so."""


@dataclass(frozen=True)
class Effect:
    """What a prescription promises.

    Args:
        grade: 4 seen by a twin to be clearly better, 3 takes away most of what stands in the way, or a slip that was
            seen, 2 some of it, 1 not to be told, 0 none of it, −1 makes it worse.
        words: what that rests on.
        points: by which the twin was better, in tens; 0 without one.
    """

    grade: int
    words: str = ""
    points: int = 0


def effect(
    view: View, prescription: Prescription, before: Flow, *, look: bool = True, own: bool = True
) -> Effect:
    """What a prescription promises for a training.

    Args:
        view: of the training.
        prescription: for it.
        before: what flows through the training as it is.
        look: whether to spend one batch on it, where no twin has tried it.
        own: whether it answers the root itself, and not only what follows from it.
    """
    seen = twin(view, prescription)
    if seen is not None and seen.clear:
        words = f"a twin with this change was {seen.points:.0f} points better"
        return Effect(4, words, round(seen.points / CLEARLY))
    if seen is not None and seen.points <= -CLEARLY:
        return Effect(-1, f"a twin with this change was {-seen.points:.0f} points worse")
    if prescription.remedy in SEEN:
        return Effect(3 if own else 1)
    if not look or before.badness < LITTLE:
        return Effect(1)
    try:
        with untouched_randomness():
            torch.manual_seed(0)
            changed = prescription.change(view.training.copied())
            after = flow_of(changed, through_time=not math.isnan(before.through_time))
    except (RuntimeError, TypeError, ValueError, EvenflowError) as error:
        return Effect(-1, f"the changed training raises {type(error).__name__}: {error}")
    return graded(before, after)


def graded(before: Flow, after: Flow) -> Effect:
    """Two flows compared.

    >>> graded(Flow(gradient=-8.0), Flow(gradient=-0.4)).grade, graded(Flow(dead=0.7), Flow(dead=0.7)).grade
    (3, 1)
    """
    share = (before.badness - after.badness) / max(before.badness, LITTLE)
    if after == before or abs(share) < 1e-3:
        return Effect(1)  # what it changes does not show on a first batch
    grade = 3 if share >= MUCH else 2 if share >= SOME else -1 if share <= -SOME else 0
    return Effect(grade, _words(before, after))


def _power(decades: float) -> str:
    """Ten to this power, in figures; a gradient of 0 has no decades that are finite."""
    return number(10.0 ** min(decades, 300.0))


def _words(before: Flow, after: Flow) -> str:
    theory = before.foreseen and after.foreseen
    ratios = (before.predicted, after.predicted) if theory else (before.gradient, after.gradient)
    parts = []
    if not any(map(math.isnan, ratios)) and abs(ratios[0] - ratios[1]) > 0.3:
        parts.append(
            f"the gradient of the first layers over that of the last goes from {_power(ratios[0])} to "
            f"{_power(ratios[1])}" + (" by theory" if theory else "")
        )
    if abs(before.through_time - after.through_time) > 0.3:
        parts.append(
            f"the gradient of the first time step over that of the last goes from {_power(before.through_time)} to "
            f"{_power(after.through_time)}"
        )
    if abs(before.activations - after.activations) > 0.3:
        parts.append(
            f"activations grow {_power(after.activations)} times through the network, not "
            f"{_power(before.activations)} times"
        )
    for name, word in (
        ("dead", "dead units"),
        ("saturated", "saturated entries"),
        ("still", "matrices without a gradient"),
    ):
        was, now = getattr(before, name), getattr(after, name)
        if abs(was - now) > 0.05:
            parts.append(f"{word} from {was:.0%} to {now:.0%}")
    return "on the first batch " + ", ".join(parts) if parts else ""


def twin(view: View, prescription: Prescription) -> Comparison | None:
    """The twin of the doctor's that made the same change, if there is one."""
    if prescription.remedy in RATES:
        factor = _number(prescription.choice)
        found = compared(view.setting, "learning_rate")
        return (
            next((one for one in found if abs(one.trial.factor / factor - 1.0) < NEAR), None)
            if factor
            else None
        )
    for change in TWINS.get(prescription.remedy, ()):
        some = compared(view.setting, change)
        if some:
            return max(some, key=lambda one: one.points)
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
