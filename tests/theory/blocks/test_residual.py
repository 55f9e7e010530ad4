"""Residual stacks: closed forms, and torch's own modules over 10 seeds within 5 % a block."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory.blocks import measuring

from evenflow.errors import SpecError
from evenflow.theory.blocks import residual_stack

TOLERANCE = 0.05

CASES = [
    ("relu", "layer", "pre", 1.0),
    ("relu", "rms", "pre", 1.0),
    ("relu", "batch", "pre", 1.0),
    ("relu", "none", "pre", 1.0),
    ("tanh", "none", "pre", 1.0),
    ("gelu", "layer", "pre", 0.5),
    ("relu", "layer", "post", 1.0),
    ("tanh", "layer", "post", 1.0),
    ("silu", "rms", "post", 1.0),
    ("gelu", "batch", "post", 1.0),
]


def agree(name: str, normalisation: str, position: str, scale: float, depth: int) -> None:
    found = measuring.residual(
        name, depth, seeds=10, normalisation=normalisation, position=position, scale=scale, width=96
    )
    told = residual_stack(
        name,
        depth,
        normalisation=normalisation,  # type: ignore[arg-type]
        position=position,  # type: ignore[arg-type]
        scale=scale,
        width=96,
    )
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)
    assert told.forward[-1] ** (0.5 / depth) == pytest.approx(
        found.forward[-1] ** (0.5 / depth), rel=TOLERANCE
    )
    assert told.outside == ""


@pytest.mark.parametrize(("name", "normalisation", "position", "scale"), CASES)
def test_growth_per_block(name, normalisation, position, scale):
    agree(name, normalisation, position, scale, depth=8)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [32, 128])
@pytest.mark.parametrize(("name", "normalisation", "position", "scale"), CASES)
def test_growth_per_block_of_deep_stacks(name, normalisation, position, scale, depth):
    agree(name, normalisation, position, scale, depth)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [8, 32, 128])
def test_the_whole_growth_with_a_norm_before_the_branch(depth):
    for normalisation in ("layer", "rms"):
        found = measuring.residual("relu", depth, seeds=10, normalisation=normalisation, width=192)
        told = residual_stack("relu", depth, normalisation=normalisation, width=192)
        assert told.backward[0] == pytest.approx(found.backward[0], rel=TOLERANCE)


def test_without_a_norm_a_branch_that_keeps_the_second_moment_doubles_it():
    found = residual_stack("relu", 10)
    assert found.forward == pytest.approx(2.0 ** np.arange(1, 11))
    assert found.backward == pytest.approx(2.0 ** np.arange(10, 0, -1))
    assert found.per_block == pytest.approx(math.sqrt(2))


def test_a_depth_of_ten_thousand_does_not_overflow():
    assert residual_stack("relu", 10_000).per_block == pytest.approx(math.sqrt(2))


def test_one_over_root_depth_tends_to_e():
    assert residual_stack("relu", 4096, scale=1 / 64).backward[0] == pytest.approx(math.e, rel=1e-3)


def test_pre_layer_norm_grows_by_depth_and_one():
    for depth in (8, 32, 128):
        found = residual_stack("relu", depth, normalisation="layer")
        assert found.backward[0] == pytest.approx(depth + 1)
        assert found.forward[-1] == pytest.approx(depth + 1)


def test_pre_batch_norm_is_a_power_of_the_depth():
    """The exponent is π/(π - 1) for ReLU."""
    short, long = (residual_stack("relu", depth, normalisation="batch").backward[0] for depth in (1000, 4000))
    assert math.log(long / short) / math.log(4) == pytest.approx(math.pi / (math.pi - 1), rel=1e-3)


def test_a_branch_of_scale_0_changes_nothing():
    for normalisation in ("none", "layer", "batch"):
        found = residual_stack("gelu", 50, scale=0.0, normalisation=normalisation)
        assert found.backward == pytest.approx(np.ones(50))


def test_the_users_own_activation():
    assert residual_stack("own", 4, normalisation="layer").per_block > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "the depth is a whole number of 1 or more, not 0"),
        ({"weight_variance": -1.0}, "the weight variance σ_w² is above 0 and finite, not -1"),
        ({"input_variance": 0.0}, "the input variance is above 0 and finite, not 0"),
        ({"normalisation": "layr"}, 'normalisation "layr" is not known; did you mean "layer"?'),
        ({"position": "before"}, 'position "before" is not known; known are pre, post'),
        ({"width": 0.5}, "the width is a whole number of 1 or more, not 0.5"),
        ({"scale": math.nan}, "the scale of the branch is a finite number, not nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(SpecError) as error:
        residual_stack("relu", **{"depth": 4, **arguments})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 16}, "the width 16 is below 32, where one draw differs too much from the mean"),
        (
            {"normalisation": "batch", "batch": 8},
            "a batch of 8 is below 32, where BatchNorm's own noise counts",
        ),
    ],
)
def test_outside_it_says_so(arguments, message):
    found = residual_stack("relu", 4, **arguments)
    assert found.outside == message
    assert np.isnan(found.per_block)
    assert np.isnan(found.forward).all()
    assert np.isnan(found.backward).all()


def test_the_limit_on_the_batch_is_needed():
    """At B = 6 post-BN is more than 5 % a block off, at 32 it is not."""
    found = {
        batch: measuring.residual(
            "relu", 16, seeds=6, normalisation="batch", position="post", batch=batch, width=96
        )
        for batch in (6, 32)
    }
    told = residual_stack("relu", 16, normalisation="batch", position="post").per_block
    assert abs(told / found[6].per_block - 1) > TOLERANCE
    assert abs(told / found[32].per_block - 1) < TOLERANCE
