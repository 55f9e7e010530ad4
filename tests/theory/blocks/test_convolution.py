"""Convolutions: border losses in closed form, and `nn.Conv2d` over 10 seeds within 5 % a layer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory.blocks import measuring

from evenflow.errors import SpecError
from evenflow.theory.blocks import convolution_stack

TOLERANCE = 0.05


@pytest.mark.parametrize(
    ("name", "size", "kernel", "mode", "groups"),
    [
        ("relu", 16, 3, "zeros", 1),
        ("relu", 8, 3, "zeros", 1),
        ("relu", 8, 5, "zeros", 1),
        ("relu", 16, 3, "zeros", 2),
        ("relu", 8, 3, "circular", 1),
        ("tanh", 8, 3, "zeros", 1),
        ("gelu", 8, 3, "circular", 1),
    ],
)
def test_growth_per_layer(name, size, kernel, mode, groups):
    depth = 10
    found = measuring.convolution(
        name, depth, 32, size, seeds=10, kernel=kernel, padding_mode=mode, groups=groups
    )
    told = convolution_stack(name, depth, 32, size, kernel=kernel, padding_mode=mode, groups=groups)
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)
    assert told.forward[-1] ** (0.5 / depth) == pytest.approx(
        found.forward[-1] ** (0.5 / depth), rel=TOLERANCE
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [8, 16])
def test_twenty_layers_of_64_channels(size):
    found = measuring.convolution("relu", 20, 64, size, seeds=10)
    assert convolution_stack("relu", 20, 64, size).per_block == pytest.approx(found.per_block, rel=0.02)


def test_the_last_layer_loses_the_rows_and_columns_at_the_border():
    assert convolution_stack("relu", 1, 16, 16).backward[0] == pytest.approx((46 / 48) ** 2)
    assert convolution_stack("relu", 1, 16, (16, 5)).backward[0] == pytest.approx(46 / 48 * 13 / 15)


def test_deep_down_the_profile_is_a_cosine():
    found = convolution_stack("relu", 400, 16, 16)
    assert found.backward[0] / found.backward[1] == pytest.approx(((1 + 2 * math.cos(math.pi / 17)) / 3) ** 2)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_against_plain_loops_over_the_positions(name):
    """Every output, every tap, in one dimension: a 1 x 1 kernel row would not do, so the image is 5 x 4."""
    from evenflow.theory.gaussian import moments

    height, width, depth, weight = 5, 4, 3, 0.2
    profiles = [np.ones((height, width))]
    for _ in range(depth):
        second = moments(name, profiles[-1]).second
        after = np.zeros((height, width))
        for i, j in np.ndindex(height, width):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        after[i, j] += weight * 16 * second[i + di, j + dj]
        profiles.append(after)
    gradient = np.ones((height, width))
    sizes = []
    for profile in reversed(profiles[:-1]):
        slope, before = moments(name, profile).slope_second, np.zeros((height, width))
        for i, j in np.ndindex(height, width):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        before[i + di, j + dj] += weight * 16 * gradient[i, j] * slope[i + di, j + dj]
        gradient = before
        sizes.append(float(np.mean(before)))
    told = convolution_stack(name, depth, 16, (height, width), weight_variance=weight)
    assert told.forward == pytest.approx([float(np.mean(one)) for one in profiles[1:]], rel=1e-9)
    assert told.backward == pytest.approx(sizes[::-1], rel=1e-9)


def test_circular_padding_is_a_dense_layer_of_the_same_fan_in():
    assert convolution_stack("relu", 7, 32, 6, padding_mode="circular").backward == pytest.approx(np.ones(7))
    assert convolution_stack("relu", 7, 32, 6, padding_mode="circular", groups=2).per_block == pytest.approx(
        1.0
    )


def test_no_padding_shrinks_the_image():
    found = convolution_stack("relu", 2, 16, 7, padding=0)
    # 25 of 49 positions, then 9 of 25, each seen or not
    assert found.backward[1] == pytest.approx(9 / 25)
    assert found.forward == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "the depth is a whole number of 1 or more, not 0"),
        ({"kernel": 2}, "the kernel is odd, not 2; an even one has no middle"),
        ({"groups": 3}, "16 channels cannot be split into 3 groups; choose a divisor"),
        ({"padding_mode": "zero"}, 'padding mode "zero" is not known; did you mean "zeros"?'),
        (
            {"padding": 0, "depth": 5},
            "a kernel of 3 with padding 0 leaves nothing of 2 pixels; pad more or go less deep",
        ),
        ({"weight_variance": 0.0}, "the variance of a weight is above 0 and finite, not 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(SpecError) as error:
        convolution_stack("relu", **{"depth": 2, "channels": 16, "size": 8, **arguments})
    assert str(error.value) == message


def test_outside_it_says_so():
    found = convolution_stack("relu", 4, 16, 8, groups=16)
    assert found.outside == (
        "a group has 1 channels, below 16, where one draw differs too much from the mean; use fewer groups or more "
        "channels"
    )
    assert math.isnan(found.per_block)


def test_the_limit_on_the_groups_is_needed():
    """Depthwise, what is typical lies far below the mean."""
    found = measuring.convolution("relu", 10, 16, 8, seeds=10, groups=16)
    like = convolution_stack("relu", 10, 16, 8)
    assert found.forward[-1] < 0.5 * like.forward[-1]
