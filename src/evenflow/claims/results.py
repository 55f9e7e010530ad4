"""Results of claims in one small JSON file, written anew after each of them, so that stopping loses nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.figure import Figure, Figures
from evenflow.compare.intervals import Interval
from evenflow.errors import StoreError


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A figure as it stands in the file; null is a number that does not exist, "inf" and "-inf" are infinite."""

    text: str
    mean: float | str | None
    low: float | str | None
    high: float | str | None
    deviation: float | str | None
    count: int
    missing: int = 0
    unit: str = ""


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the experiment of a claim gave.

    Args:
        claim: its name.
        hash: of the claim as it was when it was tried.
        full, seed: the settings.
        date: day and time, UTC.
        seconds: processor time.
        machine: what it ran on.
        versions: of Python and the packages.
        readings: the figures.
    """

    claim: str
    hash: str
    full: bool
    seed: int
    date: str
    seconds: float
    machine: dict[str, object]
    versions: dict[str, str]
    readings: dict[str, Reading]

    @property
    def figures(self) -> Figures:
        """The figures as a judge takes them."""
        return {key: _figure(reading) for key, reading in self.readings.items()}

    def answers(self, claim: Claim, settings: Settings) -> bool:
        """Whether it is a result of this claim, as it now is, under these settings."""
        asked = (claim.name, claim.hash, settings.full, settings.seed)
        return (self.claim, self.hash, self.full, self.seed) == asked


def readings(figures: Figures) -> dict[str, Reading]:
    """Figures as they are written."""
    return {key: _reading(figure) for key, figure in figures.items()}


def read(path: Path) -> tuple[Result, ...]:
    """The results in a file; none where there is no file.

    Raises:
        StoreError: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(
            f"results {path} cannot be read ({error.strerror}); choose another --store"
        ) from error
    try:
        return msgspec.json.decode(text, type=tuple[Result, ...])
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} holds no results of claims ({error}); choose another --store") from None


def write(path: Path, results: Sequence[Result]) -> None:
    """Replace the file at once, so that whoever reads it, or ends this process, finds the old or the new one.

    Raises:
        StoreError: it cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(list(results)), indent=1) + b"\n")
        os.replace(fresh, path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise StoreError(
            f"results {path} cannot be written ({error.strerror}); choose another --store"
        ) from error


def latest(results: Sequence[Result], claims: Mapping[str, Claim]) -> dict[str, Result]:
    """The newest result of every claim, of those that belong to the claim as it now is."""
    valid = [one for one in results if one.claim in claims and one.hash == claims[one.claim].hash]
    return {one.claim: one for one in sorted(valid, key=lambda one: one.date)}


def _reading(figure: Figure) -> Reading:
    interval = figure.interval
    numbers = (interval.mean, interval.low, interval.high, interval.deviation)
    mean, low, high, deviation = map(written, numbers)
    return Reading(figure.text, mean, low, high, deviation, interval.count, interval.missing, figure.unit)


def written(value: float) -> float | str | None:
    """A number as JSON takes it, which knows neither NaN nor infinity."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _figure(reading: Reading) -> Figure:
    numbers = (reading.mean, reading.low, reading.high, reading.deviation)
    mean, low, high, deviation = (math.nan if value is None else float(value) for value in numbers)
    return Figure(
        reading.text, Interval(mean, low, high, deviation, reading.count, reading.missing), reading.unit
    )
