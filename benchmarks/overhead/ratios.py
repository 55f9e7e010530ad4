"""From times of interleaved rounds to a ratio with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

DRAWS = 2000


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios with its 90 % interval, and the ratio of the totals.

    The median leaves out what happens in few rounds, such as writing to disk; the totals leave nothing out,
    but one disturbance of the machine moves them.
    """

    median: float
    low: float
    high: float
    totals: float


def ratio(watched: np.ndarray, bare: np.ndarray, period: int, inner: int) -> Ratio | None:
    """Ratio of two series of times, round by round; None if no whole period was measured.

    A contender that works at every k-th step has cheap rounds and dear ones, and the median would only see
    the cheap ones. So rounds of `inner` steps are summed over k / gcd(k, inner) of them, which hold the same
    number of dear steps, before the ratios r = Σ watched / Σ bare are taken. The interval is the 5th to 95th
    percentile of the median over redrawn r.
    """
    block = period // gcd(period, inner)
    blocks = len(bare) // block
    if not blocks:
        return None
    above, below = (one[: blocks * block].reshape(blocks, block).sum(1) for one in (watched, bare))
    found = above / below
    drawn = np.random.default_rng(0).choice(found, (DRAWS, blocks))
    low, high = np.quantile(np.median(drawn, axis=1), (0.05, 0.95))
    return Ratio(float(np.median(found)), float(low), float(high), float(above.sum() / below.sum()))
