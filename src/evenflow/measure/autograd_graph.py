"""The graph that autograd has built for a loss, read forwards: which operation takes which parameter, what follows.

A graph tells what a model has computed whatever its code looks like: modules, functions, sums written by hand. Its
nodes are the operations' derivatives, so that it is stored backwards, from the loss to the parameters.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

Node = Any
"""A node of torch's, which has no public type."""

LIMIT = 200_000
"""Nodes that are read at most: what a recurrent network over ten thousand steps has."""

MATRIX_OPERATIONS = frozenset(
    (
        *("addmm", "mm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "linear", "bilinear", "embedding"),
        *("embedding_bag", "convolution", "mkldnn_convolution", "cudnn_convolution", "miopen_convolution"),
        *("mkldnn_rnn_layer", "cudnn_rnn", "miopen_rnn", "mkldnn_linear", "slow_conv_dilated2_d"),
    )
)
"""What multiplies with weights."""

VIEWS = frozenset(
    (
        *("t", "transpose", "permute", "view", "unsafe_view", "reshape", "reshape_alias", "expand", "clone"),
        *("to_copy", "squeeze", "unsqueeze", "select", "slice", "split", "split_with_sizes", "unbind"),
        *("narrow", "chunk", "alias", "as_strided", "contiguous", "index", "stack", "cat", "repeat", "flip"),
        *(
            "copy_slices",
            "copy",
            "diagonal",
            "m_t",
            "mh",
            "movedim",
            "index_select",
            "pad",
            "constant_pad_nd",
        ),
    )
)
"""What moves numbers about and changes none."""

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def operation(node: Node) -> str:
    """The name of the operation whose derivative a node is.

    >>> import torch
    >>> operation(torch.ones(2, requires_grad=True).log_softmax(0).grad_fn)
    'log_softmax'
    """
    name = node.name().rpartition("::")[2]
    return _WORD.sub("_", re.sub(r"Backward\d*$", "", name)).lower().lstrip("_")


class Graph:
    """What lies between some tensors and the parameters they depend on.

    Args:
        roots: tensors that were computed with gradients on; others are left out.
    """

    def __init__(self, roots: Iterable[Tensor]) -> None:
        floating = [tensor for tensor in roots if tensor.is_floating_point()]
        self.empty = not floating
        """Whether nothing was given that could have a graph."""
        self.roots = [tensor.grad_fn for tensor in floating if tensor.grad_fn is not None]
        self.inputs: dict[Node, list[Node]] = {}
        """The nodes whose results an operation takes."""
        self.consumers: dict[Node, list[Node]] = {}
        """The operations that take a node's result."""
        self.leaves: dict[int, list[Node]] = {}
        """For the id of every parameter that is reached, its nodes."""
        self.whole = True
        """Whether all of it was read."""
        waiting = list(dict.fromkeys(self.roots))
        self.inputs.update((node, []) for node in waiting)
        while waiting:
            node = waiting.pop()
            variable = getattr(node, "variable", None)
            if variable is not None:
                self.leaves.setdefault(id(variable), []).append(node)
            for one, _ in node.next_functions:
                if one is None:
                    continue
                self.inputs[node].append(one)
                self.consumers.setdefault(one, []).append(node)
                if one not in self.inputs:
                    if len(self.inputs) >= LIMIT:
                        self.whole = False
                        return
                    self.inputs[one] = []
                    waiting.append(one)

    def reaches(self, parameter: nn.Parameter | Tensor) -> bool:
        """Whether what the roots are depends on a parameter."""
        return id(parameter) in self.leaves

    def uses(self, parameter: nn.Parameter | Tensor) -> Iterator[tuple[Node, bool]]:
        """The operations that take a parameter, in the order of execution, and whether they take it transposed."""
        found: dict[Node, bool] = {}
        waiting = [(node, False) for node in self.leaves.get(id(parameter), ())]
        seen = set()
        while waiting:
            node, turned = waiting.pop()
            for one in self.consumers.get(node, ()):
                name = operation(one)
                if name not in VIEWS:
                    found.setdefault(one, turned)
                elif one not in seen:
                    seen.add(one)
                    waiting.append((one, turned or name in ("t", "transpose")))
        yield from sorted(found.items(), key=lambda item: item[0]._sequence_nr())

    def is_leaf(self, node: Node) -> bool:
        """Whether a node is a parameter, or one that was only moved about."""
        while True:
            if hasattr(node, "variable"):
                return True
            below = self.inputs.get(node, ())
            if operation(node) not in VIEWS or len(below) != 1:
                return False
            node = below[0]

    def is_below(self, node: Node, other: Node) -> bool:
        """Whether the result of `node` went into what `other` is."""
        first = node._sequence_nr()
        waiting, seen = [other], {other}
        while waiting:
            one = waiting.pop()
            if one is node:
                return True
            for below in self.inputs.get(one, ()):
                if below not in seen and first <= below._sequence_nr() < 2**63:
                    seen.add(below)
                    waiting.append(below)
        return False

    def path(self, start: Node, ends: Callable[[Node], bool]) -> list[Node]:
        """The way from `start` down to the latest operation for which `ends` holds and that no other such hides.

        Returns:
            The nodes from `start` to that operation, both included; empty where there is none.
        """
        above: dict[Node, Node | None] = {start: None}
        waiting = deque([start])
        found: list[Node] = []
        while waiting:
            node = waiting.popleft()
            if ends(node):
                found.append(node)
                continue
            for below in self.inputs.get(node, ()):
                if below not in above:
                    above[below] = node
                    waiting.append(below)
        if not found:
            return []
        node: Node | None = max(found, key=lambda one: one._sequence_nr())
        way = []
        while node is not None:
            way.append(node)
            node = above[node]
        return way[::-1]
