"""Learning rates of a training: read, and multiplied, in the optimiser and in whatever schedules them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.optim import Optimizer

from evenflow.diagnose.twins import Comparison, compared
from evenflow.prescribe.literals import optimiser_edits
from evenflow.prescribe.prescription import Code, Training, View
from evenflow.prescribe.printing import source_of

DIGITS = 4  # of a rate that is written down


def multiply_rates(optimizer: Any, scheduler: Any, factor: float) -> None:
    """Multiply every learning rate, and every bound of one, that an optimiser and its scheduler hold."""
    for group in optimizer.param_groups:
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            if name in group:
                group[name] = group[name] * factor
    for one in (scheduler, *getattr(scheduler, "_schedulers", ())):
        for name in ("base_lrs", "max_lrs", "min_lrs", "_last_lr"):
            if hasattr(one, name):
                setattr(one, name, [rate * factor for rate in getattr(one, name)])
        if hasattr(one, "eta_min"):
            one.eta_min = one.eta_min * factor


def scaled(training: Training, factor: float) -> Training:
    """A training with other learning rates, in place; without a scheduler they are rounded as they are written."""
    optimizer, scheduler = training.patient.optimizer, training.patient.scheduler
    if scheduler is not None:
        multiply_rates(optimizer, scheduler, factor)
        return training
    for group in optimizer.param_groups:
        if "lr" in group:
            group["lr"] = rounded(group["lr"] * factor)
    return training


def scaled_code(training: Training, factor: float) -> Code:
    """The lines that do the same as `scaled`."""
    rates = rates_of(training.patient.optimizer)
    first = f"lr={shown(rates[0] * factor)} in place of lr={shown(rates[0])}"
    if training.patient.scheduler is not None:
        return Code(
            snippet=f"{source_of(multiply_rates)}\n\nmultiply_rates(optimizer, scheduler, {factor:g})\n",
            place=f"behind the lines that make optimizer and scheduler; or {first} where the optimizer is made",
            imports=("from typing import Any",),
        )
    new = [shown(rate * factor) for rate in rates]
    if len(set(new)) == 1:
        lines = ["for group in optimizer.param_groups:", f'    group["lr"] = {new[0]}']
    else:
        lines = [f'optimizer.param_groups[{place}]["lr"] = {rate}' for place, rate in enumerate(new)]
    return Code(
        "\n".join(lines) + "\n",
        f"behind the line that makes the optimizer; or {first} in that line",
        edits=optimiser_edits(training, "lr", rates[0], new[0]) if len(new) == 1 else (),
    )


def rates_of(optimizer: Optimizer) -> list[float]:
    """The learning rate of every group; those of groups without one are left out.

    >>> import torch
    >>> rates_of(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1))
    [0.1]
    """
    return [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]


def largest_rate(training: Training) -> float:
    """The largest learning rate of the training when it is not scheduled away: 0 where there is none."""
    groups = training.patient.optimizer.param_groups
    return max((float(group.get("initial_lr", group.get("lr", 0.0))) for group in groups), default=0.0)


def rounded(rate: Any) -> Any:
    """A rate with few digits; a tensor as it is.

    >>> rounded(0.3 * 0.1), rounded(0.1 / 3)
    (0.03, 0.03333)
    """
    return float(f"{rate:.{DIGITS}g}") if isinstance(rate, float | int) else rate


def shown(rate: float) -> str:
    """As Python reads it.

    >>> shown(0.1 * 0.1), shown(3e-6)
    ('0.01', '3e-06')
    """
    return repr(float(f"{rate:.{DIGITS}g}"))


def rate_twins(view: View) -> tuple[Comparison, ...]:
    """What the doctor's twins with other learning rates came to, the best first."""
    return tuple(sorted(compared(view.setting, "learning_rate"), key=lambda one: (-one.points, one.loss)))


def twin_of(view: View, factor: float) -> Comparison | None:
    """The twin with this factor of the learning rate, where there is one."""
    return next((one for one in rate_twins(view) if abs(one.trial.factor / factor - 1.0) < 1e-6), None)


def told(twin: Comparison | None) -> str:
    """What a twin says, as the end of a sentence."""
    if twin is None:
        return ""
    if twin.rescued and twin.points < 1.0:
        return "; with it a twin came down where the training ran away"
    return f"; with it the same training was {twin.points:.0f} points better" if twin.points >= 0.5 else ""


def distinct(factors: Sequence[float]) -> Iterator[float]:
    """The factors in their order, none twice."""
    seen: list[float] = []
    for one in factors:
        if all(abs(one / other - 1.0) > 0.05 for other in seen):
            seen.append(one)
            yield one
