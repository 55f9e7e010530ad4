"""Losses that do not fall, for a reason of gradient flow or another, and losses that only seem not to."""

from __future__ import annotations

import numpy as np
import pytest
from diagnosis_tables import rule
from examined_trainings import adam, cnn, curve, digits, examined, known, mlp, noise, sgd, without_twins
from torch import nn

from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.rules.loss_plateau import RULE, judge
from evenflow.diagnose.story import Found, findings
from evenflow.spec.setting import Output, Target


def test_labels_without_meaning_are_not_a_matter_of_gradient_flow():
    verdict = judge(known("nothing to learn"))
    assert verdict is not None
    assert verdict.severity == "information"
    assert "not a matter of gradient flow" in verdict.alone


def test_network_whose_first_layers_do_not_move():
    verdict = judge(known("sigmoids"))
    assert verdict is not None
    assert verdict.severity == "risk"
    assert not verdict.alone
    assert "what guessing costs" in verdict.message


def test_loss_that_stopped_half_way():
    loss = np.where(np.arange(200) < 40, 2.3 - 0.02 * np.arange(200), 1.5)
    verdict = judge(curve((loss + 0.02 * np.random.default_rng(0).standard_normal(200)).tolist()))
    assert verdict is not None
    assert verdict.first_step is not None
    assert 35 <= verdict.first_step <= 50
    assert verdict.message.startswith(f"the loss fell from 2.27 to 1.50 by step {verdict.first_step}")


def test_losses_that_fall_or_have_fallen():
    assert judge(known("sound")) is None
    assert judge(examined(cnn(), digits(images=True), adam(1e-2), twins=False)) is None
    assert judge(curve((0.02 + 2.0 * np.exp(-np.arange(200) / 5)).tolist())) is None
    assert judge(curve((2.3 - 0.004 * np.arange(200)).tolist())) is None


def test_loss_below_zero_that_comes_down():
    assert judge(curve((-np.arange(200.0)).tolist())) is None


def test_nothing_learned_at_any_rate_is_a_risk_and_a_little_is_not():
    """Labels of others: a constant answer is all that follows from the inputs, and 200 steps are enough to see it."""
    nothing = examined(mlp(64, 8, 10), noise(), sgd(0.1), steps=200)
    verdict = judge(nothing)
    assert verdict is not None
    assert (verdict.severity, verdict.remedies) == ("risk", ("look_at_the_data",))
    assert "not a matter of gradient flow" in verdict.alone
    alone = judge(without_twins(nothing))
    assert alone is not None
    assert alone.severity == "risk"
    assert "the doctor can try" in alone.alone


def test_what_is_no_matter_of_gradient_flow_is_said_of_a_root_only():
    plateau = Found(RULE, judge(known("nothing to learn")) or Verdict("risk", (), ""))
    (alone,) = findings([plateau], {}, 60)
    assert "not a matter of gradient flow" in alone.message
    dead = Found(rule("dead_units", None), Verdict("fault", (), "so it is", first_step=3))
    second = findings([plateau, dead], {}, 60)[1]
    assert (second.rule, second.root) == ("loss_plateau", "dead_units")
    assert "gradient flow" not in second.message


CLASSES = Target(kind="classes", classes=2, shape=(32,), mean=0.1, minimum=0.0, maximum=1.0)


@pytest.mark.parametrize(
    ("operations", "level", "said"),
    [
        (("log_softmax", "nll_loss"), 0.325, True),  # the entropy of one in ten
        (("log_softmax", "nll_loss"), 0.69, False),
        (("mm", "log_softmax", "nll_loss"), 0.325, False),
        (("log_softmax", "nll_loss", "add"), 0.325, False),
    ],
    ids=["a guess", "twice a guess", "contrastive", "a further term"],
)
def test_what_guessing_costs_is_said_where_it_is_certain(operations, level, said):
    output = Output(units=2, loss="cross_entropy", operations=operations)
    noise = 0.01 * np.random.default_rng(0).standard_normal(200)
    verdict = judge(curve((level + noise).tolist(), output=output, target=CLASSES, batch=32))
    assert verdict is not None
    assert ("what guessing costs (0.325)" in verdict.message) is said


def standard():
    return [((inputs - 0.3) / 0.38, targets) for inputs, targets in digits()]


def test_a_loss_that_comes_down_a_little_is_a_risk_where_no_twin_does_better():
    """One tanh unit in the middle tells some digits from others, and can do no more; the loss is still on its way."""
    case = examined(mlp(64, 1, 10, activation=nn.Tanh), standard(), adam(5e-3), steps=120)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "risk"
    assert "no twin does clearly better" in verdict.message
    assert judge(without_twins(case)) is None
    assert judge(examined(mlp(64, 32, 10), standard(), adam(5e-3), steps=120)) is None
