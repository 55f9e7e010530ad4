"""What the inputs and targets of a training are: their scale, feature by feature, and what kind of answer is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evenflow.spec.setting import Input, Target

_MOST_CLASSES = 100_000  # whole numbers above are no classes
NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in its standard deviations."""
_FEW_ROWS, _MOST_ENTRIES = 4096, 4_000_000  # that quartiles are taken of
_SUM = 1e-3  # what a row of probabilities may be off by


def input_tensors(arguments: object, options: Mapping[str, object] | None = None) -> list[tuple[str, Tensor]]:
    """Every tensor in what a model is called with, and its name: "input", "input.1", …, or its keyword.

    >>> [name for name, _ in input_tensors((torch.zeros(1), [torch.zeros(1)]), {"mask": torch.zeros(1)})]
    ['input', 'input.1', 'mask']
    """
    found: list[tuple[str, Tensor]] = []

    def collect(value: object, name: str | None) -> None:
        if isinstance(value, Tensor):
            found.append((name or (f"input.{len(found)}" if found else "input"), value))
        elif isinstance(value, Mapping):
            for key, part in value.items():
                collect(part, str(key))
        elif isinstance(value, list | tuple):
            for part in value:
                collect(part, name)

    collect(arguments, None)
    collect(options or {}, None)
    return found


def input_facts(name: str, batches: Sequence[Tensor]) -> Input:
    """The figures of one input over all batches given.

    >>> facts = input_facts("input", [torch.tensor([[0.0, 1000.0], [1.0, 3000.0]])])
    >>> facts.maximum, facts.feature_mean, facts.feature_spread
    (3000.0, 2.0, 2000.0)
    """
    first = batches[0]
    shape = tuple(first.shape)
    if not first.is_floating_point():
        return Input(name=name, shape=shape, integer=True)
    values = _rows(batches).double()
    if not values.numel():
        return Input(name=name, shape=shape)
    finite = values[values.isfinite()]
    if not finite.numel():
        return Input(name=name, shape=shape)
    features = _by_feature(values)
    mean, spread = features.mean(0), features.std(0, correction=0)
    varies = spread > 1e-7 * (mean.abs() + 1e-30)
    shift = wide = offset = float("nan")
    if bool(varies.any()):
        shift = float((mean[varies].abs() / spread[varies]).max())
        wide = float(spread[varies].max() / _middle(spread[varies]))
        offset = float(mean.norm() / spread.norm())
    return Input(
        name=name,
        shape=shape,
        mean=float(finite.mean()),
        std=float(finite.std(correction=0)),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        feature_mean=shift,
        feature_spread=wide,
        offset=offset,
        outlying=_outlying(features),
    )


def _outlying(features: Tensor) -> float:
    """The largest |x − median| / (quartile distance / 1.349) of a feature; NaN where all quartile distances are 0."""
    rows = min(_FEW_ROWS, max(_MOST_ENTRIES // features.shape[1], 16))
    few = features[:: max(len(features) // rows, 1)]
    low, middle, high = few.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=few.dtype), dim=0)
    spread = (high - low) / NORMAL_QUARTILES
    known = spread > 0
    if not bool(known.any()):
        return float("nan")
    return float(((features - middle).abs().amax(0)[known] / spread[known]).max())


def feature_dimension(tensor: Tensor) -> int:
    """The dimension of a batch's features: of rows the last, of images the channels, of sequences the shorter.

    >>> feature_dimension(torch.zeros(8, 3, 28, 28)), feature_dimension(torch.zeros(8, 40, 5))
    (1, 2)
    """
    if tensor.ndim == 3:
        return 1 if tensor.shape[1] < tensor.shape[2] else 2
    return 1 if tensor.ndim > 3 else tensor.ndim - 1


def target_facts(targets: Sequence[Tensor]) -> Target:
    """What the targets of all batches given are.

    >>> target_facts([torch.tensor([0, 2, 1])]).kind, target_facts([torch.tensor([[0.0], [1.0]])]).kind
    ('classes', 'binary')
    """
    first = targets[0]
    shape = tuple(first.shape)
    values = torch.cat([one.detach().reshape(-1).double().cpu() for one in targets])
    if not values.numel():
        return Target(kind="other", shape=shape)
    low, high = float(values.min()), float(values.max())
    figures: dict[str, Any] = {
        "mean": float(values.mean()),
        "std": float(values.std(correction=0)),
        "minimum": low,
        "maximum": high,
    }
    different = values.unique()
    if not first.is_floating_point():
        if first.dtype is torch.bool:
            return Target(kind="binary", classes=2, shape=shape, **figures)
        if low >= -100 and high < _MOST_CLASSES:  # -100 is what torch leaves out
            return Target(kind="classes", classes=int((different >= 0).sum()), shape=shape, **figures)
        return Target(kind="other", shape=shape, **figures)
    only_bits = bool(((different == 0) | (different == 1)).all())
    if first.ndim > 1 and first.shape[-1] > 1 and low >= 0:
        sums = torch.cat([one.detach().double().sum(-1).reshape(-1).cpu() for one in targets])
        if bool(((sums - 1).abs() < _SUM).all()):
            kind = "one_hot" if only_bits else "probabilities"
            return Target(kind=kind, classes=first.shape[-1], shape=shape, **figures)
    if only_bits:
        return Target(kind="binary", classes=len(different), shape=shape, **figures)
    return Target(kind="real", shape=shape, **figures)


def _rows(batches: Sequence[Tensor]) -> Tensor:
    """All samples of all batches; of the first alone where their shapes differ."""
    same = [one.detach().cpu() for one in batches if one.shape[1:] == batches[0].shape[1:] and one.ndim]
    return torch.cat(same) if same else batches[0].detach().cpu().reshape(1)


def _by_feature(values: Tensor) -> Tensor:
    if values.ndim < 2:
        return values.reshape(-1, 1)
    place = feature_dimension(values)
    return values.movedim(place, -1).reshape(-1, values.shape[place])


def _middle(values: Tensor) -> Tensor:
    """The median, of an even number the lower of the two in the middle: of two features they are compared."""
    return values.median()
