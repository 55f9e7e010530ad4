"""The twin whose end fits its loss: the numbers of the last layer go to the loss as it takes them.

Whether an activation that a loss does not expect costs anything is seen beside the same training without it. The last
layer's own numbers z are caught where they arise, whether a module or a line of code squashes them, and handed out in
place of what the model makes of them: z itself for losses that take logits or real numbers, log softmax(z) where
log-probabilities are due, σ(z) where a probability is. Outputs that are compared with every target take the targets'
shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from evenflow.diagnose.mismatch import REGRESSION, activation_name, broadcast, mismatch
from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import call
from evenflow.spec.setting import Output, Setting

_APPLIED: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hardsigmoid": nn.functional.hardsigmoid,
    "tanh": torch.tanh,
    "hardtanh": nn.functional.hardtanh,
    "softsign": nn.functional.softsign,
    "relu": torch.relu,
    "relu6": nn.functional.relu6,
    "softplus": nn.functional.softplus,
    "exp": torch.exp,
    "elu": nn.functional.elu,
    "log_sigmoid": nn.functional.logsigmoid,
}


def mended_end(
    patient: Patient, setting: Setting, batches: Sequence[Batch]
) -> Callable[[Patient], Patient] | None:
    """What makes the twin of a copy; None where the end fits, or where what it does cannot be undone for certain.

    Args:
        patient: at the start of the trial; another copy of it is asked what its end does.
        setting: of the trial.
        batches: of the trial, of which the first is tried.
    """
    output = setting.output
    found = mismatch(setting)
    if output is None or found is None or output.units == 1 == _classes(output):
        return None
    if setting.target is not None and broadcast(output, setting.target) is not None:
        wanted = setting.target.shape
        return (lambda twin: _with_shape(twin, wanted)) if _same_count(output.shape, wanted) else None
    if found.remedy == "mend_loss" and output.over_samples:
        return None
    if output.loss in REGRESSION and found.remedy == "mend_loss":
        return None
    if not activation_name(output):
        return lambda twin: _with_end(twin, "", output.loss)
    try:
        with untouched_randomness(), torch.no_grad():
            fits = _is_known(patient.copied().model, output, batches[0])
    except Exception:  # a model that cannot be asked so has no such twin
        return None
    return (lambda twin: _with_end(twin, output.layer, output.loss)) if fits else None


def _classes(output: Output) -> int:
    """1 where a softmax is taken over the units."""
    return int(output.loss == "cross_entropy" or activation_name(output) in ("softmax", "log_softmax"))


def _is_known(model: nn.Module, output: Output, batch: Batch) -> bool:
    """Whether the model puts out this activation of the last layer's numbers, and nothing else is on the way."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: object, made: Tensor) -> None:
        caught.append(made)

    model.get_submodule(output.layer).register_forward_hook(catch)
    given = call(model, batch.copied().inputs)
    if len(caught) != 1 or not all(isinstance(one, Tensor) for one in (given, *caught)):
        return False
    if caught[0].numel() != given.numel():
        return False
    raw, name = caught[0].reshape(given.shape), activation_name(output)
    if name in ("softmax", "log_softmax"):
        change = torch.softmax if name == "softmax" else torch.log_softmax
        return any(
            torch.allclose(change(raw, axis), given, atol=1e-6) for axis in {0, 1 % raw.ndim, raw.ndim - 1}
        )
    return name in _APPLIED and torch.allclose(_APPLIED[name](raw), given, atol=1e-6)


def _with_end(twin: Patient, layer: str, loss: str) -> Patient:
    """A copy that hands out what its loss takes: of this layer's numbers, or of its outputs where none is named."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: object, made: Tensor) -> None:
        caught[:] = [made]

    def hand_out(_module: nn.Module, _inputs: object, made: object) -> object:
        if not isinstance(made, Tensor):
            return made
        raw = caught.pop().reshape(made.shape) if layer else made
        if loss in ("nll", "kl_div"):
            return torch.log_softmax(raw, 1 if raw.ndim > 1 else 0)
        return torch.sigmoid(raw) if loss == "binary_cross_entropy" else raw

    if layer:
        twin.model.get_submodule(layer).register_forward_hook(catch)
    twin.model.register_forward_hook(hand_out)
    return twin


def _same_count(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return math.prod(one) == math.prod(other) and one[:1] == other[:1]


def _with_shape(twin: Patient, shape: tuple[int, ...]) -> Patient:
    """A copy whose outputs have the shape of the targets, whatever the number of samples."""

    def hand_out(_module: nn.Module, _inputs: object, made: object) -> object:
        return made.reshape(len(made), *shape[1:]) if isinstance(made, Tensor) else made

    twin.model.register_forward_hook(hand_out)
    return twin
