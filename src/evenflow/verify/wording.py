"""Values of a metric, differences and signs as people read them."""

from __future__ import annotations

import math

from evenflow.compare.paired import Difference
from evenflow.verify.metric import Metric
from evenflow.verify.signs import SHARES, Reading
from evenflow.wording import MISSING, decimal, number


def shown_value(value: float, metric: Metric | str) -> str:
    """A share in percent, everything else as a number.

    >>> shown_value(0.934, "accuracy"), shown_value(-0.003, "explained variance"), shown_value(2.3026, "loss")
    ('93 %', '0 %', '2.30')
    """
    name = metric if isinstance(metric, str) else metric.name
    if math.isnan(value):
        return MISSING
    if name in ("accuracy", "explained variance"):
        return f"{decimal(100 * value, 0)} %"
    return number(value, 3)


def shown_difference(found: Difference, metric: Metric) -> str:
    """With its interval, in points of a score."""
    times, unit = (100.0, " points") if metric.is_score else (1.0, "")
    digits = 3 if not metric.is_score else 2
    mean = number(times * found.mean, digits)
    if math.isnan(found.low):
        return f"{mean}{unit}"
    low, high = number(times * found.low, digits), number(times * found.high, digits)
    return f"{mean}{unit} ({low} to {high})"


def shown_reading(found: Reading | None) -> str:
    """Before and after, and whether that is what was promised."""
    if found is None or (math.isnan(found.before) and math.isnan(found.after)):
        return "not measured"
    before, after = (_figure(found, value) for value in (found.before, found.after))
    verdict = {True: "seen", False: "not seen", None: "cannot be told"}[found.appeared]
    return f"{before} → {after}: {verdict}"


def _figure(found: Reading, value: float) -> str:
    if math.isnan(value):
        return MISSING
    return f"{100 * value:.0f} %" if found.sign in SHARES else number(value, 2)
