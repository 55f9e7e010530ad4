"""Another loss: one that takes what the model puts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.diagnose.mismatch import LOG_PROBABILITIES, PROBABILITIES, REGRESSION, activation_name
from evenflow.diagnose.twins import compared
from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.spec.setting import Output, Target


class CrossEntropy(nn.Module):
    """Cross-entropy of the last layer's numbers, for classes or for rows of probabilities."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if target.shape == output.shape:
            return nn.functional.cross_entropy(output, target.to(output.dtype))
        return nn.functional.cross_entropy(output, target.long())


class CrossEntropyOfProbabilities(nn.Module):
    """Mean of -log p of the right class, for outputs that are probabilities already."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        logs = output.clamp_min(torch.finfo(output.dtype).tiny).log()
        if target.shape == output.shape:
            return -(target * logs).flatten(1).sum(1).mean()
        return nn.functional.nll_loss(logs, target.long())


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of numbers of any size, the target in the shape of the output."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.reshape(output.shape).to(output.dtype)
        return nn.functional.binary_cross_entropy_with_logits(output, target)


class BinaryCrossEntropyOfProbabilities(nn.Module):
    """Binary cross-entropy of probabilities, the target in the shape of the output."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.reshape(output.shape).to(output.dtype)
        return nn.functional.binary_cross_entropy(output, target)


class SquaredError(nn.Module):
    """Mean squared error, the target in the shape of the output."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(output, target.reshape(output.shape).to(output.dtype))


class SameShape(nn.Module):
    """A loss whose target has the shape of the output, so that each is compared with its own."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return self.loss(output, target.reshape(output.shape))


@dataclass(frozen=True)
class Kind:
    """A loss that takes what the model puts out.

    Args:
        choice: of the prescription.
        loss: class of it.
        title: one line.
        why: what is wrong with the one there is.
        wraps: whether it is made of the one there is.
    """

    choice: str
    loss: Callable[..., nn.Module]
    title: str
    why: str
    wraps: bool = False


def forms(view: View) -> Sequence[Prescription]:
    """The losses that fit the output and the target."""
    return [_form(view, kind) for kind in _kinds(view)]


def why_not(view: View) -> str:
    """Nothing known to be wrong with it."""
    if _kinds(view):
        return ""
    output, target = view.setting.output, view.setting.target
    if output is None or target is None or not output.loss:
        return "it is not known how the outputs become the loss"
    return f"{output.loss} takes what the model puts out, or it is the model that has to change"


def _kinds(view: View) -> list[Kind]:
    output, target = view.setting.output, view.setting.target
    if output is None or target is None:
        return []
    spread = _spread_out(output, target)
    fitting = [*(spread if spread and _is_another(view.training) else []), *_of_classes(output, target)]
    return fitting or _of_torch(view.setting.origin, output, target)


def _of_torch(origin: str, output: Output, target: Target) -> list[Kind]:
    """For a loss that is written out and not finite: PyTorch's own for targets of this kind, which is everywhere."""
    plain = ("log_softmax", "nll_loss"), ("mse_loss",), ("binary_cross_entropy_with_logits",)
    if not origin.startswith("loss") or output.operations in plain:
        return []
    same = _count(output.shape) == _count(target.shape)
    if target.kind == "real" and same:
        loss, choice = SquaredError, "squared error"
    elif target.kind == "binary" and same:
        loss, choice = BinaryCrossEntropy, "with logits"
    elif target.kind in ("classes", "one_hot", "binary") and output.units > 1:
        loss, choice = CrossEntropy, "cross entropy"
    else:
        return []
    return [
        Kind(
            choice,
            loss,
            f"Use PyTorch's own {choice} in place of the loss that is written out",
            "the first value that was not finite came of the operations of the loss, "
            f"{', '.join(output.operations)}; PyTorch's own is finite, and so is its slope, wherever the outputs are",
        )
    ]


def _is_another(training: Training) -> bool:
    """Whether the loss is another one when the target has the shape of the output: some bring it into shape."""
    copied = training.copied()
    batch = training.plan.batches[0].copied()
    try:
        with untouched_randomness(), torch.no_grad():
            output = call(copied.patient.model, batch.inputs)
            own, other = (
                copied.loss(output, batch.target),
                SameShape(copied.loss)(output, batch.target),
            )
        return not torch.allclose(own, other, rtol=1e-4, equal_nan=True)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False


