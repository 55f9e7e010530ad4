"""The population of the detection benchmark is what it says, and its scores are right."""

import copy
import math
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from ailments.population import MECHANISMS, SEEDS, UNSEEN, half, population
from ailments.published import DETECTORS
from ailments.recipe import FAMILIES, Case, Recipe
from ailments.record import record
from ailments.scoring import Outcome, rule_score, score, steps_until, wilson
from ailments.symptoms import symptoms
from ailments.tables import compared, detectors, markdown, rules, steps
from ailments.trial import built, chance, train
from ailments.trial import score as points
from ailments.truth import judged
from detection import groups
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_score, recall_score

from evenflow.diagnose.rules import RULES


def test_the_population_is_large_varied_and_the_same_every_time():
    cases = population()
    population.cache_clear()
    assert [(one.name, one.recipe, one.dose) for one in population()] == [
        (one.name, one.recipe, one.dose) for one in cases
    ]
    assert len(cases) >= 300
    assert len({one.name for one in cases}) == len(cases)
    assert {one.recipe.family for one in cases} == set(FAMILIES)
    faults = [one for one in cases if one.cause]
    assert len(cases) / 4 < len(cases) - len(faults) < len(cases) / 2
    told = {
        "not_zero_centred",
        "uncleared_gradient",
    }  # advice, never a fault; and a slip that counts as lr_too_high
    assert {one.cause for one in faults} == set(RULES) - told


def test_mechanisms_are_all_used_and_name_known_rules():
    used = {one.mechanism.name for one in population() if one.mechanism}
    assert used == set(MECHANISMS)
    for one in MECHANISMS.values():
        assert {one.cause, *one.names, *one.leads_to} - {""} <= set(RULES)


def of_half(name: str) -> list[Case]:
    return [one for one in population() if half(one) == name]


def test_the_calibration_half_is_the_draw_that_it_was():
    cases = of_half("calibration")
    told = "\n".join(f"{one.name} {one.dose:g} {one.recipe.width} {one.recipe.rate:g}" for one in cases)
    assert (len(cases), zlib.crc32(told.encode())) == (552, 2882897198)


@pytest.mark.parametrize("name", ["calibration", "held back", "drawn afresh"])
def test_a_half_holds_every_cause_often_and_sound_trainings(name):
    causes = Counter(one.cause for one in of_half(name))
    assert set(causes) == {one.cause for one in population()}
    assert causes[""] >= 100
    if name != "calibration":
        assert min(causes.values()) >= 10  # an experiment may find that a few do no harm


def test_three_draws_are_the_whole_population_and_a_later_one_is_drawn_as_the_second():
    draws = [of_half(name) for name in SEEDS]
    assert sum(map(len, draws)) == len(population())
    told = [
        Counter((one.mechanism.name if one.mechanism else "", one.dose) for one in some) for some in draws[1:]
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [("calibration", "held back"), ("calibration", "drawn afresh"), ("held back", "drawn afresh")],
)
def test_draws_share_no_seed_no_recipe_and_no_dose_of_a_rate(one, other):
    first, second = of_half(one), of_half(other)
    spans = [
        range(SEEDS[name], SEEDS[name] + 1 + max(int(each.name.split("-")[1]) for each in population()))
        for name in (one, other)
    ]
    assert not set(spans[0]) & set(spans[1])
    drawn = [
        {
            zlib.crc32(one.name.encode()) + 7919 * seed + place
            for one in some
            for seed in (0, 1)
            for place in (0, 1)
        }
        for some in (first, second)
    ]
    assert not drawn[0] & drawn[1]
    assert not {one.recipe for one in first} & {one.recipe for one in second}
    rates = [
        {one.dose for one in some if one.mechanism and one.mechanism.name.startswith("rate_")}
        for some in (first, second)
    ]
    assert one != "calibration" or not rates[0] & rates[1]


def test_the_held_back_half_has_mechanisms_of_its_own():
    named = [
        {one.mechanism.name for one in of_half(name) if one.mechanism}
        for name in ("calibration", "held back")
    ]
    assert named[1] - named[0] == UNSEEN
    assert named[0] < named[1]
    causes = {MECHANISMS[name].cause for name in UNSEEN}
    assert len(UNSEEN) >= 20
    assert len(causes) >= 8
    assert "" in causes


def test_new_mechanisms_are_scored_on_their_own():
    found = groups(population())
    assert [*found] == [
        *("calibration", "held back", "drawn afresh"),
        *("new mechanisms, held back", "new mechanisms, drawn afresh"),
    ]
    for name in ("held back", "drawn afresh"):
        assert found[f"new mechanisms, {name}"] < found[name]
    assert not found["calibration"] & found["held back"]
    assert [*groups(of_half("calibration"))] == ["calibration"]


