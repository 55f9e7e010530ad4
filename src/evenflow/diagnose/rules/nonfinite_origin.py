"""EF501: the operation that made the first value that is NaN or infinite."""

from __future__ import annotations

import re

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.domain import outside_its_domain
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.learning import nonfinite_loss_step
from evenflow.diagnose.rule import Rule
from evenflow.wording import listed, named

_MODULE = re.compile(r' in "([^"]*)"')


def judge(case: Case) -> Verdict | None:
    """Where and when the first value was not finite, if it reached the loss or a weight.

    A gradient alone that is not finite is how a loss scale finds its size: that step is left out, and no harm done.
    """
    setting = case.setting
    counts = case.series("nonfinite_count", phase=None)
    broken = counts.values > 0
    first = int(np.argmax(broken.any(axis=1))) if broken.any() else -1
    loss = nonfinite_loss_step(case)
    spoiled = _spoiled_weights(case)
    if loss is None and spoiled is None:
        return None
    known = [
        step for step in (loss, spoiled, setting.origin_step if setting.origin else None) if step is not None
    ]
    onset = min([*known, int(counts.steps[first])] if first >= 0 else known)
    at = int(np.searchsorted(counts.steps, onset))
    sites = _named(setting.origin)
    if not setting.origin:
        sites = _sites(counts.names, broken, at if at < len(broken) else first)
    origin = setting.origin.rstrip(".")
    where = f"of {listed([named(one) for one in sites], most=2)}" if sites else "of the loss"
    message = (
        f"The first value that is not finite came at step {onset}: {origin}."
        if origin
        else f"The first value that is not finite came at step {onset}, among those {where}."
    )
    own = outside_its_domain(setting)
    if own:
        message = (
            f"{message.removesuffix('.')}; what it was made from is of ordinary size, so neither the learning rate nor "
            "the weights brought it about."
        )
    return Verdict(
        severity="fault",
        sites=sites,
        message=message,
        evidence={
            "origin": origin or "not traced",
            "sites_not_finite_at_that_step": int(broken[at].sum()) if 0 <= at < len(broken) else 0,
            "first_loss_not_finite": -1 if loss is None else loss,
            "lowest_operand": setting.origin_lowest,
            "largest_operand": setting.origin_highest,
        },
        first_step=onset,
        strength=1.0,
        remedies=("guard_operation", "check_inputs") if own else (),
        given=own,
    )


def _spoiled_weights(case: Case) -> int | None:
    """The first recorded step before which a weight was no number, so that its norm was none either."""
    try:
        counts = case.series("nonfinite_count", "weight")
        norms = case.series("weight_norm", "weight")
    except MissingError:
        return None
    shared, mine, theirs = np.intersect1d(counts.steps, norms.steps, return_indices=True)
    names = {name: place for place, name in enumerate(norms.names)}
    columns = [(place, names[name]) for place, name in enumerate(counts.names) if name in names]
    for step, row, other in zip(shared, mine, theirs, strict=True):
        for place, column in columns:
            if counts.values[row, place] > 0 and not np.isfinite(norms.values[other, column]):
                return int(step)
    return None


def _named(origin: str) -> tuple[str, ...]:
    found = _MODULE.search(origin)
    if origin.startswith("input"):
        return ("input",)
    return (found.group(1),) if found and found.group(1) else ()


def _sites(names: tuple[str, ...], broken: np.ndarray, row: int) -> tuple[str, ...]:
    if row < 0:
        return ()
    bad = (name for name, bad in zip(names, broken[row], strict=True) if bad and name != "batch")
    return tuple(dict.fromkeys(bad))[:3]


RULE = Rule(
    code="EF501",
    name="nonfinite_origin",
    title="the operation that made the first value that is NaN or infinite",
    judge=judge,
    remedies=("guard_operation", "lower_learning_rate", "clip_gradients", "check_inputs"),
    follows_from=(
        "uncleared_gradient",
        "unnormalised_input",
        "poor_init",
        "lr_too_high",
        "exploding_activations",
        "exploding_gradient",
        "bad_output_layer",
    ),
    confidence=0.98,
    explanation=(
        "One NaN spoils everything that is computed from it, and in a training that is everything within one step. "
        "Whether it came of numbers that had grown for many steps or of one operation outside its domain (the "
        "logarithm or the root of 0, a division by 0) is seen in the operands of the operation that made it."
    ),
)
