"""Where an activation is flat or dead, as intervals that one comparison per entry can test.

The intervals come from the properties of f'. Where f never falls they are carried over to the outputs y = f(z), so
that only one tensor has to be read and an in-place activation, whose z is gone, is measured like any other.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from torch import nn

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation, elementwise
from evenflow.spec.properties import SATURATED_BELOW, Interval, properties

_PLAIN: dict[type[nn.Module], str] = {
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.SELU: "selu",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Mish: "mish",
    nn.Hardswish: "hardswish",
    nn.Softsign: "softsign",
}


@dataclass(frozen=True)
class Slopes:
    """Closed intervals of an activation's small slopes.

    Args:
        of_outputs: whether they are intervals of the outputs y; of the pre-activations z otherwise.
        flat: where |f'| is below 1 % of its largest value.
        dead: where f' is exactly 0.
    """

    of_outputs: bool
    flat: tuple[Interval, ...]
    dead: tuple[Interval, ...]


@functools.lru_cache(maxsize=256)
def slopes_of(function: Activation) -> Slopes:
    """The intervals of an activation function.

    >>> slopes_of(activation("relu"))
    Slopes(of_outputs=True, flat=((-inf, 0.0),), dead=((-inf, 0.0),))
    >>> slopes_of(activation("gelu")).of_outputs
    False
    """
    measured = properties(function)
    rising = measured.monotone and function(1.0) > function(-1.0)
    if not rising:
        return Slopes(False, measured.saturated, measured.dead)
    return Slopes(True, _outputs(function, measured.saturated), _outputs(function, measured.dead))


def _outputs(function: Activation, intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    return tuple(
        (
            low if math.isinf(low) else function(low),
            high if math.isinf(high) else function(high),
        )
        for low, high in intervals
    )


def learned_slopes(module: nn.PReLU) -> Slopes | None:
    """The intervals of a PReLU with the slope that it has at the moment; None where every channel has its own.

    f'(z) is 1 above 0 and the slope a below, so that one of the two sides is flat where |a| is below 1 % or above 100.
    Reading a slope on another device would wait for that device, so that such a module has no intervals either.

    >>> learned_slopes(nn.PReLU(init=0.005))
    Slopes(of_outputs=False, flat=((-inf, 0.0),), dead=())
    """
    if module.weight.numel() != 1 or not module.weight.is_cpu or module.weight.is_meta:
        return None
    slope = abs(float(module.weight.detach()))
    below, above = ((-math.inf, 0.0),), ((0.0, math.inf),)
    flat = below if slope < SATURATED_BELOW else above if slope * SATURATED_BELOW > 1 else ()
    return Slopes(False, flat, below if slope == 0 else ())


def known_activation(module: nn.Module) -> Activation | None:
    """The activation function that a module applies, if its class is one of torch's or holds one of ours.

    >>> known_activation(nn.LeakyReLU(0.2)), known_activation(nn.Linear(2, 2))
    (activation("leaky_relu:0.2"), None)
    """
    match module:
        case nn.LeakyReLU():
            return activation(f"leaky_relu:{module.negative_slope}")
        case nn.PReLU():
            return activation(f"prelu:{float(module.weight.detach().flatten()[0])}")
        case nn.ELU():
            return activation(f"elu:{module.alpha}")
        case nn.GELU():
            return activation("gelu_tanh" if module.approximate == "tanh" else "gelu")
        case nn.Softplus() if (module.beta, module.threshold) != (1.0, 20.0):
            return None
        case _ if type(module) in _PLAIN:
            return activation(_PLAIN[type(module)])
    function = getattr(module, "function", None)
    return function if isinstance(function, Activation) else None


def elementwise_activation(name: str, module: nn.Module) -> Activation | None:
    """The function of a module without a name of its own, where it acts on every number alone; None otherwise."""
    try:
        with np.errstate(all="ignore"):
            return elementwise(name, module.forward)
    except SpecError:
        return None
