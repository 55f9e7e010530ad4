"""A repair from beginning to end, with candidates made by hand."""

from __future__ import annotations

import copy
import io
import json
import random
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from examined_trainings import digits, mlp
from rich.console import Console
from torch import nn
from verify_trainings import BROKEN, NOTHING, RELU, SLOWER, TANH, WILD, prescription, rate, sigmoids

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import Finding
from evenflow.doctor import memory
from evenflow.errors import DataError, SpecError
from evenflow.prescribe.prescription import Code, View
from evenflow.record.store import Store
from evenflow.verify import repair as repair_module
from evenflow.verify import told
from evenflow.verify.enough import is_enough
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Metric
from evenflow.verify.outcome import Interrupted
from evenflow.verify.randomness import Randomness
from evenflow.verify.repair import Means, repair
from evenflow.verify.search import Search
from evenflow.verify.trial import Trainee

LOSS = nn.functional.cross_entropy
BATCHES = digits()[:10]
SCORE = Metric("accuracy", chance=0.1)


def nothing_made():
    raise AssertionError


def means(*prescriptions, combine=lambda *_: (), why_not=lambda *_: ""):
    return Means(lambda _: prescriptions, combine, why_not)


def repaired(*prescriptions, model=None, learning_rate=1e-2, steps=80, **options):
    model = sigmoids(5) if model is None else model
    options = {"means": means(*prescriptions), **options}
    return repair(
        model, BATCHES, LOSS, torch.optim.Adam(model.parameters(), learning_rate), steps=steps, **options
    )


def rows(outcome):
    return {row.name: row for row in outcome.table}


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    return repaired(NOTHING, SLOWER, BROKEN, RELU)


def test_the_change_that_helps_is_recommended(found):
    assert found.chosen is RELU
    assert found.repaired
    assert not found.healthy
    assert rows(found)[RELU.name].value > rows(found)["original"].value + 0.1
    assert rows(found)[BROKEN.name].status == "could not be tried: no such layer"
    assert rows(found)[NOTHING.name].status.startswith("left behind after")
    assert found.reading is not None
    assert found.reading.appeared
    assert found.paired.beats(0.02)
    assert found.steps == sum(row.steps for row in found.table.rows[1:]) + found.paired.trained
    assert found.examined == 80


def test_the_repaired_model_is_at_its_start_and_the_trained_one_at_its_end(found):
    start = sigmoids(5)
    assert [type(layer) for layer in found.model] == [
        nn.ReLU if isinstance(layer, nn.Sigmoid) else type(layer) for layer in start
    ]
    assert all(
        torch.equal(one, other)
        for one, other in zip(found.model.parameters(), start.parameters(), strict=True)
    )
    assert not found.optimizer.state
    held = {id(one) for group in found.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in found.model.parameters()}
    inputs, targets = BATCHES[0]
    with torch.no_grad():
        assert LOSS(found.trained(inputs), targets) < 0.7 * LOSS(found.model(inputs), targets)


def test_it_is_told_in_text_html_json_and_as_code(found):
    text = str(found)
    assert "Repaired: Try change_activation:relu (change_activation:relu)" in text
    assert "Promised sign: gradient of the first layers over that of the last" in text
    assert "What to change:" in text
    assert max(map(len, text.splitlines())) <= 100
    assert found.code == "# after the model is made\nmodel = model  # change_activation:relu\n"
    assert found.diff == ""
    data = json.loads(found.to_json())
    assert (data["repaired"], data["chosen"]["name"]) == (True, RELU.name)
    assert [row["name"] for row in data["trials"]] == [row.name for row in found.table]
    page = found._repr_html_()
    assert page.count("<tr") == 1 + len(found.table)
    assert "class=chosen" in page
    assert found.table._repr_html_().count("<tr") == 1 + len(found.table)
    assert RELU.name in repr(found)


def test_a_narrow_terminal_reads_what_became_of_a_change_in_one_column(found):
    file = io.StringIO()
    Console(file=file, width=48, color_system=None).print(found, crop=False)
    words = " ".join(file.getvalue().split())
    assert "…" not in words
    assert f"{found.table.rows[1].steps} steps: accuracy" in words
    assert "recommended" in words


