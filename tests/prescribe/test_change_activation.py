from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch
from prescribed_trainings import check, classes, course, named, view_of
from torch import nn
from torch.nn import functional

from evenflow.doctor.batches import Batch
from evenflow.prescribe.activations import hidden_activations
from evenflow.prescribe.change_activation import REMEDY
from evenflow.prescribe.trace import trace_of
from evenflow.spec.network import Network
from evenflow.spec.specification import Specification

CHOICES = ("relu", "gelu", "elu", "leaky_relu", "selu", "silu", "prelu", "tanh")


def sigmoids(depth: int = 8) -> nn.Sequential:
    inner = [one for _ in range(depth) for one in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(8, 16), nn.Sigmoid(), *inner, nn.Linear(16, 3))


class Lines(nn.Module):
    """Activations in lines of code, in a list that no module knows, as a gate, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.gate, self.end = nn.Linear(8, 8), nn.Linear(8, 3)
        self.functions = [nn.Tanh()]

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        x = self.functions[0](self.layers[0](x))
        x = x * torch.sigmoid(self.gate(x))
        return torch.sigmoid(self.end(x)) + functional.softplus(self.end(x))


def hidden(model: nn.Module, batches=None):
    view = view_of(model, batches)
    return [(one.name, one.activation) for one in hidden_activations(trace_of(view), model)]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_does_what_its_code_does(choice):
    view = view_of(sigmoids(), None, "vanishing_gradient")
    changed = check(named(REMEDY.forms(view), choice), view)
    assert not any(isinstance(one, nn.Sigmoid) for one in changed.patient.model.modules())


@pytest.mark.parametrize("choice", ["relu+he", "selu+lecun", "elu+gain", "tanh+xavier"])
def test_weights_drawn_for_the_new_activation_go_with_it(choice):
    view = view_of(sigmoids(20), None, "vanishing_gradient")
    changed = check(named(REMEDY.forms(view), choice), view)
    gradients = []
    for training in (view.training, changed):
        model = training.copied().patient.model
        functional.cross_entropy(model(classes()[0].inputs), classes()[0].target).backward()
        sizes = [
            float(one.grad.norm()) for one in model.parameters() if one.ndim > 1 and one.grad is not None
        ]
        gradients.append(sizes[0] / sizes[-1])
    assert gradients[0] < 1e-8
    assert gradients[1] > 0.03


def test_a_deep_stack_of_sigmoids_learns_after_it():
    view = view_of(sigmoids(), None, "vanishing_gradient")
    changed = named(REMEDY.forms(view), "selu").change(view.training.copied())
    before, after = course(view.training, 120), course(changed, 120)
    assert before[-1] > 0.95
    assert after[-1] < 0.65


def test_lines_of_code_are_found_and_gates_and_the_end_are_not():
    view = view_of(Lines(), None, "vanishing_gradient")
    found = REMEDY.forms(view)
    assert [one.choice for one in found if "+" not in one.choice] == [
        one for one in CHOICES if one != "prelu"
    ]
    sites = hidden_activations(trace_of(view), view.training.patient.model)
    assert [(one.function, one.ordinals) for one in sites] == [("sigmoid", (0, 1, 2))]
    changed = check(named(found, "gelu"), view)
    names = [one.activation for one in trace_of(view_of(changed.patient.model)).calls if one.activation]
    assert names == ["gelu", "gelu", "gelu", "tanh", "sigmoid", "sigmoid", "softplus"]


def test_a_model_changed_in_lines_of_code_can_be_copied_and_saved():
    view = view_of(Lines(), None, "vanishing_gradient")
    model = named(REMEDY.forms(view), "relu").change(view.training.copied()).patient.model
    inputs = classes()[0].inputs
    wanted = model(inputs)
    assert torch.equal(copy.deepcopy(model)(inputs), wanted)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(inputs), wanted)
    assert torch.equal(functional.sigmoid(torch.zeros(1)), torch.tensor([0.5]))


def test_writes_in_place_stay_writes_in_place():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            x = self.first(x)
            x.relu_()
            functional.relu(x, inplace=True)
            return self.last(x)

    view = view_of(InPlace(), None, "dead_units")
    changed = check(named(REMEDY.forms(view), "elu"), view)
    inputs, model = classes()[0].inputs, changed.patient.model
    twice = functional.elu(functional.elu(model.first(inputs)))
    assert torch.equal(model(inputs), model.last(twice))


def test_shared_and_nested_modules_are_all_replaced():
    act = nn.Tanh()
    inner = nn.ModuleDict(
        {"a": nn.Sequential(nn.Linear(8, 8), act), "b": nn.Sequential(nn.Linear(8, 8), act)}
    )

    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.end = inner, nn.Sequential(nn.Linear(8, 3))

        def forward(self, x):
            return self.end(self.inner["b"](self.inner["a"](x)))

    view = view_of(Nested(), None, "saturated_activations")
    changed = check(named(REMEDY.forms(view), "relu"), view)
    assert not any(
        isinstance(one, nn.Tanh) for _, one in changed.patient.model.named_modules(remove_duplicate=False)
    )


def test_the_same_function_at_the_end_stays():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3), nn.Tanh())
    view = view_of(model, None, "saturated_activations")
    changed = check(named(REMEDY.forms(view), "relu"), view)
    assert [type(one) for one in changed.patient.model] == [nn.Linear, nn.ReLU, nn.Linear, nn.Tanh]


def test_custom_functions_and_softmaxes_between_layers_count():
    class Exponential(nn.Module):
        def forward(self, x):
            return x.exp()

    class Scaled(nn.Module):
        def forward(self, x):
            return 0.1 * x

    model = nn.Sequential(
        nn.Linear(8, 8), Exponential(), nn.Linear(8, 8), Scaled(), nn.Softmax(1), nn.Linear(8, 3)
    )
    assert hidden(model) == [("1", "exponential"), ("4", "softmax")]


def test_a_transformer_changes_its_feed_forward_function_and_no_attention():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 3))
    view = view_of(model, None, "dead_units")
    changed = check(named(REMEDY.forms(view), "gelu"), view)
    model, inputs = changed.patient.model, classes()[0].inputs
    assert model[1].activation is functional.gelu
    trained = model.train()(inputs)
    with torch.no_grad():
        assert torch.allclose(model.eval()(inputs), trained, atol=1e-6)  # by the fused kernel


def test_what_cannot_or_need_not_be_changed_says_so():
    linear = view_of(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)), None, "vanishing_gradient")
    assert not REMEDY.forms(linear)
    assert "no activation between layers" in REMEDY.why_not(linear)
    kept = view_of(sigmoids(2), None, "vanishing_gradient", keep_activation=True)
    assert not REMEDY.forms(kept)
    assert "stay as they are" in REMEDY.why_not(kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have it exported
        scripted = torch.jit.trace(nn.Linear(8, 8), torch.zeros(1, 8))
    assert isinstance(scripted, nn.Module)
    view = view_of(nn.Sequential(scripted, nn.ReLU(), nn.Linear(8, 3)))
    assert "scripted" in REMEDY.why_not(view)


def test_what_is_tried_first_follows_the_finding():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    assert REMEDY.forms(view_of(model, None, "dead_units"))[0].choice == "leaky_relu"
    assert REMEDY.forms(view_of(model, None, "dead_units"))[0].sign == "dead_units"
    assert REMEDY.forms(view_of(model, None, "exploding_activations"))[0].choice == "tanh"


def test_values_are_given_and_a_specification_is_changed_too():
    one = named(REMEDY.forms(view_of(sigmoids(3), None, "vanishing_gradient")), "relu")
    assert one.title == "Replace sigmoid in 4 places by ReLU"
    assert "0.50, that of sigmoid 0.045; vanishing_gradient: a message" in one.why
    assert (
        one.specification(Specification(network=Network(depth=3, activation="sigmoid"))).network.activation
        == "relu"
    )


def test_a_learned_slope_is_of_the_models_kind():
    model = sigmoids(1).to(torch.bfloat16)
    batches = [Batch(one.inputs.to(torch.bfloat16), one.target) for one in classes()]
    view = view_of(model, batches, "vanishing_gradient")
    check(named(REMEDY.forms(view), "prelu"), view)
