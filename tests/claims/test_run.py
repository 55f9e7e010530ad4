"""Running claims: what is kept, what is tried again, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evenflow.claims import results
from evenflow.claims.claim import Settings
from evenflow.claims.figure import computed, sampled
from evenflow.claims.run import try_claims
from evenflow.claims.textbook import CLAIMS
from evenflow.errors import StoreError

QUICK = Settings()


def toy(name, figures=None, error=None):
    """A claim whose experiment is at hand; it counts how often it was run."""
    calls = []

    def experiment(settings):
        calls.append(settings)
        if error:
            raise error
        return figures or {"seed": computed("the seed", float(settings.seed))}

    return replace(CLAIMS["clipping_lifts"], name=name, experiment=experiment), calls


def test_a_claim_that_has_a_result_is_not_tried_again(tmp_path):
    (first, calls), (second, more) = toy("first"), toy("second")
    path = tmp_path / "folder" / "claims.json"
    try_claims([first], QUICK, path, jobs=1)
    outcome = try_claims([first, second], QUICK, path, jobs=1)
    assert (len(calls), len(more), outcome.tried) == (1, 1, ("second",))
    assert [one.claim for one in outcome.results] == ["first", "second"]


def test_another_seed_or_form_is_another_result(tmp_path):
    claim, calls = toy("first")
    path = tmp_path / "claims.json"
    for settings in (QUICK, Settings(seed=3), Settings(full=True), Settings(seed=3)):
        outcome = try_claims([claim], settings, path, jobs=1)
        assert outcome.results[0].figures["seed"].value == settings.seed
    assert (len(calls), len(results.read(path))) == (3, 3)


def test_a_result_of_a_claim_as_it_was_before_is_replaced(tmp_path):
    claim, calls = toy("first")
    path = tmp_path / "claims.json"
    try_claims([claim], QUICK, path, jobs=1)
    old = results.read(path)[0]
    results.write(
        path, [type(old)(**{**{name: getattr(old, name) for name in old.__struct_fields__}, "hash": "x"})]
    )
    assert results.latest(results.read(path), {"first": claim}) == {}
    try_claims([claim], QUICK, path, jobs=1)
    assert len(calls) == 2
    assert [one.hash for one in results.read(path)] == [claim.hash]


def test_figures_are_read_as_they_were_written(tmp_path):
    figures = {
        "plain": sampled("share", [0.1, 0.2, 0.4], "units"),
        "one": sampled("one seed", [0.1]),
        "never": computed("steps", float("inf")),
    }
    claim, _ = toy("first", figures)
    found = try_claims([claim], QUICK, tmp_path / "claims.json", jobs=1).results[0].figures
    assert {key: repr(figure) for key, figure in found.items()} == {
        key: repr(figure) for key, figure in figures.items()
    }


def test_an_interrupt_keeps_what_is_done_and_the_next_call_goes_on(tmp_path):
    done, calls = toy("done")
    stopped, _ = toy("stopped", error=KeyboardInterrupt())
    path = tmp_path / "claims.json"
    with pytest.raises(KeyboardInterrupt):
        try_claims([done, stopped], QUICK, path, jobs=1)
    again, _ = toy("stopped")
    outcome = try_claims([done, again], QUICK, path, jobs=1)
    assert (len(calls), outcome.tried) == (1, ("stopped",))


def test_an_experiment_that_fails_is_named_and_the_others_go_on(tmp_path):
    bad, _ = toy("bad", error=RuntimeError("no such thing"))
    good, _ = toy("good")
    outcome = try_claims([bad, good], QUICK, tmp_path / "claims.json", jobs=1)
    assert outcome.failed == {"bad": "RuntimeError: no such thing"}
    assert [one.claim for one in outcome.results] == ["good"]


def test_progress_is_told_from_none_to_all(tmp_path):
    told = []
    claims = [toy("first")[0], toy("second")[0]]
    try_claims(
        claims, QUICK, tmp_path / "claims.json", jobs=1, progress=lambda *numbers: told.append(numbers)
    )
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("text", ["nonsense", '[{"claim": 1}]', "{}"])
def test_a_file_with_something_else_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "claims.json"
    path.write_text(text)
    with pytest.raises(
        StoreError, match=r"claims\.json holds no results of claims .*; choose another --store"
    ):
        try_claims([toy("first")[0]], QUICK, path, jobs=1)
    assert path.read_text() == text


def test_a_folder_instead_of_a_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        results.read(tmp_path)


def test_what_cannot_be_written_is_said_and_the_old_file_stays(tmp_path):
    path = tmp_path / "claims.json"
    try_claims([toy("first")[0]], QUICK, path, jobs=1)
    before = path.read_bytes()
    (tmp_path / "claims.json.new").mkdir()  # stands for a full disk: the new file cannot be made
    with pytest.raises(StoreError, match="cannot be written"):
        try_claims([toy("second")[0]], QUICK, path, jobs=1)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_processes_give_the_figures_of_one_process(tmp_path):
    claims = [CLAIMS[name] for name in ("alternating_vanishes", "clipping_lifts")]
    with_pool = try_claims(claims, QUICK, tmp_path / "a.json", jobs=2)
    alone = try_claims(claims, QUICK, tmp_path / "b.json", jobs=1)
    for first, second in zip(with_pool.results, alone.results, strict=True):
        assert (first.claim, first.readings) == (second.claim, second.readings)


@pytest.mark.slow
def test_a_killed_run_leaves_a_whole_file_that_the_next_one_goes_on_with(tmp_path):
    path = tmp_path / "claims.json"
    names = ("small_weight_chain", "clipping_lifts", "high_rate_kills")
    command = [sys.executable, "-m", "evenflow", "claims", "run", *names, "--jobs", "1", "--store", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not _holds(path, 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {one["claim"] for one in json.loads(path.read_text())}
    assert kept >= set(names[:2])
    outcome = try_claims([CLAIMS[name] for name in names], QUICK, path, jobs=1)
    assert set(outcome.tried).isdisjoint(kept)
    assert len(outcome.results) == len(names)


def _holds(path: Path, count: int) -> bool:
    return os.path.exists(path) and len(json.loads(path.read_text())) >= count
