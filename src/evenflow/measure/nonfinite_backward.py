"""The backward pass under the microscope: every node of the graph is judged by the gradients it takes and gives.

∂L/∂x of a node is `grad_inputs`, ∂L/∂y is `grad_outputs`. A node is a source if every ∂L/∂y is finite and a
∂L/∂x is not. Between two nodes only a sum is taken, of the gradients that arrive from several sides, and the
hooks of tensors are run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.measure.nonfinite_forward import ForwardWatch
from evenflow.measure.nonfinite_origin import Operand, Origin, kinds, levels, operand

_SUM = "sum of gradients"
_PASSED_ON = 5  # modules that are named
_SAVED = 6  # tensors of the forward pass that are described
Edge = tuple[Any, int]


class BackwardWatch:
    """One backward pass from `outputs`, with a hook on every node.

    Args:
        model: for the names of its parameters.
        forward: what watched the forward pass that made the graph.
        before: number of the first node that this forward pass made; older ones belong to the training.
    """

    def __init__(self, model: nn.Module, forward: ForwardWatch, before: int) -> None:
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._forward = forward
        self._before = before
        self._found: list[Origin] = []
        self._modules: dict[int, list[str]] = defaultdict(list)  # that only passed it on, by source
        self._arrived: dict[Edge, set[int]] = defaultdict(set)  # the sources of what reached a node
        self._from: dict[Edge, list[str]] = defaultdict(list)  # who sent a gradient to a node

    def run(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Origin | None:
        """The first node to make a non-finite gradient that reaches a leaf, or at least another module."""
        nodes = _nodes(outputs)
        leaves = [node for node in nodes if _is_leaf(node)]
        if not leaves:
            return None
        inner = [node for node in nodes if not _is_leaf(node)]
        # A graph that reaches into the training's own is not ours to free.
        foreign = any(node._sequence_nr() < self._before for node in inner)
        handles = [node.register_hook(self._hook(node)) for node in inner]
        for output in outputs:
            self._from[(output.grad_fn, output.output_nr)].append("the loss")
        try:
            results = torch.autograd.grad(
                outputs,
                [leaf.variable for leaf in leaves],
                gradients,
                allow_unused=True,
                retain_graph=foreign,
            )
        finally:
            for handle in handles:
                handle.remove()
        reached: set[int] = set()
        for leaf, gradient in zip(leaves, results, strict=True):
            if gradient is not None and any(kinds(gradient)):
                reached |= self._arrived[(leaf, 0)] or {self._between((leaf, 0), gradient)}
        return self._choose(reached)

    def _choose(self, reached: set[int]) -> Origin | None:
        note = ""
        if not reached:
            reached = {number for number in range(len(self._found)) if self._modules[number]}
            note = "no gradient of a parameter or input is non-finite in the end"
        if not reached:
            return None
        first = min(reached)
        found = self._found[first]
        passed_on = tuple(name for name in dict.fromkeys(self._modules[first]) if name != found.module)
        return Origin(
            found.direction,
            found.module,
            found.operation,
            found.operands,
            found.path,
            passed_on[:_PASSED_ON],
            found.produced,
            "; ".join(part for part in (found.note, note) if part),
        )

    def _hook(self, node: Any):
        edges = node.next_functions

        def judge(given: tuple[Tensor | None, ...], taken: tuple[Tensor | None, ...]) -> None:
            sources: set[int] = set()
            for position, gradient in enumerate(taken):
                if gradient is not None and any(kinds(gradient)):
                    edge = (node, position)
                    sources |= self._arrived[edge] or {self._between(edge, gradient)}
            for source in sources:
                module = self._stack(node)[-1]
                if module != self._found[source].module:
                    self._modules[source].append(module)
            bad = [gradient for gradient in given if gradient is not None and any(kinds(gradient))]
            if bad and not sources:
                sources = {self._add(node, node.name(), (*_taken(taken), *_saved(node)), bad[0])}
            for (target, position), gradient in zip(edges, given, strict=False):
                if target is not None and gradient is not None:
                    self._from[(target, position)].append(node.name())
                    if any(kinds(gradient)):
                        self._arrived[(target, position)] |= sources

        return judge

    def _between(self, edge: Edge, gradient: Tensor) -> int:
        """What made a gradient non-finite on its way, after every node had given finite ones."""
        node, senders = edge[0], self._from[edge]
        if len(senders) > 1:
            note = f"each of the {len(senders)} gradients, from {', '.join(senders)}, was finite"
            return self._add(node, _SUM, (), gradient, note)
        note = "the node before gave a finite gradient; a hook of the tensor between them changed it"
        return self._add(node, "hook of a tensor", (), gradient, note)

    def _add(
        self, node: Any, operation: str, operands: tuple[Operand, ...], gradient: Tensor, note: str = ""
    ) -> int:
        stack = self._stack(node)
        line = "" if _is_leaf(node) else self._forward.lines.get(node._sequence_nr(), "")
        path = (*stack, line) if line else stack
        produced = operand("gradient", gradient)
        self._found.append(
            Origin("backward", stack[-1], operation, operands, path, produced=produced, note=note)
        )
        return len(self._found) - 1

    def _stack(self, node: Any) -> tuple[str, ...]:
        if not _is_leaf(node):
            return self._forward.module_of(node._sequence_nr())
        return levels(self._names.get(id(node.variable), "").rpartition(".")[0])


def _nodes(outputs: Sequence[Tensor]) -> list[Any]:
    """Every node of the graph behind some tensors."""
    waiting: list[Any] = [output.grad_fn for output in outputs]
    found = dict.fromkeys(waiting)
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in found:
                found[node] = None
                waiting.append(node)
    return list(found)


def _is_leaf(node: Any) -> bool:
    return type(node).__name__ == "AccumulateGrad"


def _taken(gradients: tuple[Tensor | None, ...]) -> tuple[Operand, ...]:
    return tuple(operand("gradient", gradient) for gradient in gradients if gradient is not None)


def _saved(node: Any) -> tuple[Operand, ...]:
    """What the forward pass kept for this node."""
    found: list[Operand] = []
    names = [name for name in dir(node) if name.startswith("_saved_")] or ["saved_tensors"]
    for name in names:
        try:
            value = getattr(node, name, None)
        except Exception:  # a checkpointed segment gives every tensor once, and the node has had it
            continue
        entries = value if isinstance(value, (tuple, list)) else (value,)
        tensors = [entry for entry in entries if isinstance(entry, Tensor)]
        for number, tensor in enumerate(tensors):
            short = name.removeprefix("_saved_") + (f"[{number}]" if len(tensors) > 1 else "")
            found.append(operand(short, tensor))
    return tuple(found[:_SAVED])
