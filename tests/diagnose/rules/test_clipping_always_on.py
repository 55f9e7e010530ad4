"""Clipping that sets the length of every step, and clipping that does what it is for."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import Recurrent, adam, chain, digits, severity, sgd, trained, verdict
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError

RULE = "clipping_always_on"


def test_clipping_that_stops_plain_gradient_descent():
    model = chain(32, 3, nn.ReLU)
    inputs, targets = digits()[0]
    nn.functional.cross_entropy(model(inputs), targets).backward()
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    found = verdict(RULE, trained(chain(32, 3, nn.ReLU), sgd(lr=0.1), digits(), clip_norm=1e-3))
    assert found is not None
    assert found.severity == "fault"
    assert found.evidence["share_of_steps_clipped"] == 1.0
    assert found.evidence["median_share_left"] == pytest.approx(1e-3 / norm, rel=0.5)


def test_a_recurrent_network_is_clipped_too():
    case = trained(Recurrent("RNN"), sgd(lr=0.1), digits(8, 8), clip_norm=1e-3)
    assert severity(RULE, case) == "fault"


def test_adam_makes_up_for_it():
    assert (
        severity(RULE, trained(chain(32, 3, nn.ReLU), adam(lr=3e-3), digits(), clip_norm=0.01))
        == "information"
    )


@pytest.mark.parametrize(("clip_norm", "rate"), [(2.0, 0.1), (1.0, 0.3)])
def test_clipping_that_acts_rarely_is_not_worth_a_word(clip_norm, rate):
    case = trained(chain(32, 3, nn.ReLU), sgd(lr=rate), digits(), clip_norm=clip_norm)
    assert verdict(RULE, case) is None


def test_where_nothing_was_clipped_there_is_nothing_to_say():
    case = trained(chain(16, 3, nn.ReLU), sgd(lr=0.1), digits(), steps=12)
    assert verdict(RULE, case) is None
    with pytest.raises(MissingError, match="no weight"):
        verdict(RULE, Case(case.table.select(kind="activation"), case.run))
