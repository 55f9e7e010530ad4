"""`ef.doctor`: a short training of a copy, its twins, and what the rules say of them."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from evenflow.diagnose.diagnosis import Diagnosis
    from evenflow.doctor.trial import LossFunction
    from evenflow.record.store import Store


def doctor(
    model: nn.Module,
    data: object,
    loss_fn: LossFunction,
    optimizer: Any = None,
    *,
    steps: int = 200,
    scheduler: Any = None,
    clip_norm: float | None = None,
    seconds: float = 60.0,
    store: str | PathLike[str] | Store | None = None,
) -> Diagnosis:
    """What is wrong with a training, found out on a copy of it: which rule says so, where, on what evidence.

    The copy trains a few steps as the original would, with a probe; then twins of it do, from the same start on the
    same batches, with other learning rates, with standardised inputs where they are not, and with weights drawn anew
    where these are far from theory. What is contested at the end of that is trained on. Model, optimiser, scheduler
    and random numbers stay as they were, and no more data are taken than there are steps.

    Args:
        model: the network, at any point of its training; one that is wrapped is looked into.
        data: (input, target) batches, such as a DataLoader, possibly endless, or one batch. An input may be a tensor,
            a tuple of arguments, or a mapping of keywords.
        loss_fn: gives the loss from output and target.
        optimizer: of this model, with its state; or a function that makes one from parameters, such as
            `torch.optim.Adam`; Adam with 0.001 when left out.
        steps: of the trial.
        scheduler: of the learning rate, stepped after every batch; or a function that makes one from an optimiser.
        clip_norm: what the gradient's norm is clipped to.
        seconds: that the trial may take; it then stops early.
        store: a file that the figures are kept in.

    Raises:
        SpecError: an argument is not what it should be, or the training raises; the message says where.
        DataError: the data give no batches.

    >>> import torch
    >>> from torch import nn
    >>> batch = torch.randn(16, 4), torch.randint(0, 3, (16,))
    >>> diagnosis = doctor(nn.Linear(4, 3), batch, nn.functional.cross_entropy, steps=5)
    """
    from evenflow.diagnose.engine import diagnose
    from evenflow.doctor.examine import examine

    table = examine(
        model,
        data,
        loss_fn,
        optimizer,
        steps=steps,
        scheduler=scheduler,
        clip_norm=clip_norm,
        seconds=seconds,
        store=store,
    )
    return diagnose(table)