def test_what_goes_with_a_root_is_named_beside_it(found):
    root = found.diagnosis.roots[0]
    followers = [
        Finding(rule, "EF", "fault", 0.9, (), 0, {}, "So.", root=root.rule)
        for rule in ("dead_units", "lr_too_low")
    ]
    diagnosis = replace(found.diagnosis, findings=(root, *followers))
    words = " ".join(str(replace(found, diagnosis=diagnosis)).split())
    assert "From it follow dead_units and lr_too_low." in words
    alone = replace(found, diagnosis=replace(found.diagnosis, findings=(root,)))
    assert "From it follow" not in str(alone)


def test_code_is_printed_as_it_is_however_narrow_the_terminal(found):
    long = "model = model  # " + "a long remark " * 12
    prescription = replace(RELU, code=lambda: Code(long, "after the model is made"))
    file = io.StringIO()
    Console(file=file, width=60, color_system=None).print(replace(found, chosen=prescription), crop=False)
    assert long.rstrip() in [line.rstrip() for line in file.getvalue().splitlines()]


def test_where_the_lines_go_is_said_once(found):
    def with_code(place, snippet):
        return replace(found, chosen=replace(RELU, code=lambda: Code(snippet, place))).code

    assert with_code("first", "# a remark\na = 1") == "# first\n# a remark\na = 1\n"
    both = with_code("first; then second", "# first\na = 1\n\n# second\nb = 2")
    assert both == "# first\na = 1\n\n# second\nb = 2\n"


def test_nothing_of_the_users_changes():
    model = sigmoids(5)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    model.eval()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), scheduler.state_dict()))
    state = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()
    outcome = repair(model, BATCHES, LOSS, optimizer, scheduler=scheduler, steps=80, means=means(RELU))
    after = model.state_dict(), optimizer.state_dict(), scheduler.state_dict()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert str(before[1:]) == str(after[1:])
    assert not model.training
    assert random.getstate() == state[0]
    assert str(np.random.get_state(legacy=False)) == str(state[1])
    assert torch.equal(torch.get_rng_state(), state[2])
    assert outcome.model is not model
    assert outcome.scheduler is not None


def test_a_training_that_runs_away_says_so_in_its_line():
    outcome = repaired(prescription("slower", rate(1e-40)), model=mlp(64, 16, 10), learning_rate=3e37)
    assert outcome.table.rows[0].status in ("its loss is inf at step 1", "its loss is nan at step 1")
    assert outcome.chosen is not None


@pytest.mark.slow
def test_the_same_again_gives_the_same():
    one, other = (repaired(TANH, RELU, steps=40) for _ in range(2))
    assert [(row.name, row.value, row.steps) for row in one.table] == [
        (row.name, row.value, row.steps) for row in other.table
    ]
    assert [found.paired and found.paired.after for found in (one, other)].count(
        one.paired and one.paired.after
    ) == 2


def test_a_healthy_network_needs_nothing():
    outcome = repaired(RELU, model=mlp(64, 32, 10), steps=120)
    assert outcome.healthy
    assert not outcome.repaired
    assert outcome.steps == 0
    assert "Nothing needs to change: no fault was found" in str(outcome)
    assert outcome.model is None
    assert outcome.code == ""


def test_a_slip_is_tried_where_no_rule_has_spoken(monkeypatch):
    monkeypatch.setattr(repair_module, "diagnose", lambda _: Diagnosis(findings=(), judged=("dead_units",)))
    one = prescription("slip", RELU.change)
    outcome = repaired(means=Means(lambda _: (), lambda *_: (), slips=lambda _: [one]))
    assert outcome.chosen is one
    assert repaired(RELU).healthy
    ours = Means(lambda _: (), lambda *_: (), slips=lambda _: [NOTHING])
    assert "no fault was found, and the one change that was tried is no better" in repaired(means=ours).reason


def test_what_learns_nothing_is_tried_with_the_usual(monkeypatch):
    monkeypatch.setattr(repair_module, "diagnose", lambda _: Diagnosis(findings=(), judged=("dead_units",)))
    ours = Means(lambda _: (), lambda *_: (), stuck=lambda _: [RELU])
    assert repaired(means=ours).chosen is RELU
    assert repaired(means=ours, model=mlp(64, 32, 10), steps=120).steps == 0


