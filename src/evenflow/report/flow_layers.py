"""What the pictures of one run show, taken out of the table: a line a layer, and what stands behind it.

A layer is a weight. An activation, an output or an attention belongs to the last weight that is executed before
it, or with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.record.schema import PHASES, SOURCES, Site
from evenflow.record.table import Table

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PARAMETERS = ("weight", "bias", "slope", "scale", "shift")
BEFORE_CLIPPING = ("unscaled", "accumulated")
_LINES = (("weight",), PARAMETERS[1:], ("activation",), ("output", "attention"), ("pre-activation",))


@dataclass(frozen=True, eq=False)
class Readings:
    """One statistic, steps × sites.

    Args:
        steps: rising; those at which at least one of the sites has a figure or is broken.
        values: NaN where nothing was measured or the figure is not a number.
        broken: whether the figure, or what it was taken of, is NaN or infinite.
    """

    steps: NDArray[np.int64]
    values: Array
    broken: Mask

    @property
    def latest(self) -> tuple[Array, Mask]:
        """Values and breaks at the last step; NaN where there is no step at all."""
        if not len(self.steps):
            count = self.values.shape[1]
            return np.full(count, np.nan), np.zeros(count, dtype=bool)
        return self.values[-1], self.broken[-1]

    @property
    def logs(self) -> Array:
        """log10, minus infinity for exactly 0, NaN where broken."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(np.where(self.broken, np.nan, self.values))

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Readings:
        """The same of some of the sites; a place of −1 has nothing."""
        there = np.asarray(places, dtype=np.int64)
        nothing = there < 0
        values, broken = self.values[:, there], self.broken[:, there]  # −1 is filled in the next line
        return Readings(self.steps, np.where(nothing, np.nan, values), broken & ~nothing)


@dataclass(frozen=True, eq=False)
class FlowLayers:
    """The layers of one run in order of execution, and how the gradient flows through them.

    Args:
        table: the measured rows of the run.
        sites: the weights; without any, other parameters, else activations, else outputs.
        steps: every recorded step.
        gradients: norm of every site's gradient before clipping, after the loss scale was divided out.
    """

    table: Table
    sites: tuple[Site, ...]
    steps: NDArray[np.int64]
    gradients: Readings

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers; what every weight is called at its end is left out."""
        return tuple(site.name.removesuffix(".weight") or site.name for site in self.sites)

    def of(self, kind: str) -> tuple[Site, ...]:
        """The sites of a kind, in order of execution."""
        return ordered(self.table, (kind,))

    def owners(self, sites: Sequence[Site]) -> NDArray[np.int64]:
        """For every site the place of the layer it belongs to; −1 for what is executed before all layers."""
        return _owners(self.sites, sites)

    def behind(self, kind: str) -> tuple[Site | None, ...]:
        """For every layer the first site of this kind behind it."""
        sites = self.of(kind)
        first: dict[int, Site] = {}
        for site, owner in zip(sites, self.owners(sites), strict=True):
            first.setdefault(int(owner), site)
        return tuple(first.get(place) for place in range(len(self)))

    def read(self, kind: str, statistic: str) -> Readings:
        """A statistic of the first site of this kind behind every layer."""
        sites, behind = self.of(kind), self.behind(kind)
        place = {site: number for number, site in enumerate(sites)}
        found = readings(self.table, sites, statistic, ("",))
        if not sites:
            return _none(len(self))
        return found.at([-1 if site is None else place[site] for site in behind])

    def own(self, statistic: str) -> Readings:
        """A statistic of the layers themselves, beside their gradient."""
        return readings(self.table, self.sites, statistic, ("accumulated",))


def flow_layers(table: Table) -> FlowLayers:
    """The layers of the one run that a probe wrote.

    Raises:
        SpecError: the table holds rows of several runs.
    """
    measured = table.select(source=SOURCES[1:])
    runs = [table.runs[place].key for place in np.unique(measured.index["run"])]
    if len(runs) > 1:
        raise SpecError(
            f"the table holds {len(runs)} runs, and this picture shows one; "
            f'table.select(key="{runs[0]}") takes the first'
        )
    sites = next((found for kinds in _LINES if (found := ordered(measured, kinds))), ())
    return FlowLayers(measured, sites, np.unique(measured["step"]), _gradients(measured, sites))


def readings(
    table: Table, sites: Sequence[Site], statistic: str, phases: Sequence[str], suspect: Mask | None = None
) -> Readings:
    """A statistic at these sites, read in the first of the phases that the table has; breaks of all of them.

    A figure that is NaN may be missing or not a number. It is broken where entries that are not finite were
    counted beside it, or where `suspect` (every step × sites) says so.
    """
    steps = np.unique(table["step"])
    values = np.full((len(steps), len(sites)), np.nan)
    broken, recorded = np.zeros(values.shape, dtype=bool), np.zeros(values.shape, dtype=bool)
    column, counts = table[statistic], table["nonfinite_count"]
    numbers = {site: number for number, site in enumerate(sites)}
    place = np.array([numbers.get(site, -1) for site in table.sites], dtype=np.int64)
    place = place[table.index["site"]] if len(table) else place
    settled = False
    for phase in phases:
        rows = np.flatnonzero((place >= 0) & (table.index["phase"] == PHASES.index(phase)))
        cells = (np.searchsorted(steps, table.index["step"][rows]), place[rows])
        recorded[cells] = True
        broken[cells] |= np.isinf(column[rows]) | (counts[rows] > 0)
        if not settled and not np.isnan(column[rows]).all():
            values[cells] = column[rows]
            settled = True
    if suspect is not None:
        broken |= suspect & recorded & np.isnan(values)
    kept = (broken | ~np.isnan(values)).any(axis=1)
    return Readings(steps[kept], values[kept], broken[kept])


def _gradients(table: Table, sites: Sequence[Site]) -> Readings:
    """Norms before clipping; one that is no number is broken where the signal behind the layer is."""
    before = ordered(table, ("pre-activation",))
    signal = readings(table, before, "signal_rms", ("accumulated",))
    steps = np.unique(table["step"])
    suspect = np.zeros((len(steps), len(sites)), dtype=bool)
    if sites and before:
        owners = _owners(sites, before)
        rows, columns = np.nonzero(signal.broken & (owners >= 0))
        suspect[np.searchsorted(steps, signal.steps[rows]), owners[columns]] = True
    return readings(table, sites, "grad_norm", BEFORE_CLIPPING, suspect)


def _owners(layers: Sequence[Site], sites: Sequence[Site]) -> NDArray[np.int64]:
    depths = np.array([site.depth for site in layers], dtype=np.int64)
    found = np.searchsorted(depths, [site.depth for site in sites], side="right") - 1
    own = {site: place for place, site in enumerate(layers)}
    places = [own.get(site, int(place)) for site, place in zip(sites, found, strict=True)]
    return np.array(places, dtype=np.int64)


def ordered(table: Table, kinds: Sequence[str]) -> tuple[Site, ...]:
    """Sites in order of depth; those of one depth stay as they were recorded."""
    return tuple(sorted((site for site in table.sites if site.kind in kinds), key=lambda site: site.depth))


def _none(count: int) -> Readings:
    empty = np.empty((0, count))
    return Readings(np.array([], dtype=np.int64), empty, empty.astype(bool))
