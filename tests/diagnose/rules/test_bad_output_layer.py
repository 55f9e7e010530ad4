"""Ends that do not fit their loss, and ends that only look it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from examined_trainings import adam, cnn, curve, digits, examined, mlp, regression, sgd, without_twins
from scipy import integrate, optimize, stats
from torch import nn
from torch.nn import functional

from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.mismatch import mismatch, missed_share
from evenflow.diagnose.rules.bad_output_layer import judge
from evenflow.spec.setting import Output, Setting, Target


def ended(model: nn.Sequential, *ends: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model, *ends)


def odd():
    """Whether a digit is odd, as a column of 0 and 1."""
    return [(inputs, (targets % 2).float().unsqueeze(1)) for inputs, targets in digits()]


def rows():
    return [(inputs, functional.one_hot(targets, 10).float()) for inputs, targets in digits()]


def flat():
    """The regression with targets of one dimension less than the outputs."""
    return [(inputs, targets[:, 0]) for inputs, targets in regression()]


class Ten(nn.Module):
    def forward(self, x):
        return 10 * x


binary, with_logits = functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits
mse = functional.mse_loss

FAULTS = {
    "softmax before cross-entropy": lambda: (ended(mlp(64, 32, 10), nn.Softmax(1)), digits(), adam(1e-3)),
    "softmax behind a cnn": lambda: (ended(cnn(), nn.Softmax(1)), digits(images=True), adam(3e-3)),
    "sigmoid before cross-entropy": lambda: (ended(mlp(64, 32, 10), nn.Sigmoid()), digits(), adam(1e-3)),
    "tanh before cross-entropy": lambda: (ended(mlp(64, 32, 10), nn.Tanh()), digits(), sgd(0.03)),
    "relu before cross-entropy": lambda: (ended(mlp(64, 32, 10), nn.ReLU()), digits(), adam(1e-2)),
    "sigmoid twice": lambda: (ended(mlp(64, 32, 1), nn.Sigmoid()), odd(), adam(1e-2), with_logits),
    "relu on one logit": lambda: (ended(mlp(64, 32, 1), nn.ReLU()), odd(), adam(1e-2), with_logits),
    "no logarithm": lambda: (
        ended(mlp(64, 32, 10), nn.Softmax(1)),
        digits(),
        adam(1e-3),
        functional.nll_loss,
    ),
    "logits into nll": lambda: (mlp(64, 32, 10), digits(), adam(1e-2), functional.nll_loss),
    "softmax of one": lambda: (ended(mlp(64, 32, 1), nn.Softmax(1)), odd(), adam(1e-2), binary),
    "relu on a regression": lambda: (ended(mlp(8, 32, 1), nn.ReLU()), regression(), adam(1e-2), mse),
    "sigmoid on a regression": lambda: (ended(mlp(8, 32, 1), nn.Sigmoid()), regression(), adam(1e-2), mse),
    "every output with every target": lambda: (mlp(8, 32, 1), flat(), adam(1e-2), mse),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("training", FAULTS.values(), ids=FAULTS)
def test_ends_that_do_not_fit(training):
    verdict = judge(examined(*training(), steps=40, twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert len(verdict.sites) == 1


def test_a_softmax_twice_that_finds_the_classes_all_the_same_is_a_risk():
    case = examined(ended(mlp(64, 32, 10), nn.Softmax(1)), digits(), adam(1e-2), steps=100)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "risk"
    assert abs(float(verdict.evidence["twin_points"])) < 10
    alone = judge(without_twins(case))  # nothing tells how good the answers are then
    assert alone is not None
    assert alone.severity == "fault"


SOUND = {
    "logits": lambda: (mlp(64, 32, 10), digits(), adam(1e-2)),
    "log-probabilities": lambda: (
        ended(mlp(64, 32, 10), nn.LogSoftmax(1)),
        digits(),
        adam(1e-2),
        functional.nll_loss,
    ),
    "logarithm in the loss": lambda: (
        ended(mlp(64, 32, 10), nn.Softmax(1)),
        digits(),
        adam(1e-2),
        lambda output, target: functional.nll_loss(output.log(), target),
    ),
    "sigmoid": lambda: (ended(mlp(64, 32, 1), nn.Sigmoid()), odd(), adam(1e-2), binary),
    "one logit": lambda: (mlp(64, 32, 1), odd(), adam(1e-2), with_logits),
    "bounded logits, scaled up": lambda: (ended(mlp(64, 32, 10), nn.Tanh(), Ten()), digits(), adam(1e-2)),
    "sigmoid of an auto-encoder": lambda: (
        ended(mlp(64, 16, 64), nn.Sigmoid()),
        [(inputs, inputs) for inputs, _ in digits()],
        adam(1e-2),
        mse,
    ),
    "relu on positive targets": lambda: (
        ended(mlp(8, 32, 1), nn.ReLU()),
        [(inputs, targets.abs()) for inputs, targets in regression()],
        adam(1e-2),
        mse,
    ),
    "shapes made equal": lambda: (
        mlp(8, 32, 1),
        flat(),
        adam(1e-2),
        lambda output, target: mse(output.squeeze(1), target),
    ),
}


@pytest.mark.parametrize("training", SOUND.values(), ids=SOUND)
def test_ends_that_fit(training):
    assert judge(examined(*training(), steps=40, twins=False)) is None


def test_log_softmax_twice_is_information():
    verdict = judge(
        examined(ended(mlp(64, 32, 10), nn.LogSoftmax(1)), digits(), adam(1e-2), steps=30, twins=False)
    )
    assert verdict is not None
    assert verdict.severity == "information"


def test_squared_error_of_probabilities_by_what_it_learned():
    good = judge(
        examined(ended(mlp(64, 32, 10), nn.Softmax(1)), rows(), adam(1e-2), mse, steps=100, twins=False)
    )
    poor = judge(examined(ended(mlp(64, 32, 10), nn.Softmax(1)), rows(), sgd(0.01), mse, twins=False))
    assert good is not None
    assert poor is not None
    assert (good.severity, poor.severity) == ("information", "risk")


def test_rectified_output_that_has_gone_silent():
    model = ended(mlp(8, 32, 1), nn.ReLU())
    with torch.no_grad():
        model.get_parameter("2.bias").fill_(-50.0)
    targets = [(inputs, targets.abs() + 1.0) for inputs, targets in regression()]
    verdict = judge(examined(model, targets, adam(1e-2), mse, twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert "puts out 0 for every sample from step 0 on" in verdict.message


@pytest.mark.parametrize(("units", "activation", "low", "high"), [(10, "softmax", 0, 1), (3, "tanh", -1, 1)])
def test_least_loss_is_what_a_search_finds(units: int, activation: str, low: float, high: float):
    found = mismatch(Setting(output=Output(units=units, activation=activation, loss="cross_entropy")))
    assert found is not None

    def loss(values):
        return math.log(np.exp(values).sum()) - values[0]

    least = optimize.minimize(loss, np.full(units, 0.5 * (low + high)), bounds=[(low, high)] * units).fun
    assert found.floor == pytest.approx(least, rel=1e-6)


def test_missed_share_is_the_integral_over_the_tail():
    target = Target(kind="real", mean=0.7, std=2.0, minimum=-9.0, maximum=9.0)
    tail = integrate.quad(lambda value: value**2 * stats.norm.pdf(value, 0.7, 2.0), -math.inf, 0.0)[0]
    assert missed_share(target, 0.0, math.inf) == pytest.approx(tail / 4.0)


def test_targets_just_outside_are_missed_by_no_more_than_that():
    target = Target(kind="real", mean=0.5, std=0.3, minimum=-0.01, maximum=1.0)
    assert missed_share(target, 0.0, math.inf) < 0.002


def test_nothing_known_of_the_output():
    with pytest.raises(MissingError, match="hand the loss to the probe before it is detached"):
        judge(curve([2.3] * 20))


def test_a_sign_that_is_turned_is_a_fault_at_any_rate_and_twice_turned_is_none():
    for rate in (1e-3, 1e-2):
        verdict = judge(
            examined(mlp(64, 32, 10), digits(), adam(rate), lambda *each: -functional.cross_entropy(*each))
        )
        assert verdict is not None
        assert verdict.severity == "fault"
        assert "minus cross_entropy" in verdict.message
    twice = judge(
        examined(
            mlp(64, 32, 10),
            digits(),
            adam(1e-2),
            lambda *each: functional.cross_entropy(*each).neg().neg(),
            twins=False,
        )
    )
    assert twice is None


def test_a_softmax_of_the_loss_function_in_front_of_logits_is_seen_whatever_the_model_puts_out():
    def twice(output, target):
        wanted = functional.one_hot(target, 10).float()
        return functional.binary_cross_entropy_with_logits(output.softmax(1), wanted)

    case = examined(mlp(64, 32, 10), digits(), sgd(0.05), twice)
    assert case.setting.output is not None
    assert case.setting.output.in_loss
    assert case.setting.output.minimum < 0.0
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
