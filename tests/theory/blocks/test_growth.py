"""The result that every block shares: products in logarithms, NaN outside, and the wording of its checks."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import evenflow.theory.blocks as blocks
from evenflow.theory.blocks.growth import grown


def test_products_run_with_the_signal_and_against_it():
    found = grown("blocks", [2.0, 3.0], [5.0, 7.0], "here")
    assert found.forward == pytest.approx([2.0, 6.0])
    assert found.backward == pytest.approx([35.0, 7.0])
    assert found.per_block == pytest.approx(35**0.25)


def test_what_float64_does_not_hold():
    found = grown("blocks", np.full(500, 10.0), np.full(500, 1e-4), "here")
    assert found.forward[-1] == math.inf
    assert found.backward[0] == 0.0
    assert found.per_block == pytest.approx(1e-2)


def test_the_first_reason_counts():
    found = grown("blocks", [1.0], [1.0], "here", ["", "too far", "too deep"])
    assert found.outside == "too far"
    assert np.isnan(found.forward).all()


def test_all_names_are_public_and_documented():
    assert blocks.__all__ == sorted(blocks.__all__)
    for name in blocks.__all__:
        assert getattr(blocks, name).__doc__, name


LOADED = "import sys, {0}; print([name for name in ('torch', 'jax', 'scipy.stats') if name in sys.modules])"


@pytest.mark.parametrize(("imported", "loaded"), [("evenflow.theory.blocks", "[]"), ("torch", "['torch']")])
def test_no_framework_is_loaded(imported, loaded):
    """The second case proves that the first can fail."""
    run = subprocess.run(
        [sys.executable, "-c", LOADED.format(imported)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == loaded
