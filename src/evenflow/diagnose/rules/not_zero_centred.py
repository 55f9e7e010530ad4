"""EF107: hidden activations that are all of one sign, which makes the weights' gradients of a unit so too."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.layers import hidden_activations, two_sided
from evenflow.diagnose.outcome import outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import beginning
from evenflow.wording import decimal, named, number

_OFF_CENTRE = 0.9
"""|mean| over root mean square; rectified normal variables have 0.56, a sigmoid around 0 has 0.97."""
_CONVERGED = 0.9


def judge(case: Case) -> Verdict | None:
    """Mean over root mean square of the hidden activations that are bounded on both sides; never more than advice."""
    mean, size = hidden_activations(case, "mean"), hidden_activations(case, "rms")
    start = dict(zip(size.names, beginning(size.values), strict=True))
    centre = beginning(mean.values)
    sizes = np.array([start.get(name, np.nan) for name in mean.names])
    share = np.abs(centre) / np.where(sizes > 0, sizes, np.nan)
    off = np.flatnonzero(two_sided(case, mean) & (share >= _OFF_CENTRE))
    if not len(off) or outcome(case).learned >= _CONVERGED:
        return None
    worst = int(off[np.argmax(share[off])])
    return Verdict(
        severity="information",
        sites=tuple(mean.names[place] for place in off[:8]),
        message=(
            f"The activations of {named(mean.names[worst])} lie around {number(float(centre[worst]))}, not around 0 "
            f"({decimal(100 * float(share[worst]), 0)} % of their size is their mean): every unit behind them sees "
            "inputs of one sign, and its weights can only rise or fall together."
        ),
        evidence={
            "mean": float(centre[worst]),
            "mean_over_rms": float(share[worst]),
            "layers_concerned": len(off),
        },
        strength=0.2,
    )


RULE = Rule(
    code="EF107",
    name="not_zero_centred",
    title="hidden activations that are all of one sign",
    judge=judge,
    remedies=("change_activation", "add_normalisation"),
    explanation=(
        "The gradient of a unit's weights is its error times its inputs. Where all inputs are positive, all of these "
        "have the sign of the error, and the weights move along a zigzag. It slows learning and breaks nothing."
    ),
)
