"""What a probe has recorded, kept as arrays, and the table made of them when it is asked for.

One recorded step is one vector of numbers, laid out by the sites that were known at the time; roots, ratios and rows
are worked out for all steps of one layout at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from evenflow.measure.bank import SUMS, Slot
from evenflow.measure.parameters import COLUMNS, Entry
from evenflow.measure.sample import standard_errors
from evenflow.record.axes import PHASES, SOURCES, Run, Site
from evenflow.record.table import Table

Figures = dict[str, NDArray[np.float64]]
Block = tuple[list[Site], str, Figures]
"""Sites, a phase, and for each statistic a matrix of (steps, sites)."""

_REST = 3  # numbers of a step that belong to no site
_BLOCK = 64  # steps that room is made for at once
_LIMIT = 2**28  # bytes of figures that are kept in memory
_COLUMN = {name: place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True, eq=False)
class Layout:
    """What the numbers of a recorded step stand for: the slots' sums, the parameters, the rest."""

    slots: tuple[Slot, ...]
    entries: tuple[Entry, ...]
    flat_known: tuple[bool, ...]
    sampled: bool = False
    """Whether only some rows were read, and the standard errors are known."""

    @cached_property
    def size(self) -> int:
        """Numbers of the slots' sums and of the parameters."""
        return len(self.slots) * SUMS + len(self.entries) * len(COLUMNS)

    @cached_property
    def merges(self) -> bool:
        """Whether some slots are a part of others."""
        return any(slot.merged_into is not None for slot in self.slots)

    def blocks(self, numbers: NDArray[np.float64]) -> Iterator[Block]:
        """The figures of (steps, numbers) recorded vectors."""
        steps, slots, entries = len(numbers), len(self.slots), len(self.entries)
        ends = np.cumsum([_REST, slots * SUMS, entries * len(COLUMNS)])
        rest, sums, parameters, spread = np.split(numbers, ends, axis=1)
        loss, given, scale = rest.T
        errors = standard_errors(spread.reshape(steps, slots, 2, -1)) if self.sampled and slots else {}
        yield from _signals(self, sums.reshape(steps, slots, SUMS), scale, errors)
        yield from _parameters(self.entries, parameters.reshape(steps, entries, len(COLUMNS)))
        yield (
            [Site("batch", "loss", 0, 0)],
            "",
            {
                "loss": loss[:, None],
                "nonfinite_count": np.where(given == 1, ~np.isfinite(loss), np.nan)[:, None],
            },
        )


