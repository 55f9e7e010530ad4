"""Losses that do not fall, for a reason of gradient flow or another, and losses that only seem not to."""

from __future__ import annotations

import numpy as np
from examined_trainings import adam, cnn, curve, digits, examined, known, mlp, noise, sgd, without_twins

from evenflow.diagnose.rules.loss_plateau import judge


def test_labels_without_meaning_are_not_a_matter_of_gradient_flow():
    verdict = judge(known("nothing to learn"))
    assert verdict is not None
    assert verdict.severity == "information"
    assert "not a matter of gradient flow" in verdict.message


def test_network_whose_first_layers_do_not_move():
    verdict = judge(known("sigmoids"))
    assert verdict is not None
    assert verdict.severity == "risk"
    assert "not a matter of gradient flow" not in verdict.message
    assert "what guessing costs" in verdict.message


def test_loss_that_stopped_half_way():
    loss = np.where(np.arange(200) < 40, 2.3 - 0.02 * np.arange(200), 1.5)
    verdict = judge(curve((loss + 0.02 * np.random.default_rng(0).standard_normal(200)).tolist()))
    assert verdict is not None
    assert verdict.first_step is not None
    assert 35 <= verdict.first_step <= 50


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
    assert "not a matter of gradient flow" in verdict.message
    alone = judge(without_twins(nothing))  # another rate may be all that it takes
    assert alone is not None
    assert alone.severity == "information"
