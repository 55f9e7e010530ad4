"""Every figure of every level that the machine has, against NumPy in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evenflow.measure.kernels import DTYPES, native

if native is None:
    pytest.skip("the compiled kernels were not built", allow_module_level=True)

INF = float("inf")
CODES = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float64),
    2: np.dtype(ml_dtypes.bfloat16),
    3: np.dtype(np.float16),
}
RELU = (((-INF, 0.0),), ((-INF, 0.0),))
GELU = (((-INF, -3.2), (-0.76, -0.74)), ((-INF, -3.2),))
HARD = (((-INF, -3.0), (-0.5, 0.5), (3.0, INF)), ((-INF, -3.0), (-0.5, 0.5), (3.0, INF)))
SMOOTH = ((), ())
BY_NAME = {"relu": RELU, "gelu": GELU, "hard": HARD, "smooth": SMOOTH}


def levels() -> list[str]:
    """What this machine has."""
    first, found = native.level(), []
    for name in ("baseline", "avx2", "avx512"):
        try:
            native.use(name)
        except ValueError:
            continue
        found.append(name)
    native.use(first)
    return found


@pytest.fixture(params=levels(), autouse=True)
def level(request):
    first = native.level()
    native.use(request.param)
    yield request.param
    native.use(first)


def misaligned(values: np.ndarray, shift: int) -> np.ndarray:
    """A copy that starts `shift` bytes after where memory would be aligned."""
    room = np.zeros(values.nbytes + 64 + shift, np.uint8)
    start = -room.ctypes.data % 64 + shift
    there = room[start : start + values.nbytes]
    there[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return there


def forward(values, tested, edges, dtype, *, out=None, marks=None, shift=0):
    """The seven figures and the marks of arrays of shape (outer, units, inner)."""
    outer, units, inner = values.shape
    kept = misaligned(values, shift)
    other = None if tested is None else misaligned(tested, shift)
    out = np.zeros(7) if out is None else out
    bounds = np.array(
        [x for list_ in edges for x in (len(list_), *(end for pair in list_ for end in pair))], float
    )
    where = 0 if marks is None else marks.ctypes.data
    native.forward(
        kept.ctypes.data,
        0 if other is None else other.ctypes.data,
        outer,
        units,
        inner,
        dtype,
        bounds.ctypes.data,
        out.ctypes.data,
        where,
    )
    return out, marks


def expected(values, tested, edges):
    """The same by NumPy, from the exact values in float64."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        wide = values.astype(np.float64)
    t = wide if tested is None else tested.astype(np.float64)
    flat, dead = (
        np.any([np.zeros(t.shape, bool), *((low <= t) & (t <= high) for low, high in list_)], 0)
        for list_ in edges
    )
    with np.errstate(invalid="ignore", over="ignore"):
        figures = np.array(
            [
                wide.size,
                wide.sum(),
                (wide**2).sum(),
                np.abs(wide).max(initial=0.0),
                (wide == 0).sum(),
                (~np.isfinite(wide)).sum(),
                flat.sum(),
            ]
        )
    marks = (~dead).any((0, 2)) * 1 + (~flat).any((0, 2)) * 2
    return figures, marks.astype(np.uint8), np.abs(wide[np.isfinite(wide)]).sum()


def agree(found, wanted, scale):
    """Counts and maxima exactly, sums to the last bits of their largest possible partial sum."""
    exact = [0, 3, 4, 5, 6]
    np.testing.assert_array_equal(found[exact], wanted[exact])
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-13 * scale + 1e-300)
    np.testing.assert_allclose(found[2], wanted[2], rtol=1e-13)


def numbers(shape, dtype, seed):
    """Numbers of every size, with zeros of both signs and edges of the intervals among them."""
    random = np.random.default_rng(seed)
    values = random.normal(size=shape) * random.choice([1e-3, 1.0, 3.0], size=shape)
    special = random.choice([0.0, -0.0, -3.0, -3.2, 0.5, -0.5, -0.75, 3.0], size=shape)
    return np.where(random.random(shape) < 0.3, special, values).astype(CODES[dtype])


