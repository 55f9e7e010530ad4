"""What one reading costs: the compiled kernels against PyTorch, microseconds a call on one thread.

The baselines are `torch.linalg.vector_norm` in float64, for a gradient and for a weight, and the five calls that
give a layer's moments and counts. Interleaved in one process, everything in the cache; the median over rounds of
the mean of a round's calls.

    python benchmarks/kernels.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from evenflow.measure.kernels import DTYPES, native
from evenflow.measure.kernels.reference import backward, forward
from evenflow.measure.parameters import Entry, Parameters
from evenflow.record.axes import Site

CALLS, ROUNDS = 100, 9
INF = float("inf")
RELU = (((-INF, 0.0),), ((-INF, 0.0),))
GELU = (((-INF, -3.2), (-0.76, -0.74)), ((-INF, -3.2),))
Call = Callable[[], object]


def doubles(*values: float) -> Tensor:
    """Float64 memory."""
    return torch.tensor(values, dtype=torch.float64)


def five_calls(values: Tensor) -> Call:
    """Mean, norm, largest |v|, zeros and what is not finite, each by a call of its own."""

    def call() -> None:
        values.mean(dtype=torch.float64)
        torch.linalg.vector_norm(values, dtype=torch.float64)
        torch.linalg.vector_norm(values, INF)
        values.count_nonzero()
        values.isfinite().all()

    return call


def layer(values: Tensor, tested: Tensor | None, units_dim: int, edges) -> dict[str, Call]:
    """One activation's forward pass: the kernel at each level, the plain form and the five calls."""
    out, marks = torch.zeros(7, dtype=torch.float64), torch.zeros(values.shape[units_dim], dtype=torch.uint8)
    bounds = doubles(*(x for one in edges for x in (len(one), *(end for pair in one for end in pair))))
    outer, units, inner = values.flatten(2).shape if values.ndim > 2 else (*values.shape, 1)
    code = DTYPES[values.dtype]

    def compiled() -> None:  # the tensors are named in here, which keeps their memory
        if native is not None:
            argument = 0 if tested is None else tested.data_ptr()
            where = bounds.data_ptr(), out.data_ptr(), marks.data_ptr()
            native.forward(values.data_ptr(), argument, outer, units, inner, code, *where)

    return {
        **at_levels(compiled),
        "plain form": lambda: forward(values, tested, units_dim, edges, out, marks),
        "torch": five_calls(values),
    }


def gradient(values: Tensor) -> dict[str, Call]:
    """One gradient."""
    out = torch.zeros(3, dtype=torch.float64)
    arguments = values.data_ptr(), values.numel(), DTYPES[values.dtype], out.data_ptr()
    return {
        **at_levels(lambda: native and native.backward(*arguments)),
        "plain form": lambda: backward(values, out),
        "torch": lambda: torch.linalg.vector_norm(values, dtype=torch.float64),
    }


def step(layers: int, width: int) -> dict[str, Call]:
    """The gradients of a step, what it changed, and a copy of the weights for the next."""
    weights = [torch.nn.Parameter(torch.randn(width, width)) for _ in range(layers)]
    for weight in weights:
        weight.grad = torch.randn(width, width)
    copies = [weight.detach().clone() for weight in weights]
    flags = np.zeros(5, dtype=np.int64)
    site = Site("weight", "weight", 1, width)
    parameters = Parameters([Entry(site, weight, True) for weight in weights], flags)

    def compiled() -> None:
        parameters.read_gradients("accumulated")
        parameters.before()
        parameters.after()

    def plain() -> None:
        with torch.no_grad():
            for weight, copy in zip(weights, copies, strict=True):
                assert weight.grad is not None
                torch.linalg.vector_norm(weight, dtype=torch.float64)
                torch.linalg.vector_norm(weight.grad, dtype=torch.float64)
                torch.linalg.vector_norm(weight - copy, dtype=torch.float64)
                copy.copy_(weight)

    return {**at_levels(compiled), "torch": plain}


def at_levels(call: Call) -> dict[str, Call]:
    """The call by the name of every level that the machine has."""
    found: dict[str, Call] = {}
    for name in ("avx512", "avx2", "baseline") if native is not None else ():
        try:
            native.use(name)
        except ValueError:
            continue
        found[name] = call
    return found


def microseconds(calls: dict[str, Call]) -> dict[str, float]:
    """Median time of each call, in turn, round after round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            if native is not None and name in ("avx512", "avx2", "baseline"):
                native.use(name)
            call()
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append(1e6 * (time.perf_counter() - began) / CALLS)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    argument = torch.randn(128, 128)
    values, picture = argument.relu(), torch.randn(16, 32, 16, 16).relu()
    rows = {
        "ReLU 128 × 128": layer(values, None, 1, RELU),
        "ReLU 128 × 128, bfloat16": layer(values.bfloat16(), None, 1, RELU),
        "GELU 128 × 128": layer(torch.nn.functional.gelu(argument), argument, 1, GELU),
        "ReLU 16 × 32 × 16 × 16": layer(picture, None, 1, RELU),
        "gradient 128 × 128": gradient(argument),
        "step of 20 layers 128 × 128": step(20, 128),
    }
    names = ["avx512", "avx2", "baseline", "plain form", "torch"]
    print(f"{'µs a call':28}", *(f"{name:>10}" for name in names))
    for label, calls in rows.items():
        found = microseconds(calls)
        print(f"{label:28}", *(f"{found[name]:10.2f}" if name in found else f"{'–':>10}" for name in names))


if __name__ == "__main__":
    main()
