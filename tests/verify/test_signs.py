"""Signs before and after."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from examined_trainings import adam, digits, examined, mlp, sgd
from torch import nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.trial import Plan
from evenflow.prescribe.prescription import Training
from evenflow.verify.metric import Metric
from evenflow.verify.randomness import Randomness
from evenflow.verify.signs import WORDS, _appeared, measured, reading
from evenflow.verify.trial import Look, Trainee

STEPS = 30


def table(model, make=None, **options):
    case = examined(model, digits()[:8], make or adam(1e-3), twins=False, steps=STEPS, **options)
    return case.table


def looked(model, make=None):
    return [Look(0, table(model, make))]


def dead(depth=4):
    model = mlp(64, *[24] * depth, 10)
    with torch.no_grad():
        for layer in list(model)[2:-1]:
            if isinstance(layer, nn.Linear):
                layer.bias.fill_(-10.0)
    return model


def alike():
    model = mlp(64, 24, 24, 10)
    with torch.no_grad():
        layer = model[0]
        assert isinstance(layer, nn.Linear)
        layer.weight[1:] = layer.weight[:1].clone()
        layer.bias.zero_()
    return model


def frozen():
    model = mlp(64, 24, 24, 10)
    model[0].requires_grad_(False)
    return model


def trained_part(model):
    return torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 1e-3)


def test_a_gradient_that_vanishes_and_one_that_does_not():
    sick = mlp(64, *[24] * 8, 10, activation=nn.Sigmoid)
    found = reading("gradient_ratio", table(sick), looked(mlp(64, *[24] * 8, 10)))
    assert found.before < 1e-3 < found.after
    assert found.appeared
    again = reading("gradient_ratio", table(sick), looked(sick))
    assert again.appeared is False
    assert again.before == again.after


def test_growth_of_the_gradient_is_what_an_exact_chain_has():
    model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(5)], nn.Linear(64, 10, bias=False))
    with torch.no_grad():
        for layer in list(model)[:-1]:
            assert isinstance(layer, nn.Linear)
            nn.init.orthogonal_(layer.weight, 2.0)
    growth = measured("activation_growth", table(nn.Sequential(*_with_identities(model)), sgd(0.0)))
    assert growth == pytest.approx(2.0, rel=0.02)


def _with_identities(model):
    for layer in model:
        yield layer
        yield nn.LeakyReLU(1.0)  # an activation that changes nothing


def test_shares_of_units():
    found = reading("dead_units", table(dead()), looked(mlp(64, *[24] * 4, 10)))
    assert found.before == 1.0
    assert found.after < 0.5
    assert found.appeared
    found = reading("alike_units", table(alike()), looked(mlp(64, 24, 24, 10)))
    assert (found.before, found.after, found.appeared) == (0.0, 1.0, True)


def test_weights_that_move():
    found = reading("moving_weights", table(frozen(), trained_part), looked(mlp(64, 24, 24, 10)))
    assert found.before == pytest.approx(2 / 3)
    assert (found.after, found.appeared) == (1.0, True)


def test_a_loss_that_is_not_finite():
    wild = mlp(64, 24, 10)
    found = reading("finite", table(wild, sgd(1e20)), looked(mlp(64, 24, 10)))
    assert found.before < 1.0
    assert (found.after, found.appeared) == (1.0, True)


def test_updates_go_with_the_learning_rate():
    slow, fast = table(mlp(64, 24, 10), sgd(1e-3)), looked(mlp(64, 24, 10), sgd(1e-2))
    found = reading("larger_updates", slow, fast)
    assert found.appeared
    assert found.after / found.before == pytest.approx(
        10.0, rel=0.3
    )  # Δw = −η g, at gradients that are much the same
    assert reading("smaller_updates", slow, fast).appeared is False
    assert reading("smaller_updates", fast[0].table, [Look(0, slow)]).appeared
    assert reading("larger_updates", slow, [Look(0, slow)]).appeared is False


def test_one_step_too_far_is_seen_however_short_the_others_are():
    far = table(mlp(64, 24, 24, 10), adam(1.0))  # units are silent from then on, and updates small
    near = looked(mlp(64, 24, 24, 10), adam(0.01))
    found = reading("smaller_updates", far, near)
    by_step = np.array([step["update_to_weight"] for step in _steps(far)])
    assert found.before == pytest.approx(np.median(by_step, axis=1).max())
    assert found.before > 1.0 > 0.3 > found.after
    assert found.appeared


def _steps(found):
    kept = found.select(kind="weight")
    return [kept.select(step=step) for step in range(STEPS)]


@pytest.mark.parametrize(
    ("sign", "before", "after", "appeared"),
    [
        ("larger_updates", 0.0, 0.0, False),
        ("larger_updates", 0.0, 1e-3, True),
        ("larger_updates", 1e-3, 3.0, False),  # nothing is left of the weight
        ("smaller_updates", 0.05, 1e-9, False),  # rounded away
        ("smaller_updates", math.inf, 1e-3, True),
        ("smaller_updates", 0.05, 0.049, False),
        ("smaller_updates", math.nan, 1e-3, None),
    ],
)
def test_what_counts_as_smaller_and_as_larger(sign, before, after, appeared):
    assert _appeared(sign, before, after) is appeared


class Reader(nn.Module):
    def __init__(self, forget):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 2)
        with torch.no_grad():
            self.lstm.get_parameter("bias_ih_l0")[8:16] = forget

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def test_the_gradient_through_time_is_that_of_the_start():
    draw = torch.Generator().manual_seed(1)
    batches = [(torch.randn(16, 40, 2, generator=draw), torch.randint(2, (16,), generator=draw))]
    before = examined(Reader(0.0), batches, adam(1e-3), twins=False, steps=4).table
    plan = Plan([Batch(*batches[0])], nn.functional.cross_entropy, 4, target="classes")

    def make():
        model = Reader(3.0)
        return Training(Patient(model, torch.optim.Adam(model.parameters(), 1e-3)), plan)

    one = Trainee("open", make, Metric("accuracy", chance=0.5), Randomness.now(), through_time=True)
    one.advance(2, look=True)
    one.advance(4, look=True)
    found = reading("gradient_through_time", before, one.looks)

    def by_hand(model):
        inputs = batches[0][0].clone().requires_grad_()
        nn.functional.cross_entropy(model(inputs), batches[0][1]).backward()
        assert inputs.grad is not None
        first, last = inputs.grad[:, 0], inputs.grad[:, -1]
        return float(first.norm() / last.norm())

    assert found.before == pytest.approx(by_hand(Reader(0.0)), rel=1e-4)
    assert found.after == pytest.approx(by_hand(Reader(3.0)), rel=1e-4)
    assert found.before < 1e-6 < 1e-2 < found.after
    assert found.appeared


def test_what_was_not_measured_cannot_be_told():
    plain = looked(nn.Linear(64, 10))
    found = reading("dead_units", plain[0].table, plain)
    assert math.isnan(found.before)
    assert found.appeared is None
    assert reading("loss", plain[0].table, []).appeared is None


def test_every_sign_has_words():
    assert all(reading(sign, looked(mlp(64, 8, 10))[0].table, []).words for sign in list(WORDS)[:1])
    assert len(set(WORDS.values())) == len(WORDS)
