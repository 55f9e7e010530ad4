"""Where a model adds the result of some layers to what they were computed from, and where it could."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from evenflow.prescribe.placing import single
from evenflow.prescribe.trace import Call, Trace, Visit

_SUMS = ("add", "__add__", "__iadd__", "__radd__")


@dataclass(frozen=True)
class Branch:
    """What is added to a skip connection.

    Args:
        sum_: place of the addition.
        skip, branch: places of what is added.
        module: dotted path of the module that puts out the branch; "" where code does.
        layer: dotted path of the last layer with weights in it.
    """

    sum_: int
    skip: int
    branch: int
    module: str
    layer: str


@dataclass(frozen=True)
class Span:
    """Layers that a skip connection could lead around.

    Args:
        names: dotted paths of modules that run one after the other.
        matrices: how many layers with weights are among them.
    """

    names: tuple[str, ...]
    matrices: int


def branches(trace: Trace) -> tuple[Branch, ...]:
    """The residual branches of a model, in the order of execution."""
    found = []
    for one in trace.calls:
        if one.name not in _SUMS or len(one.takes) != 2:
            continue
        for skip, branch in (one.takes, one.takes[::-1]):
            if (
                branch >= 0
                and skip != branch
                and _is_above(trace, branch, skip)
                and _equal(trace, one, branch)
            ):
                last = _last_layer(trace, branch)
                if last is not None and not _is_above(trace, skip, last.place):
                    found.append(Branch(one.place, skip, branch, _giver(trace, branch), last.module))
                    break
    return tuple(found)


def spans(trace: Trace) -> tuple[Span, ...]:
    """Layers with their activations whose result has the shape of what they take, and that have no skip as yet.

    In an `nn.Sequential` each layer with what follows it up to the next layer; elsewhere modules that hold a layer and
    its activation.
    """
    found: list[tuple[int, int, Span]] = []
    for visit in trace.visits:
        module = visit.module
        if isinstance(module, nn.Sequential):
            found += _groups(trace, visit, module)
        elif visit.name and next(module.children(), None) is not None:
            inside = trace.calls[visit.began : visit.ended]
            if visit.plain and single(trace, visit.name) and visit.taken == visit.given and _bends(inside):
                span = Span((visit.name,), _count(inside))
                found.append((visit.began, visit.ended, span))
    there = branches(trace)
    found = [each for each in found if each[2].matrices and not _is_residual(trace, there, each[0], each[1])]
    chosen: list[tuple[int, int, Span]] = []
    for began, ended, span in sorted(found, key=lambda each: (each[1] - each[0], each[0])):
        if all(ended <= other or began >= last for other, last, _ in chosen):
            chosen.append((began, ended, span))
    return tuple(span for _, _, span in sorted(chosen, key=lambda each: each[0]))


def _groups(trace: Trace, visit: Visit, module: nn.Sequential) -> list[tuple[int, int, Span]]:
    prefix = f"{visit.name}." if visit.name else ""
    runs = [single(trace, prefix + name) for name, _ in module.named_children()]
    groups: list[list[Visit]] = []
    for run in runs:
        if run is None:
            return []
        inside = trace.calls[run.began : run.ended]
        if _count(inside) or not groups:
            groups.append([])
        groups[-1].append(run)
    found = []
    for group in groups:
        began, ended = group[0].began, group[-1].ended
        inside = trace.calls[began:ended]
        plain = all(run.plain for run in group) and group[0].taken == group[-1].given
        if plain and trace.is_hidden(group[-1].result) and _bends(inside):
            found.append((began, ended, Span(tuple(run.name for run in group), _count(inside))))
    return found


def _count(calls: Sequence[Call]) -> int:
    return sum(one.has_weights and one.name not in ("embedding", "embedding_bag") for one in calls)


def _bends(calls: Sequence[Call]) -> bool:
    """Whether something else than linear maps is among the calls: a branch without it adds nothing to its layer."""
    return any(one.activation or one.name in ("lstm", "gru", "rnn_tanh", "rnn_relu") for one in calls)


def _is_residual(trace: Trace, there: Sequence[Branch], began: int, ended: int) -> bool:
    """Whether a skip connection begins, ends or runs within some calls, or they are all inside one's branch."""
    return any(
        began <= one.sum_ <= ended or (one.skip < began and ended <= one.sum_ and _spans(trace, one, began))
        for one in there
    )


def _spans(trace: Trace, one: Branch, began: int) -> bool:
    """Whether a call lies between what a skip takes and the sum."""
    return one.skip < began < one.sum_ and _is_above(trace, one.sum_, began)


def _equal(trace: Trace, one: Call, branch: int) -> bool:
    return trace.calls[branch].shape == one.shape


def _is_above(trace: Trace, place: int, below: int) -> bool:
    """Whether a result was computed from another, or from an input of the model where that is −1."""
    waiting, seen = [place], set()
    while waiting:
        one = waiting.pop()
        if one == below:
            return True
        if one < max(below, 0) or one in seen:
            continue
        seen.add(one)
        waiting += trace.calls[one].takes
    return False


def _last_layer(trace: Trace, place: int) -> Call | None:
    while place >= 0:
        one = trace.calls[place]
        if one.has_weights:
            return one
        place = next((each for each in one.takes if trace.is_computed(each)), -1)
    return None


def _giver(trace: Trace, place: int) -> str:
    """The outermost module that puts out a result and nothing else, where it runs once."""
    for visit in trace.visits:
        if visit.result == place and visit.name and visit.plain and single(trace, visit.name):
            return visit.name
    return ""
