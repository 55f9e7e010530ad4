"""What one operation reads and writes, and which operations make non-finite values on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

_UNINITIALISED = {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"}
_OVERWRITING = {
    "copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_", "cauchy_",
    "log_normal_", "geometric_", "set_", "resize_",
}  # fmt: skip
_FILLING = {
    "full", "full_like", "new_full", "fill", "fill_", "masked_fill", "masked_fill_", "scalar_tensor",
    "index_fill", "index_fill_", "scatter", "scatter_", "constant_pad_nd", "where", "lift_fresh",
}  # fmt: skip
_SIGN_CHANGING = {"neg", "neg_", "abs", "abs_", "mul", "mul_", "div", "div_", "sub", "sub_", "rsub"}


class Reading(NamedTuple):
    """One tensor argument of an operation."""

    name: str
    tensor: Tensor
    read: bool
    written: bool


def short_name(operation: OpOverload) -> str:
    """ "add_" of aten::add_.Tensor."""
    return operation._schema.name.rpartition("::")[2]


def readings(operation: OpOverload, args: tuple, kwargs: Mapping[str, Any]) -> list[Reading]:
    """The tensor arguments; memory that is only overwritten does not count as read."""
    name, given = short_name(operation), {}
    for position, argument in enumerate(operation._schema.arguments):
        if position < len(args):
            given[argument.name] = (argument, args[position])
        elif argument.name in kwargs:
            given[argument.name] = (argument, kwargs[argument.name])
    # A batch normalisation in training mode keeps running statistics and does not use them.
    unused = {"running_mean", "running_var"} if "batch_norm" in name and _training(name, given) else set()
    found: list[Reading] = []
    for position, (key, (argument, value)) in enumerate(given.items()):
        written = argument.alias_info is not None and argument.alias_info.is_write
        read = not (argument.is_out or key in unused or (position == 0 and name in _OVERWRITING))
        if isinstance(value, Tensor):
            found.append(Reading(key, value, read, written))
        elif isinstance(value, (list, tuple)):
            found += [
                Reading(f"{key}[{number}]", entry, read, written)
                for number, entry in enumerate(value)
                if isinstance(entry, Tensor)
            ]
    return found


def is_uninitialised(operation: OpOverload) -> bool:
    """Whether an operation gives memory that holds whatever was there before."""
    return short_name(operation) in _UNINITIALISED


def is_infinite_fill(operation: OpOverload, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether infinity is written on purpose, as in an attention mask."""
    return short_name(operation) in _FILLING and any(
        isinstance(leaf, float) and math.isinf(leaf) for leaf in pytree.tree_leaves((args, dict(kwargs)))
    )


def changes_signs(operation: OpOverload) -> bool:
    """Whether -inf may become +inf by nothing but a sign."""
    return short_name(operation) in _SIGN_CHANGING


def takes_masks(operation: OpOverload) -> bool:
    """Whether -inf is what the operation expects where something is masked."""
    name = short_name(operation)
    return "softmax" in name or "attention" in name or "logsumexp" in name


def _training(name: str, given: Mapping[str, tuple[Any, Any]]) -> bool:
    return name.endswith("_with_update") or ("training" in given and bool(given["training"][1]))
