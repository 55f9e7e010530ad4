"""A forecast in words: the figures of every layer, the notes they call for, and the sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prediction_tables import drawn_table, predicted_table

from evenflow.report.forecast import FLOAT32_ZERO, chosen, distance, layers_of, notes, summary
from evenflow.report.forecast_terminal import (
    chain_sentence,
    forecast_table,
    network_title,
    phase_sentence,
)
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.theory import chain


def test_every_figure_lands_in_its_layer():
    predicted = predicted_table([-3.0, -2.0, -1.0], deviation=0.2, rms=[2.0, 3.0], dead=[0.0, 0.25])
    layers = layers_of(predicted, drawn_table([[1e-3, 1e-2, 1e-1], [1e-5, 1e-2, 1e-1]]))
    assert layers.depth.tolist() == [1, 2, 3]
    assert layers.log.tolist() == [-3.0, -2.0, -1.0]
    assert layers.deviation == pytest.approx([0.2] * 3)
    assert layers.second == pytest.approx([4.0, 9.0, math.nan], nan_ok=True)
    assert layers.dead == pytest.approx([0.0, 0.25, math.nan], nan_ok=True)
    assert layers.measured == pytest.approx([-4.0, -2.0, -1.0])
    assert layers.measured_deviation == pytest.approx([math.sqrt(2), 0, 0])
    assert layers.activations == ("relu", "relu")


def test_without_drawn_networks_nothing_is_measured():
    layers = layers_of(predicted_table([-1.0, 0.0]))
    assert layers.seeds.shape == (0, 2)
    assert np.isnan(layers.measured).all()
    assert distance(layers) == ""


def test_exact_zeros_are_counted_and_left_out_of_the_mean():
    layers = layers_of(predicted_table([-300.0, 0.0]), drawn_table([[0.0, 1.0], [1e-300, 1.0], [0.0, 1.0]]))
    assert layers.zeros.tolist() == [2, 0]
    assert layers.measured == pytest.approx([-300.0, 0.0])
    assert "exactly 0 in 2 of 3 seeds" in notes(layers)[0]
    every = layers_of(predicted_table([-400.0, 0.0]), drawn_table([[0.0, 1.0]] * 2))
    assert every.measured.tolist() == [-math.inf, 0.0]
    infinite = layers_of(predicted_table([0.0, 0.0]), drawn_table([[math.inf, 1.0], [1.0, 1.0]]))
    assert notes(infinite)[0] == "infinite in 1 of 2 seeds"
    assert infinite.measured.tolist() == [0.0, 0.0]


def test_the_threshold_of_float32_is_where_numpy_rounds_to_0():
    with np.errstate(under="ignore"):
        assert np.float32(10 ** (FLOAT32_ZERO - 1e-6)) == 0
        assert np.float32(10 ** (FLOAT32_ZERO + 1e-6)) > 0


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"logs": [-2.9, 0.0]}, ""),
        ({"logs": [-5.2, 0.0]}, "vanishing: 10⁻⁵"),
        ({"logs": [4.1, 0.0]}, "exploding: 10⁴"),
        ({"logs": [-46.0, -45.5]}, "0 in float32"),
        ({"logs": [-50.0, 0.0]}, "vanishing: 10⁻⁵⁰; 0 in float32"),
        ({"logs": [39.0, 38.0]}, "overflows float32"),
        ({"logs": [0.0, 0.0], "rms": [1e-4]}, "signal fades"),
        ({"logs": [0.0, 0.0], "rms": [1e4]}, "signal explodes"),
        ({"logs": [0.0, 0.0], "dead": [0.49]}, ""),
        ({"logs": [0.0, 0.0], "dead": [0.5]}, "half of the units dead"),
        ({"logs": [0.0, 0.0], "dead": [0.8]}, "most units dead"),
        ({"logs": [0.0, 0.0], "dead": [1.0]}, "all units dead"),
        ({"logs": [math.nan, 0.0]}, ""),
    ],
    ids=str,
)
def test_a_note_for_what_is_out_of_the_ordinary(fields, note):
    assert notes(layers_of(predicted_table(**fields)))[0] == note


def test_a_long_network_is_shortened_to_round_layers():
    def shown(count):
        return (chosen(layers_of(predicted_table([0.0] * count))) + 1).tolist()

    assert shown(24) == list(range(1, 25))
    assert shown(25) == [1, *range(2, 25, 2), 25]
    assert shown(101) == [1, *range(5, 101, 5), 101]
    assert all(len(shown(count)) <= 24 for count in (25, 43, 64, 210, 1000, 1001))


def test_sentences():
    predicted = predicted_table([-9.0, -2.0, -1.0])
    assert summary(layers_of(predicted)) == (
        "Predicted gradient of the first layer: 1.0 × 10⁻⁸ of the last layer's."
    )
    assert summary(layers_of(predicted_table([math.nan, 0.0]))) == (
        "The gradient of the first layer cannot be predicted."
    )
    drawn = drawn_table([[1e-9, 1e-3, 0.1], [1e-9, 1e-1, 0.1]])
    assert distance(layers_of(predicted, drawn)) == (
        "Furthest apart in layer 1: predicted −9.00, measured −9.00, a factor of 1.00."
    )
    drawn = drawn_table([[1e-9, 1e-4, 0.1], [1e-9, 1e-2, 0.1]])
    assert distance(layers_of(predicted, drawn)) == (
        "Furthest apart in layer 2: predicted −2.00, measured −3.00, a factor of 10, "
        "1.0 standard errors of the measured mean."
    )
    assert distance(layers_of(predicted, drawn_table([[0.0] * 3]))) == (
        "No layer has both a prediction and a measured gradient that is a finite number above 0."
    )


def test_the_phase_of_a_plain_network_only():
    assert phase_sentence(Network(initialisation="he")) == (
        "As depth grows without end, gradients of a very wide network pass evenly: phase critical, "
        "χ₁ = 1.00 at σ_w² = 2.00, σ_b² = 0."
    )
    assert phase_sentence(Network(normalisation="batch")) == ""


def test_the_title_says_what_the_network_is():
    assert network_title(Network(), Data(name="digits")) == "20 × 128, relu, torch, on digits"
    fields = {"normalisation": "batch", "residual": "pre", "residual_scale": 0.5}
    found = network_title(Network(activation=("relu", "tanh"), depth=3, width=8, **fields), Data())
    assert found == (
        "3 × 8, relu, tanh, torch, batch normalisation before the activation, residual pre × 0.5, on digits28"
    )
    assert network_title(Network(width=(9, 8, 7, 6, 5, 4, 3)), Data()).startswith("9-8-7-6-5-4-…, relu")


def test_the_columns_follow_what_is_known():
    def titles(*tables):
        return [str(column.header) for column in forecast_table(layers_of(*tables), "x").columns]

    plain = predicted_table([0.0, 0.0, 0.0])
    assert titles(plain) == ["layer", "predicted", "2nd moment", "dead"]
    assert "measured" in titles(plain, drawn_table([[1.0, 1.0, 1.0]]))
    assert "note" in titles(predicted_table([-5.0, 0.0, 0.0]))
    assert "activation" in titles(predicted_table([0.0, 0.0, 0.0], activation=["relu", "tanh"]))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            chain("sigmoid", 0.1, hops=3),
            "After 3 factors the gradient at layer 1 is 64,000 times smaller than at the output: 1.56 × 10⁻⁵.",
        ),
        (
            chain("sigmoid", 0.1, hops=5),
            "After 5 factors the gradient at layer 1 is 102,400,000 times smaller than at the output: 9.77 × 10⁻⁹.",
        ),
        (
            chain("relu", 1.0, hops=4),
            "After 4 factors the gradient at layer 1 is as large as at the output: 1.00.",
        ),
        (
            chain("relu", -2.0, hops=1),
            "After 1 factor the gradient at layer 1 is 2 times larger than at the output: −2.00.",
        ),
        (chain("relu", 0.0, hops=2), "After 2 factors the gradient at layer 1 is exactly 0."),
        (
            chain("sigmoid", 1e-4, hops=100),
            "After 100 factors the gradient at layer 1 is 10^−460.21 of the output's.",
        ),
    ],
    ids=["64000", "5", "even", "negative", "zero", "underflow"],
)
def test_what_a_chain_comes_to(found, sentence):
    assert chain_sentence(found) == sentence
