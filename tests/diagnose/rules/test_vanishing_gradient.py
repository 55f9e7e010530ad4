"""Gradients that fade on their way back, and networks that train in spite of small ones."""

from __future__ import annotations

import math

import pytest
import torch
from diagnosed_trainings import (
    adam,
    chain,
    convolutions,
    digits,
    known,
    norm_of_gradient,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
    without,
)
from torch import nn

from evenflow.diagnose.finding import MissingError

RULE = "vanishing_gradient"


def test_a_stack_of_sigmoids_has_a_slope_that_theory_knows():
    found = verdict(RULE, known("sigmoids"))
    assert found is not None
    assert found.severity == "fault"
    assert found.sites[0] in ("0.weight", "2.weight")
    assert "22.weight" not in found.sites
    # Near 0 a sigmoid has slope 1/4, and PyTorch's default draws Var w = 1 / (3 n): 1 / √48 a layer.
    expected = math.log10(math.sqrt(48))
    assert found.evidence["decades_per_layer"] == pytest.approx(-expected, abs=0.05)
    low, middle, high = (float(found.evidence[f"decades_per_layer{end}"]) for end in ("_low", "", "_high"))
    assert low < middle < high < -0.7
    assert found.first_step == 0
    assert "hardly moved" in found.message


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        (lambda: convolutions(10, nn.Sigmoid), lambda: digits(1, 8, 8)),
        (lambda: chain(64, 20, nn.ReLU), digits),
        (lambda: chain(64, 20, nn.Tanh), digits),
    ],
    ids=["convolutions", "ReLU as torch draws it", "tanh as torch draws it"],
)
def test_other_networks_whose_first_layers_learn_nothing(model, batches):
    assert severity(RULE, trained(model(), sgd(lr=0.1), batches(), steps=60)) == "fault"


def test_tiny_weights_are_enough():
    assert severity(RULE, known("tiny weights")) == "fault"


@pytest.mark.parametrize(
    "name", ["deep ReLU that Adam trains", "He", "residual", "Transformer", "rate too low"]
)
def test_what_is_no_vanishing_gradient(name):
    assert verdict(RULE, known(name)) is None


def test_few_sigmoids_train():
    assert verdict(RULE, trained(chain(64, 3, nn.Sigmoid), adam(lr=5e-3), digits())) is None


def test_the_small_ratio_of_the_network_that_trains_was_there():
    model = chain(64, 10, nn.ReLU)
    inputs, targets = digits()[0]
    nn.functional.cross_entropy(model(inputs), targets).backward()
    norms = [norm_of_gradient(layer) for layer in model if isinstance(layer, nn.Linear)]
    assert norms[0] / norms[-1] < 0.03


def test_a_gradient_that_was_tiny_and_is_gone_is_still_named():
    model = redrawn(chain(5, 10, nn.ReLU), lambda weight: nn.init.uniform_(weight, -0.05, 0.05))
    case = trained(model, adam(lr=1e-2), digits())
    assert case.series("grad_norm", "weight").values[-1][0] == 0.0
    assert severity(RULE, case) == "fault"


def test_a_network_that_is_silent_from_the_start_has_no_gradient_to_vanish():
    case = trained(redrawn(chain(16, 4, nn.ReLU), lambda _: None, -9.0), adam(lr=1e-3), digits(), steps=20)
    assert verdict(RULE, case) is None


def test_targets_at_random_are_not_the_gradient_s_fault():
    draw = torch.Generator().manual_seed(0)
    batches = [(inputs, torch.randint(0, 10, targets.shape, generator=draw)) for inputs, targets in digits()]
    assert verdict(RULE, trained(chain(32, 4, nn.ReLU), adam(lr=1e-3), batches)) is None


def test_two_layers_are_no_trend():
    case = trained(chain(16, 2, nn.Sigmoid), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="needs 3 layers with weights; this network has 2"):
        verdict(RULE, case)


def test_without_setting_and_updates_the_gradients_are_enough():
    assert severity(RULE, without(known("sigmoids"), "update_to_weight", setting=False)) == "fault"
    with pytest.raises(MissingError, match="loss"):
        verdict(RULE, without(known("sigmoids"), "loss"))
