"""The batches of a trial: taken once from whatever the user has, and given in the same order to every twin."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenflow.errors import DataError, SpecError
from evenflow.measure.data_facts import NORMAL_QUARTILES, feature_dimension, input_tensors

_MOST_BYTES = 2**29  # of batches that are kept
_FARTHEST = 5.0  # deviations; of normal entries one in two million lies farther out


@dataclass(frozen=True)
class Batch:
    """One batch: what the model is called with, and what the loss compares its output with."""

    inputs: Any
    target: Any

    def copied(self) -> Batch:
        """The same numbers in memory of its own, as a model may write to its inputs."""
        return Batch(mapped(self.inputs, Tensor.clone), mapped(self.target, Tensor.clone))


def take_batches(data: object, steps: int, device: torch.device, *, seconds: float = 30.0) -> list[Batch]:
    """The first batches of the data, at most one for every step; an endless source is asked for no more.

    Args:
        data: an iterable of (input, target) pairs, or one such pair.
        steps: of the trial.
        device: of the model, where the batches are put.
        seconds: for which to wait for batches; the trial goes round those that came.

    Raises:
        DataError: there is no batch, or one that is no pair.
        SpecError: the data are nothing that gives batches.
    """
    if _is_batch(data):
        return [_batch(data, 0, device)]
    if not isinstance(data, Iterable):
        raise SpecError(
            f"data of the doctor: give (input, target) or an iterable of such batches; type {type(data).__name__} "
            "is neither"
        )
    batches: list[Batch] = []
    kept, began = 0, time.perf_counter()
    for number, found in enumerate(_guarded(data)):
        if not _is_pair(found):
            shown = f"{len(found)} things" if isinstance(found, list | tuple) else type(found).__name__
            raise DataError(
                f"batch {number} of the data is no (input, target) but {shown}; hand over pairs, such as "
                "((x, y) for x, y, *rest in loader), or (x, None) where there is no target"
            )
        batch = _batch(found, number, device)
        batches.append(batch if isinstance(data, Sequence) else batch.copied())
        kept += sum(tensor.nbytes for _, tensor in input_tensors((batch.inputs, batch.target)))
        if len(batches) >= steps or kept > _MOST_BYTES or time.perf_counter() - began > seconds:
            break
    if not batches:
        raise DataError("the data give no batch; a generator that was used up before has to be made anew")
    return batches


def mapped(value: Any, change: Any) -> Any:
    """The same nesting of tuples, lists and mappings, with every tensor changed.

    >>> mapped({"a": [torch.ones(1), "b"]}, torch.Tensor.neg)
    {'a': [tensor([-1.]), 'b']}
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped(part, change) for part in value)
    return value


def standardised(batches: Sequence[Batch], *, cut: bool = False) -> list[Batch]:
    """The batches with every feature of their floating inputs at mean 0 and standard deviation 1 over all of them.

    Args:
        batches: of one training.
        cut: whether median and quartile distance take the place of mean and standard deviation, which a few entries far
            out make what they are, and entries farther out than 5 such deviations are set back to there.
    """
    shifts: list[tuple[Tensor, Tensor]] = []
    for place, (_, first) in enumerate(input_tensors(batches[0].inputs)):
        if not first.is_floating_point() or not first.ndim:
            shifts.append((torch.zeros(()), torch.ones(())))
            continue
        dimension = feature_dimension(first)
        rows = torch.cat(
            [
                input_tensors(batch.inputs)[place][1]
                .movedim(dimension, -1)
                .reshape(-1, first.shape[dimension])
                for batch in batches
            ]
        ).double()
        middle, spread = rows.mean(0), rows.std(0, correction=0)
        if cut:
            low, median, high = _quartiles(rows)
            known = high > low
            middle = torch.where(known, median, middle)
            spread = torch.where(known, (high - low) / NORMAL_QUARTILES, spread)
        spread = torch.where(spread > 0, spread, torch.ones_like(spread))
        shape = [-1 if each == dimension else 1 for each in range(first.ndim)]
        shifts.append((middle.view(shape), spread.view(shape)))

    def changed(batch: Batch) -> Batch:
        places = iter(shifts)

        def shift(tensor: Tensor) -> Tensor:
            mean, spread = next(places)
            if not tensor.is_floating_point():
                return tensor
            found = (tensor - mean) / spread
            return (found.clamp(-_FARTHEST, _FARTHEST) if cut else found).to(tensor.dtype)

        return Batch(mapped(batch.inputs, shift), batch.target)

    return [changed(batch) for batch in batches]


def _quartiles(rows: Tensor) -> Iterator[Tensor]:
    """The three of every column, by sorting: torch.quantile takes no more than 16 million entries."""
    ordered = rows.sort(0).values
    return (ordered[round(share * (len(rows) - 1))] for share in (0.25, 0.5, 0.75))


def _guarded(data: Iterable[object]) -> Iterator[object]:
    try:
        yield from data
    except (DataError, GeneratorExit):
        raise
    except Exception as error:
        raise DataError(f"the data raise {type(error).__name__}: {error}") from error


def _is_pair(found: object) -> bool:
    return isinstance(found, list | tuple) and len(found) == 2


def _is_batch(data: object) -> bool:
    """Whether this is one (input, target), and no list of two batches."""
    if not isinstance(data, list | tuple) or len(data) != 2:
        return False
    inputs, target = data
    return not (_is_pair(inputs) and _is_pair(target))


def _batch(found: object, number: int, device: torch.device) -> Batch:
    inputs, target = found  # pyright: ignore[reportGeneralTypeIssues]

    def placed(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
        if isinstance(value, Mapping):
            return {key: placed(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            parts = [placed(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value.detach().to(device) if isinstance(value, Tensor) else value

    batch = Batch(placed(inputs), placed(target))
    if not input_tensors(batch.inputs):
        raise DataError(f"the input of batch {number} holds no tensor but {type(inputs).__name__}")
    return batch
