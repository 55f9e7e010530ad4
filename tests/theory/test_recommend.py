"""Recommended initialisations against NumPy, and remedies against what their own fields say."""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np
import pytest

import evenflow as ef
from evenflow.errors import SpecError
from evenflow.spec.plan import plan_of
from evenflow.theory.losses import loss_gradient
from evenflow.theory.propagate import propagate
from evenflow.theory.recommend import recommended_initialisation
from evenflow.theory.remedies import apply, assess, remedies, verdict
from evenflow.theory.snippet import snippet

RANDOM = np.random.default_rng(3)
INPUTS = RANDOM.normal(size=(16, 20)) * 1.7 + 0.4
GRADIENT = loss_gradient("cross_entropy", RANDOM.integers(0, 5, size=16), 5)


def plan(**fields):
    return plan_of(ef.Network(**{"depth": 4, "width": 24, **fields}), 20, 5)


def recommended(**fields):
    return recommended_initialisation(plan(**fields), INPUTS, GRADIENT)


def layers_by_hand(function, draws, samples=400_000):
    """Variance of pre-activations and factor on the squared gradient behind every hidden layer, by sampling."""
    random = np.random.default_rng(1)
    variance = draws[0][0] ** 2 * np.mean(INPUTS**2) + draws[0][1] ** 2
    found = []
    for weight, bias in draws[1:]:
        z = math.sqrt(variance) * random.normal(size=samples)
        found.append((variance, weight**2 * np.mean(function.derivative(z) ** 2)))
        variance = weight**2 * np.mean(function(z) ** 2) + bias**2
    return np.array(found)


@pytest.mark.parametrize("name", ["relu", "tanh", "selu", "softsign", "sigmoid"])
def test_variance_and_gradient_stay_as_they_are(name) -> None:
    found = recommended(activation=name, depth=50, width=128)
    assert found.critical
    by_hand = layers_by_hand(ef.activation(name), found.draws[:6])
    np.testing.assert_allclose(by_hand[:, 0], found.variance, rtol=0.03)
    np.testing.assert_allclose(by_hand[:, 1], 1, rtol=0.03)


def test_the_values_of_the_papers() -> None:
    relu = recommended(activation="relu")
    assert relu.draws[1] == pytest.approx((math.sqrt(2), 0))  # He et al. 2015
    assert relu.draws[0][0] == pytest.approx(1 / math.sqrt(np.mean(INPUTS**2)))
    assert relu.reason == "with it relu is critical at any variance"
    tanh = recommended(activation="tanh")
    assert np.square(tanh.draws[1]) == pytest.approx((2.153303, 0.150965), rel=1e-5)
    assert tanh.draws[-1][1] == 0


def test_softplus_has_none_and_it_is_said() -> None:
    found = recommended(activation="softplus", depth=30)
    assert not found.critical
    assert found.reason.startswith(
        "no critical initialisation exists for softplus: it would need a negative bias variance at every "
        "variance; the least is lost with weights that keep variance "
    )
    gain = apply(found.plan, {"initialisation": "gain", "bias_initialisation": "zero"})
    lost = [abs(assess(one, INPUTS, GRADIENT).worst_log10) for one in (found.plan, gain)]
    assert lost[0] < lost[1] - 1


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_where_the_line_is_half_stable_the_flatter_of_two_is_taken(name) -> None:
    found = recommended(activation=name, depth=50, width=128)
    assert found.reason.startswith(("with it ", "keeping variance 1 gives a flatter gradient at this depth"))
    assert found.forecast is not None
    assert assess(found.plan, INPUTS, GRADIENT).in_reach


def test_several_activations_share_one_variance() -> None:
    found = recommended(activation=("relu", "sigmoid"), depth=6)
    assert found.critical
    assert found.variance == pytest.approx(45.62, abs=0.01)
    assert found.draws[1] == pytest.approx((math.sqrt(2), 0))  # behind ReLU
    assert found.draws[2][0] == pytest.approx(10.15, abs=0.01)  # behind the sigmoid


def test_dropout_is_made_up_for() -> None:
    assert recommended(dropout=0.5).draws[1] == pytest.approx((1, 0))


@pytest.mark.parametrize(
    "fields",
    [
        {"residual": "pre"},
        {"residual": "post", "activation": "tanh"},
        {"normalisation": "layer", "activation": "gelu"},
        {"normalisation": "rms", "normalisation_position": "after", "activation": "tanh"},
        {"normalisation": "layer", "normalisation_position": "after", "activation": "sigmoid"},
    ],
    ids=str,
)
def test_blocks_and_norms_are_reckoned_with(fields) -> None:
    found = recommended(depth=30, width=64, **fields)
    remedy = assess(found.plan, INPUTS, GRADIENT)
    assert remedy.in_reach, remedy.obstacle


