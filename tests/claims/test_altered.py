"""Experiments altered to the opposite, and run: the verdict follows."""

from __future__ import annotations

from functools import partial

import pytest

from evenflow.claims.claim import Settings
from evenflow.claims.textbook import CLAIMS

ALTERED = {
    "sigmoid_products": ({"falling": "tanh"}, "wrong"),
    "five_layers_of_ten": ({"lost": "tanh"}, "wrong"),
    "small_weight_chain": ({"lost": "relu"}, "wrong"),
    "unit_stays_dead": ({"function": "leaky_relu"}, "wrong"),
    "half_are_zero": ({"function": "leaky_relu"}, "wrong"),
    "networks_with_dead_units": ({"function": "leaky_relu"}, "not decided"),  # none of 16 may be one of 20
    "inputs_use_other_units": ({"function": "sigmoid"}, "wrong"),
    "elu_centres": ({"centred": "relu", "other": "elu"}, "wrong"),
    "relu_explodes": ({"function": "tanh"}, "wrong"),
    "he_prevents_explosion": ({"initialisation": "normal:1"}, "wrong"),
    "alternating_vanishes": ({"turns": ("relu", "relu")}, "holds under conditions"),
    "batch_norm_stable": ({"function": "identity"}, "holds"),
    "residual_connections": ({"residual": "none"}, "wrong"),
    "slope_at_zero": ({"slopes": (0.5, 0.5, 1.0)}, "holds"),
    "tanh_saturates": ({"terms": ("normal:1", "normal:2")}, "holds"),
}
SLOW = (
    "networks_with_dead_units",
    "tanh_saturates",
    "slope_at_zero",
    "half_are_zero",
    "elu_centres",
    "sigmoid_products",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ALTERED]
)
def test_an_experiment_altered_to_the_opposite_changes_the_verdict(name, ledger_results) -> None:
    how, expected = ALTERED[name]
    claim = CLAIMS[name]
    figures = partial(claim.experiment, **how)(Settings())
    assert claim.judge(figures).kind == expected
    assert claim.judge(ledger_results[name].figures).kind != expected
