"""Weights that are meant to move and do not: left out, cut off, rounded away, or without a gradient.

What stands still on purpose is no fault: `requires_grad=False` on weights that the optimiser does not have is
information. So is what stands still while the training has all but reached its end; a weight that never moves costs
results only where there is something left to learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.learning import learning, nonfinite_loss_step
from evenflow.diagnose.outcome import STUCK
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.stillness import CAUSES, Cause, Still, still_weights
from evenflow.diagnose.twins import Comparison, compared, skill_of
from evenflow.spec.setting import Parameter, Setting
from evenflow.wording import exact, listed, named

WELL = 0.9
"""Share of the way from which on nothing can be ten points better."""
ALL = 0.97
"""Share of units or entries that is as good as all."""
FAIR = 0.8
"""The same for weights with requires_grad off that the optimiser has: frozen on purpose as often as by accident."""
LITTLE = 0.5
"""Share learned below which weights that are not used, where they are more than so large a share of all, are missed."""
FEWEST_UPDATES = 10
"""Steps before the first value that is not finite from which on it can be told what moves."""
SHOWN = 6
"""Sites that a finding names at most."""

_WORDS: dict[Cause, str] = {
    "not registered": "a plain list or mapping holds their modules, so model.parameters() leaves them out and no "
    "optimiser has them; nn.ModuleList and nn.ModuleDict make them known",
    "not in the optimiser": "gradients arrive, but no optimiser has the weights",
    "cut off": "the forward pass uses the weights, but no gradient comes back: something on the way is detached",
    "learning rate 0": "gradients arrive and the optimiser has the weights, but the learning rate is 0",
    "only evaluated": "the forward pass uses the weights in evaluation alone, so that training never reaches them",
    "set back": "the optimiser changes the weights, and something puts them back before the next step",
    "slow group": "the learning rate of their parameter group is {rate} of that of the fastest group",
    "never stepped": "gradients arrive and the optimiser has the weights, but it does not change them",
    "rounding": "the updates are smaller than what the precision of the weights holds, and are rounded away",
    "frozen but in the optimiser": "requires_grad is off, though the optimiser has the weights",
    "zero gradient": "the gradient is 0, or too small to change anything, at every step",
    "unused": "the forward pass does not use the weights",
    "frozen on purpose": "requires_grad is off, and the optimiser does not have the weights",
}
_GIVEN: tuple[Cause, ...] = (
    "not registered",
    "not in the optimiser",
    "cut off",
    "only evaluated",
    "learning rate 0",
    "set back",
    "slow group",
    "frozen but in the optimiser",
)
"""What somebody wrote so, and no signal brought about."""
_LEFT_OUT: tuple[Cause, ...] = ("not registered", "not in the optimiser")
_WRITTEN: tuple[Cause, ...] = (*_GIVEN, "frozen on purpose")
_REMEDIES: dict[Cause, tuple[str, ...]] = {
    "not registered": ("register_modules", "add_to_optimiser"),
    "not in the optimiser": ("add_to_optimiser",),
    "cut off": ("remove_detach",),
    "learning rate 0": ("raise_learning_rate",),
    "slow group": ("raise_learning_rate",),
    "rounding": ("raise_precision", "raise_learning_rate"),
    "frozen but in the optimiser": ("unfreeze",),
    "frozen on purpose": ("unfreeze",),
}


def judge(case: Case) -> Verdict | None:
    """Weights that did not move, by the worst reason among them."""
    twin = next(iter(compared(case.setting, "unfrozen")), None)
    helped = twin is not None and twin.lasts(falling=_falling(case))
    found = tuple(one for one in still_weights(case) if one.cause != "slow group" or helped)
    ended = _ended_at_once(case)
    if ended:
        found = tuple(one for one in found if one.cause in _WRITTEN and _is_certain(one))
    if not found:
        return None
    try:
        learned = learning(case).learned
    except MissingError:
        learned = math.nan
    worst: Cause = min(found, key=lambda one: CAUSES.index(one.cause)).cause
    weights = [one for one in case.setting.parameters if one.kind == "weight"]
    everything = len(found) == len(weights)
    severity = _severity(worst, learned, twin, everything)
    if worst in _LEFT_OUT and severity == "risk" and _in_vain(case.setting, learned, twin):
        severity = "fault"
    if worst == "zero gradient" and severity == "fault" and (everything or has_its_reason(case)):
        severity = "risk"  # a symptom
    if worst == "only evaluated":
        severity = "fault" if _fails_in_evaluation(case) else "information"
    if worst == "unused" and learned < LITTLE and _share(found, weights) > LITTLE:
        severity = "fault"
    if ended:
        severity = "information"
    return _verdict(case, found, worst, severity, learned, twin)


def _fails_in_evaluation(case: Case) -> bool:
    """Whether the answers, given in evaluation, are poor, whatever the loss says, which training has."""
    try:
        return learning(case).skill < LITTLE
    except MissingError:
        return False


def _falling(case: Case) -> bool:
    try:
        return learning(case).falling
    except MissingError:
        return True


def _in_vain(setting: Setting, learned: float, twin: Comparison | None) -> bool:
    """Whether nothing was learned, by the twin with all weights trained no more than without, and no other twin helps.

    The trial is then too short to show what the slip costs; that it is one is certain.
    """
    if not learned < STUCK or (twin is not None and not skill_of(twin.trial) < STUCK):
        return False
    return not any(
        each.clear
        for change in ("learning_rate", "inputs", "output", "weights", "signals")
        for each in compared(setting, change)
    )


def _ended_at_once(case: Case) -> bool:
    """Whether a value that is not finite left no updates from which it could be told what moves."""
    bad = [case.setting.origin_step, nonfinite_loss_step(case)]
    return any(step is not None and 0 <= step < FEWEST_UPDATES for step in bad)


def _is_certain(one: Still) -> bool:
    """Whether it was read from the model rather than from gradients, of which there may be none that is finite."""
    return one.cause != "cut off" or not one.parameter.reached


def has_its_reason(case: Case) -> bool:
    """Whether units that are silent or flat for every sample, or weights of 0, are why no gradient comes back."""
    for statistic in ("dead_fraction", "saturated_unit_fraction", "zero_fraction"):
        try:
            values = case.series(statistic, "activation").values
        except MissingError:
            continue
        last = np.nan_to_num(values[-max(len(values) // 4, 1) :])
        if np.any(last.mean(axis=0) > ALL):
            return True
    try:
        return bool(np.any(case.series("weight_norm", "weight").values[-1] == 0.0))
    except MissingError:
        return False


def _share(found: Sequence[Still], weights: Sequence[Parameter]) -> float:
    """Share of all entries that do not move."""
    return sum(one.parameter.size for one in found) / max(sum(one.size for one in weights), 1)


def _share_of_the_rate(found: Sequence[Still], weights: Sequence[Parameter]) -> float:
    """The learning rate of the slowest group over that of the fastest."""
    slow = [one.parameter.learning_rate for one in found if one.cause == "slow group"]
    fastest = max((one.learning_rate for one in weights if one.learning_rate > 0.0), default=math.nan)
    return min(slow, default=math.nan) / fastest


def _severity(cause: Cause, learned: float, twin: Comparison | None, everything: bool) -> Severity:
    """How bad it is that weights do not move for this reason.

    Args:
        cause: the reason.
        learned: share of the way that the training came; NaN if not known.
        twin: with all weights trained.
        everything: whether no weight at all moves.
    """
    if everything and cause != "unused":
        return "fault"
    if cause in ("unused", "frozen on purpose"):
        return "information"
    if twin is not None and cause in (*_LEFT_OUT, "frozen but in the optimiser"):
        if cause in _LEFT_OUT:
            return "fault" if twin.clear else "risk"
        return "fault" if twin.clear and not learned >= FAIR else "risk" if twin.clear else "information"
    if cause == "frozen but in the optimiser":
        return "information" if learned >= WELL else "risk" if learned >= FAIR else "fault"
    return "risk" if learned >= WELL else "fault"


def _verdict(
    case: Case,
    found: Sequence[Still],
    worst: Cause,
    severity: Severity,
    learned: float,
    twin: Comparison | None,
) -> Verdict:
    sites = [one.parameter.name for one in found if one.cause == worst]
    weights = [one for one in case.setting.parameters if one.kind == "weight"]
    evidence: dict[str, float | int | str] = {
        "cause": worst,
        "weights_still": len(found),
        "weights": len(weights),
        "share_of_entries_still": _share(found, weights),
        "share_learned": learned,
    }
    moves = "hardly anything" if worst == "slow group" else "nothing"
    words = _WORDS[worst].format(rate=exact(_share_of_the_rate(found, weights)))
    message = f"{moves} moves {listed([named(one) for one in sites], most=SHOWN)}: {words}"
    if twin is not None:
        evidence["twin_points"] = twin.points
        if twin.clear:
            message += f"; with all weights trained the same training is {twin.words}"
    return Verdict(
        severity=severity,
        sites=tuple(sites),
        first_step=int(case.steps[0]),
        evidence=evidence,
        message=message,
        strength=0.4 if worst == "zero gradient" else 0.85,
        remedies=_REMEDIES.get(worst, ()),
        given=worst in _GIVEN,
    )


RULE = Rule(
    code="EF403",
    name="frozen_layers",
    title="Weights that are meant to move do not",
    judge=judge,
    remedies=("add_to_optimiser", "unfreeze", "remove_detach", "raise_precision"),
    follows_from=(
        "uncleared_gradient",
        *("symmetric_init", "dead_units", "saturated_activations", "bad_output_layer", "unnormalised_input"),
        *(
            "lr_too_high",
            "vanishing_gradient",
            "exploding_activations",
            "nonfinite_origin",
            "correlation_collapse",
        ),
    ),
    confidence=0.97,
    explanation=(
        "Weights stay as they were drawn: no optimiser has them, the graph is cut between them and the loss, their "
        "learning rate is 0, their updates are smaller than half a unit in the last place of bf16 or fp16, or their "
        "gradient is exactly 0. Weights that are frozen on purpose are information."
    ),
)
