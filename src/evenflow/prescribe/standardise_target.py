"""Standardise the target: the model puts out mean + deviation × what it did, and the loss is counted in as much.

Layers are initialised for outputs of size 1. Where targets are of size s, the slope of a squared error is s times as
large as for targets of size 1, and the outputs have to grow s times: gradient descent at the usual rate runs away on
that, and Adam, whose steps do not know it, needs s times as many. With ŷ = μ + s f(x) and the loss divided by what the
best constant answer costs, s² for a squared error, f trains as on (y − μ) / s (LeCun et al., "Efficient BackProp",
1998, section 4.5, for the range of targets).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.doctor.copying import untouched_randomness
from evenflow.errors import EvenflowError
from evenflow.prescribe.front import mean_and_spread, takes_one_mapping
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import number

FAR = 5.0
"""Times larger or smaller than 1, or times their deviation off 0, from which on targets are of another scale."""


class Unstandardised(nn.Module):
    """A model that gives mean + spread * what it gave."""

    def __init__(self, model: nn.Module, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.mean + self.spread * self.model(*inputs, **named)


class LossDivided(nn.Module):
    """A loss counted in another unit."""

    def __init__(self, loss: Any, by: float) -> None:
        super().__init__()
        self.loss, self.by = loss, by

    def forward(self, output: Any, target: Any) -> Any:
        return self.loss(output, target) / self.by


def forms(view: View) -> Sequence[Prescription]:
    """One."""
    if why_not(view):
        return ()
    training, target = view.training, view.setting.target
    mean, spread = _figures(training)
    by = float(f"{_of_a_constant(training, mean):.4g}")
    assert target is not None
    return [
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title=f"Let the model put out deviations from the mean target, and divide the loss by {by:.3g}",
            why=(
                f"the targets have mean {number(target.mean)} and standard deviation {number(target.std)}, and layers "
                "are initialised for outputs of size 1: gradients, and the way that outputs have to go, are as many "
                "times too large or too small"
            ),
            sign="loss",
            change=lambda copied: standardised(copied, mean, spread, by),
            code=lambda: Code(
                f"{source_of(Unstandardised, LossDivided, mean_and_spread)}\n\n"
                f"mean, spread = mean_and_spread([target for _, target in batches], {_dimension(training)})\n"
                f"model = Unstandardised(model, mean, spread)\nloss_fn = LossDivided(loss_fn, {by!r})\n",
                "behind the line that makes the model; batches are the training data, as (input, target)",
                ("from typing import Any", "import torch", "from torch import Tensor, nn"),
            ),
            size=2,
        )
    ]


def why_not(view: View) -> str:
    """Targets that are no real numbers, or of the scale of what layers put out."""
    target, output = view.setting.target, view.setting.output
    training = view.training
    if target is None or target.kind != "real" or not isinstance(training.plan.batches[0].target, Tensor):
        return "the targets are no tensor of real numbers"
    if output is None or math.prod(output.shape) != math.prod(target.shape):
        return "outputs and targets are not as many"
    if takes_one_mapping(training.patient.model, training.plan.batches[0].inputs):
        return "the model takes one mapping: the change has to be made in its own lines"
    if isinstance(training.patient.model, Unstandardised):
        return "the targets are standardised already"
    if not target.std > 0.0 or not math.isfinite(target.std + target.mean):
        return "the targets are all the same, or not finite"
    if 1.0 / FAR <= target.std <= FAR and abs(target.mean) <= FAR * target.std:
        return f"the targets have mean {number(target.mean)} and standard deviation {number(target.std)}"
    cost = _of_a_constant(training, _figures(training)[0])
    return "" if cost > 0.0 and math.isfinite(cost) else "what a constant answer costs is not finite"


def _dimension(training: Training) -> int | None:
    """The last one where outputs and targets are rows of figures that may each have a scale of its own."""
    target = training.plan.batches[0].target
    return 1 if target.ndim == 2 and target.shape[1] > 1 else None


def _figures(training: Training) -> tuple[Tensor, Tensor]:
    targets = [batch.target for batch in training.plan.batches]
    return mean_and_spread(targets, _dimension(training))


def _of_a_constant(training: Training, mean: Tensor) -> float:
    """What the mean target costs as an answer, on the first batches; NaN where the loss does not take it."""
    loss_fn, costs = training.loss, []
    try:
        with untouched_randomness(), torch.no_grad():
            for batch in training.plan.batches[:10]:
                costs.append(float(loss_fn(mean.expand(batch.target.shape).clone(), batch.target)))
    except (RuntimeError, TypeError, ValueError, IndexError, EvenflowError):
        return math.nan
    return sum(costs) / len(costs)


def standardised(training: Training, mean: Tensor, spread: Tensor, by: float) -> Training:
    """The same training with outputs and loss in units of the targets."""
    patient, plan = training.patient, training.plan
    return replace(
        training,
        patient=replace(patient, model=Unstandardised(patient.model, mean, spread)),
        plan=replace(plan, loss=LossDivided(plan.loss, by)),
    )


REMEDY = Remedy(
    name="standardise_target",
    title="Standardise the target",
    answers=(
        "exploding_gradient",
        "exploding_activations",
        "lr_too_high",
        "lr_too_low",
        "nonfinite_origin",
        "loss_plateau",
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Targets of thousands make gradients of thousands at the start, and of millions where the outputs overshoot; "
        "targets that lie far off 0 ask for a bias that a small learning rate takes for ever to reach. With mean and "
        "deviation of the targets as the last step of the model, what it puts out is in the user's own units, in "
        "training and in use."
    ),
)
