"""Models that can be read, models that cannot, and what the refusals say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evenflow.errors import SpecError
from evenflow.measure.plan_reader import read_plan
from evenflow.spec.network import Network
from evenflow.spec.plan import plan_of
from evenflow.study.build import build

INPUTS = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
torch.manual_seed(1)  # a bias of two numbers may by chance lie far off 0, which is told first


@pytest.fixture(autouse=True)
def seeded():
    """The same for models that the tests draw."""
    torch.manual_seed(1)


@pytest.mark.parametrize(
    "fields",
    [
        {"activation": "relu"},
        {"activation": ("tanh", "leaky_relu:0.3"), "initialisation": "he"},
        {"activation": "gelu_tanh", "initialisation": "xavier", "normalisation": "layer"},
        {"activation": "elu:0.5", "normalisation": "rms", "normalisation_position": "after"},
        {"activation": "prelu", "normalisation": "batch", "dropout": 0.25},
        {"activation": "hardswish", "initialisation": "orthogonal"},
    ],
)
def test_a_built_network_is_read_as_it_was_specified(fields: dict) -> None:
    network = Network(depth=3, width=64, **fields)
    plan, found = plan_of(network, 20, 5), read_plan(build(network, 20, 5), INPUTS)
    assert len(found.layers) == len(plan.layers)
    for layer, expected in zip(found.layers, plan.layers, strict=True):
        for name in (
            "name",
            "shaped",
            "fan_in",
            "fan_out",
            "orthogonal",
            "activation",
            "normalisation",
            "dropout",
        ):
            assert getattr(layer, name) == getattr(expected, name), name
        assert layer.weight_variance == pytest.approx(expected.weight_variance, rel=0.2)
        if expected.normalisation != "none":
            assert layer.after == expected.after


class Nested(nn.Module):
    """Blocks in blocks, an in-place activation, a flattening, and a function of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Flatten(), nn.Linear(20, 30), nn.ReLU(inplace=True))
        self.head = nn.ModuleDict({"one": nn.Linear(30, 30, bias=False), "two": nn.Hardtanh()})
        self.out = nn.Linear(30, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.out(self.head["two"](self.head["one"](self.block(inputs))))


def test_nesting_in_place_and_unknown_elementwise_modules_are_read() -> None:
    model = Nested().train()
    plan = read_plan(model, INPUTS.reshape(8, 4, 5))
    assert [layer.name for layer in plan.layers] == ["block.1", "head.one", "out"]
    assert [layer.bias for layer in plan.layers] == [True, False, True]
    function = plan.layers[1].activation
    assert function is not None
    assert (function(5.0), function(0.5), function.derivative(5.0)) == (1.0, 0.5, 0.0)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


class Apart(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.act, self.second, self.kind = nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 3), kind

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.first(inputs / 255 if self.kind == "front" else inputs))
        match self.kind:
            case "function":
                hidden = torch.relu(hidden)
            case "skip":
                hidden = hidden + inputs
            case "twice":
                hidden = self.first(hidden)
            case "outputs":
                return 2 * self.second(hidden)
            case "shape":
                return self.second(hidden).reshape(-1)
            case "dropout":
                hidden = nn.functional.dropout(hidden, 0.5, self.training)
        return self.second(hidden)


def zeroed() -> nn.Module:
    model = nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.zeros_(model.get_parameter("0.weight"))
    return model


def trained() -> nn.Module:
    model = nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model.get_parameter("0.weight"), 0.2)
    return model


def shifted() -> nn.Module:
    model = nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model.get_parameter("0.bias"), 5.0)
    return model


def scaled() -> nn.Module:
    model = nn.Sequential(nn.Linear(20, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model.get_parameter("1.weight"), 0.2)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Apart("function"), 'between "act" and "second" something happens outside the modules'),
        (Apart("skip"), 'between "act" and "second" something happens outside the modules'),
        (Apart("twice"), '"first" shares its weights'),
        (Apart("outputs"), 'not the output of its last module, "second"'),
        (Apart("shape"), 'not the output of its last module, "second"'),
        (Apart("front"), 'in front of "first" something happens to the batch'),
        (Apart("dropout"), 'between "act" and "second" something happens outside the modules'),
        (
            nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Dropout(1.0), nn.Linear(4, 2)),
            '"2" drops everything',
        ),
        (shifted(), 'bias of "0" has mean 5'),
        (nn.Sequential(nn.ReLU(), nn.Linear(20, 2)), r'"0" \(ReLU\) stands in front of the first linear map'),
        (nn.Sequential(nn.Linear(20, 2), nn.ReLU()), r'ends with "1" \(ReLU\)'),
        (nn.Sequential(nn.Linear(20, 4), nn.Softmax(1), nn.Linear(4, 2)), '"1" is a Softmax'),
        (nn.Sequential(nn.Linear(20, 4), nn.Bilinear(4, 4, 2)), "does not take a batch of shape|one tensor"),
        (nn.Sequential(nn.Linear(20, 4), nn.GRU(4, 4)), r'"1" \(GRU\) does not map one tensor to one tensor'),
        (
            nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 2)),
            '"2" is a second activation',
        ),
        (nn.Sequential(nn.Linear(20, 4), nn.GroupNorm(2, 4), nn.Linear(4, 2)), '"1" is a GroupNorm'),
        (
            nn.Sequential(nn.Linear(19, 4), nn.ReLU(), nn.Linear(4, 2)),
            r"does not take a batch of shape \(8, 20\)",
        ),
        (nn.Linear(20, 2), "a hidden layer and an output layer"),
        (nn.Identity(), 'ends with "Identity"|has no layers'),
        (zeroed(), 'weights of "0" are all 0'),
        (trained(), 'weights of "0" have mean 0.2'),
        (scaled(), '"1" has been trained'),
    ],
)
def test_what_cannot_be_read_is_named(model: nn.Module, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_plan(model, INPUTS)
    assert not any(module._forward_hooks for module in model.modules())


def test_every_module_keeps_its_mode_and_a_frozen_normalisation_changes_nothing() -> None:
    model = nn.Sequential(
        nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
    ).train()
    model[1].eval()
    model[3].eval()
    state = torch.random.get_rng_state()
    (layer,) = read_plan(model, INPUTS).hidden
    assert (layer.normalisation, layer.dropout) == ("none", 0.0)
    assert [module.training for module in model] == [True, False, True, False, True]
    assert torch.equal(state, torch.random.get_rng_state())
    model.train()
    model(INPUTS)
    model[1].eval()
    with pytest.raises(SpecError, match='"1" is in evaluation mode with statistics of its own'):
        read_plan(model, INPUTS)