def test_inputs_of_nothing_but_zeros_are_refused() -> None:
    with pytest.raises(
        SpecError, match=r"^the inputs have second moment 0; no initialisation of the first layer"
    ):
        recommended_initialisation(plan(), np.zeros((4, 20)), GRADIENT)


def test_a_custom_activation_has_its_own() -> None:
    ef.register_activation("bent_here", lambda z: z + 0.3 * z / (1 + z * z))
    found = recommended(activation="bent_here", depth=20)
    assert "bent_here" in found.reason
    assert assess(found.plan, INPUTS, GRADIENT).in_reach


def test_a_step_passes_no_gradient_and_no_initialisation_is_called_critical() -> None:
    ef.register_activation("step_here", lambda z: 1.0 * (z > 0), lambda z: 0.0 * z)
    found = recommended(activation="step_here")
    assert not found.critical
    assert assess(found.plan, INPUTS, GRADIENT).obstacle.startswith("it cannot be predicted, ")


def test_what_a_remedy_changes_are_the_fields_it_names() -> None:
    network = ef.Network(depth=4, width=24, activation="sigmoid")
    ranked = remedies(plan_of(network, 20, 5), INPUTS, GRADIENT, recommended(activation="sigmoid"))
    seen = 0
    for one in ranked:
        if one.initialisation is None:
            changed = plan_of(msgspec.structs.replace(network, **one.change), 20, 5)
            assert apply(plan_of(network, 20, 5), one.change) == changed, one.what
            seen += 1
    assert seen >= 7
    assert any(one.initialisation and one.change == {} for one in ranked)


def test_the_ranking() -> None:
    base = plan(activation="sigmoid", depth=20)
    ranked = remedies(base, INPUTS, GRADIENT, recommended(activation="sigmoid", depth=20))
    keys = [(not one.in_reach, round(abs(one.worst_log10), 1), one.changes) for one in ranked]
    assert keys == sorted(keys)
    assert ranked[0].in_reach
    assert ranked[0].obstacle == ""


def test_the_verdict() -> None:
    deep = plan(activation="sigmoid", depth=20)
    ranked = remedies(deep, INPUTS, GRADIENT, recommended(activation="sigmoid", depth=20))
    said = verdict(deep, assess(deep, INPUTS, GRADIENT), ranked)
    assert re.match(
        r"Depth 20 is out of reach as it is: the gradient vanishes, in layer \d+ it is 10\^-1\d\.\d of layer 20's\. "
        "Brought in, the flattest gradient first, by: ",
        said,
    )
    flat = plan(initialisation="he")
    assert verdict(flat, assess(flat, INPUTS, GRADIENT), ()) == "Depth 4 is in reach as it is."
    out = [one for one in ranked if not one.in_reach][:1]
    assert verdict(deep, assess(deep, INPUTS, GRADIENT), tuple(out)).endswith(
        f" No change that was looked at brings it in; the flattest gradient has: {out[0].what}."
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"depth": 30, "activation": "tanh", "initialisation": "normal:0.6"},
            "the gradient explodes, in layer ",
        ),
        ({"depth": 60, "residual": "pre", "initialisation": "he"}, "the signal explodes to 10^"),
    ],
    ids=["gradient", "signal"],
)
def test_what_stands_in_the_way(fields, words) -> None:
    found = assess(plan(**fields), INPUTS, GRADIENT)
    assert not found.in_reach
    assert found.obstacle.startswith(words)


def test_inputs_that_become_alike() -> None:
    # a bias that drowns what differs, in a network too shallow for the gradient to suffer
    shallow = plan(depth=1, initialisation="lecun", bias_initialisation="normal:60")
    found = assess(shallow, INPUTS, GRADIENT)
    assert found.obstacle.startswith("inputs become alike, 10^-")


def test_fewer_chains_tell_the_same_within_their_error() -> None:
    network = plan(activation="tanh", initialisation="gain", depth=12)
    many, few = (propagate(network, INPUTS, GRADIENT, chains=count).weight for count in (None, 24))
    assert np.max(np.abs(many.mean - few.mean) / np.hypot(many.error, few.error)) < 5
    assert np.max(few.error) > np.max(many.error)


def test_the_snippet_writes_a_pattern_once() -> None:
    assert "[first, *[between] * 3, last]" in snippet(recommended())
    alternating = snippet(recommended(activation=("relu", "tanh"), depth=7))
    assert "between[n % 2] for n in range(6)" in alternating
    assert "draws = [first, last]" in snippet(recommended(depth=1))
