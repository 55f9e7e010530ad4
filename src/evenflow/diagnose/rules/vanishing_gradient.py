"""EF101: the gradient shrinks layer by layer on its way back, and the early layers do not learn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, NotApplicableError, Severity, Verdict
from evenflow.diagnose.layers import Matrices, adaptive, matrices
from evenflow.diagnose.outcome import Outcome, outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.rules.correlation_collapse import collapse
from evenflow.diagnose.through_time import through_time
from evenflow.diagnose.trends import LEAST_POINTS, Line, Vector, decades, line, outer
from evenflow.wording import named, number

_DECADES = 1.5
"""Total fall over the depth below which every deep network lies by its widths and its first batches."""
_WEAK = -1.5
"""Decades of the loss that the first layers' matrices move; where they learn it is about −0.5."""
_TINY = -4.0
"""Decades below which no layer learns in a usual training, whether others get more or not."""
_STARVED = 1e-5
"""Update relative to the weight that needs 10⁵ steps to make a weight anew."""
_MILD = 0.4
"""Decades per layer below which an adaptive optimiser is known to cope: ReLU as torch draws it has 0.39."""
_HARMLESS_UPDATE = 1e-4
"""Update relative to the weight that makes it anew in 10⁴ steps: what an optimiser that divides by the gradient's size
gives as long as the gradient is above its ε."""


@dataclass(frozen=True)
class Flow:
    """How the pull of the matrices on the loss runs over depth, at one time, in decades."""

    line: Line | None
    first: float
    last: float
    pull: Vector

    @property
    def vanishes(self) -> bool:
        """Whether it falls towards the input, by a trend that is no accident."""
        falls = self.line is not None and self.line.rises and self.line.rise >= _DECADES
        return self.first <= _WEAK and falls and self.last - self.first >= _DECADES / 2

    @property
    def tiny(self) -> bool:
        """Whether next to nothing reaches the first layers, however much reaches the others."""
        return self.first <= _TINY


def judge(case: Case) -> Verdict | None:
    """Through time in recurrent layers; else over depth: the pull ρ of each matrix on the loss, and the outcome."""
    return through_time(case) or _over_depth(case)


def _over_depth(case: Case) -> Verdict | None:
    """The slope of the pull over depth at the start and at the end."""
    found = matrices(case)
    if len(found.sites) < LEAST_POINTS:
        raise NotApplicableError(
            f"a trend over depth needs {LEAST_POINTS} layers with weights; this network has {len(found.sites)}"
        )
    result = outcome(case)
    start = _flow(found, found.start, result.start)
    end = _flow(found, found.end, result.end if math.isfinite(result.end) else result.start)
    gone = math.isnan(end.first)  # nothing but zeros: units have died on top of it
    if not (start.vanishes or start.tiny) or not (end.vanishes or end.tiny or gone):
        return None
    if result.diverged or (not start.tiny and found.hardly_move):
        return None
    if result.poor:
        return _verdict(case, found, start, result)
    return _starved(case, found, start, result)


def _flow(found: Matrices, of: object, loss: float) -> Flow:
    pull = decades(of(found.pull(loss)))  # type: ignore[operator]
    first, last = outer(pull)
    return Flow(line(found.places, pull), first, last, pull)


def _verdict(case: Case, found: Matrices, flow: Flow, result: Outcome) -> Verdict:
    fall = flow.last - flow.first
    reached = max(fall, -flow.first - 2.0) / 10.0
    # An optimiser that divides by the gradient's size moves the first layers all the same, if only along noise.
    full_size = adaptive(case) is True and outer(found.end(found.update))[0] > _HARMLESS_UPDATE
    mild = flow.line is not None and flow.line.slope < _MILD
    if full_size and mild and result.stuck and _collapsed(case):
        return _verdict_of("risk", case, found, flow, result, 0.3)
    strength = min(reached if full_size else 0.5 + reached, 1.0)
    return _verdict_of("fault", case, found, flow, result, strength)


