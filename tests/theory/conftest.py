"""An activation that no library knows, registered under the name "own" for every test here."""

from __future__ import annotations

import numpy as np
import pytest

from evenflow.spec import activation as activation_module
from evenflow.spec.activation import Activation, register_activation


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Activation:
    monkeypatch.setattr(activation_module, "_custom", {})
    return register_activation(
        "own", lambda z: z * np.tanh(np.log1p(np.exp(z))) + 0.1 * np.sin(3 * z), replace=True
    )
