"""Every rank's table is that of one process on the batches of all ranks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks_training import STEPS, Net, Rows, alone, optimiser_of, rows, spawned, train
from ranks_worker import data_parallel, sharded
from torch import nn

import evenflow as ef
from evenflow.errors import SpecError
from evenflow.record.store import Store

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def ddp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Path]:
    folder = tmp_path_factory.mktemp("ddp")
    return spawned(data_parallel, folder), folder


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return spawned(sharded, tmp_path_factory.mktemp("fsdp"))


def assert_same(found: Rows, expected: Rows) -> None:
    assert found.keys() == expected.keys()
    wrong = {
        place: (found[place], value)
        for place, value in expected.items()
        if not math.isclose(found[place], value, rel_tol=1e-5, abs_tol=1e-7)
    }
    assert not wrong


def assert_bitwise(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))


def test_the_training_in_one_process_has_every_phase_and_a_unit_that_is_dead_on_one_rank_only() -> None:
    whole, one = alone(), alone(1)
    assert {place[3] for place in whole} == {"", "accumulated", "clipped"}
    dead = (0, "relu", "activation", "", "dead_fraction")
    assert (whole[dead], one[dead]) == (pytest.approx(0.2), pytest.approx(0.4))


@pytest.mark.parametrize(("case", "given"), [("plain", True), ("not given", False), ("later", False)])
def test_ddp(ddp: tuple[Found, Path], case: str, given: bool) -> None:
    first, second = (rank[case] for rank in ddp[0])
    assert first["failure"] is None
    assert first["rows"] == second["rows"]
    assert_same(first["rows"], alone(given=given))


def test_ddp_with_a_scaled_loss(ddp: tuple[Found, Path]) -> None:
    first, second = (rank["scaled"] for rank in ddp[0])
    assert first["rows"] == second["rows"]
    expected = alone(scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    assert {place[3] for place in expected} == {"", "accumulated", "unscaled", "clipped"}
    assert_same(first["rows"], expected)


@pytest.mark.parametrize("case", ["plain", "hybrid"])
def test_fsdp(fsdp: Found, case: str) -> None:
    first, second = (rank[case] for rank in fsdp)
    assert first["failure"] is None
    assert first["rows"] == second["rows"]
    assert_same(first["rows"], alone())


def test_fsdp_without_clipping_has_no_such_phase(fsdp: Found) -> None:
    expected = alone(clip=0.0)
    assert "clipped" not in {place[3] for place in expected}
    for rank in fsdp:
        assert_same(rank["not clipped"]["rows"], expected)


def test_weights_are_bitwise_those_without_a_probe(ddp: tuple[Found, Path], fsdp: Found) -> None:
    for rank in (*ddp[0], *fsdp):
        for case in ("plain", "fails"):
            assert_bitwise(rank[case]["weights"], rank["bare"])


def test_one_message_for_each_recorded_step(ddp: tuple[Found, Path], fsdp: Found) -> None:
    for rank in (*ddp[0], *fsdp):
        sent = rank["plain"]["sent"]
        assert len(sent) == 1 + STEPS  # the first says how long the others are
        assert sent[0] < 10
        assert len(set(sent[1:])) == 1
    for rank in ddp[0]:
        assert rank["every"]["steps"] == [0, 2, 4]
        assert len(rank["every"]["sent"]) == 1 + 3
        assert rank["not asked"]["sent"] == []


def test_only_the_first_rank_writes(ddp: tuple[Found, Path]) -> None:
    found, folder = ddp
    table = Store.open(folder / "flow.db").table()
    assert rows(table) == found[0]["not given"]["rows"]


@pytest.mark.parametrize(
    ("case", "here", "there"),
    [
        (
            "fails",
            "the probe of rank 1 has stopped (ValueError: planted), and figures of all ranks need all probes",
            "planted",
        ),
        ("detaches", "the probe of rank 1 was detached, and figures of all ranks need all probes", None),
    ],
)
def test_a_probe_that_ends_ends_those_of_all_ranks(
    ddp: tuple[Found, Path], case: str, here: str, there: str | None
) -> None:
    first, second = (rank[case] for rank in ddp[0])
    assert (first["failure"], second["failure"]) == (here, there)
    assert first["steps"] == second["steps"] == [0]
    assert first["seconds"] < 10


def test_a_probe_that_fails_under_fsdp_ends_both(fsdp: Found) -> None:
    first, second = (rank["fails"] for rank in fsdp)
    assert (first["steps"], second["steps"]) == ([0], [0])
    assert "rank 1 has stopped" in first["failure"]


def test_ranks_with_other_sites_stop_and_say_so(ddp: tuple[Found, Path]) -> None:
    for own, other in ((0, 1), (1, 0)):
        result = ddp[0][own]["other sites"]
        assert f"the sites of rank {other} are not those of rank {own}" in result["failure"]
        assert_bitwise(result["weights"], ddp[0][own]["bare"])


def test_an_error_of_the_training_comes_through(ddp: tuple[Found, Path]) -> None:
    assert [rank["raises"] for rank in ddp[0]] == ['"the user\'s own"'] * 2


def test_a_probe_on_one_rank_only_warns_and_sends_nothing(ddp: tuple[Found, Path]) -> None:
    first, second = (rank["alone"] for rank in ddp[0])
    assert first["sent"] == []
    assert len(first["warnings"]) == 1
    assert first["warnings"][0].startswith(
        "no probe was attached on some of the ranks [0, 1] within 0.3 seconds"
    )
    assert_bitwise(first["weights"], second)
    own, all_of_them = alone(0, clip=0.0), alone(clip=0.0)
    signal = (0, "relu", "activation", "", "rms")
    gradient = (0, "second.weight", "weight", "accumulated", "grad_norm")
    assert first["rows"][signal] == pytest.approx(own[signal], rel=1e-6)
    assert first["rows"][gradient] == pytest.approx(all_of_them[gradient], rel=1e-5)


def test_a_rank_that_is_not_asked_for_others_records_its_own(ddp: tuple[Found, Path]) -> None:
    signal = (0, "relu", "activation", "", "rms")
    for rank, found in enumerate(ddp[0]):
        assert found["not asked"]["rows"][signal] == pytest.approx(alone(rank)[signal], rel=1e-6)
        assert found["not asked"]["warnings"] == []


@pytest.mark.parametrize(
    ("number", "start"),
    [
        (0, '"FullyShardedDataParallel" is a FullyShardedDataParallel, which keeps parameters as pieces'),
        (1, 'parameter "second.weight" is a DTensor and fully_shard was not applied'),
        (2, 'parameter "second.weight" is sharded over more than one dimension of its mesh'),
    ],
)
def test_a_model_that_is_split_otherwise_is_refused(fsdp: Found, number: int, start: str) -> None:
    for rank in fsdp:
        message = rank["refused"][number]
        assert message.startswith(start)
        assert "give ranks=False" in message


def test_ranks_without_a_process_group() -> None:
    with pytest.raises(SpecError, match="is not initialised"):
        ef.Probe(nn.Linear(2, 2), ranks=True)


def test_data_parallel_without_devices_is_looked_into() -> None:
    model = Net()
    wrapped = nn.DataParallel(model)
    optimiser = optimiser_of(model)
    with ef.Probe(wrapped, optimiser, window=6) as probe:
        train(wrapped, optimiser, None, told=probe.loss)
    assert rows(probe.table) == alone()
