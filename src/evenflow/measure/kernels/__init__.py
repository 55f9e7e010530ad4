"""The compiled reductions, where there are some: `native` is the module or None, `DTYPES` its codes.

`native` is None where the package was installed without a C compiler, or where the environment variable
`EVENFLOW_KERNELS` is "torch"; `reference` then gives the same figures by PyTorch operations.
"""

from __future__ import annotations

import os

import torch

if os.environ.get("EVENFLOW_KERNELS") == "torch":
    native = None
else:
    try:
        from evenflow.measure.kernels import _native as native
    except ImportError:
        native = None

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}

__all__ = ["DTYPES", "native"]
