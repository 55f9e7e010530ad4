"""Weights drawn anew: their scale, their directions, and what is left as it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from evenflow.prescribe.redraw import redraw
from evenflow.spec.setting import Layer, Setting


def drawn(model: nn.Module, *layers: Layer, seed: int = 0) -> nn.Module:
    redraw(model, Setting(layers=layers), torch.Generator().manual_seed(seed))
    return model


def described(name: str, module: nn.Linear, activation: str = "", **facts) -> Layer:
    weight = module.weight.detach()
    usual = {
        "weight_mean": float(weight.mean()),
        "weight_std": float(weight.std(correction=0)),
        "expected_std": 0.1,
        "distinct_inputs": 1.0,
        "distinct_units": 1.0,
    }
    return Layer(
        name=name,
        type="Linear",
        depth=1,
        fan_in=module.in_features,
        fan_out=module.out_features,
        activation=activation,
        **(usual | facts),
    )


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
    model = nn.Sequential(nn.Linear(300, 200))
    nn.init.constant_(model[0].weight, 7.0)
    drawn(model, described("0", model[0], activation), described("end", nn.Linear(2, 2)))
    weight = model[0].weight.detach()
    assert float(weight.square().mean()) == pytest.approx(variance, rel=0.03)
    assert abs(float(weight.mean())) < 0.02 * math.sqrt(variance)
    assert torch.equal(model[0].bias, torch.zeros(200))


def test_what_is_linear_around_0_keeps_all_directions_alike():
    model = nn.Sequential(nn.Linear(64, 64))
    singular = torch.linalg.svdvals(drawn(model, described("0", model[0], "tanh"))[0].weight)
    assert singular.tolist() == pytest.approx([1.0] * 64, rel=1e-5)
    other = nn.Sequential(nn.Linear(64, 64))
    assert torch.linalg.svdvals(drawn(other, described("0", other[0], "relu"))[0].weight).min() < 0.5


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
    drawn(nn.Sequential(lstm)), drawn(nn.Sequential(gru))
    for state in (*lstm.weight_hh_l0.chunk(4), *lstm.weight_hh_l1.chunk(4), *gru.weight_hh_l0.chunk(3)):
        assert torch.allclose(state @ state.T, torch.eye(10), atol=1e-5)
    assert float(lstm.weight_ih_l0.detach().square().mean()) == pytest.approx(2 / 16, rel=1e-4)
    # The forget gate is the second of four, in one of the two biases that are added.
    wanted = torch.cat([torch.zeros(10), torch.ones(10), torch.zeros(20)])
    assert torch.equal(lstm.bias_ih_l0 + lstm.bias_hh_l0, wanted)
    assert torch.equal(gru.bias_ih_l0, torch.zeros(30))


def test_attention_draws_queries_keys_and_values_by_themselves():
    attention = nn.MultiheadAttention(16, 2, bias=True, add_bias_kv=True)
    before = attention.bias_k.detach().clone()
    drawn(nn.Sequential(attention))
    for part in attention.in_proj_weight.chunk(3):
        assert torch.allclose(part @ part.T, torch.eye(16), atol=1e-5)
    assert torch.equal(attention.bias_k, before)


def test_normalisations_become_the_identity():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.LayerNorm(3))
    model.train()
    model(torch.randn(20, 3) * 50)
    for one in (model[1], model[2]):
        nn.init.constant_(one.weight, 9.0)
        nn.init.constant_(one.bias, -9.0)
    drawn(model)
    for one in (model[1], model[2]):
        assert one.weight.tolist() == [1.0] * 3
        assert one.bias.tolist() == [0.0] * 3
    assert model[1].running_var.tolist() == [1.0] * 3


def test_what_is_frozen_stays():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].requires_grad_(False)
    before = [one.detach().clone() for one in model.parameters()]
    drawn(model)
    assert [torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_zeros_at_the_end_stay_and_those_in_the_middle_do_not():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    for layer in model:
        nn.init.zeros_(layer.weight)
    layers = [described(str(place), layer) for place, layer in enumerate(model)]
    layers[1] = described("1", model[1], residual=True)
    drawn(model, *layers)
    assert [bool(layer.weight.any()) for layer in model] == [True, False, False]


def test_a_small_residual_branch_stays_and_a_large_or_constant_one_does_not():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    nn.init.normal_(model[0].weight, 0, 0.01)
    nn.init.normal_(model[1].weight, 0, 10.0)
    nn.init.constant_(model[2].weight, 0.01)
    layers = [described(str(place), layer, residual=True) for place, layer in enumerate(model)]
    before = [layer.weight.detach().clone() for layer in model]
    drawn(model, *layers, described("end", nn.Linear(2, 2)))
    same = [torch.equal(old, layer.weight) for old, layer in zip(before, model, strict=True)]
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
        self.places = nn.Embedding(1, 1)

    def forward(self, x):
        return x @ self.kernel


def test_units_in_columns_are_known_by_the_fans():
    model = nn.Sequential(Turned())
    layer = Layer(
        name="0", type="Turned", depth=1, fan_in=400, fan_out=50, activation="relu", expected_std=0.07
    )
    drawn(model, layer, described("end", nn.Linear(2, 2)))
    assert float(model[0].kernel.detach().square().mean()) == pytest.approx(2 / 400, rel=0.05)


def test_what_is_added_and_not_multiplied_stays():
    model = nn.Sequential(Turned())
    drawn(model, Layer(name="0", type="Turned", depth=1, fan_in=400, fan_out=50))
    assert bool((model[0].kernel == 3.0).all())
