"""Which cells are trained together by the fast engine, and how many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Cell
from evenflow.spec.training import Training

# Weights, gradients and Adam's two averages of a group. Measured at 20 layers on a core with 1 MB of second-level and
# 32 MB of shared third-level cache: 8 networks at once are best at width 32, 2 to 8 alike at 64, 2 at 128.
_BYTES_OF_A_GROUP = 10 * 2**20
_LARGEST_GROUP = 8


class Alike(NamedTuple):
    """What cells that are trained together have in common."""

    network: Network
    data: Data
    digest: str
    training: Training
    record_every: int
    evaluate_every: int | None
    values: str

    @property
    def layers(self) -> int:
        """Hidden layers."""
        return self.network.layers


def alike(cell: Cell) -> Alike:
    """What a cell shares with those that it can be trained with; seeds, rates, scales and draws may differ.

    >>> a = Cell(network=Network(), data=Data(), training=Training(), record_every=10, seed=0)
    >>> b = msgspec.structs.replace(a, network=Network(initialisation="he"), seed=3)
    >>> alike(a) == alike(b)
    True
    """
    training = msgspec.structs.replace(
        cell.training, learning_rate=1.0, momentum=0.0, weight_decay=0.0, warm_up=0
    )
    values = ",".join(item.fingerprint for item in dict.fromkeys(cell.network.activations) if item.custom)
    every = cell.record_every, cell.evaluate_every
    return Alike(shape(cell.dense), cell.data, cell.digest, training, *every, values)


def shape(network: Network) -> Network:
    """The network without what those that are trained together may have of their own.

    >>> shape(Network(depth=2, width=8, initialisation="he", clip="norm:3")).clip
    'norm:1.0'
    """
    kind, bound = network.clipping
    return msgspec.structs.replace(
        network,
        depth=network.layers,
        width=network.widths,
        activation=network.activation_names,
        initialisation="torch",
        bias_initialisation="auto",
        residual_scale=1.0,
        clip="none" if bound is None else f"{kind}:1.0",
    )


def group_size(kind: Alike, members: int, inputs: int, outputs: int) -> int:
    """How many of `members` cells are trained at once: what fits the cache, with few places left empty.

    >>> kind = alike(Cell(network=Network(width=128), data=Data(), training=Training(), record_every=10, seed=0))
    >>> group_size(kind, 60, 64, 10), group_size(kind, 2, 64, 10)
    (2, 2)
    """
    sizes = (inputs, *kind.network.widths, outputs)
    state = 4 * 4 * sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    most = max(1, min(_LARGEST_GROUP, members, round(_BYTES_OF_A_GROUP / state)))
    # the last group is filled up with networks that are trained for nothing; a call of less than half costs more
    return min(range(-(-most // 2), most + 1), key=lambda size: (-members % size, -size))


class Piece(NamedTuple):
    """What a process does in one go: one cell with torch (size 0), or groups of one kind with the fast engine.

    Args:
        groups: of cells; one of one cell for torch.
        size: networks that the compiled program trains at once; smaller groups are filled up, as a program of
            another size may round otherwise. It follows from the whole study, not from what of it is still to do.
    """

    groups: tuple[tuple[Cell, ...], ...]
    size: int = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of all groups."""
        return tuple(cell for group in self.groups for cell in group)

    def apart(self) -> list[Piece]:
        """A piece for every group."""
        return [Piece((group,), self.size) for group in self.groups]


def pieces(kinds: Mapping[Alike, tuple[Sequence[Cell], int]], jobs: int) -> list[Piece]:
    """The cells of every kind, in groups of its size, as work for `jobs` processes, the longest first.

    All groups of a kind are one piece, which compiles once, unless there are too few kinds to keep the processes busy:
    then each kind is divided among them. Where there are many, the last is divided, so that all end at about one time.
    """
    whole = [
        ([tuple(cells[start : start + size]) for start in range(0, len(cells), size)], size)
        for cells, size in kinds.values()
    ]
    whole.sort(key=lambda each: -len(each[0]) * each[1])
    many = len(whole) >= 2 * jobs
    work: list[Piece] = []
    for place, (groups, size) in enumerate(whole):
        last = place == len(whole) - 1 and len(groups) >= 2 * jobs
        shares = jobs if (last if many else len(whole) % jobs) else 1
        work += [Piece(tuple(groups[share::shares]), size) for share in range(min(shares, len(groups)))]
    return sorted(work, key=lambda piece: -len(piece.cells))
