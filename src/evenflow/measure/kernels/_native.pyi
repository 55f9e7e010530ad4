"""One-pass reductions over raw memory; every argument but a level's name is an integer.

An address is that of contiguous memory of dtype 0 float32, 1 float64, 2 bfloat16 or 3 float16, aligned or not.
Wrong counts and types of arguments are a TypeError; what lies behind an address cannot be checked. Sums are
float64 and do not depend on the caller's treatment of denormals. The square of a float64 beyond 1e154 is
infinite and one below 1e-162 is lost; the other dtypes are exact. Work of more than a MiB runs without the lock.
"""

from collections.abc import Callable
from typing import Any, NewType

from torch import Tensor

Ear = NewType("Ear", object)

def forward(
    values: int,
    tested: int,
    outer: int,
    units: int,
    inner: int,
    dtype: int,
    edges: int,
    out: int,
    marks: int,
    /,
) -> None:
    """Merge the figures of values of shape (outer, units, inner) into seven float64 at `out`.

    n, Σv, Σv², max|v| (NaN once a NaN was seen), #{v = 0}, #{v not finite}, #{t in a flat interval}, where t is
    `tested`, or v itself where that is 0. `edges` are float64: the number of flat intervals, lo and hi of each,
    then the dead ones alike; an interval is closed, NaN is in none, and 64 is the most. `marks` are `units`
    bytes, or 0 for none: bit 0 is set where an entry of the unit is in no dead interval, bit 1 where one is in
    no flat interval.
    """

def backward(values: int, n: int, dtype: int, out: int, /) -> None:
    """Merge n, Σv² and #{v not finite} into three float64 at `out`."""

def reset(records: int, number: int, /) -> None:
    """Make every figure of the records NaN, but that for the next step.

    A record is fourteen fields of 64 bits. Integers: dtype of the weights, dtype of the gradient, n, address of the
    weights, of the gradient, of the snapshot (0: none). Then float64: Σw², Σg² in four phases, non-finite entries of
    the gradient, Σ(w − snapshot)², and Σw² for the next step.
    """

def before(parameters: list[Any], records: int, versions: int, turn: int, /) -> bool:
    """The weights as a step finds them: Σw² of each, and a copy in its snapshot. False where one lies elsewhere.

    Where nothing has been written to since the versions were noted, and the snapshots still hold the weights' bits in
    every 64th cache line (another one each `turn`), what the last step found is taken instead; `turn` -1 never does.
    Parameters that are None are left out, here and below.
    """

def gradients(parameters: list[Any], records: int, sights: int, phase: int, flags: int, /) -> list[int]:
    """Σg² of a phase and the non-finite entries; the places of gradients that are no block in memory are returned.

    `sights` are four int64 for each parameter, by which `touched` knows the gradients again: a phase of -1 sets only
    these. The fifth of the flags is
    set where something is not finite.
    """

def after(parameters: list[Any], records: int, versions: int, /) -> bool:
    """What a step made of the weights: Σ(w − snapshot)², and Σw² for the next step; the snapshots become the weights.

    False, and nothing, where a weight does not lie where its record says.
    """

def turn(
    parameters: list[Any],
    records: int,
    versions: int,
    to: int,
    loss: float,
    given: float,
    scale: float,
    sums: int,
    slots: int,
    width: int,
    sites: int,
    number: int,
    window: int,
    place: int,
    /,
) -> bool:
    """What ends a step that is like the last one: `after`, whose answer it gives, `move_sums`, and behind these sums
    `move_records`."""

def silent(sites: int, number: int, window: int, place: int, /) -> None:
    """Count the samples of a step in, and set the shares of units that are dead and flat over the window.

    A site is seven fields of 64 bits: address of its sums (in which the shares go to `place`), of the marks of the
    window that fills and of the last one, units, whether a window has ever been full; then float64, entries of one
    sample and samples seen.
    """

def move_sums(
    to: int,
    loss: float,
    given: float,
    scale: float,
    sums: int,
    slots: int,
    width: int,
    sites: int,
    number: int,
    window: int,
    place: int,
    /,
) -> None:
    """`silent`; then to the address `to` three numbers and the sums, `width` a slot, whose first `place` become 0."""

def move_records(to: int, records: int, number: int, /) -> None:
    """Copy the seven figures of every record to the address `to`; they become NaN."""

def ear(flags: int, /) -> Ear:
    """A new ear, not tuned to anything; it sets the fifth of the flags where something is not finite."""

def tune(
    ear: Ear,
    shape: tuple[int, ...],
    outer: int,
    units: int,
    inner: int,
    code: int,
    tests_inputs: bool,
    edges: int,
    out: int,
    marks: int,
    /,
) -> None:
    """Tune an ear to tensors of a shape, and of the dtype of a code; to none where the code is negative."""

def hear(ear: Ear, inputs: Tensor | None, values: Tensor, /) -> bool:
    """Merge the figures of a site's values; False, and nothing, where the ear is not tuned to them."""

def hear_gradient(ear: Ear, gradient: Tensor, /) -> bool:
    """Merge the figures of a site's gradient; False, and nothing, where the ear is not tuned to it."""

def reader(ear: Ear, flags: int, fallback: Callable[[Tensor], None], /) -> Callable[[Tensor], None]:
    """The hook that reads a gradient by an ear while the second of the flags is set; else `fallback` does."""

def listen(tensor: Tensor, hook: Callable[[Tensor], None], /) -> bool:
    """Have a hook called with the gradient of a tensor; False, and nothing, where it is a leaf or has hooks."""

def tap(
    flags: int, implementation: Callable[..., Any], fallback: Callable[..., Any], /
) -> Callable[..., Any]:
    """A callable around a module's implementation: all of it `fallback` until it is settled."""

def settle(
    tap: Callable[..., Any],
    ear: Ear,
    hook: Callable[[Tensor], None],
    slow: Callable[[Tensor, Tensor], None],
    /,
) -> None:
    """Let a tap hear by itself while the first of the flags is set; `slow` gets outputs that the ear does not."""

def ready(parameters: list[Any], records: int, sights: int, versions: int, turn: int, /) -> bool:
    """`before` unless a gradient was `touched`; False, and nothing, where one was or a weight lies elsewhere."""

def touched(parameters: list[Any], records: int, sights: int, /) -> bool:
    """Whether a gradient was replaced or written to since it was read."""

def level() -> str:
    """Instructions in use: "avx512", "avx2" or "baseline"; the best of the machine at first."""

def use(level: str, /) -> None:
    """Switch to another level; a ValueError where the machine lacks it."""
