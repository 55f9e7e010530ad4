"""Samples that hold NaN or infinity: left out, or their holes filled in front of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from evenflow.doctor.batches import Batch, mapped
from evenflow.measure.data_facts import feature_dimension, input_tensors
from evenflow.prescribe.front import Filled, mean_and_spread
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import plural


def forms(view: View) -> Sequence[Prescription]:
    """Fill what is missing in inputs; leave samples out."""
    if why_not(view):
        return ()
    bad, samples, _ = counted(view.training)
    found = [_dropped(bad, samples)] if bad < samples else []
    if _only_inputs(view.training):
        found.insert(0, _filled(view, bad, samples))
    return found


def why_not(view: View) -> str:
    """All is finite, or nothing but holes is there."""
    bad, samples, columns = counted(view.training)
    if not bad:
        return "all inputs and targets are finite"
    if bad == samples and not columns:
        return "every sample holds a value that is not finite, in no feature alone: mend what makes the data"
    return ""


def counted(training: Training) -> tuple[int, int, int]:
    """Samples with a value that is not finite, all samples, and features of a plain input that are never finite."""
    goods = [good_samples(batch.inputs, batch.target) for batch in training.plan.batches]
    bad = sum(int((~one).sum()) for one in goods)
    first = training.plan.batches[0].inputs
    columns = 0
    if isinstance(first, Tensor) and first.is_floating_point() and first.ndim > 1:
        place = feature_dimension(first)
        seen = [
            batch.inputs.movedim(place, -1).reshape(-1, first.shape[place]).isfinite().any(0)
            for batch in training.plan.batches
        ]
        columns = int((~torch.stack(seen).any(0)).sum())
    return bad, sum(len(one) for one in goods), columns


def _only_inputs(training: Training) -> bool:
    """Whether holes are in the one input alone, where a layer can fill them."""
    batches = training.plan.batches
    targets = [tensor for batch in batches for _, tensor in input_tensors(batch.target)]
    return isinstance(batches[0].inputs, Tensor) and all(bool(one.isfinite().all()) for one in targets)


def _filled(view: View, bad: int, samples: int) -> Prescription:
    training = view.training
    dimension = feature_dimension(training.plan.batches[0].inputs)
    return Prescription(
        remedy="check_inputs",
        choice="fill",
        title=f"Put the feature's mean where an input is not finite ({bad} of {plural(samples, 'sample')})",
        why=(
            f"{bad} of {plural(samples, 'sample')} hold NaN or infinity, and one of them spoils every weight in one "
            "step; in their place the mean of the feature says nothing, and a layer in front of the model puts it "
            "there in use as well"
        ),
        sign="finite",
        change=lambda copied: _fill(copied, dimension),
        code=lambda: Code(
            f"{source_of(Filled, mean_and_spread)}\n\n"
            f"mean, _ = mean_and_spread([inputs for inputs, _ in batches], {dimension})\n"
            "model = Filled(model, mean)\n",
            "behind the line that makes the model; batches are the training data, as (input, target)",
            ("from typing import Any", "import torch", "from torch import Tensor, nn"),
        ),
        size=2,
    )


def _fill(training: Training, dimension: int) -> Training:
    mean, _ = mean_and_spread([batch.inputs for batch in training.plan.batches], dimension)
    return replace(training, patient=replace(training.patient, model=Filled(training.patient.model, mean)))


def _dropped(bad: int, samples: int) -> Prescription:
    return Prescription(
        remedy="check_inputs",
        choice="drop",
        title=f"Leave out the {plural(bad, 'sample')} of {samples} that hold NaN or infinity",
        why=f"one value that is not finite spoils every weight in one step, and {bad} of {samples} samples hold one",
        sign="finite",
        change=_drop,
        code=lambda: Code(
            f"{source_of(good_samples, finite_batches)}\n\nbatches = finite_batches(batches)\n",
            "behind the line that makes the data; for a DataLoader call it on every batch",
            ("from typing import Any", "import torch", "from torch import Tensor"),
        ),
        size=2,
    )


def good_samples(*values: Any) -> Tensor:
    """For each sample of a batch whether all that belongs to it is finite."""
    good = None
    stack = list(values)
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
        elif isinstance(value, Tensor) and value.ndim:
            own = value.isfinite().flatten(1).all(1) if value.ndim > 1 else value.isfinite()
            good = own if good is None else good & own
    return torch.ones(0, dtype=torch.bool) if good is None else good


def finite_batches(batches: Any) -> list[Any]:
    """The batches without the samples that hold NaN or infinity."""

    def kept(value: Any, good: Tensor) -> Any:
        if isinstance(value, Tensor):
            return value[good] if value.ndim else value
        if isinstance(value, dict):
            return {key: kept(one, good) for key, one in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(kept(one, good) for one in value))
        if isinstance(value, (list, tuple)):
            return type(value)(kept(one, good) for one in value)
        return value

    found = []
    for inputs, target in batches:
        good = good_samples(inputs, target)
        if good.any():
            found.append((kept(inputs, good), kept(target, good)))
    return found


def _drop(training: Training) -> Training:
    pairs = finite_batches([(batch.inputs, batch.target) for batch in training.plan.batches])
    batches = [Batch(mapped(inputs, Tensor.clone), target) for inputs, target in pairs]
    return replace(training, plan=replace(training.plan, batches=batches))


REMEDY = Remedy(
    name="check_inputs",
    title="Leave out, or fill, what is not finite in the data",
    answers=("nonfinite_origin",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A missing value arrives as NaN, a division by zero as infinity, and either makes the loss and with it every "
        "weight NaN. Samples can be left out, with what they know, or the hole filled by the feature's mean, which "
        "says nothing. Whether values are missing for a reason that matters is beyond what a tool can see."
    ),
)
