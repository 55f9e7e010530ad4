"""What a training is made of: a recipe of factors, and the training that is built from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Family = Literal["mlp", "cnn", "rnn", "lstm", "gru", "transformer"]
FAMILIES: tuple[Family, ...] = ("mlp", "cnn", "rnn", "lstm", "gru", "transformer")
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """The factors of a training.

    Args:
        family: of the model.
        data: name in `data.DATASETS`.
        depth: hidden layers, stacked recurrent layers or blocks.
        width: units, channels or model width.
        activation: of hidden layers.
        initialisation: of weight matrices; "default" leaves PyTorch's.
        normalisation: "" or "batch" or "layer".
        residual: whether a block adds to its input.
        dropout: share that a block drops.
        optimiser: "sgd", "momentum", "adam", "adamw" or "rmsprop".
        rate: learning rate.
        weight_decay: of the optimiser.
        batch: samples of a step.
        loss: name in `models.LOSSES`.
        plain: whether a chain of modules is an `nn.Sequential`.
    """

    family: Family
    data: str
    depth: int = 2
    width: int = 24
    activation: str = "relu"
    initialisation: str = "default"
    normalisation: str = ""
    residual: bool = False
    dropout: float = 0.0
    optimiser: str = "adam"
    rate: float = 3e-3
    weight_decay: float = 0.0
    batch: int = 32
    loss: str = "cross_entropy"
    plain: bool = True


@dataclass
class Training:
    """A live training.

    Args:
        model: to be trained.
        batches: pairs of inputs and targets, used in turn.
        loss: function of the output and the target.
        optimiser: over the model's parameters.
        score: "accuracy", or "explained" for the explained share of the target's variance.
        scheduler: stepped after every step.
        clip_norm: of the whole gradient.
        prediction: what turns an output into what is scored; None for the output itself.
    """

    model: nn.Module
    batches: list[Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimiser: Optimizer
    score: Literal["accuracy", "explained"] = "accuracy"
    scheduler: LRScheduler | None = None
    clip_norm: float | None = None
    prediction: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Mechanism:
    """One way in which a training goes wrong, or looks as if it did.

    Each of the four changes is optional and gets the dose as its last argument.

    Args:
        name: such as "zero_weights".
        cause: the rule that names it; "" for a sound training that looks ailing.
        names: other rules that name the same thing, any of them right.
        leads_to: rules whose findings it brings about: true where they show, not the root.
        doses: strengths, of which a case gets one.
        recipe: another recipe.
        data: other batches.
        model: another model, before the optimiser is made.
        training: other parts, once all is there.
        contested: whether a case that does no harm is left out rather than counted as sound.
    """

    name: str
    cause: str
    names: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()
    doses: Sequence[float] = (1.0,)
    recipe: Callable[[Recipe, float], Recipe] | None = None
    data: Callable[[list[Batch], float], list[Batch]] | None = None
    model: Callable[[nn.Module, float], nn.Module] | None = None
    training: Callable[[Training, float], Training] | None = None
    contested: bool = False


@dataclass(frozen=True)
class Case:
    """One training of the population.

    Args:
        name: unique; the seed of every draw comes from it.
        recipe: the sound training.
        mechanism: what is done to it; None for nothing.
        dose: of the mechanism.
        drawn: "calibration", "held back" or "drawn afresh".
    """

    name: str
    recipe: Recipe
    mechanism: Mechanism | None = None
    dose: float = 1.0
    drawn: str = "calibration"

    @property
    def cause(self) -> str:
        """The rule that names what was done; "" if nothing was."""
        return self.mechanism.cause if self.mechanism else ""
