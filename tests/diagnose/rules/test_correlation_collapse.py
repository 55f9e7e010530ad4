"""Samples that become one vector at depth, and samples that stay apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diagnosed_trainings import (
    adam,
    chain,
    convolutions,
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

RULE = "correlation_collapse"


def test_a_deep_tanh_network_that_fails_collapses():
    model = chain(64, 30, nn.Tanh)
    inputs, _ = digits()[0]
    with torch.no_grad():
        deep = nn.functional.normalize(model[:-1](inputs), dim=1)
    among = deep @ deep.T
    reference = float((among.sum() - len(among)) / (len(among) * (len(among) - 1)))
    found = verdict(RULE, trained(model, adam(lr=1e-3), digits(), steps=60))
    assert found is not None
    assert found.severity == "fault"
    assert found.evidence["cosine_in_the_last_layers"] == pytest.approx(reference, abs=0.005)
    assert float(found.evidence["cosine_in_the_first_layers"]) < 0.95
    assert found.sites[0] == "57"


def test_convolutions_collapse_too():
    assert (
        severity(RULE, trained(convolutions(14, nn.ReLU), sgd(lr=0.5), digits(1, 8, 8), steps=60)) == "fault"
    )


@pytest.mark.parametrize("name", ["deep ReLU that Adam trains", "residual", "rate too low"])
def test_what_does_not_collapse(name):
    assert verdict(RULE, known(name)) is None


def test_samples_that_stay_apart_and_do_not_learn():
    model = redrawn(chain(64, 12, nn.Tanh), normal(1.5 / 8))
    assert verdict(RULE, trained(model, sgd(lr=1e-4), digits(), steps=60)) is None


def test_data_that_look_alike_are_not_the_network_s_doing():
    draw = torch.Generator().manual_seed(0)
    batches = [
        (50 + torch.randn(64, 64, generator=draw), torch.randint(0, 10, (64,), generator=draw))
        for _ in range(8)
    ]
    assert verdict(RULE, trained(chain(64, 5, nn.ReLU), adam(lr=1e-3), batches, steps=60)) is None


def test_what_was_not_recorded_is_said():
    case = trained(chain(16, 6, nn.Tanh), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="cosine was not recorded"):
        verdict(RULE, without(case, "cosine"))
    with pytest.raises(MissingError, match="needs 3 activations; this network has 1"):
        verdict(RULE, trained(chain(16, 2, nn.Tanh), sgd(lr=0.1), digits(), steps=12))
    assert np.isfinite(case.series("cosine", "activation").values[0]).all()


def test_steps_too_small_for_anything_are_not_called_a_collapse():
    assert verdict(RULE, trained(chain(64, 30, nn.Tanh), adam(lr=1e-7), digits(), steps=60)) is None
