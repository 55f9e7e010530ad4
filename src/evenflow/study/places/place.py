"""What a place is that trains: tasks go out, news of them comes in; and how one is named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from evenflow.errors import SpecError, suggest

_KNOWN = ("local", "ray", "slurm")
_FORMS = "local, ray, ray=HOST:PORT, slurm, slurm=FOLDER"


class Task(NamedTuple):
    """What one worker does in one go.

    Args:
        number: names it; never used twice.
        payload: what `evenflow.study.places.worker.work` takes.
        data: names of the data sets that it needs, all of them shared before.
    """

    number: int
    payload: bytes
    data: tuple[str, ...]


class News(NamedTuple):
    """What was heard of a task.

    Args:
        number: of the task.
        kind: `said`, `ended` when it was done to its end, or `lost`.
        messages: what it said, as `work` yields it.
        reason: why it was lost.
    """

    number: int
    kind: str
    messages: bytes = b""
    reason: str = ""


class Place(Protocol):
    """A cluster that is connected to."""

    @property
    def words(self) -> str:
        """For the plan, such as "Ray at 10.0.0.5:6379, 3 machines with 24 cores"."""
        ...

    @property
    def slots(self) -> int:
        """Tasks that it can be expected to do at once."""
        ...

    @property
    def most(self) -> int | None:
        """Tasks that may be handed to it at once; None for any number."""
        ...

    @property
    def bundles(self) -> int | None:
        """Tasks that the work is best divided into; None for one for every piece."""
        ...

    def share(self, name: str, content: bytes) -> None:
        """Bring a data set there, once for all tasks."""
        ...

    def hand(self, tasks: Sequence[Task]) -> None:
        """Begin tasks, now or when there is room."""
        ...

    def news(self, seconds: float) -> list[News]:
        """What has been heard, after waiting for some at most so long.

        Raises:
            EvenflowError: the place is gone.
        """
        ...

    def close(self) -> None:
        """End all tasks and let go of the place."""
        ...


class Where(NamedTuple):
    """What `--on` says.

    Args:
        kind: `local`, `ray` or `slurm`.
        detail: the address or folder, or an empty string.
    """

    kind: str
    detail: str = ""


def where(text: str) -> Where:
    """Read what `--on` was given.

    Raises:
        SpecError: there is no such place.

    >>> where("ray=10.0.0.5:6379")
    Where(kind='ray', detail='10.0.0.5:6379')
    """
    kind, equals, detail = text.partition("=")
    if kind not in _KNOWN or (equals and (kind == "local" or not detail)):
        raise SpecError(f"--on {text} is not known{suggest(kind, _KNOWN)}; known: {_FORMS}")
    if kind == "ray" and detail:
        host, colon, port = detail.rpartition(":")
        if "://" in detail or not (host and colon and port.isdecimal()):
            raise SpecError(
                f"--on {text}: a Ray cluster is named by HOST:PORT of its head, such as ray=10.0.0.5:6379; "
                "this machine has to belong to it"
            )
    return Where(kind, detail)


def connect(place: Where, store: Path, jobs: int | None) -> Place:
    """Connect to a place.

    Args:
        place: not `local`.
        store: of the study; what a place writes for itself stands beside it.
        jobs: how many tasks at once; when left out, the place decides.

    Raises:
        UnavailableError: what is needed is not installed.
        EvenflowError: the place does not answer.
    """
    if place.kind == "ray":
        from evenflow.study.places.ray import Ray

        return Ray(place.detail, store.with_name("ray.log"), jobs)
    from evenflow.study.places.slurm import Slurm

    return Slurm(Path(place.detail) if place.detail else store.with_name("slurm"), store, jobs)
