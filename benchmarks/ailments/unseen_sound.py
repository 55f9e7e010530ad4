"""Harmless oddities that the held-back half alone has."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .models import Network
from .recipe import Mechanism, Training
from .surgery import layers, recipe_with


class _Evaluating(nn.Module):
    """A model that never leaves evaluation: dropout drops nothing, normalisations keep their statistics."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    def train(self, mode: bool = True) -> _Evaluating:  # noqa: ARG002 - PyTorch's argument
        """Stays as it is, whatever the mode."""
        super().train(False)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs)


class _Checkpointed(nn.Module):
    """A block whose activations are computed again in the backward pass."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        found = checkpoint(self.block, inputs, use_reentrant=False)
        assert isinstance(found, Tensor)
        return found


class _Averaged(nn.Module):
    """A model beside a copy that follows it slowly and is not trained."""

    def __init__(self, inner: nn.Module, keep: float) -> None:
        super().__init__()
        self.inner, self.average, self.keep = inner, copy.deepcopy(inner).requires_grad_(False), keep

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                for one, two in zip(self.average.parameters(), self.inner.parameters(), strict=True):
                    one.lerp_(two, 1 - self.keep)
        return self.inner(inputs)


def _frozen_norms(model: nn.Module, _dose: float) -> nn.Module:
    """Batch normalisations as in fine-tuning: fixed statistics, fixed scale and shift."""
    for one in layers(model):
        if one.norm is not None:
            one.norm = _Evaluating(one.norm.requires_grad_(False))
    return model


def _checkpoints(model: nn.Module, _dose: float) -> nn.Module:
    assert isinstance(model, Network)
    model.blocks = nn.Sequential(*(_Checkpointed(one) for one in model.blocks))
    return model


def _shared_layer(model: nn.Module, _dose: float) -> nn.Module:
    """The second hidden layer stands for all behind it."""
    assert isinstance(model, Network)
    first, second, *others = model.blocks
    model.blocks = nn.Sequential(first, second, *(second for _ in others))
    return model


def _spectral(model: nn.Module, _dose: float) -> nn.Module:
    for one in layers(model):
        nn.utils.parametrizations.spectral_norm(one.linear)
    return model


def _norm_momentum(model: nn.Module, dose: float) -> nn.Module:
    """What Keras calls 0.99 is 0.01 here."""
    for one in model.modules():
        if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d):
            one.momentum = dose
    return model


def _smoothed(training: Training, dose: float) -> Training:
    """The loss has a floor near a guess; the order of the scores is right all the same."""
    return replace(training, loss=nn.CrossEntropyLoss(label_smoothing=dose))


MECHANISMS = (
    Mechanism(
        "in_evaluation",
        "",
        doses=(0.2, 0.5),
        recipe=recipe_with(dropout="DOSE"),
        model=lambda model, _: _Evaluating(model),
    ),
    Mechanism("frozen_norms", "", model=_frozen_norms),
    Mechanism(
        "wide_and_slow", "", doses=(256, 320), recipe=lambda recipe, dose: replace(recipe, width=int(dose))
    ),
    Mechanism("he_for_tanh", "", recipe=recipe_with(initialisation="he")),
    Mechanism("checkpoints", "", model=_checkpoints),
    Mechanism("shared_layer", "", model=_shared_layer),
    Mechanism("spectral", "", model=_spectral),
    Mechanism("averaged", "", doses=(0.99, 0.9), model=lambda model, dose: _Averaged(model, dose)),
    Mechanism("norm_momentum", "", doses=(0.99, 0.9), model=_norm_momentum),
    Mechanism("smoothed_much", "", doses=(0.9, 0.7), training=_smoothed),
)