sizes = st.sampled_from([0, 1, 2, 3, 7, 8, 10, 15, 16, 17, 31, 32, 33, 49, 63, 64, 65, 100])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 9),
    sizes,
    st.sampled_from([1, 1, 1, 2, 4, 15, 49, 63, 64, 65, 81]),
    st.sampled_from(list(CODES)),
    st.sampled_from(list(BY_NAME)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_forward_is_what_numpy_finds(outer, units, inner, dtype, name, separate, marked, shift, seed):
    shape = (outer, units, inner)
    values = numbers(shape, dtype, seed)
    tested = numbers(shape, dtype, seed + 100) if separate else None
    if not separate and seed % 2:
        values[:, ::3] = -1.0  # dead and flat units
    out, marks = forward(
        values, tested, BY_NAME[name], dtype, shift=shift, marks=np.zeros(units, np.uint8) if marked else None
    )
    wanted, wanted_marks, scale = expected(values, tested, BY_NAME[name])
    agree(out, wanted, scale)
    if marks is not None:
        np.testing.assert_array_equal(marks, wanted_marks)


@pytest.mark.parametrize("shape", [(3, 1500, 1), (40, 1023, 1), (2, 3000, 7), (16, 17000, 1), (2, 3, 2000)])
def test_wide_layers_and_large_planes(shape):
    values = np.minimum(numbers(shape, 0, 1), 0)
    values[-1, ::5, -1] = 1.0
    out, marks = forward(values, None, RELU, 0, marks=np.zeros(shape[1], np.uint8))
    wanted, wanted_marks, scale = expected(values, None, RELU)
    agree(out, wanted, scale)
    np.testing.assert_array_equal(marks, wanted_marks)
    assert 0 < wanted_marks.sum() < 3 * shape[1]


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("wrong", [np.nan, -np.nan, INF, -INF])
@pytest.mark.parametrize("place", [0, 15, 16, 31, 32, 36])
def test_one_nonfinite_entry_anywhere(dtype, wrong, place):
    values = np.linspace(-2, 2, 37).astype(CODES[dtype]).reshape(37, 1, 1)
    values[place] = wrong
    out, marks = forward(values, None, HARD, dtype, marks=np.zeros(1, np.uint8))
    wanted, _, scale = expected(values, None, HARD)
    agree(out, wanted, scale)
    assert out[5] == 1
    assert np.isnan(out[3]) == np.isnan(wrong)
    assert marks == [3]


def test_nan_as_the_tested_entry_is_in_no_interval():
    tested = np.full((1, 20, 1), np.nan, np.float32)
    out, marks = forward(np.ones_like(tested), tested, HARD, 0, marks=np.zeros(20, np.uint8))
    assert out.tolist() == [20, 20, 20, 1, 0, 0, 0]
    assert marks.tolist() == [3] * 20


def test_a_nan_stays_the_maximum_and_calls_accumulate():
    out, marks = np.zeros(7), np.zeros(3, np.uint8)
    first, second = (numbers((5, 3, 1), 0, seed) for seed in (1, 2))
    first[:, 0], second[:, 0] = -1, -1
    first[:, 1], second[0, 1] = -1, 1
    forward(first, None, RELU, 0, out=out, marks=marks)
    forward(second, None, RELU, 0, out=out, marks=marks)
    wanted, wanted_marks, scale = expected(np.concatenate([first, second]), None, RELU)
    agree(out, wanted, scale)
    assert marks.tolist() == wanted_marks.tolist()
    assert marks.tolist()[:2] == [0, 3]
    second[0, 0] = np.nan
    forward(second, None, RELU, 0, out=out)
    forward(first, None, RELU, 0, out=out)
    assert np.isnan(out[3])
    assert out[0] == 60


def test_other_bits_of_the_marks_stay():
    marks = np.full(21, 0x80, np.uint8)
    forward(np.ones((2, 21, 1), np.float32), None, RELU, 0, marks=marks)
    assert marks.tolist() == [0x83] * 21


@pytest.mark.parametrize("edge", [0.1, -3.2, -0.75, 1e-40, -1e-46, 1e300, -1e300, 3.4028235e38])
def test_float32_against_an_edge_between_two_of_its_numbers(edge):
    middle = np.clip(edge, -3.4e38, 3.4e38)
    near = np.float32(middle)
    tested = np.array(
        [near, np.nextafter(near, np.float32(INF)), np.nextafter(near, np.float32(-INF)), INF, -INF]
    )
    tested = tested.astype(np.float32).reshape(-1, 1, 1)
    for interval in ((-INF, edge), (edge, INF), (edge, edge)):
        for edges in (((interval,), (interval,)), ((interval,), ())):
            out, _ = forward(np.ones_like(tested), tested, edges, 0)
            assert out[6] == expected(np.ones_like(tested), tested, edges)[0][6], interval


def test_tiny_squares_do_not_vanish():
    tiny = np.full((100, 1, 1), 1e-23, np.float32)
    out, _ = forward(tiny, None, RELU, 0)
    np.testing.assert_allclose(out[2], 1e-44, rtol=1e-6)
    back = np.zeros(3)
    native.backward(tiny.ctypes.data, 100, 0, back.ctypes.data)
    np.testing.assert_allclose(back[1], 1e-44, rtol=1e-6)


@pytest.mark.parametrize("dtype", CODES)
def test_denormals_count_where_the_caller_flushes_them(dtype):
    bits = np.full((40, 1, 1), 3, f"u{CODES[dtype].itemsize}")
    values = bits.view(CODES[dtype])
    wanted, _, scale = expected(values, None, RELU)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    try:
        out, _ = forward(values, None, RELU, dtype)
        assert (torch.tensor([1e-40]) * 1.0).item() == 0  # the caller's mode is back
    finally:
        torch.set_flush_denormal(False)
    assert out[4] == 0
    assert out[6] == 0
    agree(out, wanted, scale)


@pytest.mark.parametrize("code", [2, 3])
def test_every_number_of_sixteen_bits(code):
    every = np.arange(1 << 16, dtype=np.uint16).view(CODES[code])
    finite = every[np.isfinite(every.astype(np.float32))]
    for values in (finite, every):
        out, _ = forward(values.reshape(-1, 1, 1), None, GELU, code)
        wanted, _, scale = expected(values.reshape(-1, 1, 1), None, GELU)
        agree(out, wanted, scale)


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(list(CODES)), st.integers(0, 5), st.sampled_from([None, np.nan, INF]))
def test_backward_is_what_numpy_finds(size, dtype, shift, wrong):
    values = numbers(size, dtype, size)
    if wrong is not None and size:
        values[size // 2] = wrong
    out, kept = np.array([1.0, 2.0, 3.0]), misaligned(values, shift)
    native.backward(kept.ctypes.data, size, dtype, out.ctypes.data)
    wanted = expected(values.reshape(-1, 1, 1), None, RELU)[0]
    np.testing.assert_allclose(out, [1 + size, 2 + wanted[2], 3 + wanted[5]], rtol=1e-13)


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(list(DTYPES)), st.booleans())
def test_a_step_of_weights_and_gradients(size, dtype, with_gradient):
    assume(size > 0)
    weights = torch.nn.Parameter(torch.tensor(numbers(size, 1, 1)).to(dtype))
    if with_gradient:
        weights.grad = torch.tensor(numbers(size, 1, 2)).to(dtype)
        if size > 3:
            weights.grad[3] = np.nan
    frozen = torch.nn.Parameter(weights.detach().clone())
    snapshot = torch.zeros_like(weights)
    step = Step([weights, None, frozen], [snapshot, None, None])
    before = weights.detach().double().numpy().copy()
    assert not native.before(
        step.parameters, step.at, step.versions_at, -1
    )  # nobody has looked where they lie
    step.look()
    assert native.before(step.parameters, step.at, step.versions_at, -1)
    assert native.gradients(step.parameters, step.at, step.sights_at, 1, step.flags_at) == []
    assert torch.equal(snapshot, weights)
    with torch.no_grad():
        weights.copy_(torch.tensor(numbers(size, 1, 3)))
    assert native.after(step.parameters, step.at, step.versions_at)
    assert torch.equal(snapshot, weights)
    after = weights.detach().double().numpy()
    slopes = weights.grad.double().numpy() if weights.grad is not None else np.array([np.nan])
    read = [(slopes**2).sum(), (~np.isfinite(slopes)).sum() if with_gradient else np.nan]
    squares, changed = (before**2).sum(), ((after - before) ** 2).sum()
    wanted = [squares, np.nan, read[0], np.nan, np.nan, read[1], changed, (after**2).sum()]
    np.testing.assert_allclose(step.figures[0], wanted, rtol=1e-13)
    np.testing.assert_allclose(step.figures[2], [squares, *[np.nan] * 6, 0], rtol=1e-13)
    assert step.flags[-1] == (with_gradient and size > 3)


