"""An ε that keeps an adaptive optimiser from dividing 0 by 0: where it is 0, or rounded to 0.

Adam's step is η m̂ / (√v̂ + ε) (Kingma and Ba 2015, algorithm 1). A weight that has never had a gradient has m̂ = v̂ = 0,
and with ε = 0 the step is NaN. In float16, which ends at 6e-8, an ε of 1e-8 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View

USUAL = 1e-8
IN_HALF = 1e-4
"""Where weights are held in float16, of which the next smaller power of ten that is used loses most digits."""


def forms(view: View) -> Sequence[Prescription]:
    """One: the usual ε, or one that 16 bits can hold."""
    if why_not(view):
        return ()
    places = without(view.training)
    eps = IN_HALF if _is_half(view.training) else USUAL
    own = type(view.training.patient.optimizer).__name__
    lines = ["for group in optimizer.param_groups:", f'    group["eps"] = max(group["eps"], {eps!r})']
    return [
        Prescription(
            remedy=REMEDY.name,
            choice=f"{eps:g}",
            title=f"Give {own} an ε of {eps:g}",
            why=(
                f"{own} divides by a running mean of gradients that is 0 where a weight has had none yet, and an ε of "
                f"{places[0]:g}, which is 0 in the weights' own precision, lets 0 / 0 be NaN"
            ),
            sign="finite",
            change=lambda copied: raised(copied, eps),
            code=lambda: Code(
                "\n".join(lines) + "\n",
                f"behind the line that makes the optimizer; or eps={eps:g} in that line",
            ),
            size=1,
        )
    ]


def why_not(view: View) -> str:
    """The optimiser has none, or one that counts."""
    if without(view.training):
        return ""
    return "the optimiser adds nothing where it divides, or something that is not rounded to 0"


def without(training: Training) -> list[float]:
    """The ε of the groups in which it is 0 in the precision of a weight.

    >>> weight = torch.nn.Parameter(torch.ones(1).half())
    >>> optimizer = torch.optim.Adam([weight], eps=1e-8)
    >>> from evenflow.doctor.copying import Patient
    >>> without(Training(Patient(torch.nn.Module(), optimizer), None))
    [1e-08]
    """
    return [
        float(group["eps"])
        for group in training.patient.optimizer.param_groups
        if isinstance(group.get("eps"), float | int)
        and any(float(torch.tensor(group["eps"], dtype=one.dtype)) == 0.0 for one in _real(group["params"]))
    ]


def _real(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [one for one in parameters if one.is_floating_point()]


def _is_half(training: Training) -> bool:
    groups = training.patient.optimizer.param_groups
    return any(one.dtype == torch.float16 for group in groups for one in group["params"])


def raised(training: Training, eps: float) -> Training:
    """The same training with this ε at least."""
    for group in training.patient.optimizer.param_groups:
        group["eps"] = max(group["eps"], eps)
    return training


REMEDY = Remedy(
    name="raise_epsilon",
    title="Give the optimiser an ε that counts",
    answers=("nonfinite_origin",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Adam, RMSprop and their kin divide by the root of a running mean of squared gradients, and ε keeps that from "
        "being 0. At 0, or where 16 bits round it to 0, the first weight without a gradient becomes NaN, and the next "
        "forward pass spreads it to all others."
    ),
)
