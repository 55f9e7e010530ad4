"""EF202: weights whose scale is far from what theory asks of this activation at this depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import hidden_activations, linear_map, matrices, two_sided
from evenflow.diagnose.outcome import POOR, Outcome, outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import beginning, decades, outer
from evenflow.spec.setting import Layer
from evenflow.wording import number

_LAYER = math.log10(3.0)
"""Decades of half of the layers: three times off per layer is no matter of which theory one follows."""
_ONE = 1.0
"""Decades of a single layer."""
_PRODUCT = 2.0
"""Decades of the product over the depth, which is what the signal feels."""
_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_MOST_TIMES = 20
"""Time steps beyond which a recurrent product is far off anyhow."""
_ONE_SIGN, _MANY = 0.5, 8
"""|mean| over standard deviation of weights that add up: |normal| has 1.3, uniform above 0 has 1.7."""
_ABSURD = 3.0
"""Loss at the start in units of chance; drawn by theory, logits are of order 1, and this is 1 to 1.5."""
_FLAT = 0.3
_LOST = -1.5
"""Decades of the loss that the first layers' matrices move, see `vanishing_gradient`."""
_TROUBLE, _TROUBLE_ABSURD = 0.6, 0.85
"""What may be learned in spite of it, before it is a fault no more; more where the loss began ten times that of a guess
and is not below it yet."""


@dataclass(frozen=True)
class Scale:
    """A layer and how many decades its weights are above (below, negative) what they should be.

    Args:
        layer: with weights.
        off: decades.
        times: how often the signal goes through it.
        one_sign: whether most of its weights have the same sign.
    """

    layer: Layer
    off: float
    times: int = 1
    one_sign: bool = False

    @property
    def total(self) -> float:
        """In the product over the depth, in which a recurrent layer stands once for each time step."""
        return self.off * self.times


def judge(case: Case) -> Verdict | None:
    """Each layer's spread against theory and habit, its product over depth, what the signals say at the start."""
    scales = _scales(case.setting.layers, _time_steps(case))
    if not scales:
        raise MissingError(
            "the spread of the weights at the start is not known; the doctor and `evenflow watch` put it on record"
        )
    large = [scale for scale in scales if scale.off > 0 or scale.one_sign]
    small = [scale for scale in scales if scale.off < 0 and not scale.layer.residual]
    sides = [side for side in (large, small) if _far(side, len(scales))]
    if not sides:
        return None
    side = max(sides, key=lambda one: abs(sum(scale.total for scale in one)))
    result = outcome(case)
    shows = _shows_large(case, side, result) if side is large else _shows_small(case)
    absurd = result.absurd_start > 10.0 and result.end > result.chance
    limit = POOR if side is small else _TROUBLE_ABSURD if absurd else _TROUBLE
    if not shows or not (result.diverged or result.learned < limit):
        return None
    return _verdict(case, side, shows, result)


def _time_steps(case: Case) -> int:
    """Of a recurrent network's input (samples × steps × features, or steps first), as far as it matters."""
    shapes = [one.shape for one in case.setting.inputs if len(one.shape) == (2 if one.integer else 3)]
    lengths = [length for shape in shapes for length in shape[:2] if length != case.setting.batch]
    return min(max(lengths, default=1), _MOST_TIMES)


def _scales(layers: Sequence[Layer], time_steps: int) -> list[Scale]:
    """Layers whose scale matters: none in front of a normalisation, none at 0, and of the last only a large one.

    What is between PyTorch's default, √(1 / 3n), and He's √(2 / n) is a choice, not a mistake: at a depth where it is
    one, the gradient tells.
    """
    found = []
    for place, layer in enumerate(layers):
        known = linear_map(layer) and layer.expected_std > 0 and layer.weight_std > 0 and layer.fan_in > 0
        if not known or layer.normalisation:
            continue
        default, he = 1.0 / math.sqrt(3.0 * layer.fan_in), math.sqrt(2.0 / layer.fan_in)
        recurrent = layer.type in _RECURRENT
        above = math.log10(layer.weight_std / max(layer.expected_std, 0.0 if recurrent else he))
        below = math.log10(layer.weight_std / min(layer.expected_std, default))
        off = above if above > 0 else min(below, 0.0)
        last = place == len(layers) - 1
        found.append(
            Scale(
                layer,
                max(off, 0.0) if last else off,
                times=time_steps if recurrent and off > 0 else 1,
                one_sign=not last
                and layer.fan_in >= _MANY
                and abs(layer.weight_mean) > _ONE_SIGN * layer.weight_std,
            )
        )
    return found


