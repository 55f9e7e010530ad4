"""Remedies for inputs, and for weights that stand still."""

from __future__ import annotations

import copy
import math
from collections import namedtuple

import pytest
import torch
from changed_trainings import changed, check, examined, run, training_of, view_of
from torch import nn

from evenflow.prescribe.add_to_optimiser import REMEDY as ADD
from evenflow.prescribe.check_inputs import REMEDY as CHECK
from evenflow.prescribe.front import mean_and_spread
from evenflow.prescribe.standardise_input import REMEDY as STANDARDISE
from evenflow.prescribe.unfreeze import REMEDY as UNFREEZE


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def blobs(count: int = 6, classes: int = 3):
    centres = 2.0 * torch.randn(classes, 4)
    found = []
    for _ in range(count):
        target = torch.randint(0, classes, (32,))
        found.append((centres[target] + torch.randn(32, 4), target))
    return found


def net(width: int = 16):
    return nn.Sequential(
        nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
    )


def sgd(model: nn.Module, rate: float = 0.1):
    return torch.optim.SGD(model.parameters(), lr=rate)


def test_inputs_of_any_scale_and_place_become_standard():
    model = net()
    scale = torch.tensor([1.0, 300.0, 1.0, 1e-3])
    far = [(scale * inputs + torch.tensor([0.0, 5000.0, 40.0, 0.0]), target) for inputs, target in blobs()]
    training = training_of(model, far)
    view = examined(training)
    features, whole = STANDARDISE.forms(view)
    assert run(training).settled != run(training).settled or run(training).settled > 0.9
    made = check(features, training)
    assert run(made).settled < 0.5
    assert "4 features" in features.title
    check(whole, training)
    seen = torch.cat(
        [(batch.inputs - made.patient.model.mean) / made.patient.model.spread for batch in made.plan.batches]
    )
    assert torch.allclose(seen.mean(0), torch.zeros(4), atol=1e-3)
    assert torch.allclose(seen.std(0, correction=0), torch.ones(4), atol=1e-3)
    assert not STANDARDISE.forms(view_of(made))
    assert "already" in STANDARDISE.why_not(view_of(made))


def test_means_and_spreads_leave_holes_and_constants_alone():
    values = torch.tensor([[1.0, 5.0, 7.0], [3.0, float("nan"), 7.0], [5.0, 9.0, 7.0]])
    mean, spread = mean_and_spread([values[:2], values[2:]], 1)
    assert torch.allclose(mean, torch.tensor([[3.0, 7.0, 7.0]]))
    assert torch.allclose(spread, torch.tensor([[math.sqrt(8 / 3), 2.0, 1.0]]))
    images = torch.randn(5, 3, 4, 4) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)
    mean, spread = mean_and_spread([images], 1)
    assert mean.shape == spread.shape == (1, 3, 1, 1)
    assert float(spread[0, 2, 0, 0]) == pytest.approx(float(images[:, 2].std(correction=0)), rel=1e-5)


