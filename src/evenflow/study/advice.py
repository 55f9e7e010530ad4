"""Advice on a network before it is trained: how to initialise it, and whether its depth is in reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork
from evenflow.study.question import Loss, question
from evenflow.theory.recommend import Recommendation, recommended_initialisation
from evenflow.theory.remedies import Remedy, assess, remedies, verdict
from evenflow.theory.snippet import snippet

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Advice:
    """What to do about a network.

    Args:
        verdict: whether the depth is in reach as it is, and what would bring it in.
        initialisation: the recommended one, with the reason for it.
        snippet: PyTorch code that initialises the linear maps of a module `model` so.
        current: the prediction for the network as it is.
        remedies: changes of it, the flattest predicted gradient first.
    """

    verdict: str
    initialisation: Recommendation
    snippet: str
    current: Remedy
    remedies: tuple[Remedy, ...]


def advise(
    network: AnyNetwork | nn.Module,
    data: Data | Sequence[Any] | None = None,
    loss: Loss | None = None,
    *,
    batch: int = 64,
    seed: int = 0,
) -> Advice:
    """Recommend an initialisation, say whether the depth is in reach, and rank what would bring it in.

    Nothing is trained or drawn: every candidate is predicted on one batch. Those in reach come first, then the
    flatter gradient; `evenflow.theory.remedies` says what in reach means.

    Args:
        network, data, loss, batch, seed: as `predict` takes them.

    Raises:
        SpecError: the network, the data or the loss do not fit or leave the reach of the theory.

    >>> from evenflow.spec.network import Network
    >>> advice = advise(Network(depth=3, width=32, activation="tanh"))
    >>> advice.initialisation.reason
    'with it tanh is critical, and the variance is stable'
    """
    asked = question(network, data, loss, batch=batch, seed=seed)
    best = recommended_initialisation(asked.plan, asked.inputs, asked.gradient)
    current = assess(asked.plan, asked.inputs, asked.gradient)
    ranked = remedies(asked.plan, asked.inputs, asked.gradient, best)
    return Advice(verdict(asked.plan, current, ranked), best, snippet(best), current, ranked)
