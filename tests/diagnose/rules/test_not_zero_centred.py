"""Activations of one sign: advice, never a fault."""

from __future__ import annotations

import pytest
from diagnosed_trainings import adam, chain, digits, severity, sgd, trained, verdict
from torch import nn

RULE = "not_zero_centred"


def test_sigmoids_lie_around_a_half():
    found = verdict(RULE, trained(chain(64, 4, nn.Sigmoid), sgd(lr=0.1), digits(), steps=40))
    assert found is not None
    assert found.severity == "information"
    assert found.evidence["mean"] == pytest.approx(0.5, abs=0.1)
    assert found.sites == ("1", "3", "5")


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU])
def test_what_is_centred_or_rectified(activation):
    assert severity(RULE, trained(chain(64, 4, activation), sgd(lr=0.1), digits(), steps=40)) == ""


def test_a_network_of_sigmoids_that_has_converged_hears_nothing():
    assert severity(RULE, trained(chain(64, 2, nn.Sigmoid), adam(lr=2e-2), digits())) == ""
