"""What growth costs, by the twin whose signals begin at unit size."""

from __future__ import annotations

import pytest

from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.outcome import Outcome
from evenflow.diagnose.rescaled import costs, with_unit_sizes
from evenflow.diagnose.twins import Comparison
from evenflow.spec.setting import Trial


def twin(points: float, loss: float = 0.5, own: float = 100.0) -> Comparison:
    return Comparison(Trial(change="signals", loss=(1.0, loss)), points, loss, own, 200)


def result(start: float, end: float) -> Outcome:
    return Outcome(0.8, start, end, diverged=False, falling=True, improving=True, chance=1.0)


@pytest.mark.parametrize(
    ("start", "end", "other", "costly"),
    [
        (2.0, 0.5, twin(12.0), True),
        (2.0, 0.5, twin(7.0), False),
        (1000.0, 100.0, twin(7.0), True),
        (1000.0, 100.0, twin(3.0), False),
        (1000.0, 0.5, twin(7.0, own=0.5), False),
        (2.0, 100.0, twin(7.0), False),
        (1000.0, 100.0, twin(7.0, loss=50.0), False),
        (1000.0, 100.0, None, False),
    ],
    ids=[
        "clear",
        "not clear",
        "absurd",
        "too little",
        "came down",
        "began sane",
        "twin as absurd",
        "no twin",
    ],
)
def test_what_growth_costs(start, end, other, costly):
    found = result(start, end)
    assert costs(found, other) == costly
    grown = Verdict(
        severity="fault", sites=("1",), message="It grows.", evidence={}, first_step=0, strength=1.0
    )
    told = with_unit_sizes(grown, other, found)
    assert told is not None
    assert told.severity == ("fault" if costly or other is None else "risk")
    assert ("is 7 points better" in told.message) == (costly and other is not None and other.points == 7.0)
