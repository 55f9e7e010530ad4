"""`ef.fix`: what is wrong with a training, and the change that was shown to help."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from evenflow.doctor.trial import LossFunction
    from evenflow.record.store import Store
    from evenflow.verify.metric import Custom
    from evenflow.verify.outcome import Outcome


def fix(
    model: nn.Module,
    data: object,
    loss_fn: LossFunction,
    optimizer: Any = None,
    *,
    steps: int = 200,
    budget: float = 120.0,
    metric: Custom | str | None = None,
    keep_activation: bool = False,
    only: Sequence[str] | None = None,
    scheduler: Any = None,
    clip_norm: float | None = None,
    store: str | PathLike[str] | Store | None = None,
) -> Outcome:
    """Find out what is wrong with a training, try what could help, and recommend what does.

    The doctor examines the training first. Remedies for what it finds are then tried on copies: all from the same
    start, on the same batches in the same order, with the same random numbers and the same number of steps; the better
    half goes on. What is left is compared with the training as it is on other starts, and recommended only where it
    is better beyond chance. Model, optimiser, scheduler, random numbers and files stay as they were.

    Args:
        model, data, loss_fn, optimizer, scheduler, clip_norm: as of `ef.doctor`.
        steps: of a whole trial.
        budget: seconds for all of it, about; trials get shorter where it would not do.
        metric: by which trainings are judged: a function of a model and its (input, target) batches, of which more is
            better; "loss"; or "score", the share of right answers or the explained variance, which is taken where
            there is one when left out.
        keep_activation: whether activations are to stay as they are.
        only: names of the remedies that may be tried, such as ["change_activation", "reinitialise"], even if no finding
            asks for them.
        store: a file that the figures and the outcome are kept in.

    Raises:
        SpecError: an argument is not what it should be, the training raises, or there is no memory for a copy.
        DataError: the data give no batches.

    >>> import torch
    >>> from torch import nn
    >>> layer = nn.Linear(4, 3)
    >>> batch = torch.randn(64, 4), torch.arange(64) % 3
    >>> fix(layer, batch, nn.functional.cross_entropy, torch.optim.Adam(layer.parameters()), steps=5).healthy
    True
    """
    from evenflow.verify.repair import repair

    return repair(
        model,
        data,
        loss_fn,
        optimizer,
        steps=steps,
        budget=budget,
        metric=metric,
        keep_activation=keep_activation,
        only=only,
        scheduler=scheduler,
        clip_norm=clip_norm,
        store=store,
    )
