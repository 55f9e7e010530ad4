"""Random numbers that a training can be given, and given back: equal ones to those that are compared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenflow.doctor.copying import untouched_randomness


@dataclass(frozen=True)
class Randomness:
    """Where the random numbers of Python, NumPy and torch stand."""

    python: Any
    numpy: Any
    torch: Tensor
    devices: tuple[Tensor, ...] = ()

    @classmethod
    def now(cls) -> Randomness:
        """As they stand."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ()
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), tuple(devices))

    @classmethod
    def seeded(cls, seed: int) -> Randomness:
        """As a seed puts them."""
        with untouched_randomness():
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            return cls.now()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Draw from here inside the block; everything outside stays as it was.

        >>> with Randomness.seeded(1).at_work():
        ...     first = torch.rand(1)
        >>> with Randomness.seeded(1).at_work():
        ...     bool(first == torch.rand(1))
        True
        """
        with untouched_randomness():
            random.setstate(self.python)
            np.random.set_state(self.numpy)
            torch.set_rng_state(self.torch)
            if self.devices:
                torch.cuda.set_rng_state_all(list(self.devices))
            yield