def searched(values: dict[str, float], learned: float = 0.9) -> Search:
    search = Search(view=cast(View, None), metric=SCORE, own=0.1, steps=10, clock=Clock(1.0))
    for name, value in values.items():
        one = Trainee(name, nothing_made, SCORE, Randomness.now())
        one.losses, one.values = [0.0] * 10, {10: 0.1 + 0.9 * learned * value}
        search.trainees.append(one)
        search.prescriptions[one] = replace(RELU, remedy=name.partition(":")[0])
    return search


def test_two_remedies_that_come_to_the_same_are_enough():
    assert is_enough(searched({"one": 1.0, "other": 0.995}, learned=0.7))
    assert not is_enough(searched({"one": 1.0, "other": 0.9}, learned=0.7))
    assert not is_enough(searched({"one:a": 1.0, "one:b": 1.0}, learned=0.7))
    assert not is_enough(searched({"one": 1.0, "other": 1.0}, learned=0.4))
    assert is_enough(searched({"one": 1.0}, learned=0.96))


def test_what_leaves_nothing_to_gain_is_not_changed(monkeypatch):
    model = mlp(64, 32, 10)
    fault = Finding("dead_units", "EF104", "fault", 0.9, (), None, {}, "Made up.", ("change_activation",))
    monkeypatch.setattr(
        repair_module, "diagnose", lambda _: Diagnosis(findings=(fault,), judged=("dead_units",))
    )
    outcome = repaired(RELU, model=model, steps=200)
    assert outcome.steps == 0
    assert not outcome.healthy
    assert "as it is leaves less to gain than a change has to" in outcome.reason


def test_what_a_change_throws_away_is_told(found):
    search = Search(
        view=cast(View, None), metric=replace(SCORE, start=0.8), own=0.1, steps=10, clock=Clock(1.0)
    )
    one = Trainee("one", nothing_made, SCORE, Randomness.now())
    search.prescriptions[one] = replace(RELU, keeps_weights=False)
    assert told._lost(search, one) == (
        "the model began at 80 %; the change draws weights anew, and what they have learned is lost",
    )
    search.prescriptions[one] = RELU
    assert told._lost(search, one) == ()
    assert not any("what they have learned is lost" in note for note in found.notes)


@pytest.mark.slow
def test_a_risk_is_changed_for_ten_points_only(monkeypatch):
    risk = Finding("dead_units", "EF104", "risk", 0.9, (), None, {}, "Made up.", ("change_activation",))
    monkeypatch.setattr(
        repair_module, "diagnose", lambda _: Diagnosis(findings=(risk,), judged=("dead_units",))
    )
    outcome = repaired(NOTHING, SLOWER)
    assert outcome.healthy
    assert "nothing needs to change: no fault was found, and none of the 2 changes" in outcome.reason
    assert repaired(RELU).chosen is RELU


def test_what_does_not_help_is_never_recommended():
    outcome = repaired(NOTHING, SLOWER, WILD)
    assert outcome.chosen is None
    assert not outcome.healthy
    assert "none of the 3 changes that were tried is better: accuracy" in outcome.reason
    assert "not finite" in str(outcome) or "its loss is" in str(outcome)


def test_what_helps_on_the_first_start_only_is_reported_as_such():
    calls = []

    def lucky(given):
        calls.append(1)
        if len(calls) == 1:  # the trial by which it is chosen; the others are of other starts
            for group in given.patient.optimizer.param_groups:
                group["lr"] *= 1
            return RELU.change(given)
        return given

    outcome = repaired(prescription("lucky", lucky))
    assert outcome.chosen is None
    assert (
        "lucky looked better on the first start, but on 3 other starts the difference was 0 points"
        in outcome.reason
    )
    assert rows(outcome)["lucky"].status == "not better beyond chance"


@pytest.mark.slow
def test_combinations_of_two_are_tried_where_one_is_not_enough():
    asked = []

    def combine(first, others):
        asked.append((first.name, [one.name for one in others]))
        return [prescription("relu and slower", lambda given: rate(0.3)(RELU.change(given)))]

    outcome = repaired(means=means(NOTHING, SLOWER, combine=combine))
    (first, others), *_ = asked  # and once more for a third
    assert {first, *others} == {NOTHING.name, SLOWER.name}
    assert outcome.chosen is not None
    assert outcome.chosen.name == "relu and slower"


