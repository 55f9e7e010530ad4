"""Claims with their results as plain data, for `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from evenflow.claims.claim import Claim
from evenflow.claims.figure import Figure
from evenflow.claims.results import Result, written


def plain(claim: Claim, result: Result | None) -> dict[str, object]:
    """Everything about a claim, and of its result the verdict, what that rests on, and every figure."""
    told: dict[str, object] = {
        "name": claim.name,
        "sentence": claim.sentence,
        "source": claim.source,
        "true_if": claim.true_if,
        "false_if": claim.false_if,
        "hash": claim.hash,
        "verdict": None,
    }
    if result is None:
        return told
    verdict = claim.judge(result.figures)
    return told | {
        "verdict": verdict.kind,
        "conditions": list(verdict.conditions),
        "exceptions": list(verdict.exceptions),
        "statements": [
            {
                "role": one.role,
                "text": one.text,
                "answer": one.answer,
                "figures": [_figure(figure) for figure in one.figures],
            }
            for one in verdict.statements
        ],
        "figures": {key: _figure(figure) for key, figure in result.figures.items()},
        "full": result.full,
        "seed": result.seed,
        "date": result.date,
        "processor_seconds": result.seconds,
    }


def _figure(figure: Figure) -> Mapping[str, object]:
    interval = figure.interval
    return {
        "text": figure.text,
        "value": written(interval.mean),
        "low": written(interval.low),
        "high": written(interval.high),
        "count": interval.count,
        "unit": figure.unit,
    }
