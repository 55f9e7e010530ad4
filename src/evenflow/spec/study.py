"""What a study is: a grid over any field of network, data and training, repeated over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from evenflow.errors import SpecError, suggest
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.training import Training


def _owners() -> dict[str, tuple[str, str]]:
    """Grid key -> (part of the study, field of that part). The key `data` is the name of the data set."""
    owners = {name: ("network", name) for name in Network.__struct_fields__}
    owners |= {name: ("training", name) for name in Training.__struct_fields__}
    owners |= {name: ("data", name) for name in Data.__struct_fields__ if name != "name"}
    return owners | {"data": ("data", "name")}


GRID_KEYS = _owners()
_Part = TypeVar("_Part", bound=msgspec.Struct)
_PARTS: dict[str, type[msgspec.Struct]] = {"network": Network, "data": Data, "training": Training}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One training: a network, its data, its training and one seed.

    `digest` names the content of files on the user's disk, so that a changed file is another cell.
    """

    network: Network
    data: Data
    training: Training
    record_every: int
    seed: int
    digest: str = ""

    @property
    def fields(self) -> dict[str, object]:
        """Every field but the seed, by its grid key, as plain data."""
        parts = {part: getattr(self, part).plain for part in _PARTS}
        return {key: parts[part][field] for key, (part, field) in GRID_KEYS.items()}

    @property
    def key(self) -> str:
        """Content hash: equal for equal content, whatever study the cell stands in."""
        parts = [self.network.hash, self.data.plain, self.training.plain]
        return content_hash([*parts, self.record_every, self.seed, self.digest])


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A controlled comparison: every combination of the grid's values, each with every seed.

    Args:
        name: names the folder of results, `runs/NAME`.
        seeds: how many (seeds 0, 1, … n-1), or a list of seeds. Equal seeds get equal data order and, where
            shapes allow, equal initial draws, so that comparisons are paired.
        record_every: steps between two records; the first and the last state are always recorded.
        target_accuracy: test accuracy for "steps to a stated accuracy".
        modules: Python files, relative to the study's file, that register custom activations.
        network, data, training: what all cells share.
        grid: field of network, data or training -> list of values. `data` is the data set's name.

    Raises:
        SpecError: a field is out of its range, a grid key is not known, the grid is empty or repeats a value.

    >>> study = Study(grid={"activation": ("relu", "tanh"), "learning_rate": (0.01, 0.001)}, seeds=3)
    >>> len(study.cells())
    12
    """

    name: str = "study"
    seeds: int | tuple[int, ...] = 3
    record_every: int = 10
    target_accuracy: float = 0.9
    modules: tuple[str, ...] = ()
    network: Network = Network()
    data: Data = Data()
    training: Training = Training()
    grid: dict[str, tuple[Any, ...]] = {}

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
        for _ in self._combinations():
            pass

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def cells(self, digests: Mapping[Data, str] | None = None) -> tuple[Cell, ...]:
        """Every cell, seeds innermost. `digests`: content of the files that a data set reads."""
        cells = tuple(
            Cell(
                network=network,
                data=data,
                training=training,
                record_every=self.record_every,
                seed=seed,
                digest=(digests or {}).get(data, ""),
            )
            for network, data, training in self._combinations()
            for seed in self.seed_list
        )
        seen: set[str] = set()
        for cell in cells:
            if cell.key in seen:
                repeated = {key: cell.fields[key] for key in self.grid}
                raise SpecError(f"grid: the combination {repeated} stands twice; leave one out")
            seen.add(cell.key)
        return cells

    def _combinations(self) -> Iterator[tuple[Network, Data, Training]]:
        base = {part: msgspec.to_builtins(getattr(self, part)) for part in _PARTS}
        for values in itertools.product(*self.grid.values()):
            parts = {part: dict(fields) for part, fields in base.items()}
            for key, value in zip(self.grid, values, strict=True):
                part, field = GRID_KEYS[key]
                parts[part][field] = value
            named = ", ".join(f"{key} = {value}" for key, value in zip(self.grid, values, strict=True))
            place = f"grid ({named}): " if named else ""
            network = _converted(parts["network"], Network, place)
            training = _converted(parts["training"], Training, place)
            if network.normalisation == "batch" and training.batch == 1:
                raise SpecError(
                    f'{place}normalisation = "batch" needs batches of at least 2 samples, but batch = 1'
                )
            yield network, _converted(parts["data"], Data, place), training


def _converted(fields: dict[str, object], kind: type[_Part], place: str) -> _Part:
    try:
        return msgspec.convert(fields, kind)
    except (SpecError, msgspec.ValidationError) as error:
        raise SpecError(f"{place}{error}") from None
