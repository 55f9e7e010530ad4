"""How the weights were drawn, read from the setting alone: their scale by layer and over depth, units alike, biases.

What is far from theory is only a reason to look: whether it costs anything is seen beside the twin whose weights are
drawn anew. That twin is worth its time already where a rule that has none would not speak (`doubts`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evenflow.diagnose.layers import linear_map
from evenflow.spec.setting import Layer, Setting

RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_MOST_TIMES = 20
"""Time steps beyond which a recurrent product is far off anyhow."""
_ONE_SIGN, _MANY = 0.5, 8
"""|mean| over standard deviation of weights that add up: |normal| has 1.3, uniform above 0 has 1.7."""
USUAL_TABLE = (0.01, 2.0)
"""Standard deviations of embeddings in use, from BERT's 0.02 to torch's 1: what lies between is as good as any."""
_ALIKE = 0.5
"""Share of distinct units below which a layer has lost more than half of what it could be."""
_CONSTANT = 1e-5
"""Spread of the weights relative to their mean, of what is one number written many times (float32 keeps 7 digits)."""
_BIAS = 2.0
"""A pre-activation's standard deviation is about 1: a bias beyond two of them puts most samples to one side."""


@dataclass(frozen=True)
class Bounds:
    """Decades from which on weights are far off.

    Args:
        layer: of half of the layers.
        one: of a single layer.
        product: over the depth, which is what the signal feels.
    """

    layer: float
    one: float
    product: float


FAR = Bounds(layer=math.log10(3.0), one=1.0, product=2.0)
"""Three times off per layer is no matter of which theory one follows: far, whatever a twin may do."""
DOUBTFUL = Bounds(layer=math.log10(2.0), one=math.log10(5.0), product=1.0)
"""Worth an experiment."""


@dataclass(frozen=True)
class Scale:
    """A layer and how many decades its weights are above (below, negative) what they should be.

    Args:
        layer: with weights.
        off: decades.
        times: how often the signal goes through it.
        one_sign: whether most of its weights have the same sign.
    """

    layer: Layer
    off: float
    times: int = 1
    one_sign: bool = False

    @property
    def is_table(self) -> bool:
        """Whether it is a table of embeddings."""
        return is_table(self.layer)

    @property
    def should_be(self) -> float:
        """The standard deviation to compare with; of a table of embeddings the nearer end of what is usual."""
        return USUAL_TABLE[self.off > 0] if self.is_table else self.layer.expected_std

    @property
    def total(self) -> float:
        """In the product over the depth, in which a recurrent layer stands once for each time step."""
        return self.off * self.times


def scales(setting: Setting) -> list[Scale]:
    """Layers whose scale matters: none in front of a normalisation, none at 0, and of the last only a large one.

    Tables of embeddings are among them where they are out of all that is usual.

    What is between PyTorch's default, √(1 / 3n), and He's √(2 / n) is a choice, not a mistake: at a depth where it is
    one, the gradient tells.
    """
    layers, time_steps = setting.layers, _time_steps(setting)
    found = _tables(layers)
    for place, layer in enumerate(layers):
        known = linear_map(layer) and layer.expected_std > 0 and layer.weight_std > 0 and layer.fan_in > 0
        if not known or layer.normalisation:
            continue
        default, he = 1.0 / math.sqrt(3.0 * layer.fan_in), math.sqrt(2.0 / layer.fan_in)
        recurrent = layer.type in RECURRENT
        above = math.log10(layer.weight_std / max(layer.expected_std, 0.0 if recurrent else he))
        below = math.log10(layer.weight_std / min(layer.expected_std, default))
        off = above if above > 0 else min(below, 0.0)
        last = place == len(layers) - 1
        found.append(
            Scale(
                layer,
                max(off, 0.0) if last else off,
                times=time_steps if recurrent and off > 0 else 1,
                one_sign=not last
                and layer.fan_in >= _MANY
                and abs(layer.weight_mean) > _ONE_SIGN * layer.weight_std,
            )
        )
    return found


