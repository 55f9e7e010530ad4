"""Weights drawn anew: their scale, their directions, and what is left as it is."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
import torch
from torch import nn

from evenflow.doctor.redraw import redraw
from evenflow.spec.setting import Layer, Setting

Model = TypeVar("Model", bound=nn.Module)


def drawn(model: Model, *layers: Layer, seed: int = 0) -> Model:
    redraw(model, Setting(layers=layers), torch.Generator().manual_seed(seed))
    return model


def linears(count: int, units: int = 4) -> list[nn.Linear]:
    return [nn.Linear(units, units) for _ in range(count)]


def described(name: str, module: nn.Linear, activation: str = "", *, residual: bool = False) -> Layer:
    weight = module.weight.detach()
    return Layer(
        name=name,
        type="Linear",
        depth=1,
        fan_in=module.in_features,
        fan_out=module.out_features,
        activation=activation,
        residual=residual,
        weight_mean=float(weight.mean()),
        weight_std=float(weight.std(correction=0)),
        expected_std=0.1,
    )


END = described("end", nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        ("relu", 2 / 300),  # He et al. (2015), equation 10
        ("gelu", 2 / 300),
        ("leaky_relu:0.5", 2 / (1.25 * 300)),  # equation 15
        ("tanh", 2 / 500),  # Glorot and Bengio (2010), equation 12
        ("", 2 / 500),
        ("selu", 1 / 300),  # Klambauer et al. (2017), section 3
    ],
)
def test_the_scale_is_that_of_theory(activation, variance):
    layer = nn.Linear(300, 200)
    nn.init.constant_(layer.weight, 7.0)
    drawn(nn.Sequential(layer), described("0", layer, activation), END)
    weight = layer.weight.detach()
    assert float(weight.square().mean()) == pytest.approx(variance, rel=0.03)
    assert abs(float(weight.mean())) < 0.02 * math.sqrt(variance)
    assert torch.equal(layer.bias, torch.zeros(200))


def test_what_is_linear_around_0_keeps_all_directions_alike():
    def singular(activation):
        layer = nn.Linear(64, 64)
        drawn(nn.Sequential(layer), described("0", layer, activation), END)
        return torch.linalg.svdvals(layer.weight.detach())

    assert singular("tanh").tolist() == pytest.approx([1.0] * 64, rel=1e-5)
    assert singular("relu").min() < 0.5


def test_one_generator_one_draw():
    one, same, other = (drawn(nn.Linear(5, 4), seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_random_numbers_of_torch_stay_as_they_are():

    model = nn.Linear(3, 3)
    after = torch.get_rng_state()
    drawn(model)
    assert torch.equal(torch.get_rng_state(), after)


def test_a_recurrent_layer_gate_by_gate():
    lstm, gru = nn.LSTM(6, 10, 2), nn.GRU(6, 10)
    for parameter in (*lstm.parameters(), *gru.parameters()):
        nn.init.constant_(parameter, 0.3)
    drawn(nn.ModuleList([lstm, gru]))
    found = {name: one.detach() for name, one in lstm.named_parameters()}
    other = {name: one.detach() for name, one in gru.named_parameters()}
    states = found["weight_hh_l0"], found["weight_hh_l1"], other["weight_hh_l0"]
    for state in (part for whole in states for part in whole.split(10)):
        assert torch.allclose(state @ state.T, torch.eye(10), atol=1e-5)
    assert float(found["weight_ih_l0"].square().mean()) == pytest.approx(2 / 16, rel=1e-4)
    # The forget gate is the second of four, in one of the two biases that are added.
    wanted = torch.cat([torch.zeros(10), torch.ones(10), torch.zeros(20)])
    assert torch.equal(found["bias_ih_l0"] + found["bias_hh_l0"], wanted)
    assert torch.equal(other["bias_ih_l0"], torch.zeros(30))


def test_attention_draws_queries_keys_and_values_by_themselves():
    attention = nn.MultiheadAttention(16, 2, add_bias_kv=True)
    found = dict(attention.named_parameters())
    before = found["bias_k"].detach().clone()
    drawn(nn.Sequential(attention))
    for part in found["in_proj_weight"].detach().chunk(3):
        assert torch.allclose(part @ part.T, torch.eye(16), atol=1e-5)
    assert torch.equal(found["bias_k"], before)


def test_normalisations_become_the_identity():
    batch, layer = nn.BatchNorm1d(3), nn.LayerNorm(3)
    batch(torch.randn(20, 3) * 50)
    for parameter in (*batch.parameters(), *layer.parameters()):
        nn.init.constant_(parameter, 9.0)
    drawn(nn.Sequential(nn.Linear(3, 3), batch, layer))
    for one in (batch, layer):
        assert one.weight.tolist() == [1.0] * 3
        assert one.bias.tolist() == [0.0] * 3
    assert batch.running_var is not None
    assert batch.running_var.tolist() == [1.0] * 3


def test_what_is_frozen_stays():
    frozen, free = linears(2)
    frozen.requires_grad_(False)
    model = nn.Sequential(frozen, free)
    before = [one.detach().clone() for one in model.parameters()]
    drawn(model)
    same = [torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)]
    assert same == [True, True, False, False]


def test_zeros_at_the_end_stay_and_those_in_the_middle_do_not():
    middle, branch, last = modules = linears(3)
    for layer in modules:
        nn.init.zeros_(layer.weight)
    drawn(
        nn.Sequential(*modules),
        described("0", middle),
        described("1", branch, residual=True),
        described("2", last),
    )
    assert [bool(layer.weight.any()) for layer in modules] == [True, False, False]


def test_a_small_residual_branch_stays_and_a_large_or_constant_one_does_not():
    small, large, alike = modules = linears(3)
    nn.init.normal_(small.weight, 0, 0.01)
    nn.init.normal_(large.weight, 0, 10.0)
    nn.init.constant_(alike.weight, 0.01)
    layers = [described(str(place), layer, residual=True) for place, layer in enumerate(modules)]
    before = [layer.weight.detach().clone() for layer in modules]
    drawn(nn.Sequential(*modules), *layers, END)
    same = [torch.equal(old, layer.weight) for old, layer in zip(before, modules, strict=True)]
    assert same == [True, False, False]


def test_tables_of_a_usual_size_stay():
    trained, absurd, tied = nn.Embedding(50, 8), nn.Embedding(50, 8, padding_idx=3), nn.Linear(8, 50)
    nn.init.normal_(trained.weight, 0, 0.02)
    nn.init.normal_(absurd.weight, 0, 40.0)
    tied.weight = trained.weight
    before = trained.weight.detach().clone()
    drawn(nn.ModuleList([trained, absurd, tied]))
    assert torch.equal(trained.weight, before)
    assert float(absurd.weight.detach().std()) == pytest.approx(1.0, rel=0.1)
    assert not absurd.weight[3].any()


class Turned(nn.Module):
    """x @ W, with the units in columns."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.full((400, 50), 3.0))

    def forward(self, x):
        return x @ self.kernel


def test_units_in_columns_are_known_by_the_fans():
    turned = Turned()
    layer = Layer(
        name="0", type="Turned", depth=1, fan_in=400, fan_out=50, activation="relu", expected_std=0.07
    )
    drawn(nn.Sequential(turned), layer, END)
    assert float(turned.kernel.detach().square().mean()) == pytest.approx(2 / 400, rel=0.05)


def test_what_is_added_and_not_multiplied_stays():
    turned = Turned()
    drawn(nn.Sequential(turned), Layer(name="0", type="Turned", depth=1, fan_in=400, fan_out=50))
    assert torch.equal(turned.kernel, torch.full((400, 50), 3.0))
