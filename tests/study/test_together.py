"""Groups in the store: stopped between the records of two of its cells, and gone on with."""

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

    written = 0
    append = Store.append

    def stopping(*arguments, **options) -> None:
        nonlocal written
        written += 1
        if written == 8:  # two of three cells have recorded step 10
            raise KeyboardInterrupt
        append(*arguments, **options)

    monkeypatch.setattr(Store, "append", stopping)
    with pytest.raises(KeyboardInterrupt):
        together.train_together(cells, 4, data, tmp_path / "stopped.sqlite", 1)
    monkeypatch.setattr(Store, "append", append)
    with Store.open(tmp_path / "stopped.sqlite") as store:
        kept = [store.checkpoint(number) for number in (1, 2, 3)]
    assert [None if one is None else one[0] for one in kept] == [10, 5, 5]

    together.train_together(cells, 4, data, tmp_path / "stopped.sqlite", 1)
    with Store.open(tmp_path / "whole.sqlite") as one, Store.open(tmp_path / "stopped.sqlite") as other:
        assert other.table().equals(one.table()), other.table().difference(one.table())
        assert {run.status for run in other.runs()} == {"finished"}
        assert {run.facts["engine"] for run in other.runs()} == {"jax"}