def _tables(layers: Sequence[Layer]) -> list[Scale]:
    """Tables of embeddings whose entries are larger or smaller than any in use."""
    found = []
    for layer in layers:
        if not is_table(layer) or layer.normalisation or not layer.weight_std > 0.0:
            continue
        near = min(max(layer.weight_std, USUAL_TABLE[0]), USUAL_TABLE[1])
        if near != layer.weight_std:
            found.append(Scale(layer, math.log10(layer.weight_std / near)))
    return found


def far_sides(found: Sequence[Scale], bounds: Bounds = FAR) -> tuple[Sequence[Scale], ...]:
    """Of the layers that are too large and those that are too small, those together far enough off."""
    large = [scale for scale in found if scale.off > 0 or scale.one_sign]
    small = [scale for scale in found if scale.off < 0 and not scale.layer.residual]
    return tuple(side for side in (large, small) if _far(side, len(found), bounds))


def is_table(layer: Layer) -> bool:
    """Whether a layer looks its inputs up."""
    return layer.type.startswith("Embedding")


def alike(layer: Layer) -> bool:
    """Whether most units of a layer are like another one.

    >>> alike(Layer(name="0", type="Linear", depth=1, fan_in=4, fan_out=4, distinct_units=0.25))
    True
    """
    return layer.distinct_units < _ALIKE or constant(layer)


def alike_inputs(layer: Layer) -> bool:
    """Whether a layer takes most of its inputs alike, so that it cannot tell the units before it apart."""
    return constant(layer) or layer.distinct_inputs < _ALIKE


def constant(layer: Layer) -> bool:
    """Whether all weights of a layer are one number."""
    return layer.weight_std <= _CONSTANT * abs(layer.weight_mean) or zero(layer)


def zero(layer: Layer) -> bool:
    """Whether all weights of a layer are 0."""
    return layer.weight_mean == 0 and layer.weight_std == 0


def units_alike(layers: Sequence[Layer]) -> list[Layer]:
    """Layers with units alike, the last one and residual branches left out, which may well begin so."""
    return [layer for layer in layers[:-1] if alike(layer) and not layer.residual]


def biased(setting: Setting) -> list[Layer]:
    """Hidden layers whose biases put most samples to one side of the activation."""
    return [
        layer
        for layer in setting.layers[:-1]
        if linear_map(layer)
        and layer.type not in RECURRENT
        and not layer.normalisation
        and max(abs(layer.bias_mean), layer.bias_std) >= _BIAS
    ]


def doubts(setting: Setting) -> bool:
    """Whether the weights are so drawn that a twin with others is worth its time."""
    layers = [layer for layer in setting.layers if linear_map(layer)]
    return bool(far_sides(scales(setting), DOUBTFUL) or units_alike(layers) or biased(setting))


def _time_steps(setting: Setting) -> int:
    """Of a recurrent network's input (samples × steps × features, or steps first), as far as it matters."""
    shapes = [one.shape for one in setting.inputs if len(one.shape) == (2 if one.integer else 3)]
    lengths = [length for shape in shapes for length in shape[:2] if length != setting.batch]
    return min(max(lengths, default=1), _MOST_TIMES)


def _far(side: Sequence[Scale], count: int, bounds: Bounds) -> bool:
    """Whether layers that are off to one side are far enough off: half of all, one by much, or their product."""
    off = sorted((abs(scale.off) for scale in side), reverse=True)
    if not off:
        return False
    signs = sum(scale.one_sign for scale in side)
    if signs and 2 * signs >= count - 1:
        return True
    half = off[(count - 1) // 2] if len(off) > (count - 1) // 2 else 0.0
    total = abs(sum(scale.total for scale in side))
    return half >= bounds.layer or off[0] >= bounds.one or total >= bounds.product
