"""The claims, one a file: each module named here defines `CLAIM`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from evenflow.claims.claim import Claim
from evenflow.errors import SpecError, suggest

__all__ = ["CLAIMS", "claims_named"]

_SLOPES = ("sigmoid_products", "five_layers_of_ten", "small_weight_chain", "half_after_he")
_UNITS = (
    "unit_stays_dead",
    "leaky_revives",
    "dying_by_numbers",
    "high_rate_kills",
    "networks_with_dead_units",
)
_ZEROS = ("half_are_zero", "inputs_use_other_units", "zeros_are_fast", "relu_is_cheap", "slope_at_zero")
_SIGNALS = ("uncentred_outputs", "elu_centres", "relu_explodes", "he_prevents_explosion")
_DEPTH = ("deep_defaults", "tanh_saturates", "alternating_vanishes", "difference_is_small")
_REMEDIES = ("batch_norm_stable", "residual_connections", "gates_in_time", "clipping_lifts")
_WORTH = ("stable_is_reproducible", "majority_only", "faster_saves_energy")
_MODULES = (*_SLOPES, *_UNITS, *_ZEROS, *_SIGNALS, *_DEPTH, *_REMEDIES, *_WORTH)

CLAIMS: Mapping[str, Claim] = {name: import_module(f"{__name__}.{name}").CLAIM for name in _MODULES}
"""All claims by name, in the order of the ledger."""


def claims_named(words: Sequence[str]) -> tuple[Claim, ...]:
    """The claims of these names; all where none is given.

    Raises:
        SpecError: a name is not known.
    """
    if not words:
        return tuple(CLAIMS.values())
    found = {}
    for word in words:
        name = word.strip().lower().replace("-", "_")
        if name not in CLAIMS:
            raise SpecError(
                f"claim \"{word}\" is not known{suggest(name, CLAIMS)}; 'evenflow claims' lists all {len(CLAIMS)}"
            )
        found[name] = CLAIMS[name]
    return tuple(found.values())
