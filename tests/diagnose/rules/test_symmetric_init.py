"""Units that stay alike, and zeros that are meant to be there."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from diagnosed_trainings import (
    Residual,
    adam,
    chain,
    convolutions,
    digits,
    known,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
    without,
)
from torch import nn

from evenflow.diagnose.finding import MissingError

RULE = "symmetric_init"
constant = partial(nn.init.constant_, val=0.05)


def copied(weight: torch.Tensor) -> None:
    """Every unit like the first."""
    nn.init.kaiming_normal_(weight)
    weight.copy_(weight[:1].expand_as(weight))


@pytest.mark.parametrize(
    ("model", "optimizer", "batches"),
    [
        (lambda: redrawn(chain(32, 4, nn.Tanh), constant), sgd(lr=0.1), digits),
        (lambda: redrawn(chain(32, 4, nn.Tanh), constant, None), adam(lr=1e-3), digits),
        (lambda: redrawn(chain(32, 4, nn.ReLU), nn.init.zeros_), sgd(lr=0.1), digits),
        (lambda: redrawn(convolutions(3, nn.ReLU), constant), adam(lr=1e-3), lambda: digits(1, 8, 8)),
        (lambda: redrawn(chain(32, 4, nn.ReLU), copied), adam(lr=1e-3), digits),
    ],
    ids=["constant", "constant with drawn biases", "zero", "convolutions", "copied units"],
)
def test_units_that_stay_alike(model, optimizer, batches):
    built = model()
    alike = [name for name, part in built.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)][:-1]
    found = verdict(RULE, trained(built, optimizer, batches(), steps=60))
    assert found is not None
    assert found.severity == "fault"
    assert set(found.sites) <= set(alike)
    assert found.sites


def test_the_units_do_stay_alike():
    model = redrawn(chain(32, 4, nn.Tanh), constant)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for inputs, targets in digits():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    assert model.get_parameter("2.weight").std(0).max() < 1e-6


def last_at_zero(model: nn.Sequential) -> nn.Sequential:
    last = model[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    return model


def branches_at_zero() -> nn.Module:
    model = Residual(4)
    for block in model.blocks:
        nn.init.zeros_(block.get_parameter("3.weight"))
    return model


def first_at_zero() -> nn.Module:
    model = chain(32, 3, nn.ReLU)
    nn.init.zeros_(model.get_parameter("0.weight"))
    return model


@pytest.mark.parametrize(
    "model",
    [
        lambda: last_at_zero(chain(32, 3, nn.ReLU)),
        branches_at_zero,
        first_at_zero,
        lambda: redrawn(chain(32, 3, nn.ReLU), nn.init.orthogonal_),
    ],
    ids=["last layer at 0", "residual branches at 0", "one layer at 0", "orthogonal"],
)
def test_what_breaks_by_itself(model):
    assert severity(RULE, trained(model(), adam(lr=3e-3), digits(), steps=60)) == ""


@pytest.mark.parametrize("name", ["GRU", "He", "rate too low"])
def test_weights_that_were_drawn(name):
    assert severity(RULE, known(name)) == ""


def test_without_the_weights_at_the_start_nothing_is_said():
    case = trained(chain(8, 2, nn.ReLU), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="weights at the start are not known"):
        verdict(RULE, without(case, setting=False))
