"""Biases that drown the signal, which make units dead or saturated from the start, set to 0."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenflow.measure.layer_facts import RECURRENT
from evenflow.measure.transforms import plainly_readable
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.prescription import Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.wording import number, plural

_LARGE = 0.75
"""Root mean square of a bias, where what it is added to has about 1."""
_SIGNS: dict[str, Sign] = {"dead_units": "dead_units", "saturated_activations": "saturation"}


def forms(view: View) -> Sequence[Prescription]:
    """One, where some biases are large."""
    found = _large(view.training.patient.model)
    if not found:
        return ()
    finding = answered(view, REMEDY.answers)
    operation = Operation(
        "with torch.no_grad():\n"
        f"    for name in {written(found)}:\n"
        "        model.get_parameter(name).zero_()\n".replace("\n)", "\n    )"),
        in_place=True,
    )
    worst = max(found, key=lambda name: found[name])
    return (
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title=f"Set {plural(len(found), 'bias', 'biases')} to 0",
            why=because(
                finding,
                f'the entries of "{worst}" have root mean square {number(found[worst])}, and signals about 1',
            ),
            sign=_SIGNS.get(finding.rule if finding else "", "dead_units"),
            change=operation,
            code=operation.code,
            size=2,
        ),
    )


def _large(model: nn.Module) -> dict[str, float]:
    """Biases of layers and shifts of normalisations by their root mean square; a recurrent layer's are on purpose."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, RECURRENT):
            continue
        for own, one in module.named_parameters(recurse=False):
            if one.ndim != 1 or "bias" not in own or not one.requires_grad or not plainly_readable(one):
                continue
            size = float(one.detach().double().square().mean().sqrt()) if one.numel() else 0.0
            if not size <= _LARGE:
                found[f"{path}.{own}" if path else own] = size
    return found


def why_not(view: View) -> str:
    """Why there is nothing to set to 0."""
    if _large(view.training.patient.model):
        return ""
    return f"no bias that is in training has entries of a root mean square above {_LARGE:g}"


REMEDY = Remedy(
    name="zero_biases",
    title="biases that drown the signal, set to 0",
    answers=("dead_units", "saturated_activations"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A ReLU whose bias is far below 0 puts out 0 for every sample, and gets no gradient that could bring it back; "
        "a sigmoid or a tanh whose bias is far from 0 sits in its flat part. With a bias of 0 a unit starts in the "
        "middle of its inputs. It does not help where units died on the way, from too large a step."
    ),
)
