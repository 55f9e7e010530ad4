"""Standardise the inputs: a layer in front of the model takes away each feature's mean and divides by its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from evenflow.diagnose.twins import compared
from evenflow.measure.data_facts import feature_dimension, input_tensors
from evenflow.prescribe.front import (
    InputsStandardised,
    MappingStandardised,
    Standardised,
    mean_and_spread,
    takes_one_mapping,
)
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import number, plural

"""Entries above which inputs are tokens or places rather than measurements, where an embedding looks them up."""


@dataclass(frozen=True)
class Kind:
    """How inputs are standardised.

    Args:
        choice: of the prescription.
        whole: whether all entries have one mean and one deviation; otherwise each feature, or channel, has its own.
    """

    choice: str
    whole: bool


KINDS = (Kind("features", False), Kind("whole", True))


def forms(view: View) -> Sequence[Prescription]:
    """By feature or channel, then all entries alike."""
    return () if why_not(view) else [_form(view, kind) for kind in KINDS]


def why_not(view: View) -> str:
    """Tokens have no scale, and inputs of a training that standardises already have the right one."""
    if not places(view.training):
        return (
            "the model is called with no tensor of real numbers, only with whole numbers, masks or constants"
        )
    if isinstance(view.training.patient.model, Standardised | InputsStandardised):
        return "the model standardises its inputs already"
    return ""


def places(training: Training) -> tuple[int, ...]:
    """Which of the tensors that the model is called with hold real numbers that vary: no tokens, no masks."""
    found = input_tensors(training.plan.batches[0].inputs)
    return tuple(
        place
        for place, (_, tensor) in enumerate(found)
        if tensor.is_floating_point() and tensor.ndim and tensor.numel() and not _is_mask(tensor)
    )


def _is_mask(tensor: Tensor) -> bool:
    return bool(((tensor == 0) | (tensor == 1)).all())


def _form(view: View, kind: Kind) -> Prescription:
    training = view.training
    chosen = places(training)
    first = _tensors(training, chosen[0])
    mean, spread = mean_and_spread(first, None)
    width = first[0].shape[feature_dimension(first[0])]
    twin = max(compared(view.setting, "inputs"), key=lambda one: one.points, default=None)
    seen = (
        f"; on standardised inputs the same training was {twin.points:.0f} points better"
        if twin is not None and twin.points >= 0.5
        else ""
    )
    what = "all entries alike" if kind.whole else plural(width, "channel" if first[0].ndim > 3 else "feature")
    return Prescription(
        remedy="standardise_input",
        choice=kind.choice,
        title=f"Standardise the input, {what}, in a layer in front of the model",
        why=(
            f"the entries have mean {number(float(mean))} and standard deviation {number(float(spread))}; as "
            f"(x − mean) / deviation they have 0 and 1, for which layers are initialised{seen}"
        ),
        sign="loss",
        change=lambda copied: standardise(copied, kind),
        code=lambda: _code(training, kind),
        size=2,
        inference=0,
    )


def _tensors(training: Training, place: int) -> list[Tensor]:
    return [input_tensors(batch.inputs)[place][1] for batch in training.plan.batches]


def _dimension(tensor: Tensor, kind: Kind) -> int | None:
    return None if kind.whole else feature_dimension(tensor)


def _is_plain(training: Training) -> bool:
    """Whether the model is called with one tensor and nothing else."""
    return isinstance(training.plan.batches[0].inputs, Tensor)


def standardise(training: Training, kind: Kind) -> Training:
    """The same training with the layer in front."""
    chosen = places(training)
    figures = {
        place: mean_and_spread(_tensors(training, place), _dimension(_tensors(training, place)[0], kind))
        for place in chosen
    }
    patient = training.patient
    if _is_plain(training):
        model: nn.Module = Standardised(patient.model, *figures[0])
    elif takes_one_mapping(patient.model, training.plan.batches[0].inputs):
        model = MappingStandardised(patient.model, figures)
    else:
        model = InputsStandardised(patient.model, figures)
    return replace(training, patient=replace(patient, model=model))


def _code(training: Training, kind: Kind) -> Code:
    chosen = places(training)
    dimensions = {place: _dimension(_tensors(training, place)[0], kind) for place in chosen}
    imports = ["from typing import Any", "import torch", "from torch import Tensor, nn"]
    if _is_plain(training):
        sources = [Standardised]
        lines = [
            f"mean, spread = mean_and_spread([inputs for inputs, _ in batches], {dimensions[0]})",
            "model = Standardised(model, mean, spread)",
        ]
    else:
        mapped = takes_one_mapping(training.patient.model, training.plan.batches[0].inputs)
        sources = [InputsStandardised, *([MappingStandardised] if mapped else [])]
        name = sources[-1].__name__
        lines = ["figures = {"]
        for place, dimension in dimensions.items():
            path = _path(training.plan.batches[0].inputs, place)
            lines.append(
                f"    {place}: mean_and_spread([inputs{path} for inputs, _ in batches], {dimension}),"
            )
        lines += ["}", f"model = {name}(model, figures)"]
    text = source_of(*sources, mean_and_spread)
    return Code(
        f"{text}\n\n" + "\n".join(lines) + "\n",
        "behind the line that makes the model; batches are the training data, as (input, target)",
        tuple(imports),
    )


def _path(inputs: object, wanted: int) -> str:
    """How the tensor of this place is reached from the inputs of a batch, such as `[0]` or `["image"]`."""
    count = -1

    def search(value: object, path: str) -> str | None:
        nonlocal count
        if isinstance(value, Tensor):
            count += 1
            return path if count == wanted else None
        parts = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list | tuple)
            else ()
        )
        for key, part in parts:
            found = search(part, f"{path}[{key!r}]")
            if found is not None:
                return found
        return None

    return search(inputs, "") or ""


REMEDY = Remedy(
    name="standardise_input",
    title="Standardise the input",
    answers=("unnormalised_input", "saturated_activations", "dead_units"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Mean and standard deviation of every feature are taken from the training data once and become part of the "
        "model, so that they are there when it is used. The curvature of the loss along the common mean of the "
        "inputs, and along features of a large scale, is what bounds the learning rate (LeCun et al., 1998, section "
        "4.3). It changes nothing where a normalisation meets the inputs first, and tokens have no scale."
    ),
)
