"""A normalisation at the first layer, in place of standardised inputs; see `prescribe.add_normalisation`."""

from __future__ import annotations

from evenflow.prescribe.add_normalisation import FIRST as REMEDY

__all__ = ["REMEDY"]
