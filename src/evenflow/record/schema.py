"""The columns of the table: what every statistic means, over what it was taken, how two partial results merge.

A row of the table is (run, step, site, phase, source); every statistic is a column. A store takes no column
that is not registered here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from evenflow.errors import SpecError, suggest
from evenflow.record.axes import KINDS, PHASES, SOURCES, STATUSES, Run, Site

__all__ = [
    "KINDS",
    "MERGES",
    "PHASES",
    "RESERVED",
    "SOURCES",
    "STATISTICS",
    "STATUSES",
    "Run",
    "Site",
    "Statistic",
    "register_statistic",
]

MERGES: Mapping[str, str] = {
    "sum": "a + b",
    "maximum": "max(a, b)",
    "mean by count": "(nₐ a + n_b b) / (nₐ + n_b)",
    "root mean square by count": "√((nₐ a² + n_b b²) / (nₐ + n_b))",
    "root of sum of squares": "√(a² + b²)",
    "deviation by count and mean": "√((nₐ (a² + (μₐ − μ)²) + n_b (b² + (μ_b − μ)²)) / (nₐ + n_b)), "
    "μ the merged mean",
    "dead in both": "share of the units that are dead in a and in b; needs the units, not the shares",
    "from merged parts": "merge numerator and denominator by their own rules, then divide",
}
"""How the figures a and b of two parts, of nₐ and n_b entries, combine into the figure of the whole."""

RESERVED = frozenset(
    (
        *("run", "site", "step", "phase", "source", "name", "kind", "depth", "units", "key", "seed"),
        *("status", "steps_done", "fields", "facts", "moment", "place"),
    )
)
"""Names that a statistic cannot have: they are columns of another sort."""

_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclass(frozen=True)
class Statistic:
    """One column of figures.

    Args:
        name: lower-case letters, digits and underscores.
        meaning: one phrase for people.
        formula: plain text mathematics.
        unit: "1" where the figure has none.
        merge: the rule, one of `MERGES`, by which two partial results combine.
        over: over what the figure was taken.

    Raises:
        SpecError: the name cannot be a column, or the merge rule is not known.
    """

    name: str
    meaning: str
    formula: str
    unit: str
    merge: str
    over: str

    def __post_init__(self) -> None:
        if not _COLUMN_NAME.fullmatch(self.name):
            raise SpecError(
                f'statistic "{self.name}" cannot name a column; use at most 60 lower-case letters, digits '
                "and underscores, a letter first"
            )
        if self.name in RESERVED:
            raise SpecError(
                f'statistic "{self.name}": the table has another column of this name; choose another'
            )
        if self.merge not in MERGES:
            raise SpecError(
                f'merge rule "{self.merge}" of statistic "{self.name}" is not known'
                f"{suggest(self.merge, MERGES)}; known: {', '.join(MERGES)}"
            )


_OUTPUTS = "all entries of the layer's output on the batch"
_SAMPLES = "all samples of the part of the data that the site names"
_DRAWS = "all random initialisations of the network; it does not underflow where grad_norm does"

STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        Statistic("mean", "mean output", "Σv / n", "1", "mean by count", _OUTPUTS),
        Statistic(
            "std",
            "standard deviation of the output",
            "√(Σ(v − mean)² / n)",
            "1",
            "deviation by count and mean",
            _OUTPUTS,
        ),
        Statistic(
            "rms", "root mean square of the output", "√(Σv² / n)", "1", "root mean square by count", _OUTPUTS
        ),
        Statistic("max_abs", "largest absolute output", "max |v|", "1", "maximum", _OUTPUTS),
        Statistic(
            "zero_fraction",
            "share of outputs that are exactly 0",
            "#{v = 0} / n",
            "share",
            "mean by count",
            _OUTPUTS,
        ),
        Statistic(
            "dead_fraction",
            "share of units that pass no gradient for any sample",
            "#{units: f'(z) = 0 for every sample} / units",
            "share",
            "dead in both",
            "the units of the layer, each over a whole window of data (in a study: the training part)",
        ),
        Statistic(
            "saturated_fraction",
            "share of entries where the activation is nearly flat",
            "#{|f'(z)| < 0.01 · max |f'|} / n",
            "share",
            "mean by count",
            "all entries of the layer's pre-activation on the batch",
        ),
        Statistic(
            "saturated_unit_fraction",
            "share of units that are nearly flat for every sample",
            "#{units: |f'(z)| < 0.01 · max |f'| for every sample} / units",
            "share",
            "dead in both",
            "the units of the layer, each over a whole window of data",
        ),
        Statistic(
            "cosine",
            "mean cosine between the activations of two samples",
            "2 Σ_{i<j} aᵢ·aⱼ / (‖aᵢ‖ ‖aⱼ‖) / (n (n − 1)), aᵢ all outputs for sample i",
            "1",
            "mean by count",
            "all pairs among the first 8 samples of the batch",
        ),
        Statistic(
            "nonfinite_count",
            "entries that are NaN or infinite",
            "#{v is NaN or ±∞}",
            "entries",
            "sum",
            "all entries of the layer's output on the batch; in a gradient's phase, of that gradient",
        ),
        Statistic(
            "grad_norm",
            "gradient norm of a parameter",
            "√Σ(∂L/∂w)²",
            "loss per unit of weight",
            "root of sum of squares",
            "all entries of the parameter, of the batch's mean loss, in float64",
        ),
        Statistic(
            "grad_norm_log10",
            "mean order of magnitude of a parameter's gradient norm",
            "Σ log₁₀ grad_norm / n, over n random initialisations",
            "1",
            "mean by count",
            _DRAWS,
        ),
        Statistic(
            "grad_norm_log10_sd",
            "how far that order of magnitude varies between initialisations",
            "√(Σ(log₁₀ grad_norm − grad_norm_log10)² / n), over n random initialisations",
            "1",
            "deviation by count and mean",
            _DRAWS,
        ),
        Statistic(
            "grad_rms",
            "root mean square gradient of a parameter",
            "√(Σ(∂L/∂w)² / n)",
            "loss per unit of weight",
            "root mean square by count",
            "all entries of the parameter, of the batch's mean loss, in float64",
        ),
        Statistic(
            "signal_rms",
            "root mean square of the signal that flows back",
            "√(Σ(∂L/∂z)² / n)",
            "loss per unit of pre-activation",
            "root mean square by count",
            "all entries of the layer's pre-activation z on the batch, of the batch's mean loss, in float64",
        ),
        Statistic(
            "clip_ratio",
            "what clipping left of a gradient",
            "grad_norm after clipping / grad_norm before",
            "1",
            "from merged parts",
            "all entries of the parameter; not measured where the gradient is all 0",
        ),
        Statistic(
            "entropy",
            "mean entropy of the attention weights of a query",
            "−Σ p ln p, averaged over queries, heads and samples",
            "nat",
            "mean by count",
            "all queries of the batch",
        ),
        Statistic(
            "logit_max",
            "largest attention logit",
            "max q·k / √d",
            "1",
            "maximum",
            "all pairs of query and key of the batch that the mask allows",
        ),
        Statistic(
            "weight_norm",
            "norm of a parameter",
            "√Σw²",
            "1",
            "root of sum of squares",
            "all entries of the parameter before the update, in float64",
        ),
        Statistic(
            "update_norm",
            "norm of what the optimiser adds to a parameter",
            "√Σ(w_after − w_before)²",
            "1",
            "root of sum of squares",
            "all entries of the parameter, in float64",
        ),
        Statistic(
            "update_to_weight",
            "size of the update relative to the parameter",
            "update_norm / weight_norm",
            "1",
            "from merged parts",
            "all entries of the parameter; not measured where the parameter is all 0",
        ),
        *(
            Statistic(
                f"{name}_se",
                f"standard error of {name}, where only some rows were read",
                "√((1 − r/n) Σ(u − ū)² / (r (r − 1))), u a row's part in the figure (delta method), r of n rows read",
                unit,
                "from merged parts",
                "the rows of the batch that were read",
            )
            for name, unit in (
                ("mean", "1"),
                ("rms", "1"),
                ("zero_fraction", "share"),
                ("saturated_fraction", "share"),
                ("signal_rms", "loss per unit of pre-activation"),
            )
        ),
        Statistic("loss", "mean loss", "Σ loss / n", "nat", "mean by count", _SAMPLES),
        Statistic("accuracy", "share of right answers", "#{right} / n", "share", "mean by count", _SAMPLES),
        Statistic(
            "recall",
            "share of a class's samples that are recognised",
            "#{of the class and right} / #{of the class}",
            "share",
            "mean by count",
            "the samples of one class of the test part",
        ),
    )
}
"""Every statistic that a store takes; `register_statistic` adds to it."""


def register_statistic(statistic: Statistic, *, replace: bool = False) -> Statistic:
    """Make `statistic` a column that stores take; the same once more changes nothing.

    Raises:
        SpecError: another statistic has this name (and `replace` is not set).

    >>> register_statistic(STATISTICS["rms"]).unit
    '1'
    """
    known = STATISTICS.get(statistic.name)
    if known not in (None, statistic) and not replace:
        raise SpecError(
            f'statistic "{statistic.name}" is registered with another meaning; choose another name or say replace=True'
        )
    STATISTICS[statistic.name] = statistic
    return statistic
