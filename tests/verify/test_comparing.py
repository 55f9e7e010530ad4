"""Losses that are written by hand: which of them are least where outputs are targets."""

from __future__ import annotations

import pytest
import torch
from changed_trainings import training_of
from torch import nn

import evenflow as ef
from evenflow.verify.comparing import compares


def numbers(count=8):
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(32, 4, generator=draw) for _ in range(count)]
    return [(one, (one[:, :2].sum(1, keepdim=True) + 2.0).clamp(0.5)) for one in inputs]


@pytest.mark.parametrize(
    ("loss", "does"),
    [
        (lambda output, target: (output - target).square().mean().sqrt(), True),
        (lambda output, target: ((output - target) / target).abs().mean(), True),
        (lambda output, target: (output - target).cosh().log().mean(), True),
        (lambda output, target: (output.exp() - target * output).mean(), False),
        (lambda output, target: -(output * target).mean(), False),
        (lambda output, target: (output - target.roll(1, 0)).square().mean(), False),
        (lambda output, target: output.index_select(1, target.long()[:, 0]).mean(), False),
    ],
    ids=["root", "relative", "log cosh", "poisson", "product", "another's target", "raises"],
)
def test_whether_a_loss_compares(loss, does):
    assert compares(training_of(nn.Linear(4, 1), numbers(), loss, target="real")) is does


def test_classes_are_not_compared():
    data = [(inputs, target[:, 0].long()) for inputs, target in numbers()]
    assert not compares(training_of(nn.Linear(4, 4), data))


def test_the_root_of_an_error_is_repaired_by_explained_variance():
    """Two outputs that are right from the start: the root's slope is infinite there."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    for one in model[2].parameters():
        nn.init.zeros_(one)
    data = [(inputs, torch.cat([target, torch.zeros_like(target)], 1)) for inputs, target in numbers()]

    def loss_fn(output, target):
        return (output - target).square().mean(0).sqrt().mean()

    outcome = ef.fix(model, data, loss_fn, torch.optim.Adam(model.parameters(), 1e-2), steps=80)
    assert outcome.table.metric == "explained variance"
    assert outcome.repaired
    inputs, target = data[0]
    trained = outcome.trained
    assert trained is not None
    error = (trained(inputs).detach() - target)[:, 0].square().mean()
    assert float(error) < 0.3 * float(target[:, 0].var())
