from __future__ import annotations

from typing import Any

import pytest
import torch
from prescribed_trainings import check, classes, course, named, view_of
from torch import nn
from torch.nn import functional

from evenflow.prescribe import add_skip_connections, pre_norm, scale_residual_branches
from evenflow.prescribe.branches import branches, spans
from evenflow.prescribe.trace import trace_of
from evenflow.spec.network import Network
from evenflow.spec.specification import Specification

REMEDY = add_skip_connections.REMEDY


class Layer(nn.Module):
    def __init__(self, residual: bool = False, factor: float = 1.0) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(8, 8), nn.Tanh()
        self.residual, self.factor = residual, factor

    def forward(self, x):
        made = self.act(self.factor * self.linear(x))
        return x + made if self.residual else made


class Loop(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.end = nn.ModuleList(layers), nn.Linear(8, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.end(x)


def stack(function: type[nn.Module] = nn.Sigmoid, depth: int = 12) -> nn.Sequential:
    inner = [one for _ in range(depth) for one in (nn.Linear(8, 8), function(), nn.Dropout(0.0))]
    return nn.Sequential(nn.Linear(8, 8), function(), *inner, nn.Linear(8, 3))


def arriving(training) -> float:
    """The gradient that comes back to the inputs."""
    inputs = classes()[0].inputs.clone().requires_grad_()
    functional.cross_entropy(training.copied().patient.model(inputs), classes()[0].target).backward()
    return float(inputs.grad.norm())


@pytest.mark.parametrize("choice", ["plain", "scaled", "zero"])
def test_a_chain_gets_skips_that_let_the_gradient_pass(choice):
    view = view_of(stack(), None, "vanishing_gradient")
    changed = check(named(REMEDY.forms(view), choice), view)
    assert arriving(view.training) < 1e-9
    assert arriving(changed) > 1e-2
    assert course(changed, 150)[-1] < course(view.training, 150)[-1] - 0.05
    held = {id(one) for group in changed.patient.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in changed.patient.model.parameters()}


def test_the_sum_is_what_it_says():
    view = view_of(stack(nn.ReLU, 3), None, "vanishing_gradient")
    one = named(REMEDY.forms(view), "scaled")
    changed = one.change(view.training.copied()).patient.model
    model, x = view.training.patient.model, classes()[0].inputs
    assert isinstance(model, nn.Sequential)
    assert one.title == "Add skip connections around 4 layers, branches times 0.35"
    for place in (0, 2, 5, 8):
        x = x + 0.3536 * torch.relu(model[place](x))
    assert torch.allclose(changed(x * 0 + classes()[0].inputs), model[-1](x), atol=1e-6)


def test_blocks_in_lists_and_containers_count_and_those_with_a_skip_do_not():
    def found(model):
        return [one.names for one in spans(trace_of(view_of(model)))]

    assert found(Loop(Layer(), Layer())) == [("layers.0",), ("layers.1",)]
    assert found(Loop(Layer(True), Layer(True))) == []
    nested = nn.Sequential(nn.Sequential(Layer(), nn.Sequential(Layer())), nn.Linear(8, 3))
    assert found(nested) == [("0.0",), ("0.1",)]
    shared = Layer()
    assert found(Loop(shared, shared)) == []
    assert found(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))) == []
    images = nn.Sequential(
        *(
            nn.Unflatten(1, (2, 2, 2)),
            nn.Conv2d(2, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
        ),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)),
    )
    assert found(images) == [("3", "4")]
    view = view_of(Loop(Layer(), Layer(), Layer()), None, "vanishing_gradient")
    check(named(REMEDY.forms(view), "plain"), view)


def test_without_equal_shapes_there_is_none():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    view = view_of(model, None, "vanishing_gradient")
    assert not REMEDY.forms(view)
    assert "fewer than two layers" in REMEDY.why_not(view)


def test_a_specification_is_changed():
    view = view_of(stack(nn.ReLU, 3), None, "vanishing_gradient")
    network = (
        named(REMEDY.forms(view), "scaled").specification(Specification(network=Network(depth=3))).network
    )
    assert (network.residual, network.residual_scale) == ("pre", 0.3536)


@pytest.mark.parametrize("choice", ["scaled", "zero"])
def test_branches_that_outgrow_the_sum_are_made_smaller(choice):
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.act = nn.Linear(8, 8), nn.ReLU()

        def forward(self, x):
            return self.act(6 * self.linear(x)) + x

    view = view_of(Loop(*(Steep() for _ in range(6))), None, "exploding_activations")
    changed = check(named(scale_residual_branches.REMEDY.forms(view), choice), view)
    x = classes()[0].inputs
    assert float(view.training.patient.model(x).detach().std()) > 100
    assert float(changed.patient.model(x).detach().std()) < 20
    assert course(changed, 40)[-1] < course(view.training, 40)[-1]


def test_a_branch_that_code_puts_out_has_its_last_layer_made_smaller():
    class Code(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return x + functional.relu(self.linear(x))

    view = view_of(Loop(Code(), Code()), None, "exploding_activations")
    found = scale_residual_branches.REMEDY.forms(view)
    assert [one.choice for one in found] == ["scaled"]
    changed = check(found[0], view).patient.model
    original: Any = view.training.patient.model
    assert torch.equal(changed.layers[0].linear.weight, original.layers[0].linear.weight * 0.5)


def test_a_bias_or_a_table_of_places_is_no_skip():
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.places, self.end = (
                nn.Linear(8, 8),
                nn.Parameter(torch.zeros(1, 8)),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            return self.end(torch.relu(self.first(x) + self.places) + 1.0)

    view = view_of(Placed())
    assert branches(trace_of(view)) == ()
    assert scale_residual_branches.REMEDY.why_not(view) == "the model has no skip connection"


def transformer(first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, norm_first=first)
    return nn.Sequential(
        nn.Unflatten(1, (2, 4)),
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def test_transformers_normalise_in_front_after_it():
    view = view_of(transformer(), None, "vanishing_gradient")
    one = pre_norm.REMEDY.forms(view)[0]
    changed = check(one, view).patient.model
    assert all(layer.norm_first for layer in changed[1].layers)
    assert isinstance(changed[1].norm, nn.LayerNorm)
    assert "in front already" in pre_norm.REMEDY.why_not(view_of(transformer(True)))
    assert "no Transformer layer" in pre_norm.REMEDY.why_not(view_of(stack()))
