"""What to do about the steps: learning rate, clipping, optimiser."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.remedies.tried import Tried, came_of_it, tried
from evenflow.spec.setting import Setting
from evenflow.wording import exact, listed, number

_TENTH, _TENFOLD = 0.1, 10.0
_CLIP_ABOVE = 3.0
"""Times the usual norm of a gradient: the rare step that would break everything is above it, all others below."""


def lower_learning_rate(_finding: Finding, setting: Setting) -> str:
    return _another_rate("Lower", "to a tenth", _TENTH, tried("lower_learning_rate", setting), setting)


def raise_learning_rate(finding: Finding, setting: Setting) -> str:
    if finding.evidence.get("cause") == "learning rate 0":
        return "Give the optimiser a learning rate above 0."
    if finding.evidence.get("cause") == "slow group":
        fastest = max((group.learning_rate for group in setting.optimisers), default=math.nan)
        took = came_of_it(tried("unfreeze", setting))
        return f"Give that parameter group the learning rate of the fastest one, {exact(fastest)}{took}."
    return _another_rate("Raise", "tenfold", _TENFOLD, tried("raise_learning_rate", setting), setting)


def _another_rate(verb: str, usual: str, factor: float, twins: Tried, setting: Setting) -> str:
    rate = max((group.learning_rate for group in setting.optimisers), default=math.nan)
    several = " (of the fastest group, and the others with it)" if _rates(setting) > 1 else ""
    if not rate > 0.0:
        return f"{verb} the learning rate {usual} to begin with."
    if not twins:
        return (
            f"{verb} the learning rate from {exact(rate)} to {exact(rate * factor)}{several} to begin with."
        )
    best = twins[0]
    if best.clear:
        took = exact(rate * best.trial.factor)
        return f"{verb} the learning rate from {exact(rate)} to {took}{several}{came_of_it(twins)}."
    furthest = listed([exact(rate * one.trial.factor) for one in twins])
    return f"{verb} the learning rate from {exact(rate)}{several}, further than to {furthest}, which did not help yet."


def _rates(setting: Setting) -> int:
    return len({group.learning_rate for group in setting.optimisers})


def warm_up(_finding: Finding, setting: Setting) -> str:
    rate = max((group.learning_rate for group in setting.optimisers), default=math.nan)
    full = f" to {exact(rate)}" if rate > 0.0 else ""
    return f"Warm up: let the learning rate rise from 0{full} over the first few hundred steps."


def clip_gradients(finding: Finding, _setting: Setting) -> str:
    start = finding.evidence.get("gradient_at_start")
    usual = isinstance(start, int | float) and math.isfinite(start) and start > 0
    norm = number(_CLIP_ABOVE * float(start)) if usual else "1.0"  # type: ignore[arg-type]
    said = f"Clip the gradient before every step: torch.nn.utils.clip_grad_norm_(model.parameters(), {norm})"
    return f"{said}, three times the norm it began with." if usual else f"{said}."


def raise_clip_norm(finding: Finding, _setting: Setting) -> str:
    left = finding.evidence.get("median_share_left")
    if not isinstance(left, int | float) or not 0 < left < 1:
        return "Raise the norm that gradients are clipped to."
    return (
        f"Raise the norm that gradients are clipped to by {number(_CLIP_ABOVE / left)} times: a usual gradient is "
        f"{number(1 / left)} times as long as what clipping leaves of it."
    )


def change_optimiser(_finding: Finding, setting: Setting) -> str:
    given = listed(sorted({group.type for group in setting.optimisers}))
    instead = f" in place of {given}" if given else ""
    if "Adam" in given:
        return "Take an optimiser with a rate of its own for each layer, such as LAMB, or a group of parameters each."
    return f"Take Adam{instead}: it divides by the gradient's size, so that weak gradients move weights, too."


def zero_gradients(_finding: Finding, _setting: Setting) -> str:
    return "Call optimizer.zero_grad() once for each step, before loss.backward()."


LINES = {
    "zero_gradients": zero_gradients,
    "lower_learning_rate": lower_learning_rate,
    "raise_learning_rate": raise_learning_rate,
    "warm_up": warm_up,
    "clip_gradients": clip_gradients,
    "raise_clip_norm": raise_clip_norm,
    "change_optimiser": change_optimiser,
}
"""Sentences by the names of the remedies."""
