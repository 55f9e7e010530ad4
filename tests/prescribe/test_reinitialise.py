from __future__ import annotations

import math

import pytest
import torch
from prescribed_trainings import check, classes, course, named, view_of
from torch import nn
from torch.nn.utils import parametrizations

from evenflow.measure.setting import read_setting
from evenflow.prescribe import open_forget_gates, reinitialise, zero_biases
from evenflow.prescribe.drawing import matrices
from evenflow.prescribe.trace import trace_of
from evenflow.spec.network import Network
from evenflow.spec.specification import Specification

REMEDY = reinitialise.REMEDY


def stack(function: type[nn.Module] = nn.Tanh, depth: int = 8, width: int = 16) -> nn.Sequential:
    inner = [one for _ in range(depth) for one in (nn.Linear(width, width), function())]
    return nn.Sequential(nn.Linear(8, width), function(), *inner, nn.Linear(width, 3))


def scaled(model: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(factor)
    return model


def viewed(model: nn.Module, *rules: str):
    output = model(classes()[0].inputs)
    return view_of(model, None, *rules, setting=read_setting(model, outputs=[output], loss=output.sum()))


@pytest.mark.parametrize("choice", ["he", "gain", "orthogonal", "xavier", "lecun", "data", "critical"])
def test_every_way_does_what_its_code_does(choice):
    view = viewed(stack(), "poor_init")
    check(named(REMEDY.forms(view), choice), view)


@pytest.mark.parametrize("factor", [0.1, 20.0])
def test_badly_drawn_weights_learn_after_it(factor):
    view = viewed(scaled(stack(nn.ReLU), factor), "poor_init")
    before = course(view.training, 100)[-1]
    after = course(REMEDY.forms(view)[0].change(view.training.copied()), 100)[-1]
    assert not before < 0.9
    assert after < 0.75


def test_the_gain_is_that_of_the_activation_in_front():
    view = viewed(stack(nn.Tanh, 2, 400), "poor_init")
    model = named(REMEDY.forms(view), "gain").change(view.training.copied()).patient.model
    spreads = [
        float(one.detach().std()) * math.sqrt(one.shape[1]) for one in model.parameters() if one.ndim == 2
    ]
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    gain = float(1 / z.tanh().square().mean().sqrt())
    assert spreads == pytest.approx([1.0, gain, gain, gain], rel=0.05)
    assert not any(bool(one.any()) for name, one in model.named_parameters() if "bias" in name)


def test_scaling_by_data_gives_outputs_of_deviation_one():
    class Damped(nn.Module):
        def forward(self, x):
            return 0.05 * x

    model = nn.Sequential(
        *[one for _ in range(6) for one in (nn.Linear(8, 8), Damped(), nn.ReLU())], nn.Linear(8, 3)
    )
    view = viewed(model, "vanishing_gradient")
    changed = check(named(REMEDY.forms(view), "data"), view).patient.model
    seen = []
    for one in changed:
        if isinstance(one, nn.Linear):
            one.register_forward_hook(lambda _one, _given, made: seen.append(float(made.detach().std())))
    changed(classes()[0].inputs)
    assert seen == pytest.approx([1.0] * 7, abs=0.06)


def test_only_the_layers_that_need_it_can_be_drawn():
    model = stack(nn.ReLU, 3)
    with torch.no_grad():
        model[2].get_parameter("weight").fill_(0.1)
    view = viewed(model, "symmetric_init")
    one = named(REMEDY.forms(view), "where_needed")
    assert one.title.startswith("Draw the weights of 1 layer anew")
    changed = check(one, view).patient.model
    assert torch.equal(changed[0].weight, model[0].get_parameter("weight"))
    assert not torch.equal(changed[2].weight, model[2].get_parameter("weight"))


class Odd(nn.Module):
    """Recurrent, attending, normalised, a matrix in a line of code, a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cells = nn.Embedding(5, 8), nn.LSTM(8, 8, 2, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.matrix, self.norm = nn.Parameter(torch.randn(8, 12)), nn.LayerNorm(12)
        self.frozen, self.end = nn.Linear(12, 12).requires_grad_(False), nn.Linear(12, 3)

    def forward(self, x):
        x = self.cells(self.words((x > 0).long()))[0]
        x = self.attend(x, x, x)[0]
        return self.end(torch.relu(self.frozen(self.norm(x @ self.matrix)))[:, -1])


@pytest.mark.parametrize("choice", ["he", "gain", "orthogonal", "data"])
def test_odd_models_are_drawn_and_what_is_frozen_is_not(choice):
    view = view_of(Odd(), None, "poor_init")
    changed = check(named(REMEDY.forms(view), choice), view).patient.model
    original = view.training.patient.model
    assert torch.equal(changed.frozen.weight, original.get_parameter("frozen.weight"))
    assert not torch.equal(changed.matrix, original.get_parameter("matrix"))
    assert torch.equal(changed.words.weight, original.get_parameter("words.weight"))
    state = changed.cells.weight_hh_l0[8:16]
    assert torch.allclose(state @ state.T, torch.eye(8), atol=1e-5)
    assert bool((changed.cells.bias_hh_l0[8:16] == 1).all())


def test_fans_are_read_whatever_a_layer_is():
    found = {one.name: one for one in matrices(trace_of(view_of(Odd())), Odd())}
    assert "words.weight" not in found
    assert "frozen.weight" not in found
    assert (found["matrix"].fan_in, found["matrix"].fan_out) == (8, 12)
    assert (found["attend.in_proj_weight"].fan_in, found["end.weight"].before) == (8, "relu")
    assert found["end.weight"].last
    model = nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )
    found = {one.name: one for one in matrices(trace_of(view_of(model)), model)}
    assert (found["1.weight"].fan_in, found["1.weight"].fan_out) == (18, 36)


def test_sizes_and_directions_of_parametrised_weights_stay():
    normed = [parametrizations.weight_norm(nn.Linear(8, 8)), parametrizations.spectral_norm(nn.Linear(8, 8))]
    model = nn.Sequential(normed[0], nn.ReLU(), normed[1], nn.ReLU(), nn.Linear(8, 3))
    view = view_of(model, None, "poor_init")
    assert [one.name for one in matrices(trace_of(view), model)] == ["4.weight"]
    assert "kaiming" not in named(REMEDY.forms(view), "he").code().snippet
    check(named(REMEDY.forms(view), "he"), view)


def test_a_model_without_weights_in_training_has_none():
    view = view_of(
        stack().requires_grad_(False),
        None,
        "poor_init",
        make=lambda model: torch.optim.SGD(model.parameters()),
    )
    assert not REMEDY.forms(view)
    assert "no matrix" in REMEDY.why_not(view)


def test_the_values_are_said_and_a_specification_is_changed():
    view = viewed(scaled(stack(), 0.1), "poor_init")
    one = named(REMEDY.forms(view), "xavier")
    assert "have standard deviation 0.0" in one.why
    assert "where theory asks for 0." in one.why
    assert one.specification(Specification(network=Network(depth=2))).network.initialisation == "xavier"
    assert not one.keeps_weights


def sunk(depth: int = 6) -> nn.Sequential:
    model = stack(nn.ReLU, depth)
    with torch.no_grad():
        for one in model:
            if isinstance(one, nn.Linear):
                one.bias.fill_(-10.0 if one.out_features != 3 else 0.0)
    return model


def test_a_sunk_bias_is_raised_and_units_live():
    view = viewed(sunk(), "dead_units")
    one = zero_biases.REMEDY.forms(view)[0]
    assert one.title == "Set 7 biases to 0"
    assert "root mean square 10" in one.why
    assert "have mean −10 and standard deviation 0" in REMEDY.forms(view)[0].why
    before = course(view.training, 60)[-1]
    after = course(check(one, view), 60)[-1]
    assert after < before - 0.1


def test_ordinary_biases_and_those_of_recurrent_layers_stay():
    assert "above 0.75" in zero_biases.REMEDY.why_not(viewed(stack(), "dead_units"))
    model = Odd()
    with torch.no_grad():
        model.get_parameter("cells.bias_hh_l0").fill_(3.0)
    assert not zero_biases.REMEDY.forms(view_of(model, None, "dead_units"))


class Remembering(nn.Module):
    """Answers at the end of what was said at its beginning."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU | nn.RNN] = nn.LSTM) -> None:
        super().__init__()
        self.cells, self.end = kind(2, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        x = x.view(len(x), 4, 2)
        x = torch.cat([x, torch.zeros(len(x), 26, 2)], 1)
        return self.end(self.cells(x)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_open_gates_carry_the_gradient_through_time(kind):
    view = view_of(Remembering(kind), None, "vanishing_gradient")
    found = open_forget_gates.REMEDY.forms(view)
    assert [one.choice for one in found] == ["length", "1"]
    sizes = []
    for training in (view.training, check(found[1], view), check(found[0], view)):
        inputs = classes()[0].inputs.clone().requires_grad_()
        training.patient.model(inputs).square().sum().backward()
        sizes.append(float(inputs.grad.norm()))
    assert sizes[1] > 10 * sizes[0]
    assert sizes[2] > 2 * sizes[1]


def test_a_model_without_gates_has_none_to_open():
    view = view_of(Remembering(nn.RNN), None, "vanishing_gradient")
    assert not open_forget_gates.REMEDY.forms(view)
    assert "no LSTM or GRU" in open_forget_gates.REMEDY.why_not(view)
