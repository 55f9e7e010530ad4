"""A claim: a sentence, what would make it true or false, the experiment that tries it, and the judge of its figures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from inspect import getsource
from types import ModuleType
from typing import TypeVar

from evenflow.claims.figure import Figures
from evenflow.claims.verdict import Verdict
from evenflow.spec.content import content_hash

_HELPERS = "evenflow.claims.experiments."
_SEEDS_APART = 1000  # more than an experiment takes

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How an experiment is run.

    Args:
        full: more seeds and larger networks than in the quick form.
        seed: another number gives other draws of everything.
    """

    full: bool = False
    seed: int = 0

    def choose(self, quick: T, full: T) -> T:
        """One value for the quick form, another for the full one."""
        return full if self.full else quick

    def seeds(self, quick: int, full: int) -> tuple[int, ...]:
        """So many seeds, of which no other `seed` has one.

        >>> Settings(seed=2).seeds(3, 10)
        (2000, 2001, 2002)
        """
        first = self.seed * _SEEDS_APART
        return tuple(range(first, first + self.choose(quick, full)))


@dataclass(frozen=True)
class Claim:
    """A sentence about gradient flow, and how it is tried.

    Args:
        name: as it is typed.
        sentence: the claim, in our own words.
        source: the kind of place where people read it.
        true_if: what would make it true.
        false_if: what would make it false.
        experiment: settings -> figures.
        judge: figures -> verdict; pure.
        home: the module that defines it.
        alone: whether it measures time, so that nothing else may run beside it.
    """

    name: str
    sentence: str
    source: str
    true_if: str
    false_if: str
    experiment: Callable[[Settings], Figures] = field(repr=False)
    judge: Callable[[Figures], Verdict] = field(repr=False)
    home: str = field(repr=False)
    alone: bool = False

    @property
    def hash(self) -> str:
        """Twelve hex digits of the source of the claim and of the helpers that it takes its experiment from.

        A result with another hash is not a result of this claim.
        """
        module = import_module(self.home)
        helpers = sorted(_helpers(module))
        return content_hash([getsource(module), *(getsource(sys.modules[home]) for home in helpers)])


def _helpers(module: ModuleType) -> set[str]:
    """Names of the modules of experiments that a module takes something from, and those that they do."""
    homes = {getattr(value, "__module__", None) or "" for value in vars(module).values()} - {module.__name__}
    direct = {home for home in homes if home.startswith(_HELPERS)}
    return direct.union(*(_helpers(sys.modules[home]) for home in direct))
