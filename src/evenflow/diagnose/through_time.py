"""Gradients that fade on their way back through the time steps of a recurrent layer.

A state h_t = φ(W h_{t−1} + U x_t) passes the gradient back by diag(φ′) Wᵀ at every step, so that ‖∂L/∂x_t‖ falls
exponentially with the time to the end where that product shrinks (Bengio, Simard and Frasconi 1994; Pascanu, Mikolov
and Bengio 2013, equation 6). Usual layers begin with 0.2 decades a step, too, and train it away; what counts is
whether it has stayed.
"""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import matrices
from evenflow.diagnose.outcome import outcome
from evenflow.diagnose.trends import Line, decades, line
from evenflow.spec.setting import Recurrence
from evenflow.wording import named, number

_AT_START = 8.0
"""Decades from the last time step to the first: below the rounding of single precision, 10⁻⁷, beside what the last step
gives. PyTorch's LSTM, GRU and RNN have 5 to 7 over 25 steps, which they mostly train away."""
_AT_END = 4.0
"""After the trial: a layer that begins to learn has lost all of it."""


def through_time(case: Case) -> Verdict | None:
    """The slope over time of log10 ‖∂L/∂x_t‖ in each recurrent layer before and after the trial, and the outcome.

    Only where next to nothing was learned and the loss falls no more: what is told late in a sequence needs no long
    memory, and a training that goes on may still find it.
    """
    fading = [
        (trend, one) for one in case.setting.recurrences if (trend := _fades(one)) and _trained(case, one)
    ]
    if not fading:
        return None
    result = outcome(case)
    if result.diverged or not result.stuck or result.falling or _hardly_moves(case):
        return None
    trend, worst = max(fading, key=lambda pair: pair[0].rise)
    end = _trend(worst.gradient_at_end)
    assert end is not None
    return Verdict(
        severity="fault",
        sites=tuple(one.name for _, one in sorted(fading, key=lambda pair: -pair[0].rise)),
        message=(
            f"The gradient shrinks {number(10**trend.slope)} times per time step on its way back through "
            f"{named(worst.name)}, {number(10**trend.rise)} from the last of {len(worst.gradient)} steps to the first "
            f"and still {number(10**end.rise)} at the end of the trial, and {result.words}."
        ),
        evidence={
            "time_steps": len(worst.gradient),
            "decades_per_time_step": -trend.slope,
            "decades_per_time_step_low": -trend.high,
            "decades_per_time_step_high": -trend.low,
            "last_to_first_time_step_decades": -trend.rise,
            "last_to_first_time_step_decades_at_end": -end.rise,
            "share_learned": result.learned,
        },
        first_step=int(case.steps[0]),
        strength=min(0.2 + end.rise / 10.0, 1.0),
        remedies=("reinitialise", "add_skip_connections"),
    )


def _fades(one: Recurrence) -> Line | None:
    """The trend at the start, where it falls towards the first time steps then and after the trial."""
    start, end = _trend(one.gradient), _trend(one.gradient_at_end)
    return start if _falls(start, _AT_START) and _falls(end, _AT_END) else None


def _falls(trend: Line | None, decades_in_all: float) -> bool:
    return trend is not None and trend.rises and trend.rise >= decades_in_all


def _trend(gradient: tuple[float, ...]) -> Line | None:
    values = np.array(gradient, dtype=float)
    return line(np.arange(len(values), dtype=float), decades(values))


def _trained(case: Case, one: Recurrence) -> bool:
    """Whether the layer is meant to learn; not to is another matter."""
    own = [each for each in case.setting.parameters if each.layer == one.name]
    return all(each.requires_grad and each.optimised for each in own)


def _hardly_moves(case: Case) -> bool:
    try:
        return matrices(case).hardly_move
    except MissingError:
        return False