def _spread_out(output: Output, target: Target) -> list[Kind]:
    """Outputs (B, 1) against targets (B,): each output is compared with each target."""
    if output.loss not in REGRESSION and "expand" not in output.operations:
        return []
    if output.shape == target.shape or not target.shape or not output.shape:
        return []
    if _count(output.shape) != _count(target.shape):
        return []
    return [
        Kind(
            "same shape",
            SameShape,
            f"Give the target the shape of the output, {output.shape} in place of {target.shape}",
            f"outputs of shape {output.shape} spread out against targets of shape {target.shape}: every output is "
            "compared with every target, and only their mean can be learned",
            wraps=True,
        )
    ]


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for each in shape:
        count *= each
    return count


def _of_classes(output: Output, target: Target) -> list[Kind]:
    name = activation_name(output)
    if output.loss in ("nll", "kl_div") and name not in LOG_PROBABILITIES:
        return _without_logarithm(output, target, name)
    if output.loss == "binary_cross_entropy" and name not in ("sigmoid", "hardsigmoid", "softmax", "clamp"):
        return [
            Kind(
                "with logits",
                BinaryCrossEntropy,
                "Use binary_cross_entropy_with_logits in place of binary_cross_entropy",
                "binary_cross_entropy takes probabilities and gets numbers of any size, here from "
                f"{output.minimum:.3g} to {output.maximum:.3g}",
            )
        ]
    if output.loss in REGRESSION and target.kind in ("one_hot", "probabilities", "binary", "classes"):
        return _squared_error(output, target, name)
    return []


def _without_logarithm(output: Output, target: Target, name: str) -> list[Kind]:
    if target.kind not in ("classes", "binary", "one_hot", "probabilities") or output.units == 1:
        return []
    if not name and not output.maximum > 0.0:
        return []  # as log-probabilities are
    gets = f"the outputs of {name}" if name else "plain numbers"
    why = (
        f"{output.loss} takes log-probabilities and gets {gets}, here from {output.minimum:.3g} to "
        f"{output.maximum:.3g}: it rewards large numbers, not right ones"
    )
    if name == "softmax":
        return [
            Kind(
                "log of probabilities",
                CrossEntropyOfProbabilities,
                f"Take the logarithm of the probabilities before {output.loss}",
                why,
            )
        ]
    return [Kind("cross entropy", CrossEntropy, f"Use cross_entropy in place of {output.loss}", why)]


def _squared_error(output: Output, target: Target, name: str) -> list[Kind]:
    rows = target.kind in ("one_hot", "probabilities") and output.shape == target.shape
    bits = target.kind == "binary" and _count(output.shape) == _count(target.shape)
    if not rows and not bits:
        return []
    if name in PROBABILITIES:
        loss = (
            CrossEntropyOfProbabilities if rows and name == "softmax" else BinaryCrossEntropyOfProbabilities
        )
        why = (
            f"the gradient of {output.loss} on the probabilities of {name} carries p (1 − p), which is next to 0 where "
            "the answer is surely wrong; that of cross-entropy does not"
        )
    elif not name:
        loss = CrossEntropy if rows else BinaryCrossEntropy
        why = (
            f"{output.loss} asks for exactly 0 and 1 of numbers of any size; cross-entropy asks for the right one to "
            "be the largest"
        )
    else:
        return []
    return [Kind("cross entropy", loss, f"Use cross-entropy in place of {output.loss}", why)]


def _form(view: View, kind: Kind) -> Prescription:
    twin = max(compared(view.setting, "output"), key=lambda one: one.points, default=None)
    seen = (
        f"; with an output as the loss takes it the same training was {twin.points:.0f} points better"
        if twin is not None and twin.points >= 0.5
        else ""
    )
    name = getattr(kind.loss, "__name__", "")
    arguments = "loss_fn" if kind.wraps else ""

    def change(training: Training) -> Training:
        loss = kind.loss(training.plan.loss) if kind.wraps else kind.loss()
        return replace(training, plan=replace(training.plan, loss=loss))

    return Prescription(
        remedy="mend_loss",
        choice=kind.choice,
        title=kind.title,
        why=kind.why + seen,
        sign="loss",
        change=change,
        code=lambda: Code(
            f"{source_of(kind.loss)}\n\nloss_fn = {name}({arguments})\n",
            "where the loss is chosen",
            ("from typing import Any", "import torch", "from torch import Tensor, nn"),
        ),
        size=2,
    )


REMEDY = Remedy(
    name="mend_loss",
    title="Use a loss that takes what the model puts out",
    answers=("bad_output_layer", "loss_plateau", "nonfinite_origin"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A loss takes logits, probabilities, log-probabilities or real numbers, and does not say so when it gets "
        "something else: nll_loss of plain numbers falls without end while answers get no better, and a squared error "
        "of shapes (B, 1) and (B,) compares everything with everything. Options of the old loss, such as weights of "
        "classes, are to be carried over by hand."
    ),
)
