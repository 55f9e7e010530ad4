"""The activation functions and their derivatives, each written once over an array namespace.

Every function takes an array `z` and the namespace `xp` it belongs to (NumPy, torch or JAX, as
`array_api_compat.array_namespace` finds it) and returns an array of the same shape and dtype. Rules that
hold for all of them:

- ±Inf gives the limit and NaN stays NaN. Where a product would be 0·∞, the argument is first kept inside
  an interval beyond which the result no longer changes in float64.
- The tails keep their relative accuracy: no `1 - x` with x near 1, no `exp` of a positive number.
- Autograd through a formula gives the derivative formula, at kinks too. Hence `where` instead of `clip`,
  `maximum` and `abs`, whose gradients at a tie differ between torch (1, 1/2, 0) and JAX (1/2, 1/2, 1).
- At a kink the derivative is what torch's own backward pass returns, such as ReLU'(0) = 0.
"""

from __future__ import annotations

import math
import sys
from typing import Any

Array = Any  # one of numpy.ndarray, torch.Tensor, jax.Array
Namespace = Any  # the module of array functions that goes with it

# Klambauer et al. 2017, equation 14
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

_FLAT_EXP = 800.0  # exp(-800) is 0 in float64
_FLAT_GAUSS = 40.0  # exp(-40²/2) is 0 in float64
_LINEAR = 50.0  # 1 + exp(-50) is 1 in float64


def sigmoid(z: Array, xp: Namespace) -> Array:
    decay = _decay(z, xp)
    return xp.where(z < 0, decay, xp.ones_like(z)) / (1 + decay)


def sigmoid_slope(z: Array, xp: Namespace) -> Array:
    decay = _decay(z, xp)
    return decay / (1 + decay) / (1 + decay)


def tanh(z: Array, xp: Namespace) -> Array:
    return xp.tanh(z)


def tanh_slope(z: Array, xp: Namespace) -> Array:
    return 4 * sigmoid_slope(2 * z, xp)


def relu(z: Array, xp: Namespace) -> Array:
    return xp.where(z <= 0, xp.zeros_like(z), z)


def relu_slope(z: Array, xp: Namespace) -> Array:
    return xp.where(z > 0, xp.ones_like(z), xp.zeros_like(z))


def leaky_relu(z: Array, xp: Namespace, slope: float) -> Array:
    if slope == 0:
        return relu(z, xp)
    return xp.where(z > 0, z, slope * z)


def leaky_relu_slope(z: Array, xp: Namespace, slope: float) -> Array:
    return xp.where(z > 0, xp.ones_like(z), slope * xp.ones_like(z))


def elu(z: Array, xp: Namespace, alpha: float) -> Array:
    return xp.where(z > 0, z, alpha * xp.expm1(_at_most(z, 0.0, xp)))


def elu_slope(z: Array, xp: Namespace, alpha: float) -> Array:
    return xp.where(z > 0, xp.ones_like(z), alpha * xp.exp(_at_most(z, 0.0, xp)))


def selu(z: Array, xp: Namespace) -> Array:
    return SELU_SCALE * elu(z, xp, SELU_ALPHA)


def selu_slope(z: Array, xp: Namespace) -> Array:
    return SELU_SCALE * elu_slope(z, xp, SELU_ALPHA)


def gelu(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_GAUSS, _FLAT_GAUSS, xp)
    return xp.where(z > _FLAT_GAUSS, z, inside * _normal_cdf(inside, xp))


def gelu_slope(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_GAUSS, _FLAT_GAUSS, xp)
    density = xp.exp(-0.5 * inside * inside) / math.sqrt(2 * math.pi)
    return _normal_cdf(inside, xp) + inside * density


def gelu_tanh(z: Array, xp: Namespace) -> Array:
    # (1 + tanh u)/2 is sigmoid(2u), which keeps its relative accuracy where tanh u is near -1
    inside = _between(z, -_FLAT_GAUSS, _FLAT_GAUSS, xp)
    return xp.where(z > _FLAT_GAUSS, z, inside * sigmoid(_gelu_tanh_argument(inside), xp))


def gelu_tanh_slope(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_GAUSS, _FLAT_GAUSS, xp)
    argument = _gelu_tanh_argument(inside)
    argument_slope = math.sqrt(8 / math.pi) * (1 + 0.134145 * inside * inside)
    return sigmoid(argument, xp) + inside * argument_slope * sigmoid_slope(argument, xp)


