"""How the weights were drawn, by what is known of the layers alone."""

from __future__ import annotations

import math

import pytest

from evenflow.diagnose.drawing import DOUBTFUL, FAR, biased, doubts, far_sides, scales
from evenflow.spec.setting import Input, Layer, Setting

HE = math.sqrt(2 / 64)


def layer(std: float, place: int = 1, **facts) -> Layer:
    usual = {"type": "Linear", "activation": "relu", "weight_mean": 0.0, "bias_mean": 0.0, "bias_std": 0.0}
    usual |= {"distinct_units": 1.0, "distinct_inputs": 1.0, "expected_std": HE}
    return Layer(name=str(place), depth=place, fan_in=64, fan_out=64, weight_std=std, **(usual | facts))


def stack(*stds: float, **facts) -> Setting:
    """Hidden layers of these deviations, and a last one as theory asks."""
    hidden = [layer(std, place, **facts) for place, std in enumerate(stds, 1)]
    return Setting(layers=(*hidden, layer(HE, len(stds) + 1, activation="")))


@pytest.mark.parametrize(
    ("factor", "far", "doubtful"),
    [(1.0, False, False), (1.8, False, False), (2.2, False, True), (3.2, True, True)],
)
def test_how_far_half_of_the_layers_may_be_off(factor, far, doubtful):
    found = scales(stack(factor * HE, factor * HE))
    assert [scale.off for scale in found] == pytest.approx([math.log10(factor)] * 2 + [0.0])
    assert bool(far_sides(found, FAR)) == far
    assert bool(far_sides(found, DOUBTFUL)) == doubtful


def test_the_product_over_depth_counts():
    assert not far_sides(scales(stack(*[1.5 * HE] * 4)), DOUBTFUL)
    assert far_sides(scales(stack(*[1.5 * HE] * 6)), DOUBTFUL)  # 1.5^6 is 11
    assert not far_sides(scales(stack(*[1.5 * HE] * 6)), FAR)
    assert far_sides(scales(stack(*[1.5 * HE] * 12)), FAR)


def test_a_recurrent_layer_counts_at_every_time_step():
    facts = {"type": "RNN", "expected_std": 1 / 8}
    setting = Setting(
        layers=(layer(1.4 / 8, **facts), layer(HE, 2, activation="")),
        inputs=(Input(name="input", shape=(32, 10, 64)),),
        batch=32,
    )
    assert far_sides(scales(setting), DOUBTFUL)  # 1.4^10 is 29
    assert not far_sides(scales(stack(1.4 / 8, **facts)), DOUBTFUL)


def test_one_layer_alone_is_not_of_one_sign():
    """A single layer whose scale matters, among others in front of normalisations, and hardly above He's."""
    hidden = layer(HE, normalisation="LayerNorm")
    assert not far_sides(scales(Setting(layers=(hidden, layer(1.1 * HE, 2)))), DOUBTFUL)


@pytest.mark.parametrize(
    "facts",
    [{"bias_mean": -3.0}, {"bias_std": 4.0}, {"distinct_units": 0.0}, {"weight_mean": 2 * HE}],
    ids=["sunk", "far apart", "units alike", "one sign"],
)
def test_what_raises_a_doubt_whatever_the_scale(facts):
    assert doubts(stack(HE, HE, **facts))


@pytest.mark.parametrize(
    "facts",
    [{}, {"bias_mean": 1.0}, {"bias_mean": -3.0, "normalisation": "BatchNorm1d"}],
    ids=["usual", "a forget gate's bias", "in front of a normalisation"],
)
def test_what_raises_none(facts):
    assert not doubts(stack(HE, HE, **facts))


def test_the_last_bias_is_the_answer_that_it_begins_with():
    setting = Setting(layers=(layer(HE), layer(HE, 2, activation="", bias_mean=40.0)))
    assert biased(setting) == []


@pytest.mark.parametrize(("std", "off"), [(1.0, None), (0.02, None), (50.0, 25.0), (0.001, 0.1)])
def test_a_table_of_embeddings_counts_where_it_is_out_of_all_that_is_usual(std, off):
    table = layer(std, 1, type="Embedding", activation="", expected_std=math.nan)
    found = scales(Setting(layers=(table, layer(HE, 2), layer(HE, 3, activation=""))))
    tables = [scale for scale in found if scale.is_table]
    assert [10**scale.off for scale in tables] == pytest.approx([] if off is None else [off])
    assert [scale.should_be for scale in tables] == ([] if off is None else [2.0 if off > 1 else 0.01])
    assert scales(Setting(layers=(layer(50.0, 1, type="Embedding", normalisation="LayerNorm"),))) == []
