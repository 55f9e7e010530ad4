"""An optimiser for the parameters that have none: it leaves them as they are, and a probe sees that they stay."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from evenflow.doctor.copying import Patient
from evenflow.measure.sites import stepped_by


class Bystander(Optimizer):
    """Steps, and changes nothing; SGD with a rate of 0 would turn a gradient that is not finite into such weights."""

    @classmethod
    def of(cls, patient: Patient) -> Bystander | None:
        """One that has the parameters that the patient's optimiser does not have; None where it has all of them."""
        stepped = stepped_by(patient.optimizer)
        rest = [one for one in patient.model.parameters() if id(one) not in stepped]
        return cls(rest, {"lr": 0.0}) if rest else None

    def step(self, closure: Any = None) -> Any:
        """Do nothing."""
