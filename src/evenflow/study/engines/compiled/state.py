"""What a training changes: parameters, running averages of the normalisation, slots of the optimiser.

All are dictionaries of arrays with the networks in front. The initial values come from the recipe that every engine
draws from, `evenflow.study.draws`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from evenflow.record.schema import Site
from evenflow.spec.network import Network
from evenflow.spec.study import Cell
from evenflow.study.draws import initial_parameters
from evenflow.study.engines.compiled.optimisers import SLOTS
from evenflow.study.engines.snapshot import MARK

Arrays = Mapping[str, NDArray[np.floating]]


class State(NamedTuple):
    """Parameters, buffers, and slots of the optimiser; each array of shape (networks, …)."""

    parameters: Mapping
    buffers: Mapping
    slots: Mapping


def fresh(cell: Cell, inputs: int, outputs: int) -> State:
    """The state of one cell before its first step, without the axis of networks, in float32.

    >>> from evenflow.spec.study import Study
    >>> state = fresh(Study(network=Network(depth=1, width=4)).cells()[0], 3, 2)
    >>> sorted(state.parameters)
    ['hidden_1.bias', 'hidden_1.weight', 'output.bias', 'output.weight']
    """
    network = cell.dense
    drawn = initial_parameters(network, inputs, outputs, cell.seed)
    parameters: dict[str, NDArray[np.float32]] = {}
    buffers: dict[str, NDArray[np.float32]] = {}
    for layer, (width, function) in enumerate(zip(network.widths, network.activations, strict=True), start=1):
        for part in ("weight", "bias"):
            parameters[f"hidden_{layer}.{part}"] = drawn[f"hidden_{layer}.{part}"]
        own = _own_parameters(network, layer, width, function.parameter if function.learned else None)
        parameters |= own
        if network.normalisation == "batch":
            buffers[f"norm_{layer}.running_mean"] = np.zeros(width, np.float32)
            buffers[f"norm_{layer}.running_var"] = np.ones(width, np.float32)
    for part in ("weight", "bias"):
        parameters[f"output.{part}"] = drawn[f"output.{part}"]
    zeros = {name: np.zeros_like(array) for name, array in parameters.items()}
    return State(parameters, buffers, dict.fromkeys(SLOTS[cell.training.optimiser], zeros))


def _own_parameters(network: Network, layer: int, width: int, slope: float | None) -> Arrays:
    """What normalisation and PReLU add to a layer, in the order of the torch module."""
    norm: dict[str, NDArray[np.float32]] = {}
    if network.normalisation != "none":
        norm[f"norm_{layer}.weight"] = np.ones(width, np.float32)
    if network.normalisation in ("batch", "layer"):
        norm[f"norm_{layer}.bias"] = np.zeros(width, np.float32)
    learned = {} if slope is None else {f"activation_{layer}.weight": np.full(width, slope, np.float32)}
    return norm | learned if network.normalisation_position == "before" else learned | norm


def stacked(states: Sequence[State], dtype: type[np.floating]) -> State:
    """The states of several networks as one."""
    return State(*(_stacked(parts, dtype) for parts in zip(*states, strict=True)))


def _stacked(parts: Sequence[Mapping], dtype: type[np.floating]) -> dict:
    first = parts[0]
    return {
        name: _stacked([part[name] for part in parts], dtype)
        if isinstance(first[name], Mapping)
        else jnp.asarray(np.stack([part[name] for part in parts]), dtype)
        for name in first
    }


def sites(parameters: Arrays) -> list[Site]:
    """Where the parameters of one network stand, as the torch engine names them."""
    layers = [name.split(".")[0].rpartition("_")[2] for name in parameters]
    output = 1 + max(int(layer) for layer in layers if layer.isdigit())
    return [
        Site(name, _kind(name), int(layer) if layer.isdigit() else output, array.shape[0])
        for (name, array), layer in zip(parameters.items(), layers, strict=True)
    ]


def _kind(name: str) -> str:
    if name.startswith("activation"):
        return "slope"
    if name.startswith("norm"):
        return "scale" if name.endswith("weight") else "shift"
    return name.rpartition(".")[2]


def to_bytes(step: int, state: State, place: int) -> bytes:
    """The state of the network at `place` in its group, to go on with the step after `step`."""
    arrays = {f"parameters/{name}": array for name, array in state.parameters.items()}
    arrays |= {f"buffers/{name}": array for name, array in state.buffers.items()}
    for slot, values in state.slots.items():
        arrays |= {f"slots/{slot}/{name}": array for name, array in values.items()}
    buffer = io.BytesIO()
    own = {name: np.asarray(array[place]) for name, array in arrays.items()}
    np.savez(buffer, next=np.int64(step + 1), **own)  # pyright: ignore[reportArgumentType]
    return MARK + buffer.getvalue()


def from_bytes(snapshot: bytes, like: State) -> tuple[int, State]:
    """The step to go on with, and the state, which has the arrays of `like`."""
    with np.load(io.BytesIO(snapshot.removeprefix(MARK))) as kept:
        return int(kept["next"]), State(
            {name: kept[f"parameters/{name}"] for name in like.parameters},
            {name: kept[f"buffers/{name}"] for name in like.buffers},
            {
                slot: {name: kept[f"slots/{slot}/{name}"] for name in values}
                for slot, values in like.slots.items()
            },
        )
