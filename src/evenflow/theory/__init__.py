"""Theory: what a network's signals and gradients do at initialisation, computed without training.

NumPy and `scipy.special` only. Everything rests on Gaussian expectations of the activation and its slope
(`gaussian`, `correlation`), which exist for any activation, the user's own included. `propagate` predicts whole
networks of finite width on a batch, `blocks` stacks of equal blocks.
"""

from evenflow.theory.correlation import slope_kernel, value_kernel
from evenflow.theory.critical import CriticalLine, CriticalPoint, critical_line, critical_point
from evenflow.theory.dead_units import born_dead, dead_fractions
from evenflow.theory.gaussian import Moments, moments
from evenflow.theory.meanfield import (
    FixedPoint,
    chi,
    correlation_map,
    depth_scale,
    fixed_points,
    gain,
    settled_variance,
    variance_map,
    variance_slope,
)
from evenflow.theory.phases import Phase, phase
from evenflow.theory.precision import float32_depths
from evenflow.theory.scalar_chain import Chain, chain

__all__ = [
    "Chain",
    "CriticalLine",
    "CriticalPoint",
    "FixedPoint",
    "Moments",
    "Phase",
    "born_dead",
    "chain",
    "chi",
    "correlation_map",
    "critical_line",
    "critical_point",
    "dead_fractions",
    "depth_scale",
    "fixed_points",
    "float32_depths",
    "gain",
    "moments",
    "phase",
    "settled_variance",
    "slope_kernel",
    "value_kernel",
    "variance_map",
    "variance_slope",
]
