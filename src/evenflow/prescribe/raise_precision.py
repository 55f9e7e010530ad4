"""Weights in float32 in place of 16 bits, where updates are rounded away or Adam's ε is 0.

bfloat16 has 8 significant bits: adding less than 2⁻⁹ of a weight to it gives the weight (Micikevicius et al., "Mixed
Precision Training", 2018, section 3.1, keep a copy of the weights in float32 for that reason). float16 ends at 6e-8,
so that an ε of 1e-8 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.prescribe.front import takes_one_mapping
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import plural

HALVES = (torch.bfloat16, torch.float16)


class InFloat32(nn.Module):
    """A model in float32 that takes what the one in 16 bits took; `half` is the type to compute in, or None."""

    def __init__(self, model: nn.Module, half: Any = None) -> None:
        super().__init__()
        self.model, self.computes_in = model.float(), half

    def forward(self, *inputs: Any, **named: Any) -> Any:
        def raised(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
            if isinstance(value, dict):
                return {key: raised(one) for key, one in value.items()}
            if isinstance(value, tuple) and hasattr(value, "_fields"):
                return type(value)(*(raised(one) for one in value))
            if isinstance(value, (list, tuple)):
                return type(value)(raised(one) for one in value)
            return value

        inputs, named = raised(inputs), raised(named)
        if self.computes_in is None:
            return self.model(*inputs, **named)
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, dtype=self.computes_in):
            return self.model(*inputs, **named)


class OneMappingInFloat32(InFloat32):
    """The same for a model that takes one mapping."""

    def forward(self, inputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(inputs)


class LossInFloat32(nn.Module):
    """A loss of outputs and targets in float32."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, target: Any) -> Any:
        def raised(value: Any) -> Any:
            low = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
            return value.float() if low else value

        return self.loss(raised(output), raised(target))


def raise_state(optimizer: Any) -> None:
    """Put what an optimiser remembers into float32, too."""
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
                state[name] = value.float()


def forms(view: View) -> Sequence[Prescription]:
    """All in float32; weights in float32, and computing in 16 bits as before."""
    if why_not(view):
        return ()
    return [_form(view, False), _form(view, True)]


def why_not(view: View) -> str:
    """Nothing is in 16 bits."""
    return "" if _low(view.training.patient.model) else "no parameter is held in 16 bits"


def _low(model: nn.Module) -> list[Tensor]:
    return [one for one in model.parameters() if one.dtype in HALVES]


def _form(view: View, autocast: bool) -> Prescription:
    training = view.training
    low = _low(training.patient.model)
    kind = str(low[0].dtype).removeprefix("torch.")
    bits = "8 significant bits" if kind == "bfloat16" else "11 significant bits, and nothing below 6e-8"
    computes = f", and compute in {kind} as before (autocast)" if autocast else ""
    return Prescription(
        remedy="raise_precision",
        choice="autocast" if autocast else "float32",
        title=f"Hold {plural(len(low), 'parameter')} in float32 in place of {kind}{computes}",
        why=(
            f"{kind} has {bits}: an update below that share of a weight leaves the weight as it was, and what an "
            "optimiser adds to keep from dividing by 0 can be 0"
        ),
        sign="moving_weights",
        change=lambda copied: _raised(copied, low[0].dtype if autocast else None),
        code=lambda: _code(training, low[0].dtype if autocast else None),
        size=2,
        inference=0 if autocast else 1,
    )


def _wrapper(training: Training) -> type[InFloat32]:
    one = takes_one_mapping(training.patient.model, training.plan.batches[0].inputs)
    return OneMappingInFloat32 if one else InFloat32


def _raised(training: Training, half: torch.dtype | None) -> Training:
    patient, plan = training.patient, training.plan
    model = _wrapper(training)(patient.model, half)
    raise_state(patient.optimizer)
    return replace(
        training,
        patient=replace(patient, model=model),
        plan=replace(plan, loss=LossInFloat32(plan.loss)),
    )


def _code(training: Training, half: torch.dtype | None) -> Code:
    wrapper = _wrapper(training)
    sources = [InFloat32, *([wrapper] if wrapper is not InFloat32 else []), LossInFloat32, raise_state]
    return Code(
        f"{source_of(*sources)}\n\nmodel = {wrapper.__name__}(model, {half})\n"
        "loss_fn = LossInFloat32(loss_fn)\nraise_state(optimizer)\n",
        "behind the line that makes the optimizer; or leave out what puts the model into 16 bits",
        ("from typing import Any", "import torch", "from torch import Tensor, nn"),
    )


REMEDY = Remedy(
    name="raise_precision",
    title="Hold the weights in float32",
    answers=("frozen_layers", "nonfinite_origin", "lr_too_low"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Computing in 16 bits costs little; adding small updates to weights of 16 bits loses them. Mixed precision "
        "keeps the weights, and what the optimiser remembers, in float32 and computes in 16 bits. Twice the memory "
        "of the weights is what it costs."
    ),
)
