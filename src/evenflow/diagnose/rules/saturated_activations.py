"""EF105: hidden activations that lie in their flat parts for most samples."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.case import Case, Series
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import cut_at_zero, hidden_activations, two_sided
from evenflow.diagnose.learning import learning
from evenflow.diagnose.outcome import POOR, Outcome, outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import beginning, middle, since
from evenflow.wording import decimal, named, number

_MOST = 0.5
"""Share of the entries of a layer that are flat; a trained tanh layer that works has a tenth."""
_RISK = 0.8
"""From here on it is worth a word even where the training learns."""
_RECURRENT = 0.95
"""Root mean square of a tanh recurrent layer's output, whose slope is below 0.1 there."""
_STOPPED = 0.8
"""With less than this learned, most of a layer flat and no way on, the last layers live on random features."""
_IDLE = 0.5
"""Share of the steps that a training may wait at what a guess costs."""
_GUESS = 0.95
"""Of what a guess costs: as good as nothing is learned there."""


def judge(case: Case) -> Verdict | None:
    """The share of flat entries of each hidden sigmoid, tanh or the like, from the start and at the end."""
    flat = _flat(case)
    if flat is None:
        return None
    result = outcome(case)
    start = beginning(flat.values)
    late = middle(flat.values[-max(len(flat) // 3, 3) :])
    # What learning itself drove into the flat parts is how such a network says that it is sure.
    share = np.where(np.isnan(late), start, late)
    worst = int(np.nanargmax(share)) if np.isfinite(share).any() else 0
    if not share[worst] >= _MOST:
        return None
    if _driven(case) and not start[worst] >= _MOST:
        return None
    limit = _STOPPED if start[worst] >= _MOST and _held_up(case, result) else POOR
    if result.diverged or result.learned < limit:
        severity = "fault"
    elif share[worst] >= _RISK and start[worst] >= _MOST and result.learned < 0.9:
        severity = "risk"
    else:
        return None
    order = [place for place in np.argsort(-share, kind="stable") if share[place] >= _MOST]
    begun = since(flat.steps, flat.values[:, worst] < _MOST)
    onset = int(flat.steps[-1]) if begun is None else begun
    born = onset == int(flat.steps[0])
    return Verdict(
        severity=severity,
        sites=tuple(flat.names[place] for place in order[:8]),
        message=(
            f"{_how(flat, worst, float(share[worst]))}, "
            f"{'from the start' if born else f'since step {onset}'}"
            + (f", and {result.words}." if severity == "fault" else "; the training learns in spite of it.")
        ),
        evidence={
            "saturated_fraction": float(share[worst]),
            "saturated_fraction_at_start": float(start[worst]),
            "layers_concerned": len(order),
            "share_learned": result.learned,
        },
        first_step=onset,
        strength=float(min((share[worst] - _MOST) / (1.0 - _MOST) * 0.8 + 0.2, 1.0)),
    )


def _driven(case: Case) -> bool:
    """Whether the loss falls below 0 without end: what it drives to grow without end has to become flat."""
    curve = learning(case)
    return curve.fell and curve.end < min(0.0, curve.start)


def _held_up(case: Case, result: Outcome) -> bool:
    """Whether the loss no longer falls, or took most of the run to begin to: slow alone is no fault of the units."""
    if not result.falling:
        return True
    curve = learning(case)
    return float(np.mean(curve.level >= _GUESS * curve.reference)) > _IDLE


def _how(flat: Series, place: int, share: float) -> str:
    name = named(flat.names[place])
    if flat.sites[place].kind == "output":
        return f"the state of {name} has a root mean square of {number(share)}, of 1 at most"
    return f"{decimal(100 * share, 0)} % of what {name} puts out lies where it is flat"


def _flat(case: Case) -> Series | None:
    """Shares of flat entries of activations that are bounded on both sides, else of tanh recurrent layers.

    Raises:
        MissingError: no activation was recorded.
    """
    parts = []
    try:
        series = hidden_activations(case, "saturated_fraction")
        chosen = np.flatnonzero(two_sided(case, series) & ~cut_at_zero(case, series))
        if len(chosen):
            parts.append(
                Series(series.steps, tuple(series.sites[place] for place in chosen), series.values[:, chosen])
            )
    except MissingError:
        if not _tanh_recurrent(case):
            raise
    recurrent = _tanh_recurrent(case)
    if recurrent:
        output = case.series("rms", "output")
        chosen = [
            place
            for place, site in enumerate(output.sites)
            if site.name.split("[")[0] in recurrent and not np.any(output.values[:, place] > 1.0)
        ]
        if chosen:
            values = np.where(output.values[:, chosen] >= _RECURRENT, output.values[:, chosen], 0.0)
            parts.append(Series(output.steps, tuple(output.sites[place] for place in chosen), values))
    return parts[0] if parts else None


def _tanh_recurrent(case: Case) -> frozenset[str]:
    """Names of plain recurrent layers, whose output is that of a tanh."""
    return frozenset(layer.name for layer in case.setting.layers if layer.type == "RNN")


RULE = Rule(
    code="EF105",
    name="saturated_activations",
    title="hidden activations that lie in their flat parts for most samples",
    judge=judge,
    remedies=(
        "reinitialise",
        "standardise_input",
        "add_normalisation",
        "change_activation",
        "lower_learning_rate",
    ),
    follows_from=(
        "uncleared_gradient",
        "unnormalised_input",
        "bad_output_layer",
        "poor_init",
        "lr_too_high",
        "exploding_activations",
    ),
    confidence=0.97,
    explanation=(
        "A sigmoid or a tanh far from 0 has a slope of nearly 0: whatever gradient arrives is multiplied by it, and "
        "the layers before get nothing. At the output such values are what a sure classifier should say; within the "
        "network, from the start, they are features drawn at random that can no longer be changed."
    ),
)
