"""Every rule judged on one run of a table: what was found, and what could not be judged, and why."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from os import PathLike
from typing import Protocol

import numpy as np

from evenflow.diagnose.about import about
from evenflow.diagnose.case import Case
from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import MissingError, NotApplicableError, Unjudged, Verdict
from evenflow.diagnose.fitting import advised
from evenflow.diagnose.redrawn import with_the_twin
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.rules import RULES, rule_named
from evenflow.diagnose.story import Found, findings
from evenflow.errors import SpecError, suggest
from evenflow.record.axes import Run
from evenflow.record.store import Store
from evenflow.record.table import Table


class HasTable(Protocol):
    """A probe, or whatever else has a table of one run."""

    @property
    def table(self) -> Table:
        """Step × site × statistic."""
        ...


Subject = Table | HasTable | Store | str | PathLike[str]


def diagnose(
    what: Subject, *, run: str | None = None, rules: Collection[str | Rule] | None = None
) -> Diagnosis:
    """What is wrong with a training: which rule says so, in which layers, since when, on what evidence.

    Args:
        what: a table, a probe, an open store, or the path of a store.
        run: the key of the run to judge, where there are several.
        rules: names or codes of the rules to judge; all of them when left out.

    Raises:
        SpecError: there are several runs and none was named, the named one is not there, a rule is not known.
        StoreError: the store cannot be read.

    >>> from evenflow.record import Run
    >>> diagnose(Table.from_rows([Run("a"), Run("b")], []))
    Traceback (most recent call last):
    ...
    evenflow.errors.SpecError: there are 2 runs to judge, a and b; name one of them, such as run="a"
    """
    chosen = _chosen(rules)
    keys = _keys(what)
    if run is None:
        if len(keys) != 1:
            raise SpecError(_which(keys))
        run = keys[0]
    elif run not in keys:
        raise SpecError(
            f'there is no run "{run}"{suggest(run, keys)}; there are {", ".join(keys) or "no runs at all"}'
        )
    return _judged(_table(what, run), run, chosen)


def diagnose_all(what: Subject, *, rules: Collection[str | Rule] | None = None) -> Iterator[Diagnosis]:
    """The same for every run, one after another."""
    for run in _keys(what):
        yield diagnose(what, run=run, rules=rules)


def _judged(table: Table, key: str, rules: Sequence[Rule]) -> Diagnosis:
    run = next(one for one in table.runs if one.key == key)
    case = Case(table, run)
    found: list[Found] = []
    unjudged: list[Unjudged] = []
    for rule in rules:
        outcome = _outcome(rule, case)
        if isinstance(outcome, Unjudged):
            unjudged.append(outcome)
        elif outcome is not None:
            found.append(Found(rule, outcome))
    missing = {one.rule for one in unjudged}
    steps = case.steps
    first = int(steps[0]) if len(steps) else None
    plain = findings(
        found, {site.name: site.depth for site in table.sites}, len(steps) and int(np.ptp(steps))
    )
    return Diagnosis(
        findings=tuple(advised(one, case.setting, first) for one in plain),
        unjudged=tuple(unjudged),
        judged=tuple(rule.name for rule in rules if rule.name not in missing),
        run=run.key,
        steps=len(steps),
        first_step=first,
        last_step=int(steps[-1]) if len(steps) else None,
        about=about(case),
    )


def _outcome(rule: Rule, case: Case) -> Verdict | Unjudged | None:
    try:
        with np.errstate(all="ignore"):
            verdict = rule.judge(case)
            return None if verdict is None else with_the_twin(verdict, case, rule.remedies)
    except MissingError as error:
        return Unjudged(rule.name, rule.code, str(error), applies=not isinstance(error, NotApplicableError))
    except Exception as error:  # one rule that is broken takes none of the others with it
        text = f"it failed with {type(error).__name__}: {error}"
        warnings.warn(
            f"rule {rule.name} could not be judged, {text}; please report it", RuntimeWarning, stacklevel=2
        )
        return Unjudged(rule.name, rule.code, f"{text}; please report it")


def _chosen(rules: Collection[str | Rule] | None) -> tuple[Rule, ...]:
    if rules is None:
        return tuple(RULES.values())
    if isinstance(rules, str):
        raise SpecError(f'rules="{rules}": give a list of names, such as ["{rules}"]')
    return tuple(one if isinstance(one, Rule) else rule_named(one) for one in rules)


def _which(keys: Sequence[str]) -> str:
    if not keys:
        return "there is no run to judge; a probe, 'evenflow watch' or 'evenflow study' record some"
    shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    shown = shown if len(keys) > 8 else " and ".join(shown.rsplit(", ", 1))
    return f'there are {len(keys)} runs to judge, {shown}; name one of them, such as run="{keys[0]}"'


def _keys(what: Subject) -> tuple[str, ...]:
    """The keys of the trainings in it."""
    if isinstance(what, str | PathLike):
        with Store.open(what) as store:
            return _measured(store.runs())
    if isinstance(what, Store):
        return _measured(what.runs())
    return _measured(_whole(what).runs)


def _measured(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(run.key for run in runs if run.source == "measured")


def _table(what: Subject, run: str) -> Table:
    """The rows of this run alone."""
    if isinstance(what, str | PathLike):
        with Store.open(what) as store:
            return store.table([run])
    if isinstance(what, Store):
        return what.table([run])
    table = _whole(what)
    return table.select(key=run, source="measured") if len(table.runs) > 1 else table


def _whole(what: Table | HasTable) -> Table:
    if isinstance(what, Table):
        return what
    table = getattr(what, "table", None)
    if not isinstance(table, Table):
        raise SpecError(
            f"a diagnosis is made of a table, a probe, a store or its path; type {type(what).__name__} is none of "
            "them; ef.doctor examines a model"
        )
    return table