@pytest.mark.parametrize("name", ["in_evaluation", "frozen_norms"])
def test_what_never_leaves_evaluation_stays_there(name):
    training = built(next(one for one in population() if one.name.startswith(f"{name}-")))
    training.model.train()
    modes = {
        one.training
        for one in training.model.modules()
        if isinstance(one, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
    }
    assert modes == {False}


def test_gradients_that_are_never_zeroed_add_up():
    training = built(next(one for one in population() if one.name.startswith("never_zeroed-")))
    weight = next(training.model.parameters())
    inputs, targets = training.batches[0]
    gradients = []
    for _ in range(2):
        training.optimiser.zero_grad()
        training.loss(training.model(inputs), targets).backward()
        assert weight.grad is not None
        gradients.append(weight.grad.clone())
    assert torch.allclose(gradients[1], 2 * gradients[0])


def test_a_weakened_backward_leaves_the_forward_alone():
    case = next(one for one in population() if one.name.startswith("weakened_backward-"))
    grads = []
    for faulty in (True, False):
        training = built(case, faulty=faulty)
        inputs, targets = training.batches[0]
        loss = training.loss(training.model(inputs), targets)
        loss.backward()
        gradient = next(training.model.parameters()).grad
        assert gradient is not None
        grads.append((loss.item(), gradient.norm().item()))
    assert grads[0][0] == pytest.approx(grads[1][0], rel=1e-4)
    assert grads[0][1] < grads[1][1] * case.dose**case.recipe.depth * 1.01


def test_a_case_is_drawn_the_same_twice_and_its_twin_begins_like_it():
    case = next(one for one in population() if one.name.startswith("detached-"))
    first, second, twin = built(case), built(case), built(case, faulty=False)
    other = built(case, seed=1)
    for one, two in ((first, second), (first, twin)):
        for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(one.batches[0][0], two.batches[0][0])
    assert not torch.equal(next(first.model.parameters()), next(other.model.parameters()))
    assert not torch.equal(first.batches[0][0], other.batches[0][0])
    assert train(first, 5) == train(second, 5)
    start = copy.deepcopy(list(twin.model.parameters()))
    train(twin, 1)
    assert all(not torch.equal(a, b) for a, b in zip(start, twin.model.parameters(), strict=True))


def test_every_mechanism_makes_a_training_that_steps():
    seen = set()
    for case in population():
        name = case.mechanism.name if case.mechanism else ""
        if name not in seen and name != "trained_before":
            seen.add(name)
            training = built(case)
            training.batches = training.batches[:2]
            assert len(train(training, 1)) == 1
            assert 0 <= points(training) <= 100
            assert 0 <= chance(training) <= 100


def test_a_rate_twin_has_another_rate():
    case = next(one for one in population() if one.name.startswith("warm_up-"))
    plain, faster = built(case), built(case, rate=10.0)
    train(plain, 3)
    train(faster, 3)
    ratio = faster.optimiser.param_groups[0]["lr"] / plain.optimiser.param_groups[0]["lr"]
    assert ratio == pytest.approx(10)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((50, 61, 50, {}), "fault"),
        ((50, 59, 50, {}), "left out"),
        ((80, 82, 50, {"0.1": 70.0, "10.0": 89.0}), "sound"),
        ((80, 82, 50, {"0.1": 70.0, "10.0": 91.0}), "left out"),
        ((74, 74, 50, {}), "left out"),
    ],
)
def test_truth_follows_from_scores(values, verdict):
    mechanism = MECHANISMS["zero_weights"]
    assert judged(Case("one", Recipe("mlp", "moons"), mechanism), *values) == verdict


def test_a_layer_that_stays_but_is_not_needed_is_left_out():
    case = Case("one", Recipe("mlp", "moons"), MECHANISMS["left_out_of_optimiser"])
    assert judged(case, 99, 100, 50, {}) == "left out"
    assert judged(case, 80, 100, 50, {}) == "fault"


def test_harm_without_a_name_is_left_out():
    case = Case("one", Recipe("mlp", "moons"), MECHANISMS["half_dropped"])
    assert judged(case, 80, 100, 50, {}) == "left out"


