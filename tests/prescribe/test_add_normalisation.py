from __future__ import annotations

from typing import cast

import pytest
import torch
from prescribed_trainings import check, classes, course, named, view_of
from torch import nn

from evenflow.doctor.batches import Batch
from evenflow.prescribe import normalise_first_layer
from evenflow.prescribe.add_normalisation import REMEDY
from evenflow.spec.network import Network
from evenflow.spec.specification import Specification


def stack(function, depth: int = 8) -> nn.Sequential:
    inner = [one for _ in range(depth) for one in (nn.Linear(16, 16), function())]
    return nn.Sequential(nn.Linear(8, 16), function(), *inner, nn.Linear(16, 3))


@pytest.mark.parametrize(
    ("kind", "norm"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm), ("rms", nn.RMSNorm)]
)
def test_every_kind_does_what_its_code_does(kind, norm):
    view = view_of(stack(nn.ReLU), None, "exploding_activations")
    changed = check(named(REMEDY.forms(view), kind), view).patient
    assert sum(isinstance(one, norm) for one in changed.model.modules()) == 9
    held = {id(one) for group in changed.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in changed.model.parameters()}


def test_a_stack_that_explodes_learns_after_it():
    model = stack(nn.ReLU)
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(8.0)
    view = view_of(model, None, "exploding_activations")
    before = course(view.training, 100)[-1]
    after = course(named(REMEDY.forms(view), "batch").change(view.training.copied()), 100)[-1]
    assert not before < 2.0
    assert after < 0.9


def test_it_stands_directly_in_front_of_the_activation():
    class Steep(nn.Module):
        def forward(self, x):
            return 40 * x

    model = nn.Sequential(nn.Linear(8, 16), nn.Sequential(Steep(), nn.Tanh()), nn.Linear(16, 3))
    view = view_of(model, None, "saturated_activations")
    changed = check(named(REMEDY.forms(view), "batch"), view).patient.model
    assert [type(one) for one in changed[1]] == [Steep, nn.Sequential]
    assert float(changed[1](torch.randn(64, 16)).abs().detach().mean()) < 0.9


def test_images_sequences_and_lines_of_code():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.line = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 6)
            self.end = nn.Linear(6, 3)

        def forward(self, x):
            x = torch.relu(self.conv(x.view(-1, 2, 2, 2)))
            x = torch.relu(self.line(x.flatten(2).transpose(1, 2)))
            return self.end(x.mean(1))

    view = view_of(Mixed(), None, "dead_units")
    found = REMEDY.forms(view)
    changed = check(named(found, "batch"), view).patient.model
    kinds = [type(one).__name__ for one in changed.modules() if "Norm" in type(one).__name__]
    assert kinds == ["BatchNorm2d", "BatchNormOfLast"]
    changed = check(named(found, "layer"), view).patient.model
    kinds = [type(one).__name__ for one in changed.modules() if "Norm" in type(one).__name__]
    assert kinds == ["GroupNorm", "LayerNorm"]
    signals = torch.randn(6, 5, 6) * 3 + 1
    assert "BatchNormOfLast" in named(found, "batch").code().snippet
    made = named(found, "batch").change(view.training.copied()).patient.model.train().line[1](signals)
    assert torch.allclose(made.mean((0, 1)), torch.zeros(6), atol=1e-5)
    assert torch.allclose(made.std((0, 1), correction=0), torch.ones(6), atol=1e-3)


def test_what_is_normalised_already_or_cannot_be_is_left_alone():
    done = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    view = view_of(done, None, "dead_units")
    assert not REMEDY.forms(view)
    assert "already" in REMEDY.why_not(view)
    alone = [Batch(one.inputs[:1], one.target[:1]) for one in classes()]
    assert [one.choice for one in REMEDY.forms(view_of(stack(nn.ReLU, 1), alone, "dead_units"))] == [
        "layer",
        "rms",
    ]
    compiled = torch.compile(nn.Sequential(nn.ReLU(), nn.Linear(8, 3)), backend="eager")
    holding = nn.Sequential(nn.Linear(8, 8), cast(nn.Module, compiled))
    assert "compiled by itself" in REMEDY.why_not(view_of(holding))


def test_code_that_reads_the_weights_of_a_layer_keeps_it_from_being_wrapped():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.end = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.end(torch.relu(self.first(x)) @ self.first.weight)

    assert not REMEDY.forms(view_of(Tied(), None, "dead_units"))


def test_a_shared_activation_leads_to_the_layers_in_front():
    function = nn.ReLU()
    model = nn.Sequential(nn.Linear(8, 16), function, nn.Linear(16, 16), function, nn.Linear(16, 3))
    view = view_of(model, None, "dead_units")
    changed = check(named(REMEDY.forms(view), "batch"), view).patient.model
    assert [type(one) for one in changed] == [nn.Sequential, nn.ReLU, nn.Sequential, nn.ReLU, nn.Linear]


def test_double_precision_is_kept_and_a_specification_is_changed():
    batches = [Batch(one.inputs.double(), one.target) for one in classes()]
    view = view_of(stack(nn.ReLU, 2).double(), batches, "dead_units")
    one = named(REMEDY.forms(view), "batch")
    assert {each.dtype for each in check(one, view).patient.model.parameters()} == {torch.float64}
    assert one.specification(Specification(network=Network(depth=2))).network.normalisation == "batch"
    assert "dead_units: a message" in one.why


def test_the_first_layer_is_normalised_on_both_sides():
    batches = [Batch(one.inputs * 50 + 100, one.target) for one in classes()]
    view = view_of(stack(nn.Tanh, 1), batches, "unnormalised_input")
    found = normalise_first_layer.REMEDY.forms(view)
    assert [one.choice for one in found] == ["before", "behind"]
    before = course(view.training, 80)[-1]
    for one in found:
        assert course(check(one, view), 80)[-1] < before - 0.1
    words = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(32, 3))
    tokens = [Batch(torch.randint(0, 9, (16, 8)), torch.randint(0, 3, (16,)))]
    assert "do not go into one" in normalise_first_layer.REMEDY.why_not(view_of(words, tokens))
