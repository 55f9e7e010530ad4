"""Remedies for what no layer is made for: an ε of 0, targets of thousands, modules in a list, comparisons."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from changed_trainings import check, examined, run, training_of
from prescribed_trainings import check as check_view
from torch import nn
from torch.nn import functional

from evenflow.prescribe.add_normalisation import REMEDY as NORMALISE
from evenflow.prescribe.guard_operation import REMEDY as GUARD
from evenflow.prescribe.lower_learning_rate import REMEDY as LOWER
from evenflow.prescribe.pass_gradient_through import REMEDY as PASS
from evenflow.prescribe.raise_epsilon import REMEDY as EPSILON
from evenflow.prescribe.register_modules import REMEDY as REGISTER
from evenflow.prescribe.remove_detach import REMEDY as UNDETACH
from evenflow.prescribe.standardise_target import REMEDY as TARGET


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def classes(count=6):
    inputs = [torch.randn(32, 4) for _ in range(count)]
    return [(one, one[:, :3].argmax(1)) for one in inputs]


def numbers(size, place=0.0, count=6):
    inputs = [torch.randn(32, 4) for _ in range(count)]
    return [(one, place + size * (one[:, :1] - one[:, 1:2].tanh())) for one in inputs]


def net(outputs=3):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, outputs))


def test_an_epsilon_of_0_is_raised():
    model = net()
    with torch.no_grad():
        model.get_parameter("0.bias")[0] = -50.0  # a unit without a gradient
    training = training_of(model, classes(), optimizer=torch.optim.Adam(model.parameters(), 1e-2, eps=0.0))
    assert math.isnan(run(training).losses[-1])
    made: Any = check(EPSILON.forms(examined(training))[0], training)
    assert run(made).settled < 0.6
    usual = training_of(model, classes(), optimizer=torch.optim.Adam(model.parameters(), 1e-2))
    assert not EPSILON.forms(examined(usual))
    plain = training_of(model, classes())
    assert EPSILON.why_not(examined(plain))


@pytest.mark.parametrize("loss", [nn.functional.mse_loss, nn.functional.l1_loss])
def test_targets_of_thousands_are_counted_in_their_deviation(loss):
    model = net(1)
    training = training_of(
        model, numbers(3000.0, 500.0), loss, torch.optim.SGD(model.parameters(), lr=0.05), target="real"
    )
    (form,) = TARGET.forms(examined(training))
    made: Any = check(form, training)
    inputs, target = made.plan.batches[0].inputs, made.plan.batches[0].target
    course = run(made, 60, copy=False)
    assert course.settled < 0.3  # of what the mean answers
    before = loss(training.patient.model(inputs), target)
    assert loss(made.patient.model(inputs), target) < 0.3 * before  # in the units of the targets


def test_targets_of_the_size_of_outputs_stay_as_they_are():
    for data, outputs, loss, why in (
        (numbers(1.0), 1, functional.mse_loss, "standard deviation"),
        (classes(), 3, functional.cross_entropy, "no tensor of real numbers"),
    ):
        view = examined(training_of(net(outputs), data, loss))
        assert not TARGET.forms(view)
        assert why in TARGET.why_not(view)


class Held(nn.Module):
    """Layers in whatever they are put into."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.head = layers, nn.Linear(8, 3)

    def forward(self, inputs):
        layers = self.layers
        for one in layers.values() if hasattr(layers, "values") else layers:
            inputs = torch.tanh(one(inputs))
        return self.head(inputs)


@pytest.mark.parametrize(
    ("hold", "container"),
    [
        (list, nn.ModuleList),
        (tuple, nn.ModuleList),
        (lambda some: dict(zip("ab", some, strict=True)), nn.ModuleDict),
    ],
)
def test_modules_of_a_plain_container_are_made_known(hold, container):
    view = examined(training_of(Held(hold([nn.Linear(4, 8), nn.Linear(8, 8)])), classes()))
    made: Any = check_view(
        REGISTER.forms(view)[0], view, lambda model: torch.optim.SGD(model.parameters(), lr=0.1)
    )
    assert isinstance(made.patient.model.layers, container)
    first = next(iter(made.patient.model.layers.parameters()))
    before = first.detach().clone()
    run(made, 3, copy=False)
    assert len(made.patient.optimizer.param_groups[0]["params"]) == 6
    assert not torch.equal(first, before)


