"""The catalogue of initialisations: the distribution of a weight and its standard deviation.

A weight matrix maps `fan_in` inputs to `fan_out` units. Every rule below gives the standard deviation of
its entries; the shape of the distribution (uniform, normal, orthogonal, constant) is a second, separate fact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.spec.properties import properties
from evenflow.spec.terms import split_term

Distribution = Literal["uniform", "normal", "orthogonal", "constant"]

_WEIGHTS: dict[str, bool | None] = {
    "torch": False,
    "xavier": False,
    "he": False,
    "lecun": False,
    "orthogonal": None,
    "gain": False,
    "normal": True,
    "constant": True,
}
_BIASES: dict[str, bool | None] = {
    "auto": False,
    "torch": False,
    "zero": False,
    "normal": True,
    "constant": True,
}


@dataclass(frozen=True)
class Draw:
    """What the entries of one parameter are drawn from.

    `scale` is the standard deviation of a uniform or normal distribution (mean 0), the factor on an
    orthogonal matrix, or the value of a constant.
    """

    distribution: Distribution
    scale: float

    def mean_square(self, fan_in: int, fan_out: int) -> float:
        """Of one entry of a weight matrix so drawn; of an orthogonal one it falls with the larger side.

        >>> Draw("orthogonal", 2.0).mean_square(16, 8)
        0.25
        """
        return self.scale**2 / (max(fan_in, fan_out) if self.distribution == "orthogonal" else 1)


def weight_draw(text: str, fan_in: int, fan_out: int, previous: Activation | str) -> Draw:
    """The distribution of the entries of a weight matrix.

    | term            | distribution | standard deviation         | source                                |
    |-----------------|--------------|----------------------------|---------------------------------------|
    | `torch`         | uniform      | 1/√(3·fan_in)              | `torch.nn.Linear`: Kaiming, a = √5    |
    | `xavier`        | uniform      | √(2/(fan_in + fan_out))    | Glorot & Bengio 2010, eq. 16          |
    | `he`            | normal       | √(2/fan_in)                | He et al. 2015, eq. 10                |
    | `lecun`         | normal       | 1/√fan_in                  | LeCun et al. 1998, section 4.6        |
    | `gain`          | normal       | g/√fan_in, g = 1/√E[f(z)²] | see below                             |
    | `orthogonal[:G]`| orthogonal   | G times an orthogonal matrix, G = 1 | Saxe et al. 2014             |
    | `normal:STD`    | normal       | STD                        |                                       |
    | `constant:C`    | constant     | every entry is C           |                                       |

    `gain` keeps the second moment of every pre-activation at 1 for *this* activation: the weights behind an
    activation f divide by √E[f(z)²], z ~ N(0, 1) (Bingham & Miikkulainen 2021, AutoInit, eq. 2, for mean-free
    weights). f is the activation in front of the weights, `previous`; in front of the first layer stands the
    standardised input, so its gain is 1.

    Raises:
        SpecError: the term is not known, or the gain of `previous` does not exist.
    """
    kind, value = split_term(text, _WEIGHTS, "initialisation")
    match kind:
        case "torch":
            return Draw("uniform", 1 / math.sqrt(3 * fan_in))
        case "xavier":
            return Draw("uniform", math.sqrt(2 / (fan_in + fan_out)))
        case "he":
            return Draw("normal", math.sqrt(2 / fan_in))
        case "lecun":
            return Draw("normal", 1 / math.sqrt(fan_in))
        case "gain":
            return Draw("normal", gain(previous) / math.sqrt(fan_in))
        case "orthogonal":
            return Draw("orthogonal", 1.0 if value is None else value)
    assert value is not None
    if kind == "normal" and value < 0:
        raise SpecError(f'initialisation "{text}": a standard deviation is not negative')
    return Draw("normal" if kind == "normal" else "constant", value)


def bias_draw(text: str, initialisation: str, fan_in: int) -> Draw:
    """The distribution of a bias: `auto`, `torch`, `zero`, `normal:STD` or `constant:C`.

    `torch` is uniform on ±1/√fan_in, as in `torch.nn.Linear`. `auto` follows the weights: `torch` where they
    are PyTorch's default, zero otherwise, as the papers of the other rules assume.

    Raises:
        SpecError: the term is not known.
    """
    kind, value = split_term(text, _BIASES, "bias_initialisation")
    if kind == "auto":
        kind = "torch" if initialisation == "torch" else "zero"
    if kind == "torch":
        return Draw("uniform", 1 / math.sqrt(3 * fan_in))
    if kind == "normal":
        assert value is not None
        if value < 0:
            raise SpecError(f'bias_initialisation "{text}": a standard deviation is not negative')
        return Draw("normal", value)
    return Draw("constant", value or 0.0)


def gain(function: Activation | str) -> float:
    """The factor g = 1/√E[f(z)²], z ~ N(0, 1), that keeps the second moment behind `function`.

    >>> round(gain("relu"), 6)
    1.414214

    Raises:
        SpecError: E[f²] is 0 or not finite, so that no gain exists.
    """
    function = activation(function)
    second_moment = properties(function).second_moment
    if not 0 < second_moment < math.inf:
        raise SpecError(
            f'initialisation "gain" does not exist for activation "{function.name}": '
            f"E[f(z)²] is {second_moment:g}; choose another initialisation, such as normal:0.1"
        )
    return 1 / math.sqrt(second_moment)


def check_terms(initialisation: str, bias_initialisation: str) -> None:
    """Raise SpecError when one of the two terms is wrong, before any width is known."""
    weight_draw(initialisation, 1, 1, "identity")
    bias_draw(bias_initialisation, initialisation, 1)
