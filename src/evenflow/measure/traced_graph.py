"""Where the sites of a model are in a graph that torch.compile has traced.

Every operation of such a graph carries the modules it was called in, by identity; an activation is the operations of
one call of its module, or a function of torch that is called in a module which is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from evenflow.measure.functional import CONVOLUTIONS as CALLED_CONVOLUTIONS
from evenflow.measure.functional import FUNCTIONS, SOFTMAXES
from evenflow.measure.sites import CONVOLUTIONS, is_weight_layer


@dataclass(frozen=True, eq=False)
class Call:
    """What one call of a module, or of a function, has left in a graph.

    Args:
        module: that was called, or that calls the function.
        nodes: the operations, in order.
        function: of torch; None where the call is that of a module.
        before, after: weight layers that have run when it begins and ends, and whether the last was a convolution.
        inputs: the tensors from outside that are no parameters and no buffers.
        outputs: the tensors that the rest of the graph uses; that of the last operation where it uses none.
    """

    module: nn.Module
    nodes: Sequence[fx.Node]
    function: Callable[..., Any] | None
    before: tuple[int, bool]
    after: tuple[int, bool]
    inputs: Sequence[fx.Node]
    outputs: Sequence[fx.Node]


class Walk:
    """Goes through a graph in the order of execution.

    Args:
        graph: as traced, before it is compiled.
        names: the modules of the model.
        base: the module whose own forward was traced, where it was one: its calls name only what it calls.
        depths: of all modules, where the graph is only a part of the model; None counts them here.
    """

    def __init__(
        self,
        graph: fx.Graph,
        names: Mapping[nn.Module, str],
        base: nn.Module | None,
        depths: Mapping[nn.Module, int] | None,
    ) -> None:
        self._modules = {str(id(module)): module for module in names}
        self._base = base
        self.seen: dict[nn.Module, int] = {}
        """Depth of every module that runs here."""
        self._calls: dict[str, tuple[nn.Module, list[fx.Node]]] = {}
        self._functions: dict[fx.Node, tuple[nn.Module, Callable[..., Any]]] = {}
        self._at: dict[fx.Node, tuple[int, bool]] = {}
        depth, convolved, listening = 0, False, True
        for node in graph.nodes if depths is not None else ():
            first = next((module for module in self.within(node) if is_weight_layer(module)), None)
            if first is not None and node.op.startswith("call"):
                depth = depths[first] - 1  # pyright: ignore[reportOptionalSubscript]
                break
        for node in graph.nodes:
            if not node.op.startswith("call"):
                continue
            if node.target is torch._C._set_grad_enabled:
                listening = bool(node.args[0])
            stack = self._stack(node)
            for _, module in stack:
                if module not in self.seen:
                    if is_weight_layer(module):
                        depth = depth + 1 if depths is None else depths[module]
                        convolved = isinstance(module, CONVOLUTIONS)
                    self.seen[module] = max(depth, 1)
            function = called_function(node)
            if function in CALLED_CONVOLUTIONS:
                convolved = True
            self._at[node] = max(depth, 1), convolved
            if not listening:
                continue
            for key, module in stack:
                self._calls.setdefault(key, (module, []))[1].append(node)
            if stack and (function in FUNCTIONS or function in SOFTMAXES):
                self._functions[node] = stack[-1][1], function

    def calls(self) -> list[Call]:
        """Every call of a module, and every call of a function that may be a site."""
        found = [self._call(module, nodes, None) for module, nodes in self._calls.values()]
        return found + [self._call(module, [node], one) for node, (module, one) in self._functions.items()]

    def _call(self, module: nn.Module, nodes: list[fx.Node], function: Callable[..., Any] | None) -> Call:
        own = set(nodes)
        given = dict.fromkeys(one for node in nodes for one in node.all_input_nodes if one not in own)
        inputs = [node for node in given if is_signal(node) and not _is_of_module(node)]
        outputs = [node for node in nodes if is_signal(node) and not own.issuperset(node.users)]
        outputs = outputs or [node for node in nodes[-1:] if is_signal(node)]
        return Call(module, nodes, function, self._at[nodes[0]], self._at[nodes[-1]], inputs, outputs)

    def within(self, node: fx.Node) -> list[nn.Module]:
        """The modules that an operation is called in, the outermost first."""
        return [module for _, module in self._stack(node)]

    def _stack(self, node: fx.Node) -> list[tuple[str, nn.Module]]:
        keys = [key for key in node.meta.get("nn_module_stack") or {} if key.split("@")[0] in self._modules]
        found = [(key, self._modules[key.split("@")[0]]) for key in keys]
        if self._base is not None and all(module is not self._base for _, module in found):
            found.insert(0, ("", self._base))
        return found


def called_function(node: fx.Node) -> Any:
    """The function of torch behind an operation, a method of a tensor as the function it is."""
    return getattr(Tensor, str(node.target), None) if node.op == "call_method" else node.target


def in_place(node: fx.Node) -> bool:
    """Whether an activation function overwrites its argument."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name).endswith("_") or node.kwargs.get("inplace") is True


def is_signal(node: fx.Node) -> bool:
    """Whether a value is a tensor of floating-point or complex numbers."""
    value = node.meta.get("example_value")
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def attention_weights(graph: fx.Graph, nodes: Sequence[fx.Node]) -> fx.Node | None:
    """The weights that a call of `nn.MultiheadAttention` gives beside its output; None where it gives none."""
    for node in nodes:
        if node.target is functional.multi_head_attention_forward:
            value = node.meta.get("example_value")
            if isinstance(value, tuple) and isinstance(value[1], Tensor):
                with graph.inserting_after(node):
                    weights = graph.call_function(_second, (node,))
                weights.meta["example_value"] = value[1]
                return weights
    return None


def _second(values: Sequence[Any]) -> Any:
    return values[1]


def _is_of_module(node: fx.Node) -> bool:
    """Whether a value is a parameter or a buffer, which the graph reads out of a module."""
    name = getattr(getattr(node.meta.get("grapharg"), "source", None), "name", "")
    name = name() if callable(name) else str(name)
    return node.op == "get_attr" or "._parameters[" in name or "._buffers[" in name