@pytest.mark.slow
def test_what_cannot_be_trained_alone_is_put_together_with_what_may_be_wrong_besides():
    ruined = prescription("ruined", lambda given: rate(1e30)(RELU.change(given)))

    def combine(first, others):
        return [
            prescription("both", RELU.change)
            for one in others
            if (first.name, one.name) == ("ruined", SLOWER.name)
        ]

    ours = Means(lambda _: [ruined], combine, beside=lambda _: [SLOWER])
    outcome = repaired(means=ours)
    assert rows(outcome)["ruined"].status.startswith("its loss is")
    assert outcome.chosen is not None
    assert outcome.chosen.name == "both"
    assert repaired(ruined).reason == "the one change that was tried cannot be trained here"


def test_only_what_is_named_is_tried():
    outcome = repaired(SLOWER, RELU, TANH, only=["lower-learning-rate"])
    assert list(rows(outcome)) == ["original", SLOWER.name]
    with pytest.raises(
        SpecError, match=r'remedy "lower_lerning_rate" is not known; did you mean "lower_learning_rate"'
    ):
        repaired(only=["lower_lerning_rate"])


def test_what_is_named_is_tried_without_a_finding_too(monkeypatch):
    monkeypatch.setattr(repair_module, "diagnose", lambda _: Diagnosis(findings=(), judged=("dead_units",)))

    def named(_, names):
        return [RELU] if names == ["change_activation"] else []

    offered = Means(lambda _: (), lambda *_: (), named=named)
    assert repaired(means=offered, only=["change-activation:relu"], steps=60).chosen is RELU
    asked = Means(lambda _: (), lambda *_: (), lambda _, name: f"{name} cannot be")
    outcome = repaired(means=asked, only=["unfreeze"], steps=40)
    assert outcome.reason == "no remedy can be carried out here (unfreeze: unfreeze cannot be)"
    assert not outcome.healthy


def test_what_is_no_fault_is_told_with_what_could_be_done_about_it():
    model = mlp(64, 32, 10)
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 1e-2)
    outcome = repair(model, BATCHES, LOSS, optimizer, steps=120, means=means())
    assert outcome.healthy
    (note,) = (one for one in outcome.notes if "no fault by itself" in one)
    assert note.startswith('Nothing moves "0.weight": requires_grad is off')
    assert note.endswith("only=unfreeze would try to change that")


def test_what_is_not_tried_is_told_with_its_reason():
    reasons = Means(
        lambda _: [RELU], lambda *_: (), not_offered=lambda *_: {"clip_gradients": "it cannot help"}
    )
    outcome = repaired(means=reasons, steps=40)
    assert "Not tried: clip_gradients, because it cannot help" in str(outcome)
    assert outcome.to_dict()["not_tried"] == {"clip_gradients": "it cannot help"}


def test_nothing_that_can_be_carried_out():
    outcome = repaired(
        means=means(why_not=lambda _, name: f"{name} does not apply" if "init" in name else "")
    )
    assert outcome.chosen is None
    assert outcome.reason.startswith("no remedy can be carried out here (")
    assert "reinitialise does not apply" in outcome.reason


@pytest.mark.slow
def test_a_metric_of_the_users_own_decides():
    def few_large_weights(model, batches):
        assert len(batches) == len(BATCHES)
        return -max(float(one.abs().max()) for one in model.parameters())

    outcome = repaired(RELU, SLOWER, metric=few_large_weights)
    assert outcome.table.metric == "few_large_weights"
    assert outcome.chosen is SLOWER
    with pytest.raises(SpecError, match="metric broken of fix raises ZeroDivisionError"):
        repaired(RELU, metric=broken)
    with pytest.raises(SpecError, match='metric="f1" of fix: give "score", "loss"'):
        repaired(RELU, metric="f1")


def broken(model, batches):  # noqa: ARG001
    return 1 / 0


