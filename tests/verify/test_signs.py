"""Signs before and after."""

from __future__ import annotations

import math

import pytest
import torch
from examined_trainings import adam, digits, examined, mlp, sgd
from torch import nn

from evenflow.verify.signs import WORDS, measured, reading
from evenflow.verify.trial import Look

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


def test_updates_that_are_too_small():
    found = reading("update_to_weight", table(mlp(64, 24, 10), adam(1e-9)), looked(mlp(64, 24, 10)))
    assert found.before < 1e-6 < found.after
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
