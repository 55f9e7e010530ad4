"""What follows a layer in autograd's graph: its activation, its normalisation, whether a skip connection is added."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from evenflow.measure.autograd_graph import MATRIX_OPERATIONS, VIEWS, Graph, Node, operation

NORMALISATIONS = {
    "native_batch_norm": "BatchNorm",
    "cudnn_batch_norm": "BatchNorm",
    "miopen_batch_norm": "BatchNorm",
    "native_layer_norm": "LayerNorm",
    "native_group_norm": "GroupNorm",
    "fused_rms_norm": "RMSNorm",
}
_PLAIN = frozenset(
    (
        *("relu", "silu", "mish", "hardswish", "sigmoid", "tanh", "softplus", "hardtanh", "hardsigmoid"),
        *("softmax", "log_softmax", "celu", "glu", "rrelu", "softshrink", "hardshrink", "sin", "cos", "exp"),
    )
)
_OTHERS = {
    "threshold": "relu",
    "prelu": "prelu",
    "prelu_kernel": "prelu",
    "log_sigmoid": "log_sigmoid",
    "log_sigmoid_forward": "log_sigmoid",
    "rrelu_with_noise": "rrelu",
}
_FOLLOWED = 16  # operations behind a layer that are looked at
_SKIP_LENGTH = (
    4  # operations on the short side of a skip connection, such as a convolution with its normalisation
)


@dataclass(frozen=True)
class Behind:
    """What follows a layer."""

    activation: str = ""
    normalisation: str = ""
    normalised_by: Node = None
    residual: bool = False


def activation_of(node: Node) -> str:
    """The activation function that an operation applies, "" where it applies none.

    >>> import torch
    >>> activation_of(torch.nn.functional.leaky_relu(torch.ones(1, requires_grad=True), 0.2).grad_fn)
    'leaky_relu:0.2'
    """
    name = operation(node)
    if name == "hardtanh" and (node._saved_min_val, node._saved_max_val) == (0, 6):
        return "relu6"
    if name in _PLAIN:
        return name
    if name == "leaky_relu":
        return f"leaky_relu:{node._saved_negative_slope:g}"
    if name == "elu":
        return "selu" if node._saved_scale != 1 else f"elu:{node._saved_alpha:g}"
    if name == "gelu":
        return "gelu_tanh" if node._saved_approximate == "tanh" else "gelu"
    if name in ("clamp", "clamp_min"):
        low, high = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
        return "relu" if isinstance(low, int | float) and low == 0 and high is None else "clamp"
    return _OTHERS.get(name, "")


def behind(graph: Graph, node: Node, ends: Collection[Node] = ()) -> Behind:
    """What follows the operation of a layer, up to the next layer or to the model's outputs `ends`."""
    normalisation, by, residual = "", None, False
    layer = node
    for _ in range(_FOLLOWED):
        above = graph.consumers.get(node, [])
        if not above or node in ends:
            break
        if {operation(one) for one in above} == {"sigmoid", "mul"}:  # x·σ(x), written by hand
            return Behind("silu", normalisation, by, residual)
        node = min(above, key=lambda one: one._sequence_nr())
        name = operation(node)
        if name in MATRIX_OPERATIONS:
            break
        activation = activation_of(node)
        if activation:
            return Behind(activation, normalisation, by, residual)
        if name in NORMALISATIONS and not residual and not normalisation:
            normalisation, by = NORMALISATIONS[name], node
        if name == "add":
            residual = residual or _skips(graph, node, layer)
        elif name not in VIEWS and name not in NORMALISATIONS and not _passes(name):
            break
    return Behind("", normalisation, by, residual)


def _passes(name: str) -> bool:
    """Whether the activation of a layer may still come behind such an operation."""
    return "dropout" in name or "pool" in name or name in ("mul", "div", "sub")


def _skips(graph: Graph, sum_: Node, layer: Node) -> bool:
    """Whether one of the two that are added is what `layer` was computed from, or a short way from it."""
    for one in graph.inputs.get(sum_, ()):
        if graph.is_leaf(one) or graph.is_below(layer, one):
            continue
        for _ in range(_SKIP_LENGTH):
            if graph.is_below(one, layer):
                return True
            below = [each for each in graph.inputs.get(one, ()) if not graph.is_leaf(each)]
            if len(below) != 1:
                break
            one = below[0]
    return False
