"""`nn.TransformerEncoderLayer` and a written-out DeepNorm over 10 seeds within 5 % a block."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory.blocks import measuring

from evenflow.errors import SpecError
from evenflow.theory.blocks import deep_norm_constants, deep_norm_stack, encoder, transformer_stack

TOLERANCE = 0.05


def agree(depth, tokens, position, start, seeds=10, width=128, input_variance=1.0):
    found = measuring.transformer(
        depth,
        tokens,
        seeds=seeds,
        position=position,
        start=start,
        width=width,
        feedforward=4 * width,
        input_variance=input_variance,
    )
    told = transformer_stack(
        depth, width, tokens, position=position, start=start, input_variance=input_variance
    )
    assert told.outside == ""
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)
    assert told.forward[-1] ** (0.5 / depth) == pytest.approx(
        found.forward[-1] ** (0.5 / depth), rel=TOLERANCE
    )
    return told, found


@pytest.mark.parametrize("start", ["torch", "xavier"])
@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("tokens", [8, 32])
def test_growth_per_block(position, start, tokens):
    agree(3, tokens, position, start, width=64)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [6, 12, 24])
@pytest.mark.parametrize("start", ["torch", "xavier"])
@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("tokens", [16, 64])
def test_growth_per_block_of_deep_stacks(position, start, tokens, depth):
    agree(depth, tokens, position, start)


@pytest.mark.slow
def test_the_whole_growth_of_pre_layer_norm():
    told, found = agree(12, 64, "pre", "torch")
    assert told.backward == pytest.approx(found.backward, rel=TOLERANCE)


@pytest.mark.parametrize("position", ["pre", "post"])
def test_a_small_embedding(position):
    agree(2, 16, position, "xavier", width=64, input_variance=0.25)


@pytest.mark.parametrize(
    "depth", [3, pytest.param(6, marks=pytest.mark.slow), pytest.param(24, marks=pytest.mark.slow)]
)
def test_deep_norm_keeps_the_gradient(depth):
    constants = deep_norm_constants(encoders=depth)
    found = measuring.deep_norm(
        depth,
        16,
        seeds=10,
        alpha=constants.encoder_alpha,
        beta=constants.encoder_beta,
        width=64,
        feedforward=256,
    )
    told = deep_norm_stack(depth, 64, 16)
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)
    assert told.per_block == pytest.approx(1.0, abs=0.01)


def test_the_constants_of_deep_norm():
    """Wang et al. 2022, table 2."""
    assert deep_norm_constants(encoders=8).encoder_alpha == pytest.approx(2.0)
    assert deep_norm_constants(encoders=2).encoder_beta == pytest.approx(0.5)
    assert deep_norm_constants(decoders=8).decoder_alpha == pytest.approx(2.0)
    both = deep_norm_constants(encoders=16, decoders=1)
    assert (both.encoder_alpha, both.encoder_beta) == pytest.approx((1.62, 0.435))
    assert (both.decoder_alpha, both.decoder_beta) == pytest.approx((3**0.25, 12**-0.25))


def test_pre_layer_norm_grows_about_linearly():
    forward = transformer_stack(48, 512, 64, start="xavier").forward
    steps = np.diff(forward)
    # each branch adds what its weights make of a normalised input, a little more as tokens align
    assert np.all(np.diff(steps) > -1e-9)
    assert steps[-1] < 2.5 * steps[0]


def test_tokens_that_are_all_alike_pass_through_attention_unchanged():
    alike = transformer_stack(1, 512, 16, start="xavier", input_correlation=1.0).forward[0]
    apart = transformer_stack(1, 512, 16, start="xavier").forward[0]
    assert alike > apart
    # values keep half, the output all; the feed-forward net 1.6·0.4/2 of it, and little biases
    assert alike == pytest.approx(1 + 0.5 + 1.6 * 0.4 / 2, rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "the depth is a whole number of 1 or more, not 0"),
        ({"tokens": 0}, "the number of tokens is a whole number of 1 or more, not 0"),
        ({"position": "middle"}, 'position "middle" is not known; known are pre, post'),
        ({"start": "xaver"}, 'initialisation "xaver" is not known; did you mean "xavier"?'),
        ({"skip": 2.0}, 'a factor α on the skip needs position="post"; pre-LN has none'),
        ({"branch": 0.0}, "the factor β on the weights is above 0 and finite, not 0"),
        ({"input_correlation": 1.5}, "the correlation of two tokens lies from 0 to 1, not at 1.5"),
        ({"input_variance": math.nan}, "the input variance is above 0 and finite, not nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(SpecError) as error:
        transformer_stack(**{"depth": 2, "width": 64, "tokens": 16, **arguments})
    assert str(error.value) == message


def test_deep_norm_needs_a_stack():
    with pytest.raises(SpecError, match="DeepNorm needs encoder or decoder blocks; both counts are 0"):
        deep_norm_constants()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"tokens": 4}, "4 tokens are below 8"),
        ({"width": 32}, "the width 32 is below 64"),
        ({"position": "post", "input_variance": 9.0}, "the attention scores have variance 20.2, above 1"),
    ],
)
def test_outside_it_says_so(arguments, word):
    found = transformer_stack(**{"depth": 2, "width": 64, "tokens": 16, **arguments})
    assert word in found.outside
    assert math.isnan(found.per_block)


def test_the_limit_on_the_scores_is_needed(monkeypatch):
    monkeypatch.setattr(encoder, "LARGEST_SCORES", math.inf)
    found = measuring.transformer(
        3, 16, seeds=10, position="post", start="xavier", width=64, input_variance=9.0
    )
    told = transformer_stack(3, 64, 16, position="post", start="xavier", input_variance=9.0)
    assert abs(told.per_block / found.per_block - 1) > TOLERANCE
