"""How well a model answers, beside the best constant answer: share of right answers, or explained variance."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from evenflow.measure.sites import tensors_of

NOTHING = (math.nan, math.nan)


def score(pairs: Iterable[tuple[object, object]], kind: str, loss: str) -> tuple[float, float]:
    """The score and that of the best constant answer.

    Args:
        pairs: outputs and targets, batch by batch.
        kind: of the target, as in `spec.setting.Target`.
        loss: its kind, as in `spec.setting.Output`; it says whether outputs are logits.

    Returns:
        The share of right answers and of the commonest class; of real targets R² and 0; NaN where neither applies.

    >>> outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    >>> found, chance = score([(outputs, torch.tensor([0, 1, 1]))], "classes", "cross_entropy")
    >>> f"{found:.3f} {chance:.3f}"
    '0.667 0.667'
    """
    right: list[Tensor] = []
    answers: list[Tensor] = []
    outputs: list[Tensor] = []
    for output, target in pairs:
        first = next((tensor for _, tensor in tensors_of(output)), None)
        if first is None or not isinstance(target, Tensor):
            return NOTHING
        if first.is_complex():
            return NOTHING
        judged = _judged(first.detach(), target.detach(), kind, loss)
        if judged is None:
            return NOTHING
        found, wanted = judged
        if kind == "real" or _is_regression(first, target, kind, loss):
            if loss not in _COMPARES:
                return NOTHING
            outputs.append(found.double())
        else:
            right.append((found == wanted).reshape(-1))
        answers.append(wanted)
    if not answers:
        return NOTHING
    if outputs:
        return _explained(torch.cat(outputs), torch.cat(answers).double()), 0.0
    all_answers = torch.cat([one.reshape(-1) for one in answers])
    if not len(all_answers):
        return NOTHING
    counts = all_answers.unique(return_counts=True)[1]
    return float(torch.cat(right).double().mean()), float(counts.max()) / len(all_answers)


_COMPARES = ("mse", "l1", "smooth_l1", "huber", "binary_cross_entropy")
"""Losses that are least where the output is the target; of others, such as a hinge, R² says nothing."""


def _is_regression(output: Tensor, target: Tensor, kind: str, loss: str) -> bool:
    """Whether whole numbers are the targets of a regression."""
    return kind == "classes" and output.numel() == target.numel() and not loss.startswith("binary")


def _judged(output: Tensor, target: Tensor, kind: str, loss: str) -> tuple[Tensor, Tensor] | None:
    """Answers and right answers of one batch, in one shape."""
    if kind in ("one_hot", "probabilities"):
        if output.shape != target.shape:
            return None
        return output.argmax(-1), target.argmax(-1)
    if kind == "real" or _is_regression(output, target, kind, loss):
        if output.numel() != target.numel() or not target.ndim:
            return None
        shape = (len(target), -1)
        return output.reshape(shape), target.reshape(shape)
    if kind in ("binary", "classes") and output.numel() == target.numel():
        logits = "logits" in loss or (bool((output < 0).any()) and not loss.startswith("mse"))
        return (output > (0.0 if logits else 0.5)).reshape(-1).long(), target.reshape(-1).long()
    if kind not in ("classes", "binary"):
        return None
    found = _classes(output, target)
    if found is None:
        return None
    target = target.reshape(-1).long()
    counted = target >= 0  # -100 is left out of the loss
    return found[counted], target[counted]


def _classes(output: Tensor, target: Tensor) -> Tensor | None:
    """The likeliest class for every target; the dimension of the classes is the second, or the last."""
    if output.ndim > 1 and output.shape[:1] + output.shape[2:] == target.shape:
        return output.argmax(1).reshape(-1)
    if output.ndim > 0 and output.shape[-1] and output.numel() // output.shape[-1] == target.numel():
        return output.argmax(-1).reshape(-1)
    return None


def _explained(outputs: Tensor, targets: Tensor) -> float:
    """R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², the mean taken of every target number by itself."""
    spread = float((targets - targets.mean(0)).square().sum())
    return 1 - float((targets - outputs).square().sum()) / spread if spread > 0 else math.nan