def _verdict_of(
    severity: Severity, case: Case, found: Matrices, flow: Flow, result: Outcome, strength: float
) -> Verdict:
    return Verdict(
        severity=severity,
        sites=_weakest(found, flow),
        message=f"{_how(found, flow)}, and {result.words}.",
        evidence=_evidence(case, found, flow, result),
        first_step=int(found.steps[0]),
        strength=strength,
    )


def _collapsed(case: Case) -> bool:
    """Whether samples become the same at depth, which stops a training whose gradients an optimiser makes up for."""
    try:
        return collapse(case) is not None
    except MissingError:
        return False


def _starved(case: Case, found: Matrices, flow: Flow, result: Outcome) -> Verdict | None:
    """Where the training learns all the same: a risk if the first layers do not take part in it."""
    update = found.end(found.update)
    first, last = outer(update)
    if adaptive(case) or not first <= _STARVED or not last >= 100 * first or result.learned > 0.9:
        return None
    return Verdict(
        severity="risk",
        sites=_weakest(found, flow),
        message=f"{_how(found, flow)}; the later layers learn, the first ones hardly move.",
        evidence=_evidence(case, found, flow, result),
        first_step=int(found.steps[0]),
        strength=0.3,
    )


def _how(found: Matrices, flow: Flow) -> str:
    weakest = _weakest(found, flow)[0]
    if flow.vanishes and flow.line is not None:
        return (
            f"The gradient shrinks {number(10**flow.line.slope)} times per layer on its way back, "
            f"to {number(10**-flow.line.rise)} of itself from end to end, with hardly anything left in {named(weakest)}"
        )
    return f"Changing all of {named(weakest)} would move the loss by {number(10**flow.first)} of itself only"


def _weakest(found: Matrices, flow: Flow) -> tuple[str, ...]:
    """The layers with the least pull first, of those a decade and more below the last ones."""
    limit = max(flow.first + 1.0, min(flow.last - 1.0, _WEAK))
    order = sorted(range(len(found.sites)), key=lambda place: (flow.pull[place], place))
    return tuple(found.names[place] for place in order if flow.pull[place] <= limit)[:8] or (found.names[0],)


def _evidence(case: Case, found: Matrices, flow: Flow, result: Outcome) -> dict[str, float | int | str]:
    evidence: dict[str, float | int | str] = {
        "layers": len(found.sites),
        "first_to_last_decades": flow.first - flow.last,
        "first_layers_pull_on_the_loss": 10**flow.first,
        "share_learned": result.learned,
    }
    if flow.line is not None:
        evidence |= {
            "decades_per_layer": -flow.line.slope,
            "decades_per_layer_low": -flow.line.high,
            "decades_per_layer_high": -flow.line.low,
        }
    first, last = outer(found.end(found.update))
    if math.isfinite(first):
        evidence |= {"first_layers_update_to_weight": first, "last_layers_update_to_weight": last}
        if adaptive(case) and first > _HARMLESS_UPDATE:
            evidence["updates"] = "full-size in spite of it: the optimiser divides by the gradient's size"
    return evidence


RULE = Rule(
    code="EF101",
    name="vanishing_gradient",
    title="the gradient shrinks on its way back, and the early layers do not learn",
    judge=judge,
    remedies=(
        "change_activation",
        "reinitialise",
        "add_normalisation",
        "add_skip_connections",
        "change_optimiser",
    ),
    follows_from=(
        "uncleared_gradient",
        "poor_init",
        "symmetric_init",
        "saturated_activations",
        "dead_units",
        "unnormalised_input",
        "bad_output_layer",
        "lr_too_high",
    ),
    confidence=0.98,
    explanation=(
        "Every layer multiplies the gradient that passes back through it by its weights and by the slope of its "
        "activation. Where that product is below 1 on average, the gradient falls exponentially with depth, and the "
        "first layers learn nothing while the last ones do what they can with the features they get. Through time a "
        "recurrent layer does the same at every step, and forgets how its sequences began. It is called a fault only "
        "where little is learned: adaptive optimisers can make up for a small gradient, and often do."
    ),
)
