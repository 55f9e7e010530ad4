"""Forward signals that grow exponentially, and streams that grow as they should."""

from __future__ import annotations

import math

import pytest
from diagnosed_trainings import (
    chain,
    digits,
    known,
    normal,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
    without,
)
from torch import nn

from evenflow.diagnose.finding import MissingError

RULE = "exploding_activations"


def test_weights_too_large_multiply_the_signal_by_what_theory_says():
    found = verdict(RULE, trained(redrawn(chain(64, 8, nn.ReLU), normal(0.5)), sgd(lr=0.01), digits()))
    assert found is not None
    assert found.severity == "fault"
    # Behind ReLU the mean square is n Var(w) / 2 times that of the layer before.
    assert found.evidence["factor_per_layer"] == pytest.approx(math.sqrt(64 * 0.25 / 2), rel=0.1)
    assert found.sites[0] == "13"
    assert found.first_step == 0


def test_convolutions_with_weights_too_large_explode():
    assert severity(RULE, known("large weights of convolutions")) == "fault"


def test_steps_too_large_make_them_grow_later():
    found = verdict(RULE, trained(chain(64, 5, nn.ReLU), sgd(lr=10.0), digits(), steps=60))
    assert found is not None
    assert found.severity == "fault"
    assert found.first_step is not None
    assert found.first_step > 0


@pytest.mark.parametrize(
    "name", ["residual", "Transformer", "He", "rate too low", "tiny weights", "sigmoids"]
)
def test_what_does_not_explode(name):
    assert verdict(RULE, known(name)) is None


def test_activations_that_were_not_recorded_are_said():
    case = trained(chain(16, 4, nn.ReLU), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="rms was not recorded"):
        verdict(RULE, without(case, "rms"))
