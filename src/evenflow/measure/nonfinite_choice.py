"""Which of the sources of a forward pass is the one to tell."""

from __future__ import annotations

from evenflow.measure.nonfinite_forward import ForwardWatch
from evenflow.measure.nonfinite_origin import Operand, Origin, levels
from evenflow.measure.nonfinite_sources import Source
from evenflow.measure.nonfinite_tree import tensors_in

_PASSED_ON = 5  # modules that are named
_DIED_OUT = "it does not reach the model's output"


def reaching(watch: ForwardWatch, outputs: object) -> Origin | None:
    """The first source of what the model gives."""
    held = watch.ledger.held(tensors_in(outputs))
    if held.nan:
        return _origin(watch, min(watch.ledger.without_masks(held.nan)))
    blamed = watch.ledger.without_masks(held.infinite)
    if not blamed:
        return None
    source = watch.ledger.known[min(blamed)]
    if source.constant or (source.masks and not held.positive):
        return None
    return _origin(watch, min(blamed))


def leaving(watch: ForwardWatch) -> Origin | None:
    """The first source whose values left a module, though they died out later."""
    left = {number for leaving in watch.leavings for number in leaving.held.every}
    known = watch.ledger.known
    made = [number for number in left if known[number].direction == "forward" and not known[number].masks]
    return _origin(watch, min(made), _DIED_OUT) if made else None


def written(watch: ForwardWatch, outputs: object) -> Origin | None:
    """A constant +inf that reached the output; -inf there is how a model masks its scores."""
    held = watch.ledger.held(tensors_in(outputs))
    if not (held.positive and held.infinite):
        return None
    return _origin(watch, min(held.infinite), "an infinite constant, which is not masked away")


def before_the_pass(watch: ForwardWatch) -> Origin | None:
    """The first argument or buffer that held a NaN, though it was kept away from the output."""
    for number, source in enumerate(watch.ledger.known):
        if source.direction != "forward" and source.nan:
            return _origin(watch, number, _DIED_OUT)
    return None


def after_failure(watch: ForwardWatch, failure: Exception) -> Origin:
    """A check of the user's own often ends the pass, so that the NaN that it saw is still the answer."""
    for number, source in enumerate(watch.ledger.known):
        if source.nan and not source.note:
            return _origin(watch, number, f"the pass ended with {reason(failure)}")
    raise failure


def _origin(watch: ForwardWatch, number: int, note: str = "") -> Origin:
    source = watch.ledger.known[number]
    names = [leaving.module for leaving in watch.leavings if number in leaving.held.every]
    passed_on = [
        name
        for name in dict.fromkeys(names)
        if name not in source.stack and not any(other.startswith(f"{name}.") for other in names)
    ]
    return Origin(
        source.direction,
        source.stack[-1],
        source.operation,
        source.operands if source.direction == "forward" else _same_kind(watch, source),
        _path(source),
        tuple(passed_on[:_PASSED_ON]),
        source.produced,
        "; ".join(part for part in (source.note, note) if part),
    )


def _same_kind(watch: ForwardWatch, source: Source) -> tuple[Operand, ...]:
    """Every argument, or every buffer, that held something non-finite, beginning with the one to blame."""
    others = [
        s for s in watch.ledger.known if s.direction == source.direction and s is not source and not s.masks
    ]
    return tuple(described for one in (source, *others) for described in one.operands)


def _path(source: Source) -> tuple[str, ...]:
    stack = source.stack if source.direction == "forward" else levels(source.stack[-1])
    return (*stack, source.line) if source.line else stack


def reason(error: Exception) -> str:
    """Kind and first line of an error."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
