"""The plain form against NumPy, on every layout and dtype it takes, and against the compiled one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from evenflow.measure.kernels import DTYPES, native
from evenflow.measure.kernels.reference import backward, forward

INF = float("inf")
RELU = (((-INF, 0.0),), ((-INF, 0.0),))
GELU = (((-INF, -3.2), (-0.76, -0.74)), ((-INF, -3.2),))
SMOOTH = ((), ())


def figures(values, tested=None, units_dim=1, edges=RELU, out=None):
    out = torch.zeros(7, dtype=torch.float64, device=values.device) if out is None else out
    marks = torch.zeros(values.shape[units_dim], dtype=torch.uint8, device=values.device)
    forward(values, tested, units_dim, edges, out, marks)
    return out.tolist(), marks.tolist()


def expected(values, tested, units_dim, edges):
    """By NumPy, from the exact values in float64 or complex128."""
    wide = values.detach().to(torch.complex128 if values.is_complex() else torch.float64).numpy()
    t = (wide if tested is None else tested.to(torch.float64).numpy()).real
    flat, dead = (
        np.any([np.zeros(t.shape, bool), *((low <= t) & (t <= high) for low, high in one)], 0)
        for one in edges
    )
    size = np.abs(wide)
    others = tuple(i for i in range(wide.ndim) if i != units_dim % wide.ndim)
    marks = (~dead).any(others) * 1 + (~flat).any(others) * 2
    row = [wide.size, wide.real.sum(), (size**2).sum(), size.max(initial=0), (wide == 0).sum()]
    return [*row, (~np.isfinite(wide)).sum(), flat.sum()], marks.tolist()


def drawn(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)
    values[torch.rand(*shape, generator=generator) < 0.2] = 0
    return values.to(dtype)


@pytest.mark.parametrize("edges", [RELU, GELU, SMOOTH], ids=["relu", "gelu", "smooth"])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.complex64], ids=str)
@pytest.mark.parametrize(
    ("shape", "units_dim"),
    [((9, 5), 1), ((4, 5, 3, 3), 1), ((4, 3, 5), -1), ((7,), 0), ((0, 5), 1), ((3, 0), 1)],
)
def test_forward_is_what_numpy_finds(shape, units_dim, dtype, edges):
    values = drawn(*shape, dtype=dtype)
    tested = None if dtype.is_complex else drawn(*shape, seed=1).sub(2)
    for t in (None, tested):
        found, marks = figures(values, t, units_dim, edges)
        wanted, wanted_marks = expected(values, t, units_dim, edges)
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)
        assert marks == wanted_marks


def test_imaginary_parts_count():
    values = torch.tensor([[3 + 4j, 0j, complex(1, INF)]])
    out, marks = figures(values[:, :2])
    assert out == [2, 3, 25, 5, 1, 0, 1]
    assert marks == [3, 0]
    assert figures(values)[0][5] == 1
    assert figures(values[:, :2].conj())[0] == out


def test_a_strided_view_and_a_transposed_one():
    values = drawn(8, 10, 6)
    for view in (values[:, ::3], values.transpose(0, 2), values[:, :, 0].expand(3, 8, 10)):
        found, marks = figures(view)
        wanted, wanted_marks = expected(view.contiguous(), None, 1, RELU)
        assert found == pytest.approx(wanted, rel=1e-12)
        assert marks == wanted_marks


def test_calls_accumulate_and_a_nan_stays():
    out = torch.zeros(7, dtype=torch.float64)
    first, second = drawn(4, 3), drawn(5, 3, seed=1)
    figures(first, out=out)
    found, _ = figures(second, out=out)
    assert found == pytest.approx(expected(torch.cat([first, second]), None, 1, RELU)[0], rel=1e-12)
    figures(torch.tensor([[float("nan")]]), out=out)
    found, _ = figures(first, out=out)
    assert np.isnan(found[3])
    assert found[5] == 1


def test_marks_accumulate():
    out, marks = torch.zeros(7, dtype=torch.float64), torch.zeros(3, dtype=torch.uint8)
    for column in (0, 2):
        values = torch.zeros(2, 3)
        values[0, column] = 1
        forward(values, None, 1, RELU, out, marks)
    assert marks.tolist() == [3, 0, 3]
    forward(values, None, 1, RELU, out, None)
    assert out[0] == 18


def test_backward_counts_squares_and_nonfinite():
    out = torch.zeros(3, dtype=torch.float64)
    backward(torch.full((100,), 1e-23), out)
    assert out[1].item() == pytest.approx(1e-44, rel=1e-6)
    backward(torch.tensor([3 + 4j]), out)
    backward(torch.tensor([1.0, -2.0], dtype=torch.bfloat16), out)
    backward(torch.tensor([]), out)
    assert out.tolist() == [103, 30, 0]
    backward(torch.tensor([INF, 1.0, float("nan")]), out)
    assert out[0] == 106
    assert out[2] == 2


def test_one_graph_without_breaks():
    seen = []

    def backend(graph, _inputs):
        seen.append(graph)
        return graph.forward

    out, marks = torch.zeros(7, dtype=torch.float64), torch.zeros(5, dtype=torch.uint8)
    values = drawn(9, 5)
    torch.compile(forward, backend=backend, fullgraph=True)(values, None, 1, GELU, out, marks)
    wanted, wanted_marks = expected(values, None, 1, GELU)
    assert out.tolist() == pytest.approx(wanted, rel=1e-12)
    assert marks.tolist() == wanted_marks
    back = torch.zeros(3, dtype=torch.float64)
    torch.compile(backward, backend=backend, fullgraph=True)(values, back)
    assert back.tolist() == pytest.approx([wanted[0], wanted[2], wanted[5]], rel=1e-12)
    assert len(seen) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_as_on_the_host_and_without_waiting():
    values = drawn(64, 33)
    out = torch.zeros(7, dtype=torch.float64, device="cuda")
    marks = torch.zeros(33, dtype=torch.uint8, device="cuda")
    there = values.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        forward(there, None, 1, GELU, out, marks)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    wanted, wanted_marks = expected(values, None, 1, GELU)
    assert out.tolist() == pytest.approx(wanted, rel=1e-12)
    assert marks.tolist() == wanted_marks


@pytest.mark.skipif(native is None, reason="the compiled kernels were not built")
@pytest.mark.parametrize(("dtype", "code"), DTYPES.items(), ids=str)
def test_the_compiled_form_agrees(dtype, code):
    assert native is not None
    values, tested = drawn(12, 7, 5, dtype=dtype), drawn(12, 7, 5, dtype=dtype, seed=1).sub(1)
    bounds = torch.tensor([2, -INF, -3.2, -0.76, -0.74, 1, -INF, -3.2], dtype=torch.float64)
    out, marks = torch.zeros(7, dtype=torch.float64), torch.zeros(7, dtype=torch.uint8)
    native.forward(
        values.data_ptr(),
        tested.data_ptr(),
        12,
        7,
        5,
        code,
        bounds.data_ptr(),
        out.data_ptr(),
        marks.data_ptr(),
    )
    found, found_marks = figures(values, tested, 1, GELU)
    assert found == pytest.approx(out.tolist(), rel=1e-12, abs=1e-12)
    assert found_marks == marks.tolist()


def test_the_environment_chooses_the_plain_form():
    code = "from evenflow.measure import kernels; print(kernels.native)"
    environment = {**os.environ, "EVENFLOW_KERNELS": "torch"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "None"