def test_modules_that_are_known_stay_where_they_are():
    model = Held(nn.ModuleList([nn.Linear(4, 8)]))
    vars(model)["same"] = [model.layers[0]]
    view = examined(training_of(model, classes()))
    assert not REGISTER.forms(view)
    assert REGISTER.why_not(view)


class Between(nn.Module):
    """Something between two layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(4, 8), nn.Linear(8, 3), function

    def forward(self, inputs):
        return self.last(self.function(self.first(inputs)))


@pytest.mark.parametrize(
    "step", [lambda z: (z > 0).float(), lambda z: (z <= 0.5).to(torch.float32)], ids=["above", "below"]
)
def test_a_comparison_passes_the_gradient_on(step):
    training = training_of(Between(step), classes())
    made: Any = check(PASS.forms(examined(training))[0], training)
    inputs, target = training.plan.batches[0].inputs, training.plan.batches[0].target
    assert torch.allclose(made.patient.model(inputs), training.patient.model(inputs), atol=1e-6)
    functional.cross_entropy(made.patient.model(inputs), target).backward()
    assert made.patient.model.model.first.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "copies", [lambda z: z.new_tensor(z), lambda z: torch.tensor(z)], ids=["new", "plain"]
)
@pytest.mark.filterwarnings("ignore:To copy construct")
def test_a_tensor_that_is_made_of_another_keeps_its_gradient(copies):
    training = training_of(Between(copies), classes())
    made: Any = check(UNDETACH.forms(examined(training))[0], training)
    before = made.patient.model.model.first.weight.detach().clone()
    run(made, 3, copy=False)
    assert not torch.equal(before, made.patient.model.model.first.weight)


class Products(nn.Module):
    """Layers that are multiplied with each other: no activation that a normalisation could stand in front of."""

    def __init__(self, depth=4):
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.left = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.right = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.last = nn.Linear(16, 3)
        for one in (*self.left, *self.right):
            nn.init.normal_(one.get_parameter("weight"))

    def forward(self, inputs):
        inputs = self.first(inputs)
        for one, other in zip(self.left, self.right, strict=True):
            inputs = one(inputs) * other(inputs)
        return self.last(inputs)


def test_products_of_layers_are_normalised_behind_the_layers():
    training = training_of(Products(), classes())
    assert not run(training).settled < 1.0
    forms = {one.choice: one for one in NORMALISE.forms(examined(training))}
    assert "behind 9 layers" in forms["layer"].title
    view = examined(training)
    made: Any = check_view(forms["layer"], view, lambda model: torch.optim.SGD(model.parameters(), lr=0.1))
    assert run(made, 60).settled < 0.9


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (lambda z: z**1.5, [-1e-7, 0.0, 2.0]),
        (lambda z: z**-1, [0.0, 1.0, -2.0]),
        (lambda z: z**-0.5, [0.0, 1.0, 4.0]),
        (torch.logit, [0.0, 0.5, 1.0]),
        (torch.erfinv, [-1.0, 0.0, 1.0]),
        (torch.atanh, [-1.0, 0.0, 1.0]),
    ],
    ids=["root of a cube", "inverse", "inverse root", "logit", "erfinv", "atanh"],
)
def test_what_has_an_edge_is_finite_there_with_its_slope(function, values):
    from evenflow.prescribe.modes import Guarded

    given = torch.tensor(values, requires_grad=True)
    plain = function(given.detach())
    with Guarded(1e-8):
        made = function(given)
    made.sum().backward()
    assert made.isfinite().all()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    assert torch.allclose(made.detach()[plain.isfinite()], plain[plain.isfinite()], rtol=1e-4, atol=1e-6)
    model = Between(lambda z: function(z.sigmoid()))
    assert GUARD.forms(examined(training_of(model, classes())))


def test_a_range_test_is_asked_where_all_twins_ran_away():
    model = nn.Linear(4, 1)  # which cannot die, and runs away at any rate that is too high
    training = training_of(
        model,
        [(inputs, 100.0 * target) for inputs, target in numbers(1.0)],
        lambda output, target: 1e4 * functional.mse_loss(output, target),
        torch.optim.SGD(model.parameters(), lr=1.0),
        target="real",
    )
    factors = [float(one.choice) for one in LOWER.forms(examined(training))]
    assert min(factors) < 1e-3