def test_without_labels_the_loss_decides():
    model = mlp(64, *[16] * 6, 64, activation=nn.Sigmoid)
    batches = [(inputs, None) for inputs, _ in BATCHES]
    outcome = repair(
        model,
        batches,
        lambda output, _: (output - 0.3).abs().mean() + output.var(0).sub(1).abs().mean(),
        torch.optim.Adam(model.parameters(), 1e-3),
        steps=40,
        means=means(RELU, NOTHING),
    )
    assert outcome.table.metric == "loss"
    assert not outcome.table.higher


def test_ctrl_c_tells_what_was_tried_so_far():
    def stop(given):  # noqa: ARG001
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        repaired(RELU, prescription("stop", stop))
    outcome = caught.value.outcome
    assert outcome.reason == "stopped by Ctrl-C"
    assert rows(outcome)[RELU.name].steps > 0
    assert rows(outcome)["stop"].status == "not tried"


def test_too_little_time_recommends_nothing_and_says_so(monkeypatch):
    monkeypatch.setattr(repair_module, "_EXAMINED", 1000.0)  # all goes to the doctor
    outcome = repaired(RELU, budget=0.2)
    assert outcome.chosen is None
    assert "the time was over before a change could be shown to help on other starts" in outcome.reason
    assert any("for want of time" in note for note in outcome.notes)


def test_an_examination_that_was_cut_short_is_told(monkeypatch):
    monkeypatch.setattr(repair_module, "_EXAMINED", 1e-9)
    outcome = repaired(RELU, model=mlp(64, 32, 10))
    assert (
        outcome.reason
        == "nothing needs to change: no fault was found in the 1 of 80 steps that there was time for"
    )


@pytest.mark.slow
def test_little_memory_makes_smaller_groups(monkeypatch):
    model = sigmoids(5)
    size = sum(one.nbytes for one in model.parameters())
    monkeypatch.setattr(memory, "free_bytes", lambda _: int((size + 5.5 * size) / 0.8))
    outcome = repaired(NOTHING, RELU, model=model, steps=40)
    assert any("room for 1 copy in training at a time" in note for note in outcome.notes)
    assert {row.steps for row in outcome.table} == {40}
    monkeypatch.setattr(memory, "free_bytes", lambda _: size)
    with pytest.raises(SpecError, match="of parameters; fix keeps one copy and trains another"):
        repaired(RELU, model=model)


def test_without_memory_for_twins_the_doctor_leaves_them_out(monkeypatch):
    model = sigmoids(5)
    size = sum(one.nbytes for one in model.parameters())
    free = iter([int(6 * size / 0.8) + 100])  # for the trials; of the rest nothing is left
    monkeypatch.setattr(memory, "free_bytes", lambda _: next(free, size))
    outcome = repaired(RELU, model=model, steps=40)
    (note,) = (one for one in outcome.notes if "twins were left out for want of memory" in one)
    assert f"it would take {5 * size / 1e3:.3g} kB of memory, and {0.8 * size / 1e3:.3g} kB are free" in note
    assert outcome.repaired


def test_figures_and_outcome_are_kept(tmp_path):
    repaired(RELU, store=tmp_path / "kept.sqlite", steps=40)
    with Store.open(tmp_path / "kept.sqlite") as store:
        (kept,) = store.meta["fix"]
        assert kept["chosen"]["name"] == RELU.name
        assert [run.key for run in store.runs()] == ["doctor", f"fix {RELU.name}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget=0 of fix: give seconds"),
        ({"steps": 0}, "steps=0 of the doctor"),
        ({"only": [3]}, "give names of remedies"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(SpecError, match=message):
        repaired(RELU, **options)


def test_what_the_doctor_refuses_is_refused():
    with pytest.raises(SpecError, match="step 0 of the trial: the model raises RuntimeError"):
        repaired(RELU, model=mlp(3, 4, 10))
    with pytest.raises(DataError, match="the data give no batch"):
        repair(mlp(3, 4, 10), [], LOSS, means=means(RELU))


def test_batches_are_taken_once_from_a_generator():
    model = sigmoids(5)
    taken = []

    def stream():
        for batch in BATCHES * 10:
            taken.append(1)
            yield batch

    repair(model, stream(), LOSS, torch.optim.Adam(model.parameters(), 1e-2), steps=40, means=means(RELU))
    assert len(taken) == 40


def test_the_module_keeps_its_name():
    assert repair_module.repair is repair