@pytest.mark.parametrize("size", [5, 1000, 100_000])
@pytest.mark.parametrize("way", ["in place", "through .data", "one entry through .data", "not at all"])
def test_weights_that_were_written_to_between_two_steps_are_read_anew(size, way):
    weights = torch.nn.Parameter(torch.randn(size, generator=torch.Generator().manual_seed(0)))
    step = Step([weights], [torch.zeros_like(weights)])
    step.look()
    native.before(step.parameters, step.at, step.versions_at, -1)
    native.after(step.parameters, step.at, step.versions_at)
    if way == "in place":
        with torch.no_grad():
            weights.mul_(0.5)
    elif way == "through .data":
        weights.data.mul_(0.5)
    elif way == "one entry through .data":
        weights.data[size // 2] = 3.0
    found = []
    for turn in range(64 if way == "one entry through .data" else 1):  # found when the samples come by
        assert native.before(step.parameters, step.at, step.versions_at, turn)
        found.append(step.figures[0][0])
    wanted = float(weights.detach().double().square().sum())
    assert any(one == pytest.approx(wanted, rel=1e-12) for one in found)


def test_gradients_that_are_no_block_are_returned_and_changes_are_noticed():
    weights = [torch.nn.Parameter(torch.ones(2, 3)) for _ in range(4)]
    weights[0].grad = torch.ones(3, 2).T
    weights[1].grad = torch.ones(2, 3)
    weights[2].grad = torch.ones(1, 1).expand(2, 3)
    step = Step(weights, [None] * 4)
    step.look()
    assert native.gradients(step.parameters, step.at, step.sights_at, 0, step.flags_at) == [0, 2]
    assert step.figures[1][1] == 6
    assert np.isnan(step.figures[3][1])
    assert not native.touched(step.parameters, step.at, step.sights_at)
    weights[1].grad.mul_(0.5)
    assert native.touched(step.parameters, step.at, step.sights_at)
    native.gradients(step.parameters, step.at, step.sights_at, 2, step.flags_at)
    assert step.figures[1][[1, 3]].tolist() == [6, 1.5]
    gradient = weights[1].grad
    assert gradient is not None
    for change in ("through .data", "another"):
        if change == "another":
            weights[1].grad = torch.ones(2, 3)
        else:
            gradient.data.mul_(0.5)
        assert native.touched(step.parameters, step.at, step.sights_at)
        assert native.gradients(step.parameters, step.at, step.sights_at, -1, step.flags_at) == [0, 2]
        assert not native.touched(step.parameters, step.at, step.sights_at)
    assert step.figures[1][[1, 3]].tolist() == [6, 1.5]


def test_weights_that_lie_elsewhere_are_not_read():
    weights = torch.nn.Parameter(torch.ones(6))
    step = Step([weights], [torch.ones(6)])
    step.look()
    kept, weights.data = weights.data, torch.zeros(6)  # the old memory stays, so that the address is another
    assert native.before(step.parameters, step.at, step.versions_at, -1) is False
    assert native.after(step.parameters, step.at, step.versions_at) is False
    assert kept.sum() == 6


class Step:
    """Records of parameters as parameters.py has them."""

    def __init__(self, parameters, snapshots):
        self.parameters, self.snapshots = parameters, snapshots
        self.records = np.zeros((len(parameters), 14), dtype=np.int64)
        self.versions = np.full(len(parameters), -1, dtype=np.int64)
        self.sights = np.zeros((len(parameters), 4), dtype=np.int64)
        self.flags = np.zeros(5, dtype=np.int64)
        self.at, self.versions_at = self.records.ctypes.data, self.versions.ctypes.data
        self.sights_at, self.flags_at = self.sights.ctypes.data, self.flags.ctypes.data
        self.figures = self.records.view(float)[:, 6:]
        native.reset(self.at, len(parameters))

    def look(self):
        for record, parameter, snapshot in zip(self.records, self.parameters, self.snapshots, strict=True):
            if parameter is not None:
                code = DTYPES[parameter.dtype]
                kept = 0 if snapshot is None else snapshot.data_ptr()
                record[:6] = code, code, parameter.numel(), parameter.data_ptr(), 0, kept


@pytest.mark.parametrize("window", [10, 16])
def test_silent_units_over_a_window(window):
    sums, marks = np.zeros((2, 12)), np.zeros((2, 6), np.uint8)
    site = [sums[1].ctypes.data, marks[0].ctypes.data, marks[1].ctypes.data, 6, 0, 0, 0]
    sites = np.array([site], dtype=np.int64)
    sites.view(np.float64)[0, 5] = 6.0
    seen = []
    for step in range(4):
        sums[1, 0] = 6 * 8.0  # eight samples
        marks[0, : 4 - step] |= 3  # unit 3 is alive in the first step only, unit 2 in the first two
        marks[0, 4] |= 1  # alive and always flat
        native.silent(sites.ctypes.data, 1, window, 10)
        seen.append(sums[1, 10:].tolist())
    # Full after two steps; the third adds to these, and the fourth ends a window of the last two.
    wanted = [[np.nan, np.nan], [1 / 6, 2 / 6], [1 / 6, 2 / 6], [3 / 6, 4 / 6]]
    np.testing.assert_allclose(seen, wanted)


@pytest.mark.parametrize(("name", "count"), [("forward", 9), ("backward", 4), ("silent", 4), ("reset", 2)])
def test_wrong_arguments_are_refused(name, count):
    call = getattr(native, name)
    for wrong in (count - 1, count + 1):
        with pytest.raises(TypeError, match=rf"{name}\(.*takes {count} arguments, and {wrong} were given"):
            call(*[0] * wrong)
    with pytest.raises(TypeError):
        call(*["0"] * count)


def test_wrong_values_are_refused():
    out, values = np.zeros(7), np.ones(4, np.float32)
    far = np.array([65.0, *[0.0] * 140])
    with pytest.raises(ValueError, match="dtype code 4 is not known"):
        native.backward(values.ctypes.data, 4, 4, out.ctypes.data)
    with pytest.raises(ValueError, match="n is -1; it must be 0 or more"):
        native.backward(values.ctypes.data, -1, 0, out.ctypes.data)
    with pytest.raises(ValueError, match="out is 0"):
        native.backward(values.ctypes.data, 4, 0, 0)
    with pytest.raises(ValueError, match="values is 0"):
        native.backward(0, 4, 0, out.ctypes.data)
    with pytest.raises(ValueError, match="between 0 and 64 intervals"):
        native.forward(values.ctypes.data, 0, 4, 1, 1, 0, far.ctypes.data, out.ctypes.data, 0)
    assert not out.any()


def test_levels_by_name(level):
    assert native.level() == level
    with pytest.raises(ValueError, match='level "sse9" is not one of this machine; it has baseline'):
        native.use("sse9")
    assert native.level() == level


def test_codes_are_those_of_torch():
    for dtype, code in DTYPES.items():
        values = torch.tensor([1.5, -2.0, 0.0]).to(dtype)
        out = np.zeros(3)
        native.backward(values.data_ptr(), 3, code, out.ctypes.data)
        assert out.tolist() == [3, 6.25, 0]
