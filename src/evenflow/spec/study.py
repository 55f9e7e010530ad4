"""What a study is: a grid over any field of network, data and training, repeated over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from evenflow.errors import SpecError, suggest
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork
from evenflow.spec.network import Network
from evenflow.spec.remedies import chosen, remedied, why_not
from evenflow.spec.specification import GRID_KEYS, Specification
from evenflow.spec.training import Training


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One training: a network, its data, its training and one seed.

    `digest` names the content of files on the user's disk, so that a changed file is another cell. `evaluate_every`
    is None where the engine chooses it.
    """

    network: AnyNetwork
    data: Data
    training: Training
    record_every: int
    seed: int
    digest: str = ""
    evaluate_every: int | None = None

    @property
    def fields(self) -> dict[str, object]:
        """Every field but the seed, by its grid key, as plain data."""
        return self.specification.fields

    @property
    def specification(self) -> Specification:
        """What it trains, on what, and how."""
        return Specification(network=self.network, data=self.data, training=self.training)

    @property
    def dense(self) -> Network:
        """The network of a cell that is known to be fully connected."""
        assert isinstance(self.network, Network), self.network
        return self.network

    @property
    def key(self) -> str:
        """Content hash: equal for equal content, whatever study the cell stands in."""
        parts = [self.network.hash, self.data.plain, self.training.plain]
        evaluated = [] if self.evaluate_every is None else [self.evaluate_every]
        return content_hash([*parts, self.record_every, self.seed, self.digest, *evaluated])


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A controlled comparison: every combination of the grid's values, each with every seed.

    Args:
        name: names the folder of results, `runs/NAME`.
        seeds: how many (seeds 0, 1, … n-1), or a list of seeds. Equal seeds get equal data order and, where
            shapes allow, equal initial draws, so that comparisons are paired.
        record_every: steps between two records; the first and the last state are always recorded.
        evaluate_every: steps between two evaluations of the whole data set, a multiple of `record_every`. When it is
            left out: every record; with more than 10,000 samples, as many records apart as it takes for evaluating to
            cost no more than training. The first and the last state are always evaluated.
        target_accuracy: test accuracy for "steps to a stated accuracy".
        modules: Python files, relative to the study's file, that register custom activations.
        network, data, training: what all cells share.
        grid: field of network, data or training -> list of values. `data` is the data set's name.
        remedies: names of remedies, such as `add_normalisation` or `change_activation:relu+he`, or `all`. Every
            network of the grid is then trained as it is and with each of them that can be carried out on it, from
            equal seeds.

    Raises:
        SpecError: a field is out of its range, a grid key or a remedy is not known, the grid is empty or repeats a
            value.

    >>> study = Study(grid={"activation": ("relu", "tanh"), "learning_rate": (0.01, 0.001)}, seeds=3)
    >>> len(study.cells())
    12
    """

    name: str = "study"
    seeds: int | tuple[int, ...] = 3
    record_every: int = 10
    evaluate_every: int | None = None
    target_accuracy: float = 0.9
    modules: tuple[str, ...] = ()
    network: AnyNetwork = Network()
    data: Data = Data()
    training: Training = Training()
    grid: dict[str, tuple[Any, ...]] = {}
    remedies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set('/\\:*?"<>|') or self.name.startswith("."):
            raise SpecError(f'name = "{self.name}": it names a folder; use letters, digits, "-" and "_"')
        if not self.seed_list:
            raise SpecError("seeds: at least 1 seed is needed")
        if min(self.seed_list) < 0:
            raise SpecError(f"seeds: {min(self.seed_list)} is negative; a seed is 0 or above")
        if len(set(self.seed_list)) < len(self.seed_list):
            raise SpecError(f"seeds = {list(self.seed_list)}: a seed stands twice")
        if self.record_every < 1:
            raise SpecError(f"record_every = {self.record_every}: at least 1 step lies between two records")
        if self.evaluate_every is not None and (
            self.evaluate_every < 1 or self.evaluate_every % self.record_every
        ):
            raise SpecError(
                f"evaluate_every = {self.evaluate_every}: it is a multiple of record_every = {self.record_every}"
            )
        if not 0 < self.target_accuracy <= 1:
            raise SpecError(f"target_accuracy = {self.target_accuracy:g}: it is a share between 0 and 1")
        for key, values in self.grid.items():
            if key not in GRID_KEYS:
                raise SpecError(
                    f'grid: "{key}" is not a field of network, data or training{suggest(key, GRID_KEYS)}; '
                    f"known: {', '.join(GRID_KEYS)}"
                )
            if not values:
                raise SpecError(
                    f"grid, {key}: the list is empty; give at least one value, or leave the key out"
                )
        chosen(self.remedies)
        for _ in self._combinations():
            pass

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def cells(self, digests: Mapping[Data, str] | None = None) -> tuple[Cell, ...]:
        """Every cell, seeds innermost. `digests`: content of the files that a data set reads."""
        cells = tuple(
            self._cell(specification, seed, digests)
            for specification in self._combinations()
            for seed in self.seed_list
        )
        seen: set[str] = set()
        for cell in cells:
            if cell.key in seen:
                repeated = {key: cell.fields[key] for key in self.grid}
                raise SpecError(f"grid: the combination {repeated} stands twice; leave one out")
            seen.add(cell.key)
        return cells

    def trials(self) -> Iterator[tuple[Specification, str, Specification | str]]:
        """Every network of the grid with every remedy: the original, the remedy, and the changed one or why not."""
        for original in self._combinations():
            for name in chosen(self.remedies):
                reason = why_not(original, name)
                yield original, name, reason or remedied(original, name)

    def remedied_cells(self, digests: Mapping[Data, str] | None = None) -> tuple[Cell, ...]:
        """What the remedies add to `cells`: each changed network once, seeds innermost.

        A changed network that stands in the grid itself, or that another remedy has made, is not trained again.
        """
        known = {cell.key for cell in self.cells(digests)}
        found: dict[str, Cell] = {}
        for _, _, changed in self.trials():
            if isinstance(changed, Specification):
                for seed in self.seed_list:
                    cell = self._cell(changed, seed, digests)
                    if cell.key not in known:
                        found[cell.key] = cell
        return tuple(found.values())

    def _cell(self, specification: Specification, seed: int, digests: Mapping[Data, str] | None) -> Cell:
        return Cell(
            network=specification.network,
            data=specification.data,
            training=specification.training,
            record_every=self.record_every,
            seed=seed,
            digest=(digests or {}).get(specification.data, ""),
            evaluate_every=self.evaluate_every,
        )

    def _combinations(self) -> Iterator[Specification]:
        base = Specification(network=self.network, data=self.data, training=self.training)
        for values in itertools.product(*self.grid.values()):
            given = dict(zip(self.grid, values, strict=True))
            named = ", ".join(f"{key} = {value}" for key, value in given.items())
            yield base.with_fields(given, f"grid ({named}): " if named else "")
