"""Effects of remedies, from tables whose figures are known: paired, with their signs, and told apart from chance."""

import math

import numpy as np
import pytest
from scipy import stats

from evenflow.compare import effects, left_out
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

SEEDS = (0, 1, 2, 3)
STUDY = Study(
    network=Network(depth=2, width=8, activation="sigmoid"),
    training=Training(steps=20),
    seeds=SEEDS,
    remedies=("add_normalisation:batch", "clip_gradients", "zero_biases", "lower_dropout"),
)
GAINS = {"batch": (0.5, 0.52, 0.47, 0.51), "clip": (0.001, -0.001, 0.002, 0.0), "zero": (0.3, -0.3, 0.1, 0.0)}
WEAK, EVEN = (1e-6, 1e-3, 1.0), (0.5, 0.7, 1.0)


def kind(cell):
    network = cell.network
    if network.normalisation != "none":
        return "batch"
    return (
        "clip" if network.clip != "none" else "zero" if network.bias_initialisation == "zero" else "original"
    )


def filled(study, run, *, contents=None, statuses=None, which=STUDY):
    """The table of a study: accuracy 0.1 and a hundredth a seed, a gain of `GAINS`, and gradients that vanish."""
    entries = []
    for cell in (*which.cells(), *which.remedied_cells()):
        name = kind(cell)
        gain = 0.0 if name == "original" else GAINS[name][cell.seed]
        norms = EVEN if name == "batch" else WEAK
        status = (statuses or {}).get((name, cell.seed), "finished")
        content = {"accuracies": {0: 0.1, 20: 0.3 + cell.seed / 100 + gain}, "norms": {0: norms, 20: EVEN}}
        content |= (contents or {}).get(name, {})
        entries.append((run(cell.seed, status, None, **cell.fields), content))
    return study(*entries)


@pytest.fixture
def found(study, run):
    return {one.remedy: one for one in effects(filled(study, run), STUDY)}


def test_gains_are_paired_by_seed_with_their_interval(found):
    one = found["add_normalisation:batch"]
    gains = np.array(GAINS["batch"])
    low, high = stats.t.interval(0.95, 3, gains.mean(), gains.std(ddof=1) / 2)
    assert one.gain.mean == pytest.approx(gains.mean())
    assert (one.gain.low, one.gain.high) == pytest.approx((low, high))
    assert one.before.mean == pytest.approx(0.315)
    assert one.changes == {"normalisation": ("none", "batch")}


def test_p_values_are_adjusted_over_all_remedies(found):
    plain = {name: float(np.asarray(stats.ttest_1samp(GAINS[name], 0))[1]) for name in GAINS}
    assert found["add_normalisation:batch"].adjusted_p_value == pytest.approx(3 * plain["batch"])
    assert found["zero_biases"].adjusted_p_value == pytest.approx(
        min(1, 2 * min(plain["clip"], plain["zero"]))
    )


def test_help_no_effect_and_what_is_not_clear(found):
    assert [one.verdict for one in found.values()] == ["helps", "no effect", "unclear"]


def test_harm_is_said(study, run):
    contents = {"batch": {"accuracies": {0: 0.1, 20: 0.05}}}
    one = effects(filled(study, run, contents=contents), STUDY)[0]
    assert (one.verdict, one.gain.high < 0) == ("harms", True)


def test_the_gradient_before_training_and_the_promised_sign(found):
    one = found["add_normalisation:batch"]
    assert one.ratio.mean == pytest.approx(6 + math.log10(0.5))
    assert one.ratio_end.mean == 0
    assert (one.sign, one.seen) == ("gradient_ratio", True)
    assert (one.sign_before, one.sign_after) == pytest.approx((6, -math.log10(0.5)))
    assert (found["zero_biases"].sign, found["zero_biases"].seen) == ("gradient_ratio", False)
    assert (found["clip_gradients:norm"].sign, found["clip_gradients:norm"].seen) == ("", None)


def test_dead_units_come_before_the_gradient(study, run):
    contents = {"original": {"dead": (1.0, 0.9)}, "zero": {"dead": (0.1, 0.3)}, "clip": {"dead": (1.0, 0.8)}}
    found = {one.remedy: one for one in effects(filled(study, run, contents=contents), STUDY)}
    zero, clip = found["zero_biases"], found["clip_gradients:norm"]
    assert (zero.sign, zero.sign_before, zero.sign_after, zero.seen) == ("dead_units", 1.0, 0.3, True)
    assert (clip.sign, clip.seen) == ("dead_units", False)


def test_a_gradient_of_exactly_0_is_no_distance(study, run):
    contents = {"original": {"norms": {0: (0.0, 0.0, 1.0), 20: EVEN}}}
    one = effects(filled(study, run, contents=contents), STUDY)[0]
    assert one.ratio_before.mean == -math.inf
    assert math.isnan(one.ratio.mean)
    assert (one.sign, one.seen) == ("gradient_ratio", True)


def test_trainings_that_diverge_count_and_what_has_not_ended_does_not(study, run):
    statuses = {("original", seed): "diverged" for seed in SEEDS} | {
        ("batch", 0): "running",
        ("clip", 0): "diverged",
    }
    found = {one.remedy: one for one in effects(filled(study, run, statuses=statuses), STUDY)}
    assert found["add_normalisation:batch"].gain.count == 3
    assert (found["add_normalisation:batch"].sign, found["add_normalisation:batch"].seen) == ("finite", True)
    assert (found["clip_gradients:norm"].diverged, found["clip_gradients:norm"].seen) == (1, True)
    statuses = {("batch", seed): "pending" for seed in SEEDS}
    assert "add_normalisation:batch" not in {
        one.remedy for one in effects(filled(study, run, statuses=statuses), STUDY)
    }


def test_one_seed_gives_no_verdict(study, run):
    which = Study(network=STUDY.network, training=STUDY.training, seeds=1, remedies=STUDY.remedies)
    assert {one.verdict for one in effects(filled(study, run, which=which), which)} == {""}


def test_what_was_left_out_has_its_reason():
    assert left_out(STUDY) == {"lower_dropout:0.1": {"its dropout is 0 already": 1}}
