"""The verdict on a sentence, from what its parts turned out to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from evenflow.claims.figure import Answer, Figure

Kind = Literal["holds", "holds under conditions", "overstated", "wrong", "not decided"]
Role = Literal["core", "case", "size"]

_WORDS: dict[Answer, str] = {True: "yes", False: "no", None: "open"}


@dataclass(frozen=True)
class Statement:
    """A part of a sentence, with the answer that figures give.

    Args:
        role: `core`: without it the sentence is wrong. `case`: the sentence in certain circumstances, of which it
            may hold in some only. `size`: what it says beyond its core, such as a number or "always".
        text: in words; of a case, the circumstances.
        holds: yes, no, or not decided.
        figures: what the answer rests on.
    """

    role: Role
    text: str
    holds: Answer
    figures: tuple[Figure, ...] = ()

    @property
    def answer(self) -> str:
        """`yes`, `no` or `open`."""
        return _WORDS[self.holds]


def core(text: str, holds: Answer, *figures: Figure) -> Statement:
    """A statement without which the sentence is wrong."""
    return Statement("core", text, holds, figures)


def case(text: str, holds: Answer, *figures: Figure) -> Statement:
    """The sentence in certain circumstances."""
    return Statement("case", text, holds, figures)


def size(text: str, holds: Answer, *figures: Figure) -> Statement:
    """What the sentence says beyond its core."""
    return Statement("size", text, holds, figures)


@dataclass(frozen=True)
class Verdict:
    """What became of a sentence.

    Args:
        kind: see `weigh`.
        statements: what it rests on.
    """

    kind: Kind
    statements: tuple[Statement, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """The circumstances in which the sentence holds, where it does not hold in all."""
        cases = [one for one in self.statements if one.role == "case"]
        return tuple(one.text for one in cases if one.holds) if self.kind == "holds under conditions" else ()

    @property
    def exceptions(self) -> tuple[str, ...]:
        """The circumstances in which it does not."""
        cases = [one for one in self.statements if one.role == "case"]
        return tuple(one.text for one in cases if one.holds is False) if self.conditions else ()

    def __str__(self) -> str:
        return "not decided by this form" if self.kind == "not decided" else self.kind


def weigh(*statements: Statement) -> Verdict:
    """The verdict that follows from the statements.

    *Wrong* where a core statement is false, or the sentence holds in none of its cases; else *overstated* where
    something it says beyond its core is false; else *holds under conditions* where it fails in some of its cases; else
    *holds*. Open statements may go either way: where that would change the verdict, it is *not decided*.

    >>> weigh(core("it falls", True), size("by half", False)).kind
    'overstated'
    >>> weigh(case("shallow", True), case("deep", False)).kind, weigh(case("shallow", None)).kind
    ('holds under conditions', 'not decided')
    >>> weigh(core("it falls", False), size("by half", None)).kind
    'wrong'
    """
    kinds: set[Kind] = {_kind(answers) for answers in _ways([(one.role, one.holds) for one in statements])}
    return Verdict(kinds.pop() if len(kinds) == 1 else "not decided", statements)


def _ways(answers: Sequence[tuple[Role, Answer]]) -> Iterator[list[tuple[Role, bool]]]:
    """Every way in which the open answers can go."""
    choices = [(True, False) if holds is None else (holds,) for _, holds in answers]
    for way in product(*choices):
        yield [(role, holds) for (role, _), holds in zip(answers, way, strict=True)]


def _kind(answers: Sequence[tuple[Role, bool]]) -> Kind:
    of = {role: [holds for each, holds in answers if each == role] for role in ("core", "case", "size")}
    if not all(of["core"]) or (of["case"] and not any(of["case"])):
        return "wrong"
    if not all(of["size"]):
        return "overstated"
    return "holds" if all(of["case"]) else "holds under conditions"
