"""Which engine trains a cell, how cells are grouped, and studies of groups: killed, resumed, compared."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evenflow import (
    Data,
    Network,
    SpecError,
    Store,
    StoreError,
    Study,
    Training,
    UnavailableError,
    register_activation,
    run_study,
)
from evenflow.study.engines import choice
from evenflow.study.engines.choice import choices, in_words
from evenflow.study.engines.grouping import Alike, alike, group_size, pieces

STUDY = Study(
    network=Network(depth=2, width=8),
    data=Data(name="digits"),
    training=Training(steps=20, batch=64),
    record_every=5,
    seeds=2,
    grid={"activation": ("relu", "tanh"), "learning_rate": (0.001, 0.003)},
)
LONG = msgspec.structs.replace(STUDY, training=Training(steps=100_000))


def engines(study: Study, engine: choice.Engine = "auto") -> dict[str, int]:
    return {f"{one.engine}: {one.reason}": len(one.cells) for one in choices(study.cells(), engine)}


def test_the_fast_engine_is_chosen_where_it_pays() -> None:
    assert engines(LONG) == {"jax: ": 8}
    assert engines(STUDY) == {"torch: too few and too short to repay compiling": 8}
    assert engines(STUDY, "jax") == {"jax: ": 8}
    assert engines(LONG, "torch") == {"torch: asked for": 8}


def test_what_jax_cannot_do_goes_to_torch_with_the_reason() -> None:
    register_activation("numpy_only_of_choice", lambda z: np.tanh(z) + 0.1 * z)
    register_activation("any_of_choice", lambda z, xp: xp.tanh(z) + 0.2 * z)
    names = ("relu", "numpy_only_of_choice", "any_of_choice")
    mixed = msgspec.structs.replace(LONG, grid={"activation": names, "dropout": (0.0, 0.1)})
    assert engines(mixed) == {
        "jax: ": 4,
        "torch: dropout: its masks are torch's own random numbers": 6,
        "torch: numpy_only_of_choice: not written as function(z, xp), so it cannot run on jax": 2,
    }


def test_the_plan_in_words() -> None:
    assert in_words(choices(STUDY.cells(), "torch")) == "torch: 8 networks (asked for)"


def test_without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    assert engines(LONG) == {"torch: jax is not installed: pip install 'evenflow[fast]'": 8}
    with pytest.raises(UnavailableError, match=r"evenflow\[fast\]"):
        choices(LONG.cells(), "jax")


def test_an_engine_that_is_not_known() -> None:
    with pytest.raises(SpecError, match='did you mean "jax"'):
        choices(STUDY.cells(), "jaxx")  # pyright: ignore[reportArgumentType]


def test_groups_fit_the_cache_and_are_of_equal_size() -> None:
    kind = alike(LONG.cells()[0])
    sizes = [
        group_size(kind._replace(network=Network(width=width)), 60, 64, 10) for width in (32, 64, 128, 512)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 4
    assert sizes[-1] == 1
    assert group_size(kind, 2, 64, 10) == 2
    narrow = kind._replace(network=Network(width=32))
    assert [group_size(narrow, members, 64, 10) for members in (60, 17, 9)] == [6, 6, 5]  # few places empty


def test_work_is_divided_among_the_processes() -> None:
    cells = LONG.cells()
    kinds: dict[Alike, tuple[list, int]] = {}
    for cell in cells:
        kinds.setdefault(alike(cell), ([], 2))[0].append(cell)
    assert [len(piece.groups) for piece in pieces(kinds, 2)] == [2, 2]  # two kinds, one for each process
    shared = pieces({next(iter(kinds)): kinds[next(iter(kinds))]}, 2)
    assert [len(piece.groups) for piece in shared] == [1, 1]  # one kind, divided
    many = {kind._replace(record_every=number): (cells, 1) for number in range(5) for kind in kinds}
    shares = [len(piece.groups) for piece in pieces(many, 2)]
    assert sorted(shares) == [len(cells) // 2] * 2 + [len(cells)] * (
        len(many) - 1
    )  # many, of which the last is divided
    assert sorted(cell.key for piece in pieces(kinds, 2) for cell in piece.cells) == sorted(
        c.key for c in cells
    )


def read(path: Path):
    with Store.open(path) as store:
        return store.table()


@pytest.mark.slow
def test_both_engines_tell_the_same(tmp_path: Path) -> None:
    run_study(STUDY, tmp_path / "jax.sqlite", jobs=2, engine="jax")
    run_study(STUDY, tmp_path / "torch.sqlite", jobs=1, engine="torch")
    jax, torch = read(tmp_path / "jax.sqlite"), read(tmp_path / "torch.sqlite")
    assert len(jax) == len(torch)
    assert {run.facts["engine"] for run in jax.runs} == {"jax"}
    for step in (0, 10):
        ours, theirs = (table.select(step=step, kind="weight") for table in (jax, torch))
        both = ours.join(theirs, on=("activation", "learning_rate", "seed", "name", "phase"))
        assert len(both["name"]) == len(ours) == len(theirs)
        np.testing.assert_allclose(both["grad_norm_left"], both["grad_norm_right"], rtol=1e-4)


SPECIFICATION = """
name = "tiny"
seeds = 3
record_every = 5
[network]
depth = 3
width = 16
[data]
name = "digits"
[training]
steps = 600
batch = 64
[grid]
activation = ["relu", "tanh"]
"""


def start(folder: Path, name: str) -> subprocess.Popen:
    (folder / "tiny.toml").write_text(SPECIFICATION)
    command = [sys.executable, "-m", "evenflow", "study", folder / "tiny.toml", "--out", folder / name]
    return subprocess.Popen(
        [*command, "--jobs", "2", "--engine", "jax"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_steps(path: Path, steps: int) -> None:
    for _ in range(1200):
        with contextlib.suppress(StoreError), Store.open(path) as store:  # not yet a store: it is being made
            if sum(run.steps_done for run in store.runs()) >= steps:
                return
        time.sleep(0.05)
    raise AssertionError("the study did not begin")


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["everything", "a worker"])
def test_killed_in_the_middle_and_gone_on_equals_the_whole(tmp_path: Path, whom: str) -> None:
    whole = start(tmp_path, "whole")
    output, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0, output
    assert "jax: 6 networks" in output

    killed = start(tmp_path, "killed")
    path = tmp_path / "killed" / "study.sqlite"
    wait_for_steps(path, 300)
    if whom == "everything":
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert any(run.status in ("pending", "running") for run in read(path).runs)
        killed = start(tmp_path, "killed")
    else:
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        workers = [child for child in children if "LokyProcess" in Path(f"/proc/{child}/cmdline").read_text()]
        os.kill(int(workers[0]), signal.SIGKILL)
    output, _ = killed.communicate(timeout=240)
    assert killed.returncode == 0, output
    resumed, expected = read(path), read(tmp_path / "whole" / "study.sqlite")
    assert {run.status for run in resumed.runs} == {"finished"}
    assert resumed.equals(expected), resumed.difference(expected)