@dataclass(slots=True, eq=False)
class _Part:
    """Steps of one layout, behind one another in one array.

    Args:
        layout: of all its steps.
        numbers: matrix of (steps, numbers), more than are taken.
        address: of the next step's numbers.
        end: where there is room no more.
    """

    layout: Layout
    numbers: NDArray[np.float64]
    address: int
    end: int

    @property
    def taken(self) -> NDArray[np.float64]:
        """The numbers of the steps that are there."""
        return self.numbers[: len(self.numbers) - (self.end - self.address) // self.numbers.strides[0]]


class History:
    """The recorded steps of one run.

    Args:
        run: the run.
        statistics: the columns of the table; all when left out.

    Attributes:
        steps: their numbers.
        unwritten: the last so many have not been taken yet.
        thinned: whether memory ran out, and every second of the steps was dropped.
        aside: by step and site, figures in phase "" that are measured on a few steps only.
    """

    def __init__(self, run: Run, statistics: Collection[str] | None = None) -> None:
        self.run = run
        self.statistics = statistics
        self.steps: list[int] = []
        self.unwritten = 0
        self.thinned = False
        self.aside: dict[int, dict[Site, dict[str, float]]] = {}
        self._parts: list[_Part] = []
        self._last: _Part | None = None

    def add(
        self,
        step: int,
        layout: Layout,
        parts: Sequence[NDArray[np.float64]],
        rest: tuple[float, float, float],
    ) -> None:
        """Take in one recorded step.

        Args:
            step: its number.
            layout: what the numbers stand for.
            parts: the sums of the slots, the figures of the parameters by group, and where rows were sampled the
                sums of their spread.
            rest: the loss, 1 where it was given, and the loss scale.
        """
        self.room(step, layout, sum(part.size for part in parts))
        assert self._last is not None
        self._last.taken[-1] = np.concatenate([rest, *(part.ravel() for part in parts)])

    def room(self, step: int, layout: Layout, size: int) -> int:
        """Take in a step whose numbers, the rest and then `size` others, are put at the address that is given."""
        part = self._last
        if part is None or part.layout is not layout or part.address == part.end:
            part = self._open(layout, size + _REST)
        self.steps.append(step)
        self.unwritten += 1
        address = part.address
        part.address += part.numbers.strides[0]
        return address

    def _open(self, layout: Layout, width: int) -> _Part:
        """Room for more steps; when memory runs out every second of the steps is dropped."""
        if sum(part.taken.nbytes for part in self._parts) > _LIMIT and len(self.steps) > 2 * self.unwritten:
            self._thin()
        numbers = np.empty((_BLOCK, width))
        begin = numbers.ctypes.data
        self._last = _Part(layout, numbers, begin, begin + numbers.nbytes)
        self._parts.append(self._last)
        return self._last

    def put_aside(self, step: int, figures: dict[Site, dict[str, float]] | None) -> None:
        """Keep the few figures of a step that not every step has."""
        if figures:
            self.aside[step] = figures

    def _thin(self) -> None:
        self.thinned = True
        kept = np.ones(len(self.steps), dtype=bool)
        kept[1 : len(kept) - self.unwritten : 2] = False
        start = 0
        for place, part in enumerate(self._parts):
            numbers = part.taken
            numbers = numbers[kept[start : start + len(numbers)]]
            start += len(part.taken)
            self._parts[place] = _Part(part.layout, numbers, 0, 0)
        self.steps = [step for step, is_kept in zip(self.steps, kept, strict=True) if is_kept]

    def take(self) -> Table:
        """The rows of the steps that have not been taken yet."""
        new = self.table(len(self.steps) - self.unwritten)
        self.unwritten = 0
        return new

    def table(self, start: int = 0) -> Table:
        """All rows, or those of the recorded steps from number `start` on."""
        return self._table(np.arange(len(self.steps)) >= start)

    def excerpt(self, most: int) -> Table:
        """As `table`, of so many recorded steps at most: the first and the last of them, and some of those between.

        >>> History(Run("a")).excerpt(10)
        Table(0 rows, 1 runs, 0 sites; no statistics)
        """
        count = len(self.steps)
        if count <= most:
            return self.table()
        ends = most // 3
        wanted = np.zeros(count, dtype=bool)
        wanted[np.linspace(ends, count - ends - 1, most - 2 * ends).round().astype(int)] = True
        wanted[:ends] = wanted[count - ends :] = True
        return self._table(wanted)

    def _table(self, wanted: NDArray[np.bool_]) -> Table:
        """The rows of some recorded steps."""
        chosen: list[tuple[Layout, NDArray[np.float64]]] = []
        start = 0
        for part in self._parts:
            numbers = part.taken
            here = wanted[start : start + len(numbers)]
            start += len(numbers)
            if here.any():
                chosen.append((part.layout, numbers[here]))
        steps = np.array(self.steps, dtype=np.int64)[wanted]
        found: list[tuple[NDArray[np.int64], Block]] = []
        first = 0
        for layout, group in groupby(chosen, key=itemgetter(0)):
            numbers = np.concatenate([part for _, part in group])
            here = steps[first : first + len(numbers)]
            first += len(numbers)
            with np.errstate(all="ignore"):  # 0/0 is NaN: not measured
                found.extend(self._with_aside(here, layout.blocks(numbers)))
        if self.statistics is not None:
            found = [(steps, self._chosen(block)) for steps, block in found]
        return _table(self.run, found)

    def _with_aside(
        self, steps: NDArray[np.int64], blocks: Iterable[Block]
    ) -> Iterator[tuple[NDArray[np.int64], Block]]:
        """The blocks with what was put aside: in the rows of its sites, or in rows of its own."""
        lines = [(line, self.aside[step]) for line, step in enumerate(steps.tolist()) if step in self.aside]
        missing = {site for _, found in lines for site in found}
        for sites, phase, figures in blocks:
            if phase == "" and not missing.isdisjoint(sites):
                figures = figures | _spread(lines, sites, len(steps))
                missing.difference_update(sites)
            yield steps, (sites, phase, figures)
        if missing:
            rest = sorted(missing)
            yield steps, (rest, "", _spread(lines, rest, len(steps)))

    def _chosen(self, block: Block) -> Block:
        sites, phase, figures = block
        assert self.statistics is not None
        return sites, phase, {name: values for name, values in figures.items() if name in self.statistics}


def _spread(
    lines: Sequence[tuple[int, dict[Site, dict[str, float]]]], sites: Sequence[Site], steps: int
) -> Figures:
    """Figures of single steps and sites as matrices of (steps, sites)."""
    place = {site: column for column, site in enumerate(sites)}
    spread: Figures = {}
    for line, found in lines:
        for site, figures in found.items():
            for name, value in figures.items() if site in place else ():
                matrix = spread.setdefault(name, np.full((steps, len(sites)), np.nan))
                matrix[line, place[site]] = value
    return spread


def _signals(
    layout: Layout, sums: NDArray[np.float64], scale: NDArray[np.float64], errors: Figures
) -> Iterator[Block]:
    whole = [place for place, slot in enumerate(layout.slots) if slot.merged_into is None]
    plain = [place for place in whole if layout.slots[place].kind != "attention"]
    if plain:
        chosen = [layout.slots[place] for place in plain]
        part = sums[:, plain]
        count = np.where(part[..., 0] > 0, part[..., 0], np.nan)
        mean, square = part[..., 1] / count, part[..., 2] / count
        known = np.array([layout.flat_known[place] for place in plain])
        yield (
            [Site(slot.name, slot.kind, slot.depth, slot.units) for slot in chosen],
            "",
            {
                "mean": mean,
                "std": np.sqrt(np.maximum(square - mean**2, 0.0)),
                "rms": np.sqrt(square),
                "max_abs": np.where(count > 0, part[..., 3], np.nan),
                "zero_fraction": part[..., 4] / count,
                "nonfinite_count": np.where(count > 0, part[..., 5], np.nan),
                "saturated_fraction": np.where(known, part[..., 6] / count, np.nan),
                "dead_fraction": part[..., 10],
                "saturated_unit_fraction": part[..., 11],
                **{name: values[:, plain] for name, values in errors.items() if name != "signal_rms_se"},
            },
        )
        entries = np.where(part[..., 7] > 0, part[..., 7], np.nan)
        rms = np.sqrt(part[..., 8] / entries)
        sites = [
            Site(
                slot.name,
                "pre-activation" if slot.kind == "activation" else slot.kind,
                slot.depth,
                slot.units,
            )
            for slot in chosen
        ]
        nonfinite = np.where(entries > 0, part[..., 9], np.nan)
        signal = {"signal_rms": rms, "nonfinite_count": nonfinite}
        if errors:
            signal["signal_rms_se"] = errors["signal_rms_se"][:, plain]
        yield sites, "accumulated", signal
        yield sites, "unscaled", {"signal_rms": rms / scale[:, None]}
    attention = [place for place in whole if layout.slots[place].kind == "attention"]
    if attention:
        part = sums[:, attention]
        count = np.where(part[..., 0] > 0, part[..., 0], np.nan)
        slots = [layout.slots[place] for place in attention]
        yield (
            [Site(slot.name, slot.kind, slot.depth, slot.units) for slot in slots],
            "",
            {
                "entropy": part[..., 1] / count,
                "logit_max": np.where(part[..., 5] > 0, part[..., 3], np.nan),
            },
        )


def _parameters(entries: Sequence[Entry], figures: NDArray[np.float64]) -> Iterator[Block]:
    sites = [entry.site for entry in entries]
    size = np.array([max(entry.parameter.numel(), 1) for entry in entries])
    norms = {name: np.sqrt(figures[..., place]) for name, place in _COLUMN.items()}
    weight, update = norms["weight"], norms["update"]
    yield (
        sites,
        "accumulated",
        {
            "grad_norm": norms["accumulated"],
            "grad_rms": norms["accumulated"] / np.sqrt(size),
            "nonfinite_count": figures[..., _COLUMN["nonfinite"]],
            "weight_norm": weight,
            "update_norm": update,
            "update_to_weight": np.where(weight > 0, update / weight, np.nan),
        },
    )
    before = np.where(np.isnan(norms["unscaled"]), norms["accumulated"], norms["unscaled"])
    for phase in ("micro", "unscaled", "clipped"):
        found = {"grad_norm": norms[phase], "grad_rms": norms[phase] / np.sqrt(size)}
        if phase == "clipped":
            found["clip_ratio"] = np.where(before > 0, norms["clipped"] / before, np.nan)
        yield sites, phase, found


def _table(run: Run, parts: Sequence[tuple[NDArray[np.int64], Block]]) -> Table:
    sites: dict[Site, int] = {}
    index: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ("step", "site", "phase")}
    columns: dict[str, list[NDArray[np.float64]]] = {}
    lengths: list[int] = []
    for steps, (places, phase, figures) in parts:
        if not figures:
            continue
        there = np.any(
            [~np.isnan(values) for values in figures.values()], axis=0
        )  # rows with nothing are left out
        if not there.any():
            continue
        rows, across = np.nonzero(there)
        numbers = np.array([sites.setdefault(site, len(sites)) for site in places], dtype=np.int64)
        index["step"].append(steps[rows])
        index["site"].append(numbers[across])
        index["phase"].append(np.full(len(rows), PHASES.index(phase)))
        for name in figures.keys() - columns.keys():
            columns[name] = [np.full(length, np.nan) for length in lengths]
        lengths.append(len(rows))
        for name, collected in columns.items():
            values = figures.get(name)
            collected.append(np.full(len(rows), np.nan) if values is None else values[there])
    joined = {name: np.concatenate(found or [np.zeros(0, np.int64)]) for name, found in index.items()}
    length = sum(lengths)
    joined["run"] = np.zeros(length, dtype=np.int64)
    joined["source"] = np.full(length, SOURCES.index("measured"))
    return Table(
        (run,), tuple(sites), joined, {name: np.concatenate(found) for name, found in columns.items()}
    )
