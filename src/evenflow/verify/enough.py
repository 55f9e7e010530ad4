"""When a search has found enough: what is left to gain is worth no more trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenflow.prescribe.effect import RATES

if TYPE_CHECKING:
    from evenflow.verify.search import Search

_NEARLY_ALL = 0.95
"""Share of what can be learned from which on no further bracket is opened."""
_AS_A_TWIN, _MOST, _MOST_OF_A_TWIN = 0.01, 0.9, 0.75
"""How far below the score of the best twin counts as the same; and what has to be learned for it to be enough.

Less where it is the twin's own change, unless that is a learning rate: twins go by powers of ten, and the best rate may
lie between.
"""
_HALF = 0.5
"""What has to be learned for a value that two remedies come to alike to be enough."""


def is_enough(search: Search) -> bool:
    """Whether the best so far leaves so little to gain that no more need be tried."""
    best = next(iter(search.finalists()), None)
    if best is None or search.gain(best) < search.least:
        return False
    learned = search.metric.learned(best.value)
    if learned >= _NEARLY_ALL or search.metric.cannot_be_beaten(best.value):
        return True
    if not search.metric.is_score:
        return False
    first = search.prescription(best)
    own = first is search.promised and first.remedy not in RATES
    most = _MOST_OF_A_TWIN if own else _MOST
    as_a_twin = learned >= most and best.value >= search.twin - _AS_A_TWIN
    return as_a_twin or (learned >= _HALF and _is_a_ceiling(search))


def _is_a_ceiling(search: Search) -> bool:
    """Whether two remedies, each trained to the end, have come to the same: what is left is not theirs to gain."""
    through = [one for one in search.finalists() if one.steps >= search.steps]
    return any(
        through[0].value - one.value <= _AS_A_TWIN
        and search.prescription(one).remedy != search.prescription(through[0]).remedy
        for one in through[1:]
    )


def is_half_way(search: Search) -> bool:
    """Whether the best so far has come to half of what can be learned, as far as that is known."""
    best = next(iter(search.finalists()), None)
    return best is not None and not search.metric.learned(best.value) < _HALF


def cannot_be_beaten(search: Search) -> bool:
    """Whether the best so far is as good as can be, and better than the original."""
    best = next(iter(search.finalists()), None)
    return (
        best is not None and search.metric.cannot_be_beaten(best.value) and search.gain(best) >= search.least
    )