def _far(side: Sequence[Scale], count: int) -> bool:
    """Whether layers that are off to one side are far enough off: half of all, one by much, or their product."""
    off = sorted((abs(scale.off) for scale in side), reverse=True)
    if not off:
        return False
    if 2 * sum(scale.one_sign for scale in side) >= count - 1:
        return True
    half = off[(count - 1) // 2] if len(off) > (count - 1) // 2 else 0.0
    return half >= _LAYER or off[0] >= _ONE or abs(sum(scale.total for scale in side)) >= _PRODUCT


def _shows_large(case: Case, side: Sequence[Scale], result: Outcome) -> str:
    """What at the start comes of weights too large, in words; "" if nothing does."""
    if result.absurd_start >= _ABSURD:
        return f"the loss begins at {number(result.start, 3)}, {number(result.absurd_start)} times that of a guess"
    try:
        flat = hidden_activations(case, "saturated_fraction")
        shares = np.where(two_sided(case, flat), beginning(flat.values), np.nan)
        if np.isfinite(shares).any() and np.nanmax(shares) >= _FLAT:
            return f"{number(100 * float(np.nanmax(shares)))} % of the activations are flat from the start"
    except MissingError:
        pass
    if any(scale.layer.type in _RECURRENT and scale.total >= _PRODUCT for scale in side):
        return "the state is multiplied up at every time step"
    return ""


def _shows_small(case: Case) -> str:
    """What at the start comes of weights too small."""
    found = matrices(case)
    loss = float(case.loss.values[0, 0]) if np.isfinite(case.loss.values[0, 0]) else 1.0
    first, _ = outer(decades(found.start(found.pull(loss))))
    if first <= _LOST:
        return f"all of the first layers together move {number(10**first)} of the loss"
    return ""


def _verdict(case: Case, side: Sequence[Scale], shows: str, result: Outcome) -> Verdict:
    order = sorted(side, key=lambda scale: -abs(scale.off))
    worst = order[0]
    total = sum(scale.total for scale in side)
    signs = f" and nearly all of one sign (mean {number(worst.layer.weight_mean)})" if worst.one_sign else ""
    direction = "larger" if worst.off > 0 else "smaller"
    return Verdict(
        severity="fault",
        sites=tuple(scale.layer.name for scale in order if abs(scale.off) > 0.1 or scale.one_sign)[:8],
        message=(
            f"The weights of {worst.layer.name} are {number(10 ** abs(worst.off))} times {direction} than its "
            f"{worst.layer.activation or 'linear'} units ask for (standard deviation {number(worst.layer.weight_std)}, "
            f"not {number(worst.layer.expected_std)}){signs}, {number(10 ** abs(total))} times over the whole depth; "
            f"{shows}, and {result.words}."
        ),
        evidence={
            "weight_std": worst.layer.weight_std,
            "expected_std": worst.layer.expected_std,
            "decades_off": worst.off,
            "decades_off_over_depth": total,
            "layers_concerned": len(side),
            "loss_at_start_over_chance": result.absurd_start,
            "share_learned": result.learned,
        },
        first_step=int(case.steps[0]) if len(case.steps) else None,
        strength=min(abs(total) / 6.0 + 0.3, 1.0),
    )


RULE = Rule(
    code="EF202",
    name="poor_init",
    title="weights whose scale is far from what theory asks of this activation at this depth",
    judge=judge,
    remedies=("reinitialise", "add_normalisation"),
    confidence=0.95,
    explanation=(
        "Forward and back, a layer multiplies the signal's variance by n Var(w) times a constant of its activation. "
        "He initialisation makes that 1 for ReLU, Glorot for what is linear around 0. Weights off by a factor r give "
        "r^L after L layers: signals that explode, saturate or die away before the first step."
    ),
)
