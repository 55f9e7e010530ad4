"""`ef.fix` with the remedies that there are: what it prints, pasted by hand, gives what it promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from examined_trainings import digits, mlp
from torch import nn

import evenflow as ef

LOSS = nn.functional.cross_entropy
BATCHES = digits()[:12]
STEPS = 80


def dead() -> nn.Sequential:
    model = mlp(64, 32, 32, 32, 10)
    with torch.no_grad():
        layer = model[2]
        assert isinstance(layer, nn.Linear)
        layer.bias.fill_(-10.0)
    return model


def frozen() -> nn.Sequential:
    model = mlp(64, 32, 32, 10)
    for layer in list(model)[:4]:
        layer.requires_grad_(False)
    with torch.no_grad():
        for one in model[0].parameters():
            one.mul_(0.01)
    return model


def plain() -> nn.Sequential:
    return mlp(64, 32, 32, 10)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 3e-3)


def wild(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 20.0)


def score(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        right = [(model(inputs).argmax(1) == targets).float() for inputs, targets in BATCHES]
    return float(torch.cat(right).mean())


def pasted(outcome: ef.Outcome, make: Callable[[], nn.Module], optimise) -> float:
    """The score of the original script with these lines in it, where they are said to go."""
    names = {"model": make(), "loss_fn": LOSS, "batches": list(BATCHES)}
    prescription = outcome.prescription
    assert prescription is not None
    early = "before the optimiser" in prescription.place
    if early:
        exec(outcome.code, names)
    names["optimizer"] = optimise(names["model"])
    if not early:
        exec(outcome.code, names)
    model, optimizer = names["model"], names["optimizer"]
    for step in range(STEPS):
        inputs, targets = names["batches"][step % len(BATCHES)]
        optimizer.zero_grad()
        names["loss_fn"](model(inputs), targets).backward()
        optimizer.step()
    return score(model)


@pytest.mark.parametrize(
    ("make", "optimise", "only"),
    [(dead, adam, None), (plain, wild, ["lower_learning_rate"])],
    ids=["dead units", "learning rate"],
)
def test_what_it_prints_gives_what_it_promises(make, optimise, only):
    model = make()
    before = [one.clone() for one in model.parameters()]
    outcome = ef.fix(model, BATCHES, LOSS, optimise(model), steps=STEPS, only=only)
    assert outcome.repaired, str(outcome)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    own, chosen = outcome.table.rows[0], next(row for row in outcome.table if row.chosen)
    assert chosen.value > own.value + 0.2
    assert pasted(outcome, make, optimise) == pytest.approx(chosen.value, abs=0.1)


def test_a_sound_training_is_left_alone():
    model = mlp(64, 32, 10)
    outcome = ef.fix(model, BATCHES, LOSS, torch.optim.Adam(model.parameters(), 1e-2), steps=STEPS)
    assert outcome.healthy, str(outcome)
    assert outcome.code == ""


def test_activations_stay_where_that_is_asked_for():
    torch.manual_seed(0)
    model = mlp(64, *[24] * 6, 10, activation=nn.Sigmoid)
    outcome = ef.fix(
        model,
        BATCHES,
        LOSS,
        torch.optim.Adam(model.parameters(), 1e-2),
        steps=40,
        keep_activation=True,
    )
    assert not any("change_activation" in row.name for row in outcome.table)
    assert "activations are to stay as they are" in str(outcome) or len(outcome.table) > 1
