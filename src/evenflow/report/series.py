"""What a figure draws, taken out of the table: for every cell an array seeds × steps × layers, and curves of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evenflow.record.schema import PHASES, SOURCES, Site
from evenflow.record.table import Table
from evenflow.report.view import Choice

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """One statistic of one cell.

    Args:
        values: seeds × steps × layers; NaN where it was measured and not a number, or not recorded.
        recorded: of the same shape; whether there is a row.
        steps, layers: rising.
        diverged: for every seed whether its run diverged.
    """

    values: Array
    recorded: NDArray[np.bool_]
    steps: NDArray[np.int64]
    layers: NDArray[np.int64]
    diverged: NDArray[np.bool_]

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded."""
        return not self.values.size


def blocks(
    table: Table,
    choices: Sequence[Choice],
    statistic: str,
    *,
    kind: str,
    name: str | None = None,
    phase: str = "",
    place: Callable[[Site], int | None] = lambda site: site.depth,
) -> tuple[Block, ...]:
    """The measured rows of one statistic, a block a cell, at the sites of this kind (and name).

    `place` says where a site stands on the axis of layers; where it is None, the site is left out.
    """
    places = [
        place(site) if site.kind == kind and name in (None, site.name) else None for site in table.sites
    ]
    sites = np.array([one is not None for one in places], dtype=bool)
    wanted = table.index["source"] == SOURCES.index("measured")
    wanted &= table.index["phase"] == PHASES.index(phase)
    wanted &= sites[table.index["site"]] if len(sites) else False
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(table.index["run"][rows], kind="stable")]
    bounds = np.searchsorted(table.index["run"][rows], np.arange(len(table.runs) + 1))
    depths = np.array([0 if one is None else one for one in places], dtype=np.int64)
    column = table[statistic]
    return tuple(
        _block(table, [rows[bounds[run] : bounds[run + 1]] for run in choice.runs], choice, column, depths)
        for choice in choices
    )


def _block(
    table: Table,
    rows: Sequence[NDArray[np.int64]],
    choice: Choice,
    column: Array,
    depths: NDArray[np.int64],
) -> Block:
    every = np.concatenate(rows) if rows else np.array([], dtype=np.int64)
    steps = np.unique(table.index["step"][every])
    layers = np.unique(depths[table.index["site"][every]])
    values = np.full((len(rows), len(steps), len(layers)), np.nan)
    recorded = np.zeros(values.shape, dtype=bool)
    for seed, places in enumerate(rows):
        at = (
            np.full(len(places), seed),
            np.searchsorted(steps, table.index["step"][places]),
            np.searchsorted(layers, depths[table.index["site"][places]]),
        )
        values[at] = column[places]
        recorded[at] = True
    diverged = np.array([table.runs[run].status == "diverged" for run in choice.runs], dtype=bool)
    return Block(values, recorded, steps, layers, diverged)


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean and 95 % interval over seeds along an axis, of the values or of their log10.

    Args:
        x: steps or layers.
        mean, low, high: NaN where there is none; `low` and `high` are NaN for a single seed.
        rest_x, rest: after a seed diverged, the mean of the others.
        ends: (x, value) of the last sound record of every diverged seed.
    """

    x: NDArray[np.int64]
    mean: Array
    low: Array
    high: Array
    rest_x: NDArray[np.int64]
    rest: Array
    ends: tuple[tuple[int, float], ...]


def over_steps(block: Block, *, log: bool, most: int = 160) -> Curve:
    """The curve over steps of a block with one layer.

    The mean covers the steps at which every seed has a sound value. Where a seed has diverged the mean of the
    others goes on as `rest`: it leaves out the worst, and must not look like the mean of all.
    """
    if block.empty:
        return _nothing()
    values = logged(block.values[:, :, 0]) if log else block.values[:, :, 0]
    sound = np.isfinite(values) | (values == -np.inf)
    common = np.flatnonzero(sound.all(axis=0))
    ends = []
    for seed in np.flatnonzero(block.diverged):
        last = np.flatnonzero(sound[seed])
        if len(last):
            ends.append((int(block.steps[last[-1]]), float(values[seed, last[-1]])))
    survivors = ~block.diverged
    after = np.array([], dtype=np.int64)
    if block.diverged.any() and survivors.any():
        start = common[-1] if len(common) else 0
        after = np.flatnonzero(sound[survivors].all(axis=0) & (np.arange(len(block.steps)) >= start))
    common, after = thinned(common, most), thinned(after, most)
    mean, low, high = intervals(values[:, common])
    rest = values[survivors][:, after].mean(axis=0) if len(after) else np.array([])
    return Curve(block.steps[common], mean, low, high, block.steps[after], rest, tuple(ends))


def over_layers(block: Block, place: int) -> Curve:
    """The curve over layers of log10 at one step (place in `block.steps`)."""
    if block.empty:
        return _nothing()
    mean, low, high = intervals(logged(block.values[:, place, :]))
    nothing = np.array([])
    return Curve(block.layers, mean, low, high, nothing.astype(np.int64), nothing, ())


def intervals(values: Array) -> tuple[Array, Array, Array]:
    """Mean, low and high over the first axis: `compare.mean_interval` of every column, at the speed of arrays.

    >>> mean, low, high = intervals(np.array([[1.0, 2.0], [3.0, np.nan]]))
    >>> mean.tolist(), np.round(low, 2).tolist()
    ([2.0, 2.0], [-10.71, nan])
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
        reach = stdtrit(np.maximum(count - 1, 1), 0.975) * np.sqrt(squares / (count - 1) / count)
    bounded = (count > 1) & np.isfinite(reach)
    return mean, np.where(bounded, mean - reach, np.nan), np.where(bounded, mean + reach, np.nan)


def logged(values: Array) -> Array:
    """log10, minus infinity for exactly 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def thinned(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the places, evenly, the first and the last among them.

    >>> thinned(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    if len(places) <= most:
        return places
    return places[np.unique(np.round(np.linspace(0, len(places) - 1, most)).astype(np.int64))]


def _nothing() -> Curve:
    whole, empty = np.array([], dtype=np.int64), np.array([])
    return Curve(whole, empty, empty, empty, whole, empty, ())
