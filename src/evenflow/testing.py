"""Gradient flow in a project's tests: `assert_healthy` fails with the finding as its message.

>>> import torch
>>> from torch import nn
>>> from evenflow.testing import assert_healthy
>>> torch.manual_seed(0)  # doctest: +ELLIPSIS
<torch._C.Generator object at 0x...>
>>> batch = torch.randn(32, 4), torch.randint(0, 3, (32,))
>>> assert_healthy(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)), batch, nn.functional.cross_entropy)
Diagnosis('doctor', 100 steps: nothing found; ...)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from evenflow.errors import SpecError, suggest

if TYPE_CHECKING:
    from torch import nn

    from evenflow.diagnose.diagnosis import Diagnosis
    from evenflow.diagnose.finding import Severity
    from evenflow.doctor.trial import LossFunction

__all__ = ["assert_healthy"]

_MOST_MISSING = 1 / 3
"""Share of the rules that may be left unjudged: a silent test of next to nothing is none."""


def assert_healthy(
    model: nn.Module,
    batch: object,
    loss_fn: LossFunction,
    optimizer: Any = None,
    *,
    steps: int = 100,
    allow: Collection[str] = (),
    fail_on: Severity = "fault",
    **options: Any,
) -> Diagnosis:
    """Fail where the doctor finds a fault in a training; model, optimiser and random numbers stay as they were.

    Args:
        model, batch, loss_fn, optimizer: as `ef.doctor` takes them; batches too.
        steps: of the trial.
        allow: names or codes of rules whose findings are known and accepted.
        fail_on: the least severe finding that fails.
        options: others of `ef.doctor`, such as `clip_norm`.

    Returns:
        The diagnosis, with all its findings.

    Raises:
        AssertionError: there is such a finding, and the message says what, where and on what evidence; or more than
            a third of the rules could not be judged.
        SpecError: a rule of `allow` or the severity is not known, or as in `ef.doctor`.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    from evenflow.diagnose.finding import SEVERITIES
    from evenflow.diagnose.rules import rule_named
    from evenflow.diagnose.text import advice, evidence
    from evenflow.doctor.consult import doctor
    from evenflow.wording import plural

    if fail_on not in SEVERITIES:
        raise SpecError(
            f'fail_on="{fail_on}" is not known{suggest(str(fail_on), SEVERITIES)}; known: {", ".join(SEVERITIES)}'
        )
    if isinstance(allow, str):
        raise SpecError(f'allow="{allow}": give a list of names, such as ["{allow}"]')
    allowed = {rule_named(one).name for one in allow}
    diagnosis = doctor(model, batch, loss_fn, optimizer, steps=steps, **options)
    bad = [one for one in diagnosis.at_least(fail_on) if one.rule not in allowed]
    if bad:
        first = bad[0]
        rest = "".join(f"\n  {one.code} {one.rule}: {one.message}" for one in bad[1:])
        remedies = "".join(f"\n  what to do: {said} ({name})" for name, said in advice(first)[:1])
        raise AssertionError(
            f"{first.code} {first.rule} ({first.severity}): {first.message}\n  evidence: {evidence(first)}"
            f"{remedies}{rest}"
        )
    missing = [one for one in diagnosis.unjudged if one.applies and one.rule not in allowed]
    if len(missing) > _MOST_MISSING * (len(diagnosis.judged) + len(missing)):
        raise AssertionError(
            f"only {len(diagnosis.judged)} of {len(diagnosis.judged) + len(missing)} rules could be judged in "
            f"{plural(diagnosis.steps, 'step')}, and no {missing[0].rule}: {missing[0].why}; give more steps, such as "
            "steps=100"
        )
    return diagnosis