def test_published_detectors_see_what_their_rules_say():
    named = {one.name: one for one in population()}
    dead = record(next(one for name, one in named.items() if name.startswith("sunk_bias-")), 50)
    lost = record(next(one for name, one in named.items() if name.startswith("log_of_softmax-")), 50)
    assert "dead_units" in symptoms(dead)
    assert "dead_units" in DETECTORS["SageMaker Debugger"](dead)
    assert "dead_units" in DETECTORS["TheDeepChecker"](dead)
    assert "nonfinite_origin" in symptoms(lost)
    assert DETECTORS["DeepDiagnosis"](lost)[0] == "nonfinite_origin"
    assert DETECTORS["AUTOTRAINER"](lost) == ["exploding_gradient"]
    assert "unnormalised_input" in DETECTORS["UMLAUT"](dead)
    assert DETECTORS["SageMaker Debugger"](lost.until(0)) == []


OUTCOMES = [
    Outcome(
        "a", False, "dead_units", ("poor_init",), ("frozen_layers",), {200: ["dead_units", "frozen_layers"]}
    ),
    Outcome("b", False, "dead_units", ("poor_init",), (), {200: ["lr_too_high", "poor_init"]}),
    Outcome("c", False, "dead_units", (), ("frozen_layers",), {100: ["dead_units"], 200: ["frozen_layers"]}),
    Outcome("d", False, "lr_too_high", (), (), {200: ["dead_units"]}),
    Outcome("e", True, alarms={200: []}),
    Outcome("f", True, alarms={200: ["dead_units", "lr_too_low"]}),
]


def test_precision_recall_and_f1_of_outcomes():
    found = rule_score(OUTCOMES, "dead_units")
    assert (found.positives, found.alarms) == (3, 3)
    assert found.precision.value == pytest.approx(1 / 3)  # a is right; d and f are not
    assert found.recall.value == pytest.approx(2 / 3)  # a, and b by its other name
    assert found.f1.value == pytest.approx(2 * (1 / 3) * (2 / 3))
    assert found.f1.low <= found.f1.value <= found.f1.high
    assert found.confidence == pytest.approx(2 / 5)
    assert rule_score(OUTCOMES, "frozen_layers").precision.value == 1  # a symptom that is true
    assert math.isnan(rule_score(OUTCOMES, "frozen_layers").f1.value)


def test_figures_of_a_detector():
    found = score("some", OUTCOMES, ["dead_units"])
    assert found.first.value == pytest.approx(1 / 4)
    assert found.found.value == pytest.approx(2 / 4)
    assert found.root_first.value == pytest.approx(1 / 2)  # of a and c
    assert (found.false_alarms.value, found.false_alarms.count) == (0.5, 2)
    assert found.alarms_per_sound == 1
    assert found.by_steps[100].value == pytest.approx(1 / 4)  # c, before it forgot
    assert found.steps == 200
    kept = Outcome(
        "g",
        False,
        "dead_units",
        alarms={10: ["dead_units"], 50: [], 100: ["dead_units"], 200: ["dead_units"]},
    )
    assert steps_until([kept]) == 100


def test_the_tables_hold_the_figures():
    scores = [score(name, OUTCOMES, ["dead_units", "frozen_layers"]) for name in ("some", "other")]
    text = markdown(scores, "held back")
    assert "| some | 0.25 (0.05 to 0.70) | 0.50 (0.15 to 0.85) |" in text
    assert "| `dead_units` | 3 | 0.44" in text
    assert "frozen_layers" not in text  # no case of it
    assert rules(scores[0], "by rule").row_count == 2  # an alarm of it
    assert detectors(scores, "all").row_count == compared(scores, "F1").row_count + 1 == 2
    assert steps(scores, "by steps").row_count == 2


def test_without_other_names_the_scores_are_those_of_scikit_learn():
    source = np.random.default_rng(0)
    truth, told = source.integers(0, 2, 60), source.integers(0, 2, 60)
    outcomes = [
        Outcome(str(place), not true, "dead_units" if true else "", alarms={200: ["dead_units"] * int(alarm)})
        for place, (true, alarm) in enumerate(zip(truth, told, strict=True))
    ]
    found = rule_score(outcomes, "dead_units")
    assert found.precision.value == pytest.approx(precision_score(truth, told))
    assert found.recall.value == pytest.approx(recall_score(truth, told))
    assert found.f1.value == pytest.approx(f1_score(truth, told))


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 7), (40, 41)])
def test_wilson_is_scipys(hits, count):
    found, other = wilson(hits, count), binomtest(hits, count).proportion_ci(method="wilson")
    assert (found.low, found.high) == (pytest.approx(other.low, abs=1e-12), pytest.approx(other.high))
