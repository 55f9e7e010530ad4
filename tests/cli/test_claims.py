"""`evenflow claims` as it is typed."""

from __future__ import annotations

import json
import re

import pytest

from evenflow.claims.textbook import CLAIMS
from evenflow.cli import main

QUICK = ("small_weight_chain", "clipping_lifts")
"""Claims that are tried in a moment."""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """(exit code, output, error) of a call in an empty folder, on a narrow terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["claims", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return call


def test_the_list_names_every_claim(run):
    code, out, _ = run()
    assert code == 0
    assert re.findall(r"^ (\w+) +not tried yet", out, re.MULTILINE) == list(CLAIMS)
    assert max(map(len, out.splitlines())) <= 80


def test_claims_are_tried_told_and_kept(run, tmp_path):
    code, out, err = run("run", *QUICK, "--jobs", "1")
    assert code == 0
    assert "2 of 2 claims tried" in err
    assert "Results: runs/claims/claims.json" in err
    assert re.search(r"clipping_lifts +wrong\b", out)
    assert "no: clipping by norm makes a small gradient larger – small gradient" in " ".join(out.split())
    assert "2 claims: " in out
    assert (tmp_path / "runs" / "claims" / "claims.json").exists()
    assert re.search(r"clipping_lifts +wrong\b", run()[1])

    code, out, err = run("run", "clipping-lifts", "--jobs", "1")
    assert code == 0
    assert "Results: runs/claims/claims.json; 1 of them from before, which are not tried again" in err


def test_one_claim_is_explained_before_and_after_it_was_tried(run):
    before = run("clipping_lifts")[1]
    assert "It would be true if: A small gradient is larger after clipping." in before
    assert "Not tried yet: evenflow claims run clipping_lifts" in before
    run("run", "clipping_lifts", "--jobs", "1")
    after = run("clipping_lifts")[1]
    assert "Verdict: wrong (quick form, seed 0, " in after
    assert "large gradient, clipped by norm: " in after


def test_json_has_the_verdict_the_statements_and_every_figure(run):
    code, out, _ = run("run", "clipping_lifts", "--jobs", "1", "--seed", "4", "--json")
    (told,) = json.loads(out)["claims"]
    assert (code, told["name"], told["verdict"], told["seed"], told["full"]) == (
        0,
        "clipping_lifts",
        "wrong",
        4,
        False,
    )
    assert [one["answer"] for one in told["statements"]] == ["no", "no"]
    assert (
        told["figures"]["norm"]["low"] <= told["figures"]["norm"]["value"] <= told["figures"]["norm"]["high"]
    )
    assert [one["verdict"] for one in json.loads(run("--json")[1])["claims"]].count(None) == len(CLAIMS) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "clipping_lift"), 'claim "clipping_lift" is not known; did you mean "clipping_lifts"?'),
        (("clipping_lift",), 'claim "clipping_lift" is not known; did you mean "clipping_lifts"?'),
        (("run", "--seed", "-1"), "--seed -1: it is 0 or above"),
        (("run", "--jobs", "0"), "--jobs 0: at least 1 process is needed"),
        (("run", "clipping_lifts", "--store", "nonsense"), "nonsense holds no results of claims"),
        (("--store", "nonsense"), "nonsense holds no results of claims"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(run, arguments, message, tmp_path):
    (tmp_path / "nonsense").write_text("nonsense")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert err.startswith("evenflow: ")


def test_results_can_be_kept_in_a_folder(run, tmp_path):
    assert run("run", "clipping_lifts", "--jobs", "1", "--store", tmp_path)[0] == 0
    assert (tmp_path / "claims.json").exists()
    assert re.search(r"clipping_lifts +wrong\b", run("--store", tmp_path)[1])


def test_an_interrupt_says_that_the_same_command_goes_on(run, monkeypatch):
    def stop(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("evenflow.claims.run.try_claims", stop)
    code, _, err = run("run")
    assert (code, err) == (130, "evenflow: stopped; everything recorded is kept, the same command goes on\n")


def test_a_claim_that_cannot_be_tried_is_named_and_the_code_is_1(run, monkeypatch):
    def broken(_settings):
        raise RuntimeError("no memory")

    from dataclasses import replace

    claim = replace(CLAIMS["clipping_lifts"], experiment=broken)
    monkeypatch.setattr("evenflow.claims.textbook.claims_named", lambda _names: (claim,))
    code, _, err = run("run", "--jobs", "1")
    assert code == 1
    assert "claim clipping_lifts could not be tried: RuntimeError: no memory" in err
