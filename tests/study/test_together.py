"""Groups in the store: stopped between the records of two of its cells, and gone on with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from study.jax_engine import DIGITS, cell

from evenflow import Store
from evenflow.study import together
from evenflow.study.data import load


def test_cells_that_were_stopped_at_different_steps_go_on_apart_and_are_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell({"depth": 1, "width": 6}, steps=20, seed=seed) for seed in range(3)]
    data = load(DIGITS)
    monkeypatch.setattr(together, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    together.train_together(cells, 4, data, tmp_path / "whole.sqlite", 1)

    stopped = tmp_path / "stopped.sqlite"
    for some, records in ((cells[:1], 3), (cells[1:], 2)):
        with monkeypatch.context() as patch:
            stop_after(patch, records)
            with pytest.raises(KeyboardInterrupt):
                together.train_together(some, 4, data, stopped, 1)
    with Store.open(stopped) as store:
        kept = [store.checkpoint(number) for number in (1, 2, 3)]
    assert [None if one is None else one[0] for one in kept] == [10, 5, 5]

    together.train_together(cells, 4, data, stopped, 1)
    with Store.open(tmp_path / "whole.sqlite") as one, Store.open(stopped) as other:
        assert other.table().equals(one.table()), other.table().difference(one.table())
        assert {run.status for run in other.runs()} == {"finished"}
        assert {run.facts["engine"] for run in other.runs()} == {"jax"}


def test_a_step_of_a_group_is_recorded_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell({"depth": 1, "width": 6}, steps=20, seed=seed) for seed in range(3)]
    append, written = Store.append, []

    def stopping(*arguments, **options) -> None:
        if len(written) == 4:  # one of three cells has recorded step 5
            raise KeyboardInterrupt
        written.append(append(*arguments, **options))

    monkeypatch.setattr(Store, "append", stopping)
    with pytest.raises(KeyboardInterrupt):
        together.train_together(cells, 3, load(DIGITS), tmp_path / "stopped.sqlite", 1)
    with Store.open(tmp_path / "stopped.sqlite") as store:
        assert set(store.table().index["step"].tolist()) == {0}
        assert {run.steps_done for run in store.runs()} == {0}


def stop_after(monkeypatch: pytest.MonkeyPatch, records: int) -> None:
    """Let a group write so many records, with a snapshot each, and interrupt it then."""
    whole, done = Store.at_once, []

    @contextmanager
    def stopping(store: Store) -> Iterator[None]:
        if len(done) == records:
            raise KeyboardInterrupt
        with whole(store):
            yield
        done.append(store)

    monkeypatch.setattr(together, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    monkeypatch.setattr(Store, "at_once", stopping)
