"""Which engine trains a cell, and why: the fast one where it can and pays, else the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

from evenflow.errors import SpecError, UnavailableError, suggest
from evenflow.spec.activation import Activation, activation
from evenflow.spec.network import Network
from evenflow.spec.study import Cell
from evenflow.study.engines.grouping import Alike, alike

Engine = Literal["auto", "jax", "torch"]

# Measured at 20 layers of width 64, a record every 10 steps, on one core: 4 s until a first group is compiled, and 4 ms
# saved in every step of every network. Only their order of size counts.
_SECONDS_TO_START = 1.0
_SECONDS_TO_COMPILE_A_LAYER = 0.15
_SECONDS_SAVED_A_LAYER_AND_STEP = 2e-4

_OTHER_FAMILY = "the fast engine has fully connected networks only"

# Fields that the fast engine has a meaning for; a later one with another value than its default goes to torch.
_KNOWN = frozenset(
    (
        *("depth", "width", "activation", "initialisation", "bias_initialisation", "normalisation"),
        *("normalisation_position", "residual", "residual_scale", "dropout", "clip"),
        *("optimiser", "learning_rate", "batch", "steps", "momentum", "warm_up", "weight_decay"),
    )
)


@dataclass(frozen=True)
class Choice:
    """The engine of a number of cells.

    Args:
        engine: `jax` or `torch`.
        reason: why, as the end of a sentence; empty where nothing else was in question.
        cells: in the order of the study.
    """

    engine: str
    reason: str
    cells: tuple[Cell, ...]


def choices(cells: Sequence[Cell], engine: Engine = "auto") -> tuple[Choice, ...]:
    """Divide all cells of a study among the engines, by nothing but the cells, `engine` and what is installed.

    Raises:
        SpecError: the engine is not known.
        UnavailableError: jax is asked for and not installed.
    """
    if engine not in get_args(Engine):
        raise SpecError(
            f"--engine {engine} is not known{suggest(engine, get_args(Engine))}; known: {', '.join(get_args(Engine))}"
        )
    installed = find_spec("jax") is not None
    if engine == "jax" and not installed:
        raise UnavailableError("--engine jax needs jax, which is not installed: pip install 'evenflow[fast]'")
    if engine == "torch" or not installed:
        reason = "asked for" if engine == "torch" else "jax is not installed: pip install 'evenflow[fast]'"
        return (Choice("torch", reason, tuple(cells)),)
    kinds: dict[Alike, list[Cell]] = {}
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if isinstance(cell.network, Network):
            kinds.setdefault(alike(cell), []).append(cell)
        else:
            found.setdefault(("torch", _OTHER_FAMILY), []).append(cell)
    for kind, members in kinds.items():
        reason = _obstacle(members[0])
        if not reason and engine == "auto" and not _pays(kind, len(members)):
            reason = "too few and too short to repay compiling"
        found.setdefault(("torch" if reason else "jax", reason), []).extend(members)
    order = {cell.key: place for place, cell in enumerate(cells)}
    return tuple(
        Choice(name, reason, tuple(sorted(members, key=lambda cell: order[cell.key])))
        for (name, reason), members in found.items()
    )


def in_words(found: Sequence[Choice]) -> str:
    """One line for the plan.

    >>> in_words([Choice("jax", "", ()), Choice("torch", "dropout", ())])
    'jax: 0 networks; torch: 0 networks (dropout)'
    """
    parts = []
    for choice in found:
        count = len(choice.cells)
        why = f" ({choice.reason})" if choice.reason else ""
        parts.append(f"{choice.engine}: {count} network{'s' * (count != 1)}{why}")
    return "; ".join(parts)


def _obstacle(cell: Cell) -> str:
    """Why the fast engine cannot train the cell; empty where it can."""
    if cell.network.dropout:
        return "dropout: its masks are torch's own random numbers"
    for part in (cell.network, cell.training):
        for name in part.__struct_fields__:
            if name not in _KNOWN and getattr(part, name) != getattr(type(part)(), name):
                return f"{name}: the fast engine does not have it"
    for name in dict.fromkeys(cell.network.activation_names):
        function = activation(name)
        if function.custom and (reason := _no_jax(function)):
            return reason
    return ""


@cache
def _no_jax(function: Activation) -> str:
    """Why a function of the user's cannot run on JAX; empty where it can. Tried, as no look at it would tell."""
    import jax

    argument = jax.ShapeDtypeStruct((2, 3), "float32")
    for part in (function, function.derivative):
        try:
            found = jax.eval_shape(part, argument)
        except Exception as error:  # whatever a function of the user's raises
            if isinstance(error, SpecError):
                return f"{function.name}: not written as function(z, xp), so it cannot run on jax"
            return f"{function.name}: fails on jax ({type(error).__name__})"
        if found.shape != argument.shape:
            return f"{function.name}: gives another shape on jax"
    return ""


def _pays(kind: Alike, members: int) -> bool:
    """Whether the time that is saved is longer than compiling takes."""
    layers = kind.layers
    saved = members * kind.training.steps * layers * _SECONDS_SAVED_A_LAYER_AND_STEP
    return saved > _SECONDS_TO_START + layers * _SECONDS_TO_COMPILE_A_LAYER