class Two(nn.Module):
    """Takes tokens and numbers, in whatever way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.table, self.mix, self.head = nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, *given, **named):
        tokens, numbers = {
            "tuple": lambda: given,
            "nested": lambda: (given[0][0], given[0][1]["x"]),
            "keywords": lambda: (named["tokens"], named["numbers"]),
        }[self.way]()
        return self.head(torch.relu(self.table(tokens) + self.mix(numbers)))


class OfOneMapping(Two):
    def forward(self, batch):
        return super().forward(batch["tokens"], batch["numbers"])


Pair = namedtuple("Pair", "tokens numbers")


@pytest.mark.parametrize("way", ["tuple", "nested", "keywords", "mapping", "named tuple"])
def test_of_several_inputs_the_numbers_alone_are_standardised(way):
    model = OfOneMapping("tuple") if way == "mapping" else Two("tuple" if way == "named tuple" else way)
    data = []
    for inputs, target in blobs():
        tokens, numbers = target.clone(), 1000.0 * inputs + 3000.0
        given = {
            "tuple": (tokens, numbers),
            "nested": ([tokens, {"x": numbers}],),
            "named tuple": Pair(tokens, numbers),
        }
        data.append((given.get(way, {"tokens": tokens, "numbers": numbers}), target))
    training = training_of(model, data, optimizer=sgd(model))
    before, after = run(training), run(check(STANDARDISE.forms(view_of(training))[0], training))
    assert math.isnan(before.settled) or before.settled > 1.0
    assert after.settled < 0.3


def test_tokens_and_masks_are_not_standardised():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3))
    tokens = view_of(training_of(model, [(torch.randint(0, 5, (6, 2)), torch.randint(0, 3, (6,)))]))
    masks = view_of(training_of(net(), [(torch.randint(0, 2, (6, 4)).float(), torch.randint(0, 3, (6,)))]))
    for view in (tokens, masks):
        assert not STANDARDISE.forms(view)
        assert "no tensor of real numbers" in STANDARDISE.why_not(view)


def test_holes_in_inputs_are_filled_or_left_out():
    data = blobs()
    data[2][0][3, 1], data[4][0][0, 0] = float("nan"), float("inf")
    model = net()
    training = training_of(model, data)
    assert math.isnan(run(training).settled)
    fill, drop = CHECK.forms(view_of(training))
    assert (fill.choice, drop.choice) == ("fill", "drop")
    assert "2 of 192 samples" in fill.title
    assert "2 samples of 192" in drop.title
    for form in (fill, drop):
        assert run(check(form, training)).settled < 0.4
    kept = changed(drop, training).plan.batches
    assert [len(batch.target) for batch in kept] == [32, 32, 31, 32, 31, 32]
    mean = float(torch.cat([batch.inputs[:, 1] for batch in kept]).mean())
    assert float(changed(fill, training).patient.model.get_buffer("fill")[0, 1]) == pytest.approx(
        mean, abs=0.05
    )


def test_holes_in_targets_are_left_out_and_a_feature_that_is_never_there_is_filled():
    targets = [(inputs, inputs[:, :1].clone()) for inputs, _ in blobs()]
    targets[1][1][5] = float("inf")
    model = nn.Linear(4, 1)
    training = training_of(model, targets, nn.functional.mse_loss, sgd(model, 0.01), target="real")
    (drop,) = CHECK.forms(view_of(training))
    assert drop.choice == "drop"
    assert run(check(drop, training)).settled < 0.5
    column = [
        (torch.cat([inputs[:, :3], torch.full((32, 1), float("nan"))], 1), target)
        for inputs, target in blobs()
    ]
    everywhere = training_of(net(), column)
    fill = CHECK.forms(view_of(everywhere))[0]
    assert run(check(fill, everywhere)).settled < 0.9
    whole = view_of(training_of(net(), blobs()))
    assert not CHECK.forms(whole)
    assert "finite" in CHECK.why_not(whole)


def test_what_the_optimiser_lacks_joins_its_neighbours():
    model = net()
    groups = [
        {"params": [model[2].bias], "weight_decay": 0.0},
        {"params": [model[2].weight], "lr": 0.05},
        {"params": [model[4].weight]},
    ]
    training = training_of(model, blobs(), optimizer=torch.optim.SGD(groups, lr=0.1, weight_decay=0.1))
    (form,) = ADD.forms(view_of(training))
    made = check(form, training)
    own = {id(one): name for name, one in made.patient.model.named_parameters()}
    names = [sorted(own[id(one)] for one in group["params"]) for group in made.patient.optimizer.param_groups]
    assert names == [["0.bias", "2.bias", "4.bias"], ["0.weight", "2.weight"], ["4.weight"]]
    assert not ADD.forms(view_of(made))


def test_an_optimiser_of_a_copy_gets_the_model():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(copy.deepcopy(model)))
    assert run(training).losses[0] == run(training).losses[6]
    (form,) = ADD.forms(view_of(training))
    assert "another model" in form.why
    assert run(check(form, training)).settled < 0.4


def test_frozen_layers_are_trained():
    model = net(3)
    for one in model[:3].parameters():
        one.requires_grad_(False)
    training = training_of(model, blobs(), steps=100)
    (form,) = UNFREEZE.forms(view_of(training))
    made = check(form, training)
    assert run(made).settled < run(training).settled
    assert all(one.requires_grad for one in made.patient.model.parameters())
    assert not UNFREEZE.forms(view_of(made))
    outside = training_of(model, blobs(), optimizer=torch.optim.Adam(model[3:].parameters(), lr=0.01))
    made = check(UNFREEZE.forms(view_of(outside))[0], outside)
    assert len(made.patient.optimizer.param_groups[0]["params"]) == 6


def test_of_two_frozen_layers_the_one_in_the_optimiser_can_be_trained_alone():
    model = net()
    for one in model[:4].parameters():
        one.requires_grad_(False)
    training = training_of(model, blobs(), optimizer=torch.optim.SGD(model[2:].parameters(), lr=0.1))
    held, everything = UNFREEZE.forms(view_of(training))
    made = check(held, training).patient.model
    assert [one.requires_grad for one in made.parameters()] == [False, False, True, True, True, True]
    assert all(one.requires_grad for one in check(everything, training).patient.model.parameters())


def test_a_shared_module_joins_once():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(4, 3))
    training = training_of(model, blobs(), optimizer=torch.optim.SGD(model[4].parameters(), lr=0.1))
    made = check(ADD.forms(view_of(training))[0], training)
    assert len(made.patient.optimizer.param_groups[0]["params"]) == 4
