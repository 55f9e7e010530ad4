"""Dropout lowered, where next to nothing passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.wording import listed

MOST = 0.6
"""Share that is dropped above which next to nothing passes; a half is the most that is usual."""
CHOICES = (0.1, 0.0)
SHOWN = 3


def forms(view: View) -> Sequence[Prescription]:
    """A tenth, and none."""
    found = heavy(view.training.patient.model)
    return [_form(found, share) for share in CHOICES] if found else ()


def why_not(view: View) -> str:
    """None drops so much."""
    model = view.training.patient.model
    if heavy(model):
        return ""
    most = max((share for _, share in _shares(model)), default=0.0)
    return f"no module drops more than {most:g}" if most else "no module drops anything"


def _shares(model: nn.Module) -> Iterator[tuple[str, float]]:
    for name, module in model.named_modules():
        if isinstance(module, _DropoutNd):
            yield f"{name}.p" if name else "p", float(module.p)
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            yield f"{name}.dropout" if name else "dropout", float(module.dropout)


def heavy(model: nn.Module) -> dict[str, float]:
    """Attributes that say how much is dropped, and how much, of modules that drop far too much."""
    return {name: share for name, share in _shares(model) if share > MOST}


def _form(found: dict[str, float], share: float) -> Prescription:
    worst = max(found.values())
    places = listed([name.rpartition(".")[0] or "the model" for name in found], SHOWN)
    return Prescription(
        remedy="lower_dropout",
        choice=f"{share:g}",
        title=f"Drop {share:g} in place of {worst:g} in {places}",
        why=(
            f"with {worst:g} dropped, one in {1.0 / max(1.0 - worst, 1e-9):.0f} numbers passes, multiplied by as much: "
            "what a step learns of a batch is mostly chance"
        ),
        sign="loss",
        change=partial(dropped, names=tuple(found), share=share),
        code=lambda: _code(found, share),
        size=1,
    )


def dropped(training: Training, *, names: Sequence[str], share: float) -> Training:
    """The same training with another share dropped in these places."""
    for name in names:
        path, _, attribute = name.rpartition(".")
        setattr(training.patient.model.get_submodule(path), attribute, share)
    return training


def _code(found: dict[str, float], share: float) -> Code:
    lines = []
    for name in found:
        path, _, attribute = name.rpartition(".")
        lines.append(f"model.get_submodule({path!r}).{attribute} = {share!r}")
    return Code(
        "\n".join(lines) + "\n", f"behind the line that makes the model; or p={share!r} where it is made"
    )


REMEDY = Remedy(
    name="lower_dropout",
    title="Drop less",
    answers=(
        *("loss_plateau", "lr_too_low", "lr_too_high", "exploding_activations", "exploding_gradient"),
        *("poor_init", "dead_units", "vanishing_gradient", "correlation_collapse"),
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Dropout passes 1 − p of the numbers and multiplies them by 1 / (1 − p). At one half it keeps units from "
        "relying on each other; at nine tenths the variance that it adds is nine times the signal's square, layer by "
        "layer. It is not offered for what is usual."
    ),
)