def silu(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_EXP, _LINEAR, xp)
    return xp.where(z > _LINEAR, z, inside * sigmoid(inside, xp))


def silu_slope(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_EXP, _FLAT_EXP, xp)
    return sigmoid(inside, xp) + inside * sigmoid_slope(inside, xp)


def softplus(z: Array, xp: Namespace) -> Array:
    return xp.where(z < 0, xp.zeros_like(z), z) + xp.log1p(_decay(z, xp))


def softplus_slope(z: Array, xp: Namespace) -> Array:
    return sigmoid(z, xp)


def mish(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -_FLAT_EXP, _LINEAR, xp)
    return xp.where(z > _LINEAR, z, inside * _tanh_softplus(inside, xp))


def mish_slope(z: Array, xp: Namespace) -> Array:
    # d/dz tanh(softplus(z)) with w = exp(-|z|): 4w(1+w)/(w²+2w+2)² for z < 0, 4w²(1+w)/(1+2w+2w²)² otherwise
    inside = _between(z, -_FLAT_EXP, _FLAT_EXP, xp)
    decay = _decay(inside, xp)
    root = xp.where(inside < 0, decay * (decay + 2) + 2, 1 + 2 * decay * (1 + decay))
    factor = xp.where(inside < 0, decay, decay * decay)
    return _tanh_softplus(inside, xp) + inside * (4 * factor * (1 + decay) / root / root)


def hardswish(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -3.0, 3.0, xp)
    return xp.where(z >= 3, z, xp.where(z <= -3, xp.zeros_like(z), inside * (inside + 3) / 6))


def hardswish_slope(z: Array, xp: Namespace) -> Array:
    inside = _between(z, -3.0, 3.0, xp)
    return xp.where(z >= 3, xp.ones_like(z), xp.where(z <= -3, xp.zeros_like(z), inside / 3 + 0.5))


def softsign(z: Array, xp: Namespace) -> Array:
    # z/(1+|z|) as it stands for |z| <= 1 and as sign(z)/(1+1/|z|) beyond, so that ±Inf gives ±1
    size = xp.where(z < 0, -z, z)
    near = z / (1 + _at_most(size, 1.0, xp))
    far = 1 / (1 + 1 / xp.where(size <= 1, xp.ones_like(z), size))
    return xp.where(size <= 1, near, xp.where(z < 0, -far, far))


def softsign_slope(z: Array, xp: Namespace) -> Array:
    root = 1 / (1 + xp.abs(z))
    return root * root


def identity(z: Array, xp: Namespace) -> Array:  # noqa: ARG001 - all formulas have one signature
    return z


def identity_slope(z: Array, xp: Namespace) -> Array:
    return xp.ones_like(z)


def erfc(z: Array) -> Array:
    """The complementary error function, which the array API standard does not have, for each kind of array.

    >>> import numpy
    >>> float(erfc(numpy.array([0.0]))[0])
    1.0
    """
    package = type(z).__module__.partition(".")[0]
    if package in ("jax", "jaxlib"):
        return sys.modules["jax"].scipy.special.erfc(z)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(z, torch.Tensor):
        return torch.erfc(z)
    from scipy.special import erfc as numpy_erfc

    return numpy_erfc(z).astype(z.dtype, copy=False)


def _decay(z: Array, xp: Namespace) -> Array:
    """exp(-|z|), whose gradient at 0 is that of exp(-z)."""
    return xp.exp(xp.where(z < 0, z, -z))


def _at_most(z: Array, high: float, xp: Namespace) -> Array:
    return xp.where(z > high, high * xp.ones_like(z), z)


def _between(z: Array, low: float, high: float, xp: Namespace) -> Array:
    return xp.where(z < low, low * xp.ones_like(z), _at_most(z, high, xp))


def _normal_cdf(z: Array, xp: Namespace) -> Array:  # noqa: ARG001
    return 0.5 * erfc(-math.sqrt(0.5) * z)


def _gelu_tanh_argument(z: Array) -> Array:
    return math.sqrt(8 / math.pi) * (z * (1 + 0.044715 * z * z))


def _tanh_softplus(z: Array, xp: Namespace) -> Array:
    # tanh(log(1 + e^z)) = n/(n + 2) with n = e^z (e^z + 2)
    decay = _decay(z, xp)
    below = decay * (decay + 2)
    above = 1 + 2 * decay
    return xp.where(z < 0, below / (below + 2), above / (above + 2 * decay * decay))
