"""Whether the gradient of the step before is still there when a backward pass begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import evenflow as ef


def made():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.01), torch.randn(12, 6)


def seen(train, steps=10, **options) -> int:
    """In how many steps a gradient was kept, of a loop that is called once for each step."""
    model, optimiser, inputs = made()
    with ef.Probe(model, optimiser, **options) as probe:
        for _ in range(steps):
            train(model, optimiser, inputs)
    assert probe.failure is None
    return probe.setting.uncleared


def forgets(model, optimiser, inputs):
    model(inputs).square().mean().backward()
    optimiser.step()


def clips_and_forgets(model, optimiser, inputs):
    model(inputs).square().mean().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimiser.step()


def clears(model, optimiser, inputs):
    optimiser.zero_grad()
    forgets(model, optimiser, inputs)


def sets_to_zero(model, optimiser, inputs):
    loss = model(inputs).square().mean()
    optimiser.zero_grad(set_to_none=False)
    loss.backward()
    optimiser.step()


def accumulates(model, optimiser, inputs):
    optimiser.zero_grad()
    for part in inputs.chunk(3):
        model(part).square().mean().backward()
    optimiser.step()


def accumulates_and_forgets(model, optimiser, inputs):
    for part in inputs.chunk(3):
        model(part).square().mean().backward()
    optimiser.step()


def serves_another_first(model, optimiser, inputs):
    """As a discriminator does: a gradient goes back through it to a generator, and its own is cleared after that."""
    sample = inputs.clone().requires_grad_()
    model(sample).mean().backward()
    optimiser.zero_grad()
    model(sample.detach()).square().mean().backward()
    optimiser.step()


def serves_another_first_and_sets_to_zero(model, optimiser, inputs):
    sample = inputs.clone().requires_grad_()
    model(sample).mean().backward()
    optimiser.zero_grad(set_to_none=False)
    model(sample.detach()).square().mean().backward()
    optimiser.step()


@pytest.mark.parametrize("train", [forgets, clips_and_forgets, accumulates_and_forgets])
def test_a_gradient_that_is_kept(train):
    assert seen(train) == 8


def test_it_is_seen_where_few_steps_are_recorded():
    assert seen(forgets, steps=40, every=10) == 3


@pytest.mark.parametrize(
    "train",
    [clears, sets_to_zero, accumulates, serves_another_first, serves_another_first_and_sets_to_zero],
)
def test_a_gradient_that_is_cleared(train):
    assert seen(train) == 0


def test_one_that_is_cleared_now_and_then_is_meant():
    count = iter(range(100))

    def every_third(model, optimiser, inputs):
        if next(count) % 3 == 0:
            optimiser.zero_grad()
        forgets(model, optimiser, inputs)

    assert seen(every_third) == 0


def test_two_optimisers_in_turn_clear_their_own():
    model, _, inputs = made()
    both = [torch.optim.SGD(part.parameters(), lr=0.01) for part in (model[0], model[2])]
    with ef.Probe(model) as probe:
        for step in range(12):
            own = both[step % 2]
            own.zero_grad()
            model(inputs).square().mean().backward()
            own.step()
    assert probe.setting.uncleared == 0


def test_a_closure_decides_nothing():
    model, _, inputs = made()
    optimiser = torch.optim.LBFGS(model.parameters(), lr=0.1)

    def closure():
        optimiser.zero_grad()
        loss = model(inputs).square().mean()
        loss.backward()
        return loss

    with ef.Probe(model, optimiser) as probe:
        for _ in range(6):
            optimiser.step(closure)
    assert probe.setting.uncleared == 0
