"""Two correlated Gaussians above two thresholds: the closed forms behind kinked activations.

A slope that jumps at t is a smooth function and a step there, so f itself is a smooth function and a ramp
(z - t)₊. For steps and ramps both the expectation over two inputs and every Hermite coefficient are known,
and so is all that a finite Hermite series leaves out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, owens_t

Array = NDArray[np.float64]


def step_kernel(t: Array, s: Array, c: Array) -> Array:
    """P(z₁ > t, z₂ > s) for standard Gaussians of correlation c, by Owen's T function (Owen 1956, equation 3.4).

    At t = s = 0 it is 1/4 + arcsin(c)/(2π), half of the arc-cosine kernel of degree 0 (Cho & Saul 2009).

    >>> step_kernel(np.array(0.0), np.array(0.0), np.array(0.5)).round(12).item()
    0.333333333333
    """
    h, k, c = np.broadcast_arrays(-t, -s, np.clip(c, -1.0, 1.0))
    at_origin = 0.25 + np.arcsin(c) / (2 * math.pi)
    if not (h.any() or k.any()):
        return at_origin
    side = np.sqrt((1 - c) * (1 + c))
    with np.errstate(divide="ignore", invalid="ignore"):
        # h = ∓0 is a limit from above, and both being 0 has a form of its own
        towards_k = (k - c * h) / (np.where(h == 0, 1e-300, h) * side)
        towards_h = (h - c * k) / (np.where(k == 0, 1e-300, k) * side)
        opposite = (h * k < 0) | ((h * k == 0) & (h + k < 0))
        general = (ndtr(h) + ndtr(k)) / 2 - owens_t(h, towards_k) - owens_t(k, towards_h) - opposite / 2
    result = np.where((h == 0) & (k == 0), at_origin, general)
    result = np.where(c == 1, ndtr(np.minimum(h, k)), result)
    return np.where(c == -1, np.maximum(0.0, ndtr(h) - ndtr(-k)), result)


def ramp_kernel(t: Array, s: Array, c: Array) -> Array:
    """E[(z₁ - t)₊·(z₂ - s)₊] for standard Gaussians of correlation c.

    With P of `step_kernel` and φ the density, integration by parts gives
    ``(c + t·s)·P - s·φ(t)·Φ((c·t - s)/√(1-c²)) - t·φ(s)·Φ((c·s - t)/√(1-c²)) + (1-c²)·φ₂(t, s; c)``.
    At t = s = 0 it is the arc-cosine kernel of degree 1 (Cho & Saul 2009, equation 6), halved.

    >>> ramp_kernel(np.array(0.0), np.array(0.0), np.array([0.0, 1.0])).round(12).tolist()
    [0.159154943092, 0.5]
    """
    t, s, c = np.broadcast_arrays(t, s, np.clip(c, -1.0, 1.0))
    side = np.sqrt((1 - c) * (1 + c))
    if not (t.any() or s.any()):
        return c * step_kernel(t, s, c) + side / (2 * math.pi)
    limit = np.maximum(side, 1e-150)
    both = side * np.exp(-0.5 * (((t - c * s) / limit) ** 2 + s * s)) / (2 * math.pi)
    return (
        (c + t * s) * step_kernel(t, s, c)
        - s * density(t) * ndtr((c * t - s) / limit)
        - t * density(s) * ndtr((c * s - t) / limit)
        + both
    )


def step_coefficients(t: Array, terms: int) -> Array:
    """E[1(z > t)·h_k(z)] for the normalised Hermite polynomials h_0 … h_{terms-1}, one row a threshold."""
    t = np.atleast_1d(t)
    order = np.arange(1, terms)
    rows = hermite(t, terms - 1).T * density(t)[:, None] / np.sqrt(order)
    return np.concatenate([ndtr(-t)[:, None], rows], axis=1)


def ramp_coefficients(t: Array, terms: int) -> Array:
    """E[(z - t)₊·h_k(z)], one row a threshold: the coefficients of its slope, the step, divided by √k."""
    t = np.atleast_1d(t)
    steps = step_coefficients(t, terms - 1)
    first = density(t) - t * ndtr(-t)
    return np.concatenate([first[:, None], steps / np.sqrt(np.arange(1, terms))], axis=1)


def hermite(z: Array, terms: int) -> Array:
    """h_k(z) = He_k(z)/√k! for k below `terms`, orthonormal under the Gaussian; shape (terms, len(z)).

    >>> hermite(np.array([2.0]), 3).ravel().round(12).tolist()
    [1.0, 2.0, 2.12132034356]
    """
    rows = np.empty((terms, len(z)))
    rows[0] = 1.0
    if terms > 1:
        rows[1] = z
    for k in range(1, terms - 1):
        rows[k + 1] = (z * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1)
    return rows


def density(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
