"""The driver with a place that loses workers as it is told to; what comes out has to be what processes here give."""

import pickle
import socket
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evenflow import (
    Data,
    EvenflowError,
    Network,
    SpecError,
    Store,
    Study,
    Table,
    Training,
    UnavailableError,
    register_activation,
    run_study,
)
from evenflow.spec.activation import activation
from evenflow.study import alone, run, together
from evenflow.study.engines.choice import Engine
from evenflow.study.engines.grouping import Piece
from evenflow.study.machine import versions
from evenflow.study.places import driver
from evenflow.study.places.place import News, Task
from evenflow.study.places.worker import work

STUDY = Study(
    network=Network(depth=2, width=8, dropout=0.1),
    data=Data(name="digits"),
    training=Training(steps=20, batch=64),
    record_every=5,
    seeds=2,
    grid={"activation": ("relu", "tanh")},
)


class Here:
    """A place in this very process, whose first task advances by one message at each look.

    `fate` gives for the number of a task how many messages are heard of it until it is lost; None for all.
    """

    words, slots = "a place", 2
    most: int | None = None
    bundles: int | None = None

    def __init__(self, fate: Callable[[int], int | None] = lambda _: None) -> None:
        self.fate = fate
        self.tasks: dict[int, Generator[bytes]] = {}
        self.heard: dict[int, int] = {}
        self.data: dict[str, bytes] = {}
        self.handed: list[list[int]] = []
        self.closed = False

    def share(self, name: str, content: bytes) -> None:
        assert name not in self.data
        self.data[name] = content

    def hand(self, tasks: Sequence[Task]) -> None:
        self.handed.append([task.number for task in tasks])
        for task in tasks:
            self.tasks[task.number] = work(task.payload, self.data.__getitem__, 0)
            self.heard[task.number] = 0

    def news(self, seconds: float) -> list[News]:
        del seconds
        if not self.tasks:
            return []
        number, said = next(
            iter(self.tasks.items())
        )  # one after the other: they share torch's generator here
        if self.heard[number] == self.fate(number):
            self.tasks.pop(number).close()
            return [News(number, "lost", reason="killed")]
        self.heard[number] += 1
        try:
            return [News(number, "said", next(said))]
        except StopIteration:
            del self.tasks[number]
            return [News(number, "ended")]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run the study on a place; returns what is told."""

    def run_on(
        place: object, path: Path, study: Study = STUDY, failures: bool = False, engine: Engine = "torch"
    ) -> list[str]:
        monkeypatch.setattr(run, "connect", lambda *_: place)
        told: list[str] = []
        outcome = run_study(study, path, on="ray", tell=told.append, engine=engine)
        assert bool(outcome.failed) == failures, outcome.failed
        return told

    return run_on


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """What processes of this machine give."""
    path = tmp_path_factory.mktemp("whole") / "s.sqlite"
    run_study(STUDY, path, jobs=1, engine="torch")
    return read(path)


def read(path: Path) -> Table:
    with Store.open(path) as store:
        return store.table()


def test_the_store_is_that_of_a_local_study(
    on: Callable[..., list[str]], tmp_path: Path, whole: Table
) -> None:
    place = Here()
    assert on(place, tmp_path / "s.sqlite") == ["trained on a place"]
    assert read(tmp_path / "s.sqlite").equals(whole), read(tmp_path / "s.sqlite").difference(whole)
    assert place.closed
    assert len(place.data) == 1
    with Store.open(tmp_path / "s.sqlite") as store:
        assert list(store.meta["workers"]) == [socket.gethostname()]
        assert {run.facts["host"] for run in store.runs()} == {socket.gethostname()}


@pytest.mark.parametrize("snapshots", [True, False])
def test_lost_workers_change_nothing(
    on: Callable[..., list[str]],
    tmp_path: Path,
    whole: Table,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: bool,
) -> None:
    if snapshots:
        monkeypatch.setattr(alone, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    # hello and two records, and it is gone: twice for each of the 4 networks
    place = Here(lambda number: 3 if number <= 8 else None)
    told = on(place, tmp_path / "s.sqlite")
    assert read(tmp_path / "s.sqlite").equals(whole), read(tmp_path / "s.sqlite").difference(whole)
    lost = "was lost (killed); 1 network goes on elsewhere, from the last snapshot"
    assert told.count(f"worker on {socket.gethostname()} {lost}") == 8


def test_what_always_loses_its_worker_is_given_up(on: Callable[..., list[str]], tmp_path: Path) -> None:
    place = Here(lambda _: 2)  # hello and the first record, which no snapshot follows
    told = on(place, tmp_path / "s.sqlite", failures=True)
    assert sum(len(handed) for handed in place.handed) == 4 * 3
    assert len(told) == 1 + 4 * 2
    for each in read(tmp_path / "s.sqlite").runs:
        assert each.status == "failed"
        assert each.facts["message"] == "its worker was lost 3 times at the same place: killed"


def test_what_was_given_up_is_tried_anew_by_the_next_command(
    on: Callable[..., list[str]], tmp_path: Path, whole: Table
) -> None:
    on(Here(lambda _: 2), tmp_path / "s.sqlite", failures=True)
    place = Here(lambda number: 1 if number <= 4 else None)  # lost before it has set a status
    on(place, tmp_path / "s.sqlite")
    assert read(tmp_path / "s.sqlite").equals(whole)


def test_who_gets_further_each_time_is_not_given_up(
    on: Callable[..., list[str]], tmp_path: Path, whole: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    place = Here(lambda _: 2)  # one record a life, and five to make
    on(place, tmp_path / "s.sqlite")
    assert sum(len(handed) for handed in place.handed) > 4 * 3
    assert read(tmp_path / "s.sqlite").equals(whole)


def test_where_no_worker_starts_the_study_stops(on: Callable[..., list[str]], tmp_path: Path) -> None:
    place = Here(lambda _: 0)
    with pytest.raises(EvenflowError, match="a place: no worker starts: killed"):
        on(place, tmp_path / "s.sqlite")
    assert place.closed
    assert all(run.status == "pending" for run in read(tmp_path / "s.sqlite").runs)


def test_a_place_without_room_is_told_once(
    on: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Here):
        looks = 0

        def news(self, seconds: float) -> list[News]:
            self.looks += 1
            return super().news(seconds) if self.looks > 5 else []

    monkeypatch.setattr(driver, "_SECONDS_UNTIL_WAITING_IS_TOLD", -1.0)
    told = on(Full(), tmp_path / "s.sqlite")
    assert told[1] == "a place: 4 tasks wait, and none has begun yet; is there room?"
    assert sum("4 tasks wait" in each for each in told) == 1


def test_a_place_that_dies_loses_nothing(on: Callable[..., list[str]], tmp_path: Path, whole: Table) -> None:
    class Dying(Here):
        def news(self, seconds: float) -> list[News]:
            if any(heard > 4 for heard in self.heard.values()):
                raise EvenflowError("the cluster is gone")
            return super().news(seconds)

    with pytest.raises(EvenflowError, match="gone"):
        on(Dying(), tmp_path / "s.sqlite")
    assert len(read(tmp_path / "s.sqlite")) > 0
    run_study(STUDY, tmp_path / "s.sqlite", jobs=1, engine="torch")
    assert read(tmp_path / "s.sqlite").equals(whole)


@pytest.mark.slow  # compiles in two processes
def test_groups_of_the_fast_engine_go_on_elsewhere_too(
    on: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr(together, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    study = msgspec.structs.replace(STUDY, network=Network(depth=2, width=8), grid={"activation": ("relu",)})
    run_study(study, tmp_path / "whole.sqlite", jobs=1, engine="jax")
    place = Here(lambda number: 3 if number == 1 else None)
    told = on(place, tmp_path / "s.sqlite", study, engine="jax")
    assert "2 networks go on elsewhere" in told[1]
    here, there = read(tmp_path / "whole.sqlite"), read(tmp_path / "s.sqlite")
    assert there.equals(here), there.difference(here)


def test_bundles_share_the_work_and_a_lost_one_is_divided(
    on: Callable[..., list[str]], tmp_path: Path, whole: Table
) -> None:
    place = Here(lambda number: 4 if number == 1 else None)
    place.bundles = 2
    on(place, tmp_path / "s.sqlite")
    assert place.handed == [[1, 2], [3, 4]]  # the begun network, and the one behind it
    assert read(tmp_path / "s.sqlite").equals(whole)


def test_no_more_at_once_than_asked_for(on: Callable[..., list[str]], tmp_path: Path, whole: Table) -> None:
    place = Here()
    place.most = 1
    on(place, tmp_path / "s.sqlite")
    assert place.handed == [[1], [2], [3], [4]]
    assert read(tmp_path / "s.sqlite").equals(whole)


def test_another_version_on_a_worker_is_told_once(
    on: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = versions()
    monkeypatch.setattr("evenflow.study.places.worker.versions", lambda: here | {"torch": "1.0"})
    told = on(Here(), tmp_path / "s.sqlite")
    assert told[1:] == [
        f"worker on {socket.gethostname()} has torch 1.0 (here {here['torch']}); its figures may differ"
    ]


def test_a_cell_that_fails_there_is_noted_and_the_others_go_on(
    on: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = alone.training

    def failing(cell, *arguments):
        if cell.network.activation == "tanh" and cell.seed == 1:
            raise MemoryError("no memory left")
        return original(cell, *arguments)

    monkeypatch.setattr(alone, "training", failing)
    on(Here(), tmp_path / "s.sqlite", failures=True)
    statuses = {(run.fields["activation"], run.seed): run for run in read(tmp_path / "s.sqlite").runs}
    assert statuses.pop(("tanh", 1)).facts["message"] == "MemoryError: no memory left"
    assert {run.status for run in statuses.values()} == {"finished"}


def test_a_worker_without_jax_says_so(
    on: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evenflow.study.places.worker.find_spec", lambda _: None)
    monkeypatch.setattr(run, "_pieces", lambda _, cells, __: [Piece((tuple(cells),), 4)])
    with pytest.raises(UnavailableError, match=r"worker on .*: jax is not installed there.*--engine torch"):
        on(Here(), tmp_path / "s.sqlite")


def test_an_activation_that_cannot_travel_is_named_before_anything_starts(
    on: Callable[..., list[str]], tmp_path: Path
) -> None:
    held = socket.socket()
    register_activation("held_of_driver", lambda z: np.tanh(z) + 0 * len(str(held.fileno())))
    study = Study(network=Network(depth=1, width=4, activation="held_of_driver"), seeds=1)
    place = Here()
    with pytest.raises(SpecError, match=r'"held_of_driver" cannot be sent to other machines.*--on local'):
        on(place, tmp_path / "s.sqlite", study)
    assert place.handed == []
    held.close()


def test_a_function_of_the_users_travels_by_value() -> None:
    register_activation("leaning_of_driver", lambda z: np.tanh(z) + 0.2 * z)
    driver.check_portable([activation("leaning_of_driver"), activation("relu")])
    assert b"leaning_of_driver" in pickle.dumps(activation("leaning_of_driver"))
