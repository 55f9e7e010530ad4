"""One run as the rules see it: arrays by step and layer, cut from the table once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evenflow.diagnose.finding import MissingError, NotApplicableError
from evenflow.record.axes import PHASES, Run, Site
from evenflow.record.table import Table
from evenflow.spec.setting import Setting


@dataclass(frozen=True)
class Series:
    """Figures of one statistic by step and site.

    Args:
        steps: vector of (steps,).
        sites: in the order of depth.
        values: matrix of (steps, sites), NaN where nothing was measured.
    """

    steps: NDArray[np.int64]
    sites: tuple[Site, ...]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sites."""
        return tuple(site.name for site in self.sites)


class Case:
    """One run of a table.

    Args:
        table: rows of this run alone.
        run: the run.
    """

    def __init__(self, table: Table, run: Run) -> None:
        self.table = table
        self.run = run

    @cached_property
    def setting(self) -> Setting:
        """What is known of the training besides its figures."""
        return Setting.from_facts(dict(self.run.facts))

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """The recorded steps."""
        return np.unique(self.table.index["step"])

    def series(self, statistic: str, *kinds: str, phase: str | None = None) -> Series:
        """A statistic by step and site, the sites of these kinds in the order of depth.

        Args:
            statistic: of the table.
            kinds: of sites; all when left out.
            phase: of gradients. When it is left out: unscaled where there is one, otherwise accumulated (or "" for
                what is no gradient).

        Raises:
            MissingError: the table has no such figures.
        """
        table = self.table
        if kinds and not any(site.kind in kinds for site in table.sites) and self._is_whole:
            raise NotApplicableError(f"this network has no {' nor '.join(kinds)}")
        if statistic not in table.figures:
            raise self.missing(statistic)
        values = table.figures[statistic]
        chosen = ~np.isnan(values)
        if kinds:
            of_kind = np.array([site.kind in kinds for site in table.sites], dtype=bool)
            chosen &= of_kind[table.index["site"]]
        wanted = ("unscaled", "accumulated", "") if phase is None else (phase,)
        phases = [PHASES.index(word) for word in wanted]
        rank = np.full(len(PHASES), len(PHASES))
        rank[phases] = np.arange(len(phases))
        rows = np.flatnonzero(chosen & (rank[table.index["phase"]] < len(PHASES)))
        if not len(rows):
            raise self.missing(f"{statistic} of {' and '.join(kinds) or 'any site'}")
        rows = rows[
            np.argsort(-rank[table.index["phase"][rows]], kind="stable")
        ]  # the best phase is written last
        places = np.unique(table.index["site"][rows])
        order = sorted(places, key=lambda place: (table.sites[place].depth, place))
        column = np.zeros(len(table.sites), dtype=np.int64)
        column[order] = np.arange(len(order))
        steps, line = np.unique(table.index["step"][rows], return_inverse=True)
        matrix = np.full((len(steps), len(order)), np.nan)
        matrix[line, column[table.index["site"][rows]]] = values[rows]
        return Series(steps, tuple(table.sites[place] for place in order), matrix)

    def missing(self, what: str, way_out: str = "") -> MissingError:
        """That something was not recorded, or was not finite wherever it was; the doctor needs no way out."""
        if self._broken:
            return MissingError(f"no {what} was finite")
        return MissingError(
            f"{what} was not recorded" + (f"; {way_out}" if way_out and not self.examined else "")
        )

    @property
    def examined(self) -> bool:
        """Whether the doctor has made the table, which has looked at all there is to see."""
        return "trial" in self.run.facts

    @property
    def _is_whole(self) -> bool:
        """Whether all sites of the network are on record: what is not there is not in it."""
        return self.examined and len(self.table) > 0

    @cached_property
    def _broken(self) -> bool:
        """Whether the first recorded step had values that were not finite already."""
        counts = self.table.figures.get("nonfinite_count")
        if counts is None or not len(counts):
            return False
        index = self.table.index["step"]
        return bool(np.any(counts[index == index.min()] > 0))

    @cached_property
    def loss(self) -> Series:
        """The loss by step, of shape (steps, 1).

        Raises:
            MissingError: no loss was recorded.
        """
        try:
            return self.series("loss", "loss")
        except MissingError:
            raise MissingError(
                "the loss was not recorded; hand it to the probe with probe.loss(loss)"
            ) from None
