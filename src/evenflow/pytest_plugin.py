"""The pytest plugin: a fixture `gradient_flow` that fails a test with the doctor's finding.

Neither torch nor NumPy is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evenflow.diagnose.diagnosis import Diagnosis


@pytest.fixture
def gradient_flow() -> Callable[..., Diagnosis]:
    """A function that fails the test where a training is not healthy: `evenflow.testing.assert_healthy`."""
    from evenflow.testing import assert_healthy

    return assert_healthy
