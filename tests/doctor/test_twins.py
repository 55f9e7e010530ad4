"""Twins differ from the trial in one thing only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.doctor.batches import Batch, standardised
from evenflow.doctor.examine import examine
from evenflow.spec.setting import Setting


def twins_of(model, data, loss, optimizer=None, steps=20, **options):
    table = examine(model, data, loss, optimizer, steps=steps, **options)
    return {(one.change, one.factor): one for one in Setting.from_facts(dict(table.runs[0].facts)).twins}


def by_hand(model, batch, rate, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def make():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def test_a_rate_that_is_too_low_is_raised_twice(batch):
    model = make()
    found = twins_of(model, batch, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.01))
    assert list(found) == [("nothing", 1), *(("learning_rate", factor) for factor in (0.1, 10, 100))]
    for (_, factor), twin in found.items():
        assert twin.loss == pytest.approx(by_hand(make(), batch, 0.01 * factor, 20), rel=1e-5)
    assert found["learning_rate", 100].score > found["nothing", 1].score


def test_a_rate_that_is_too_high_is_lowered_twice(batch):
    model = make()
    target = torch.randn(32, 3)
    found = twins_of(model, (batch[0], target), F.mse_loss, torch.optim.SGD(model.parameters(), lr=1e4))
    assert ("learning_rate", 0.01) in found
    assert (
        found["learning_rate", 0.01].loss[-1] < found["nothing", 1].loss[-1]
        or len(found["nothing", 1].loss) < 20
    )


def test_the_same_dropout_in_every_twin(batch):
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    found = twins_of(model, batch, F.cross_entropy)
    assert len({twin.loss[0] for twin in found.values()}) == 1


def test_standardised_inputs_where_they_are_not(batch):
    inputs = batch[0] * torch.tensor([1.0, 10.0, 100.0, 0.0]) + 7
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = twins_of(model, (inputs, batch[1]), F.cross_entropy, optimizer)
    values = inputs.numpy()
    spread = values.std(0)
    spread[3] = 1
    changed = torch.tensor((values - values.mean(0)) / spread)
    assert found["inputs", 1].loss == pytest.approx(by_hand(make(), (changed, batch[1]), 0.1, 20), rel=1e-4)
    assert ("inputs", 1) not in twins_of(make(), batch, F.cross_entropy)


def squashed(end):
    return nn.Sequential(*make(), end)


def test_an_output_as_the_loss_takes_it_is_that_of_the_model_without_its_end(batch):
    for end in (nn.Softmax(1), nn.Sigmoid(), nn.ReLU()):
        model = squashed(end)
        found = twins_of(model, batch, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1))
        assert found["output", 1].loss == pytest.approx(by_hand(make(), batch, 0.1, 20), rel=1e-5)


class Squashing(nn.Module):
    """A softmax that no module takes, behind what is done to the last layer's numbers."""

    def __init__(self, factor):
        super().__init__()
        self.body, self.factor = make(), factor

    def forward(self, x):
        return torch.softmax(self.factor * self.body(x), 1)


def test_a_softmax_in_the_code_is_seen_and_one_of_other_numbers_is_let_be(batch):
    model = Squashing(1)
    found = twins_of(model, batch, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1))
    assert found["output", 1].loss == pytest.approx(by_hand(make(), batch, 0.1, 20), rel=1e-5)
    assert ("output", 1) not in twins_of(Squashing(3), batch, F.cross_entropy)


def test_a_missing_logarithm_is_made_good(batch):
    model = make()
    found = twins_of(model, batch, F.nll_loss, torch.optim.SGD(model.parameters(), lr=0.1))
    assert found["output", 1].loss == pytest.approx(by_hand(make(), batch, 0.1, 20), rel=1e-5)
    assert ("output", 1) not in twins_of(make(), batch, F.cross_entropy)


def test_images_are_standardised_by_channel_and_tokens_left_alone():
    images, tokens = torch.rand(6, 3, 5, 5) * 255, torch.randint(0, 9, (6, 4))
    (found,) = standardised([Batch({"images": images, "tokens": tokens}, torch.zeros(6))])
    channels = found.inputs["images"].movedim(1, 0).flatten(1)
    assert channels.mean(1).abs().max() < 1e-4
    assert channels.std(1, correction=0).tolist() == pytest.approx([1, 1, 1], rel=1e-4)
    assert found.inputs["tokens"] is tokens


def test_a_scheduler_keeps_its_shape_under_another_rate(batch):
    def trained(factor):
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * factor)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.1)
        return twins_of(model, batch, F.cross_entropy, optimizer, scheduler=scheduler)

    low, high = trained(1), trained(10)
    assert low["learning_rate", 10].loss == pytest.approx(high["nothing", 1].loss, rel=1e-4)


def test_twins_that_take_too_long_are_left_out_with_the_reason(batch, monkeypatch):
    from evenflow.doctor import examine as module

    monkeypatch.setattr(module, "_TWIN_SECONDS", 0.0)
    table = examine(make(), batch, F.cross_entropy, steps=5)
    facts = dict(table.runs[0].facts)
    assert [one.change for one in Setting.from_facts(facts).twins] == ["nothing"]
    trial = facts["trial"]
    assert isinstance(trial, dict)
    assert any("learning rate × 0.1" in one and "0 s are left" in one for one in trial["skipped"])


def test_outliers_are_cut_off_and_the_rest_is_standardised_by_its_middle_half():
    draw = torch.Generator().manual_seed(0)
    inputs = 3 + 2 * torch.randn(401, 2, generator=draw)
    inputs[5, 0] = 9999.0
    found = standardised([Batch(inputs, None)], cut=True)[0].inputs
    low, middle, high = np.quantile(inputs.numpy(), [0.25, 0.5, 0.75], axis=0)
    wanted = np.clip((inputs.numpy() - middle) / ((high - low) / 1.349), -5, 5)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_twin_without_outliers_is_raised_where_there_are_some():
    inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(64) % 3
    far = inputs.clone()
    far[3, 1] = 5000.0
    for one, there in ((far, True), (3 * inputs, False)):
        assert (("outliers", 1) in twins_of(make(), (one, targets), F.cross_entropy)) is there


def test_a_slow_group_gets_the_rate_of_the_fastest_one_under_a_schedule_too(batch):
    def trained(rate: float):
        model = make()
        groups = [
            {"params": [*model[0].parameters()], "lr": rate},
            {"params": [*model[2].parameters()], "lr": 0.5},
        ]
        optimizer = torch.optim.SGD(groups)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
        return twins_of(model, batch, F.cross_entropy, optimizer, scheduler=schedule)

    assert trained(1e-6)[("unfrozen", 1)].loss == trained(0.5)[("nothing", 1)].loss
    assert ("unfrozen", 1) not in trained(0.05)
