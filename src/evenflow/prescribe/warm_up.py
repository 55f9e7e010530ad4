"""Warm up: let the learning rate grow from a hundredth to its full size over the first tenth of the steps.

η_t = η (1/100 + 99/100 · t / n) for t < n, and η (or whatever schedules it) from then on: the linear warm-up of Goyal
et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR

from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.rates import largest_rate, shown

SHARE = 0.1
"""Of the steps that warm up."""
FIRST = 0.01
"""Of the learning rate at the first step."""
FEWEST = 5
"""Steps that make a warm-up."""
BEGUN = 0.5
"""Share of its full rate below which a training is in a warm-up of its own."""


def forms(view: View) -> Sequence[Prescription]:
    """One: linear, over the first tenth."""
    if why_not(view):
        return ()
    steps, rate = max(round(SHARE * view.training.plan.steps), FEWEST), largest_rate(view.training)
    return [
        Prescription(
            remedy="warm_up",
            choice="linear",
            title=f"Let the learning rate grow from {shown(FIRST * rate)} to {shown(rate)} over {steps} steps",
            why=(
                f"the first steps of {shown(rate)} go from weights that have learned nothing, where gradients are "
                f"largest and Adam's averages rest on a few batches; {steps} steps from {shown(FIRST * rate)} up "
                "spare the training those"
            ),
            sign="smaller_updates",
            change=partial(warmed, steps=steps),
            code=lambda: _code(view.training, steps),
            size=2,
        )
    ]


def why_not(view: View) -> str:
    """A schedule that cannot be put behind a warm-up, or that has one."""
    scheduler = view.training.patient.scheduler
    if not largest_rate(view.training) > 0.0:
        return "no parameter group has a learning rate above 0"
    if scheduler is None:
        return ""
    if not isinstance(scheduler, LRScheduler) or type(scheduler).__name__ == "ReduceLROnPlateau":
        return f"{type(scheduler).__name__} cannot be put behind a warm-up by torch's SequentialLR"
    if isinstance(scheduler, SequentialLR):
        return (
            "the learning rate is scheduled in several parts, of which the first is the place for a warm-up"
        )
    if scheduler.last_epoch > 0:
        return f"the schedule stands at step {scheduler.last_epoch}: the first steps are over"
    groups = view.training.patient.optimizer.param_groups
    if all(float(group["lr"]) < BEGUN * float(group.get("initial_lr", group["lr"])) for group in groups):
        return "the schedule warms up already"
    return ""


def warmed(training: Training, *, steps: int) -> Training:
    """A training whose rate grows at first, and follows its schedule from then on."""
    patient = training.patient
    own = patient.scheduler
    rising = LinearLR(patient.optimizer, start_factor=FIRST, total_iters=steps)
    scheduler = rising if own is None else SequentialLR(patient.optimizer, [rising, own], milestones=[steps])
    return replace(training, patient=replace(patient, scheduler=scheduler))


def _code(training: Training, steps: int) -> Code:
    rising = f"LinearLR(optimizer, start_factor={FIRST}, total_iters={steps})"
    if training.patient.scheduler is None:
        return Code(
            f"scheduler = {rising}\n",
            "behind the line that makes the optimizer; and scheduler.step() behind every optimizer.step()",
            ("from torch.optim.lr_scheduler import LinearLR",),
        )
    return Code(
        f"warm_up = {rising}\nscheduler = SequentialLR(optimizer, [warm_up, scheduler], milestones=[{steps}])\n",
        "behind the line that makes the scheduler",
        ("from torch.optim.lr_scheduler import LinearLR, SequentialLR",),
    )


REMEDY = Remedy(
    name="warm_up",
    title="Warm the learning rate up",
    answers=("lr_too_high", "exploding_gradient"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Where a training is thrown off by its first steps and would bear its rate later, a rate that grows over the "
        "first tenth of the steps keeps it. Where the rate is too high throughout, a warm-up only puts off what "
        "happens."
    ),
)
