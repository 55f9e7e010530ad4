"""Weights that never move, and why: read from what is known of each parameter and from its gradients and updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.spec.setting import Parameter, Setting

Vector = NDArray[np.float64]
Cause = Literal[
    "not registered",
    "not in the optimiser",
    "cut off",
    "only evaluated",
    "learning rate 0",
    "set back",
    "never stepped",
    "rounding",
    "frozen but in the optimiser",
    "slow group",
    "zero gradient",
    "unused",
    "frozen on purpose",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""Worst first: what can only be a slip, then what may be meant or follow from something else."""

MOSTLY = 0.9
"""Share of the steps without an update from which on a weight counts as still; a warm-up begins with a few."""
HALVES = ("bfloat16", "float16")
LOST = 0.4
"""Share of what the optimiser meant to add that has to arrive; a step below half a unit in the last place does not,
one of a few units does."""
FAR_ENOUGH = 0.05
"""Relative change that the updates would have made had they arrived; below, the learning rate is at fault."""
_FEWEST = 10  # updates from which on what is lost can be told
_NOTHING_OF_32_BITS = 2.0**-24  # relative change that a float32 does not hold
_BEYOND_32_BITS = 1e15  # a gradient whose square, which Adam keeps, is near what a float32 holds
SLOW = 0.01
"""Learning rate of a weight over that of the fastest group, up to which it is as good as none."""
_FIRST = 5  # steps in which Adam and its kin still mean about η for every entry


@dataclass(frozen=True)
class Still:
    """A weight that does not move.

    Args:
        parameter: what is known of it.
        cause: why.
    """

    parameter: Parameter
    cause: Cause


def still_weights(case: Case) -> tuple[Still, ...]:
    """The weights of a case that did not move, in the order of the model.

    Raises:
        MissingError: the parameters are not known, or updates were not recorded.
    """
    parameters = [one for one in case.setting.parameters if one.kind == "weight"]
    if not parameters:
        raise MissingError(
            "nothing is known of the parameters; record with a probe, which reads them from the model"
        )
    figures = {name: _by_name(case, name) for name in ("update_norm", "grad_norm", "weight_norm")}
    if not figures["update_norm"]:
        raise case.missing("update_norm", "give the probe the optimiser and leave statistics out")
    steps = int(case.steps[-1] - case.steps[0]) + 1
    return tuple(_found(case.setting, parameters, figures, steps))


def _found(
    setting: Setting, parameters: list[Parameter], figures: Mapping[str, Mapping[str, Vector]], steps: int
) -> Iterator[Still]:
    used = {layer.name: layer.used for layer in setting.layers}
    evaluated = {layer.name for layer in setting.layers if layer.evaluated}
    for one in parameters:
        update, gradient, size = (
            figures[name].get(one.name, _NOTHING) for name in ("update_norm", "grad_norm", "weight_norm")
        )
        if one.optimised and _is_lost(one, setting, update, gradient, size, steps):
            yield Still(one, "rounding")
        elif one.optimised and _is_set_back(one, update, size):
            yield Still(one, "set back")
        elif 0.0 < one.learning_rate <= SLOW * _rate(setting) and not is_still(gradient):
            yield Still(one, "slow group")
        elif is_still(update):
            cause = _cause(one, setting, used.get(one.layer, True), gradient, size)
            if cause == "unused" and one.layer in evaluated:
                cause = "only evaluated"
            if cause is not None:
                yield Still(one, cause)


_NOTHING: Vector = np.zeros(0)


def _by_name(case: Case, statistic: str) -> dict[str, Vector]:
    try:
        series = case.series(statistic, "weight")
    except MissingError:
        return {}
    return {
        name: column[np.isfinite(column)] for name, column in zip(series.names, series.values.T, strict=True)
    }


def is_still(update: Vector) -> bool:
    """Whether a weight has next to no updates, and none towards the end.

    >>> is_still(np.zeros(10)), is_still(np.array([0.0] * 9 + [1.0]))
    (True, False)
    """
    if not len(update):
        return True
    return not np.any(update[-max(len(update) // 4, 1) :]) and float(np.mean(update == 0.0)) >= MOSTLY


def _is_set_back(one: Parameter, update: Vector, size: Vector) -> bool:
    """Whether every step begins at the same weights, to the last bit, though the steps before had changed them."""
    if one.size < 2 or len(size) < _FEWEST or not float(np.mean(update > 0.0)) >= MOSTLY:
        return False
    return bool(np.all(size == size[0])) and float(np.median(update)) > _NOTHING_OF_32_BITS * float(size[0])


def _cause(one: Parameter, setting: Setting, used: bool, gradient: Vector, size: Vector) -> Cause | None:
    if not one.registered:
        return None if one.optimised else "not registered"
    if not one.requires_grad:
        return "frozen but in the optimiser" if one.optimised else "frozen on purpose"
    if not one.optimised:
        return "not in the optimiser"
    if not one.reached or not len(gradient):
        return "cut off" if used else "unused"
    if is_still(gradient):
        return "zero gradient"
    if any(group.learning_rate == 0.0 for group in setting.optimisers):
        return "learning rate 0"
    if one.dtype in HALVES:
        return "rounding"
    typical = float(np.median(gradient))
    if typical > _BEYOND_32_BITS * one.size**0.5:
        return None  # what made it so large is another rule's matter
    change = _meant(one, setting, typical) / max(float(np.median(size)) if len(size) else 1.0, 1e-30)
    return "zero gradient" if change < _NOTHING_OF_32_BITS else "never stepped"


def _meant(one: Parameter, setting: Setting, gradient: float) -> float:
    """The norm of the update that a gradient of this norm asks for; Adam adds 1e-8 to its root mean square."""
    if all(group.type == "SGD" for group in setting.optimisers):
        return _rate(setting) * gradient
    entry = gradient / one.size**0.5
    return _rate(setting) * one.size**0.5 * entry / (entry + 1e-8)


def _is_lost(
    one: Parameter, setting: Setting, update: Vector, gradient: Vector, size: Vector, steps: int
) -> bool:
    """Whether most of what the optimiser meant to add is lost to the rounding of 16 bits.

    Plain gradient descent means to add η ‖∂L/∂w‖ at the least; Adam and its kin about η √n in their first steps,
    later a third of it where the gradient is mostly noise.
    """
    rate = _rate(setting)
    if len(update) < _FEWEST:
        return False
    if (
        one.dtype not in HALVES
        or one.sparse
        or not rate > 0.0
        or not (len(update) and len(gradient) and len(size))
    ):
        return False
    if all(group.type == "SGD" for group in setting.optimisers):
        meant = rate * float(np.median(gradient))
        arrived, way = float(np.median(update)), steps * meant
    else:
        meant = rate * one.size**0.5
        arrived, way = float(np.median(update[:_FIRST])), steps * meant / 3.0
    return arrived < LOST * meant and way > FAR_ENOUGH * float(np.median(size))


def _rate(setting: Setting) -> float:
    return max((group.learning_rate for group in setting.optimisers), default=0.0)
