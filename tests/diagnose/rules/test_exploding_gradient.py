"""Gradients that grow on their way back or through training, and large ones that do no harm."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import (
    Recurrent,
    Residual,
    adam,
    digits,
    known,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
)
from torch import nn

RULE = "exploding_gradient"


def normalised(depth: int, width: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for before in [64, *[width] * (depth - 1)]:
        parts += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def test_batch_normalisation_without_skips_has_the_slope_that_theory_knows():
    found = verdict(RULE, trained(normalised(40), sgd(lr=0.1), digits(), steps=60))
    assert found is not None
    assert found.severity == "fault"
    # Yang et al. (2019): the squared gradient grows π / (π − 1) times a layer behind BatchNorm and ReLU.
    assert found.evidence["decades_per_layer"] == pytest.approx(0.083, abs=0.02)
    assert found.first_step == 0
    assert "38" not in found.sites[0]


def test_a_residual_network_without_normalisation_explodes():
    model = redrawn(Residual(20, norm=False), nn.init.kaiming_normal_)
    assert severity(RULE, trained(model, sgd(lr=0.01), digits(), steps=60)) == "fault"


def test_a_recurrent_network_with_large_weights_explodes_in_a_few_steps():
    model = Recurrent("RNN")
    model.rows.nonlinearity = "relu"
    model.rows.mode = "RNN_RELU"
    nn.init.normal_(model.rows.weight_hh_l0, std=0.6)
    assert severity(RULE, trained(model, sgd(lr=0.1), digits(8, 8), steps=60)) == "fault"


@pytest.mark.parametrize("name", ["residual", "Transformer", "GRU", "He", "tiny weights", "sigmoids"])
def test_what_is_no_exploding_gradient(name):
    assert verdict(RULE, known(name)) is None


def test_batch_normalisation_that_trains():
    assert verdict(RULE, trained(normalised(12, 64), adam(lr=1e-3), digits(), steps=60)) is None


def test_a_large_loss_with_large_gradients_that_falls_is_healthy():
    torch.manual_seed(0)
    weights = torch.randn(64, 1)
    batches = [(inputs, 300 + 50 * torch.tanh(inputs @ weights / 8)) for inputs, _ in digits()]
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    assert verdict(RULE, trained(model, adam(lr=1e-2), batches, nn.functional.mse_loss)) is None
