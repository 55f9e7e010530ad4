"""Findings while a script runs and when it ends, and that the store knows as much as the probe did."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnosis_tables import rule, verdict
from torch import nn

import evenflow as ef
from evenflow.diagnose import engine
from evenflow.diagnose.text import one_line
from evenflow.record.axes import Run
from evenflow.spec.setting import Setting
from evenflow.watch import news
from evenflow.watch.news import News
from evenflow.watch.script import Script, watch_script
from evenflow.watch.settings import Settings

TRAIN = """
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(130):
    loss = nn.functional.cross_entropy(model(x), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
"""


@pytest.fixture
def judged(monkeypatch):
    """Rules made up, by what they are to say of a case; time does not count."""
    monkeypatch.setattr(news, "_WAIT", 0.0)
    monkeypatch.setattr(news, "_SHARE", 1e9)

    def use(**judges):
        made_up = {name: rule(name, judge) for name, judge in judges.items()}
        monkeypatch.setattr(engine, "RULES", made_up)

    return use


@pytest.fixture
def watched(tmp_path, monkeypatch, capsys):
    """The error stream of a script that is watched."""
    monkeypatch.chdir(tmp_path)

    def call(text=TRAIN, *, quiet=False):
        Path("train.py").write_text(text)
        settings = Settings("train", quiet=quiet)
        code = watch_script(Script("train.py", ()), settings, Path("flow.sqlite"), quiet=quiet)
        captured = capsys.readouterr()
        assert (code, captured.out) == (0, "")
        return captured.err

    return call


def after(recorded, **settings):
    return lambda case: verdict(**settings) if case.steps[-1] >= recorded else None


def test_a_finding_is_said_once_when_two_judgements_agree(judged, watched):
    judged(
        dead_units=after(30, message="two units are dead"),
        lr_too_high=lambda case: verdict(message="passing") if 60 < case.steps[-1] < 70 else None,
        nonfinite_origin=after(120, message="NaN", step=125),
        lr_too_low=lambda _: verdict("information"),
    )
    error = watched()
    lines = [line for line in error.splitlines() if line.startswith("evenflow: step")]
    assert lines == [
        "evenflow: step 64, fault EF104 dead_units from step 0: Two units are dead.",
        "evenflow: step 128, fault EF501 nonfinite_origin from step 125: NaN.",
    ]


def test_the_summary_ends_with_the_diagnosis(judged, watched):
    judged(dead_units=after(100, message="two units are dead", sites=("1",)), loss_plateau=None)
    error = watched()
    assert "train: 1 fault in 130 steps; 2 rules judged\n" in error
    assert '\nFAULT EF104 dead_units in "1" from step 0\n' in error
    assert "evenflow: to judge it again: evenflow diagnose flow.sqlite" in error
    assert error.index("FAULT EF104") > error.index("evenflow: Sequential, 130 steps")


def test_nobody_is_told_and_nothing_judged_when_it_is_to_be_quiet(judged, watched):
    judged(dead_units=lambda _: pytest.fail("judged"))
    assert watched(quiet=True) == ""


def test_the_store_knows_the_setting_and_the_end_of_the_model(watched):
    watched()
    with ef.Store.open("flow.sqlite") as store:
        (run,) = store.runs()
    setting = Setting.from_facts(dict(run.facts))
    assert [layer.name for layer in setting.layers] == ["0", "2"]
    assert setting.output is not None
    assert (setting.output.loss, setting.output.layer) == ("cross_entropy", "2")
    assert [one.learning_rate for one in setting.optimisers] == [0.1]
    diagnosis = ef.diagnose("flow.sqlite")
    assert diagnosis.steps == 130
    assert not diagnosis.faults
    missing = {one.rule for one in diagnosis.unjudged}
    assert not missing & {
        "symmetric_init",
        "bad_output_layer",
        "lr_too_high",
        "dead_units",
    }


def test_the_loss_of_another_model_is_not_taken_for_ones_own(watched):
    two = TRAIN.replace(
        "for step in range(130):",
        """other = nn.Linear(8, 1)
second = torch.optim.SGD(other.parameters(), lr=0.1)
for step in range(3):
    out = model(x)
    wrong = other(x).square().mean()
    wrong.backward()
    second.step()""",
    )
    watched(two)
    with ef.Store.open("flow.sqlite") as store:
        settings = {run.facts["model"]: Setting.from_facts(dict(run.facts)) for run in store.runs()}
    found = settings["Sequential"].output
    assert found is not None
    assert found.loss == "cross_entropy"
    assert all(one.reached for setting in settings.values() for one in setting.parameters)


def test_judging_takes_a_small_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def judge(_what):
        now[0] += 2.0
        return ef.Diagnosis()

    monkeypatch.setattr(news, "diagnose", judge)

    class Probe:
        def excerpt(self, steps):
            return steps

    said = News()
    assert [said.due(step) for step in (1, 31, 32)] == [False, False, True]
    said.judge(Probe(), 32)  # pyright: ignore[reportArgumentType]
    now[0] += 99.0
    assert not said.due(10_000)
    now[0] += 1.5
    assert [said.due(63), said.due(64)] == [False, True]
    said.judge(Probe(), 50_000)  # pyright: ignore[reportArgumentType]
    now[0] += 1000.0
    assert [said.due(50_999), said.due(51_000)] == [False, True]


def test_an_excerpt_has_the_first_the_last_and_some_between():
    model = nn.Linear(3, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    with ef.Probe(model, optimiser) as probe:
        for _ in range(60):
            optimiser.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            probe.loss(loss)
            optimiser.step()
    assert probe.excerpt(60).equals(probe.table)
    part = probe.excerpt(15)
    steps = np.unique(part["step"])
    assert len(steps) == 15
    assert steps[:5].tolist() == [0, 1, 2, 3, 4]
    assert steps[-5:].tolist() == [55, 56, 57, 58, 59]
    assert part.equals(probe.table.select(step=steps.tolist()))
    assert Setting.from_facts(dict(part.runs[0].facts)) == probe.setting


def test_a_finding_in_one_line_has_place_and_step():
    (finding,) = engine.diagnose(
        ef.Table.from_rows([Run("a")], []),
        rules=[rule("dead_units", verdict(sites=("a", "b"), step=7, message="so it is"))],
    ).findings
    assert one_line(finding) == 'fault EF104 dead_units in "a" and "b" from step 7: So it is.'
