"""Text that fits: sparklines on a common scale, short names, packed lines, and which layers a short table shows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evenflow.report.flow_layers import FlowLayers, Readings

BLOCKS = "▁▂▃▄▅▆▇█"
BROKEN, ZERO = "×", "0"
_ENDS = 0.3  # of the rows for the first layers, and as many for the last
_PLAIN = 0.5  # decades from the straight line that nobody needs to see
_SHARE = 3.0  # decades that weigh as much as a layer that is all dead or all saturated


def limits(logs: NDArray[np.float64]) -> tuple[float, float]:
    """The least and the largest finite figure; (0, 0) without any."""
    known = logs[np.isfinite(logs)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def sparkline(found: Readings, place: int, width: int, low: float, high: float) -> str:
    """log10 of one site's figure through training, at most `width` characters between `low` and `high`.

    Where one character stands for several steps it shows their median, and a break in any of them.

    >>> from evenflow.report.flow_layers import Readings
    >>> values = np.array([[1e-8], [1e-4], [1.0], [0.0], [np.nan], [np.inf]])
    >>> sparkline(Readings(np.arange(6), values, np.isinf(values)), 0, 6, -8.0, 0.0)
    '▁▅█0 ×'
    """
    logs, broken = found.logs[:, place], found.broken[:, place]
    bounds = np.linspace(0, len(logs), min(width, len(logs)) + 1).round().astype(np.int64)
    return "".join(
        _mark(logs[start:end], bool(broken[start:end].any()), low, high) for start, end in pairwise(bounds)
    )


def _mark(logs: NDArray[np.float64], broken: bool, low: float, high: float) -> str:
    known = logs[~np.isnan(logs)]
    if broken or not len(known):
        return BROKEN if broken else " "
    middle = float(np.median(known))
    if middle == -math.inf:
        return ZERO
    share = (middle - low) / (high - low) if high > low else 0.5
    return BLOCKS[int(np.clip(share * len(BLOCKS), 0, len(BLOCKS) - 1))]


def shortened(name: str, width: int) -> str:
    """The end of a long name, since paths differ there; whole parts of the path where they fit.

    >>> shortened("transformer.blocks.0.mlp.fc1", 14), shortened("head", 14), shortened("in_proj_weight", 8)
    ('…0.mlp.fc1', 'head', '…_weight')
    """
    if len(name) <= width:
        return name
    tail = name[len(name) - width + 1 :]
    _, dot, parts = tail.partition(".")
    whole = name[len(name) - width] == "."
    return f"…{tail if whole or not dot else parts}"


def distinct_width(names: Sequence[str], least: int, most: int) -> int:
    """The least width at which no two short names are the same.

    >>> distinct_width(["blocks.0.attention.key", "blocks.1.attention.key"], 6, 30)
    16
    """
    different = len(set(names))
    return next(
        (
            width
            for width in range(least, most)
            if len({shortened(name, width) for name in names}) == different
        ),
        most,
    )


def packed(parts: Sequence[str], width: int) -> list[str]:
    """Parts in as few lines as they need; one that is longer than a line is broken between words.

    >>> packed(["one two", "three", "four"], 15)
    ['one two · three', 'four']
    """
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines += textwrap.wrap(part, width, break_on_hyphens=False)
    return lines


def chosen(layers: FlowLayers, rows: int) -> list[int]:
    """Places of the layers to show: all, or the first, the last, and the worst between them.

    Worst is a gradient that was ever broken, then one that is exactly zero now, then the distance in decades
    from the straight line between the ends that are shown, or the share of dead or saturated units.
    """
    count = len(layers)
    if count <= rows:
        return list(range(count))
    ends = max(1, round(_ENDS * rows))
    between = max(1, (rows - 2 * ends) // 2)  # every one of them may need a line for the gap before it
    values, now_broken = layers.gradients.latest
    with np.errstate(divide="ignore"):
        logs = np.log10(np.where(now_broken, np.nan, values))
    far = np.nan_to_num(np.abs(logs - _straight(logs, ends)), nan=0.0, posinf=0.0)
    for statistic in ("dead_fraction", "saturated_fraction"):
        shares = layers.read("activation", statistic).latest[0]
        far = np.maximum(far, _SHARE * np.nan_to_num(shares))
    ever = np.asarray(layers.gradients.broken.any(axis=0))
    inside = np.arange(ends, count - ends)
    notable = ever | (values == 0) | (far > _PLAIN)
    remarkable = inside[notable[inside]].tolist()
    inner = sorted(remarkable, key=lambda place: (not ever[place], values[place] != 0, -far[place]))[:between]
    return [*range(ends), *sorted(inner), *range(count - ends, count)]


def _straight(logs: NDArray[np.float64], ends: int) -> NDArray[np.float64]:
    """From the middle of the first finite figures to that of the last."""
    x = np.arange(len(logs))
    known = np.isfinite(logs)
    parts = [part[known[part]] for part in (x[:ends], x[-ends:])]
    if not all(map(len, parts)):
        return np.full(len(logs), float(np.median(logs[known])) if known.any() else 0.0)
    at = [float(np.median(part)) for part in parts]
    slope = (np.median(logs[parts[1]]) - np.median(logs[parts[0]])) / (at[1] - at[0])
    return np.median(logs[parts[0]]) + slope * (x - at[0])
