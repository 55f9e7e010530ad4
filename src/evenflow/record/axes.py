"""The axes of the table: where a figure was read, in which phase, from which source, of which run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evenflow.errors import SpecError, suggest

KINDS = (
    "weight",
    "bias",
    "slope",  # learned slope of PReLU
    "scale",  # learned factor of a normalisation
    "shift",  # learned summand of a normalisation
    "activation",
    "pre-activation",
    "output",  # of a module that is no activation function
    "attention",  # logits and weights of an attention
    "input",  # what the model is called with
    "loss",
    "class",
)
"""What can be read at a site."""

PHASES = ("", "micro", "accumulated", "unscaled", "clipped")
"""When a gradient was read: of one micro-batch, summed over all of them, after the loss scale was divided
out, after clipping; "" where a figure is no gradient."""

SOURCES = ("predicted", "measured", "simulated")
"""Where a figure comes from: theory, a training that ran, random networks that were only drawn."""

STATUSES = ("pending", "running", "finished", "diverged", "failed")
"""How far a run is; a diverged run is a result like any other."""


@dataclass(frozen=True, order=True)
class Site:
    """A place where a signal can be read.

    Args:
        name: dotted path of a module or parameter, or the name of a part of the data.
        kind: one of `KINDS`.
        depth: order of execution in the forward pass, from 1; 0 for what belongs to no layer.
        units: units of the layer, or samples for a loss or a class.

    Raises:
        SpecError: the kind is not known.
    """

    name: str
    kind: str
    depth: int
    units: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError(
                f'kind "{self.kind}" of site "{self.name}" is not known{suggest(self.kind, KINDS)}; '
                f"known: {', '.join(KINDS)}"
            )


@dataclass(frozen=True, repr=False)
class Run:
    """One network in training, or one prediction.

    Args:
        key: names the run, the same in every store: usually a content hash.
        seed: of the initial draws and of the data order.
        fields: what distinguishes it from other runs, flat, of values that JSON can hold.
        status: one of `STATUSES`.
        steps_done: the last recorded step.
        facts: what came out beside the figures (seconds, operations, joules, a message); not part of equality
            of two tables, since no two runs take equally long.
        source: one of `SOURCES`; only a measured run is a training, and counts as one.
    """

    key: str
    seed: int = 0
    fields: Mapping[str, object] = field(default_factory=dict)
    status: str = "pending"
    steps_done: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)
    source: str = "measured"

    def __repr__(self) -> str:
        """Facts, which can be long, by their names alone.

        >>> Run("train", status="finished", steps_done=199, facts={"setting": {"layers": [1, 2, 3]}})
        Run('train', seed=0, fields={}, status='finished', steps_done=199, facts=(setting), source='measured')
        """
        return (
            f"Run({self.key!r}, seed={self.seed}, fields={dict(self.fields)!r}, status={self.status!r}, "
            f"steps_done={self.steps_done}, facts=({', '.join(self.facts)}), source={self.source!r})"
        )


SITE_COLUMNS = ("name", "kind", "depth", "units")
ROW_KEYS = ("run", "step", *SITE_COLUMNS, "phase", "source")
"""The columns that every table has beside its statistics."""
