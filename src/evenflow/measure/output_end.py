"""How the numbers of the last layer become the loss, read from autograd's graph.

The operations between the two name the loss (`log_softmax`, `nll_loss` are a cross-entropy; `sub`, `pow`, `mean` a mean
squared error) and what the model does to its outputs before, in whatever code either was written.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from evenflow.measure.autograd_graph import MATRIX_OPERATIONS, VIEWS, Graph, Node, operation
from evenflow.measure.graph_layers import activation_of

_NAMED = {
    "mse_loss": "mse",
    "l1_loss": "l1",
    "smooth_l1_loss": "smooth_l1",
    "huber_loss": "huber",
    "binary_cross_entropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "kl_div": "kl_div",
    "poisson_nll_loss": "poisson_nll",
}
_DIFFERENCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_NO_CHANCES = frozenset(("cosh", "pow", "square", "abs"))
"""What gives no probabilities, so that a logarithm of it is not that of one."""
_AVERAGES = frozenset(("mean", "sum", "div", "mul", "neg", "add", "sqrt", "rsub", "nan_to_num"))


def way_to_loss(graph: Graph, loss: Tensor, outputs: Sequence[Tensor]) -> tuple[list[Node], int]:
    """The operations from behind the last layer to the loss, in the order of the forward pass.

    Returns:
        The nodes, the layer's own first, and how many of them belong to the model (0 where that is not known).
        Empty where no layer lies before the loss.
    """
    if loss.grad_fn is None:
        return [], 0
    ends = {tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None}
    upper = graph.path(loss.grad_fn, lambda node: node in ends)
    if not upper:
        return graph.path(loss.grad_fn, _is_layer)[::-1], 0
    lower = graph.path(upper[-1], _is_layer)
    return [*lower[::-1], *upper[-2::-1]], len(lower)


def _is_layer(node: Node) -> bool:
    return operation(node) in MATRIX_OPERATIONS


def loss_kind(nodes: Sequence[Node], inside: int) -> tuple[str, int]:
    """The kind of a loss, "" where it is not known, and from which place on the operations are its own.

    Args:
        nodes: the operations behind the last layer.
        inside: how many of them belong to the model; 0 where that is not known.
    """
    names = [operation(node) for node in nodes]
    for place in range(len(names) - 1, -1, -1):
        name = names[place]
        if name in _NAMED:
            return _NAMED[name], place
        if name.startswith("nll_loss"):
            before = _before(names, place)
            if before is not None and names[before] == "log_softmax" and before >= inside:
                return "cross_entropy", before
            return "nll", place
    return _by_hand(nodes, names, inside)


def _by_hand(nodes: Sequence[Node], names: list[str], inside: int) -> tuple[str, int]:
    for place in range(len(names) - 1, inside - 1, -1):
        name, rest = names[place], set(names[place + 1 :])
        if name == "log_softmax":
            return "cross_entropy", place
        if name == "logsumexp":
            return "cross_entropy", place
        if name == "log":
            before = {names[each] for each in range(place)}
            if before & _NO_CHANCES and not before & {"softmax", "sigmoid"}:
                return "", len(names)
            kind = "binary_cross_entropy" if "sigmoid" in before else "nll"
            return kind, place
        if name == "exp" and names[place + 1 : place + 2] == ["sub"]:
            return "poisson_nll", place
        if name in ("softplus", "log_sigmoid", "log_sigmoid_forward") and rest <= _AVERAGES | VIEWS:
            return "binary_cross_entropy_with_logits", place
        if name in ("pow", "square", "mul", "abs") and place and rest <= _AVERAGES | VIEWS:
            before = _before(names, place)
            if before is not None and names[before] in ("sub", "rsub") and before >= inside:
                squared = name != "abs" and getattr(nodes[place], "_saved_exponent", 2) == 2
                return ("l1" if name == "abs" else "mse" if squared else ""), before
        if name == "linalg_vector_norm" and _before(names, place) is not None:
            before = _before(names, place)
            if before is not None and names[before] in ("sub", "rsub"):
                return "mse", before
    if (
        inside and "log_softmax" in names[:inside]
    ):  # the model's own, and what is behind only picks and averages
        if names[inside : inside + 2] == ["mul", "sub"]:
            return "kl_div", inside
        if set(names[inside:]) <= _AVERAGES | VIEWS | {"gather", "take"}:
            return "nll", inside
    return "", len(names)


def _before(names: list[str], place: int) -> int | None:
    """The place of the operation in front, what only moves numbers about left out."""
    for each in range(place - 1, -1, -1):
        if names[each] not in VIEWS:
            return each
    return None


def output_activation(nodes: Sequence[Node], inside: int, own: int) -> str:
    """What is applied to the last layer's numbers before the loss begins at place `own`, "" for nothing.

    A bound or an exponential that the loss function adds is its own affair; the logarithm that it takes of
    probabilities counts.
    """
    found = ""
    for place, node in enumerate(nodes):
        name, activation = operation(node), activation_of(node)
        if name == "log" and found in ("softmax", "sigmoid") and (place < own or found == "softmax"):
            return f"log_{found}"
        if place < own and activation and (place < inside or activation not in ("clamp", "exp", "relu")):
            found = activation
    return found


def compared_shape(nodes: Sequence[Node]) -> tuple[int, ...]:
    """The shape of what a loss takes as the difference of outputs and targets; () for none, or one of outputs only.

    Args:
        nodes: the operations of the loss.

    >>> import torch
    >>> outputs, targets = torch.ones(3, 1, requires_grad=True), torch.ones(3)
    >>> compared_shape([(outputs - targets).grad_fn]), compared_shape([(outputs - outputs.T).grad_fn])
    ((3, 3), ())
    """
    for place, node in enumerate(nodes):
        name = operation(node)
        if name in ("sub", "rsub"):
            alone = sum(one is not None for one, _ in node.next_functions) == 1
            return _shape(node) if alone else ()
        if name in _DIFFERENCES:
            return _shape(nodes[place - 1]) if place else ()
    return ()


def softmax_over(nodes: Sequence[Node], shape: Sequence[int]) -> bool:
    """Whether a softmax of numbers of this shape, (samples, classes) or more, runs over the samples.

    A matrix of as many rows as columns is left out: two sets of samples are compared so in both directions.
    """
    shape = tuple(shape)
    if len(shape) < 2 or shape[0] == shape[1] or shape[0] < 2:
        return False
    for node in nodes:
        if operation(node) in ("softmax", "log_softmax", "logsumexp") and _taken(node, shape):
            along = node._saved_dim
            places = along if isinstance(along, list | tuple) else (along,)
            # Negative numbers come back as those of 64 bits without a sign.
            if [int(one) % 2**64 for one in places] in ([0], [2**64 - len(shape)]):
                return True
    return False


def _taken(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether an operation has taken numbers of this shape; its saved tensors are gone after the backward pass."""
    below = node.next_functions[0][0]
    return below is not None and _shape(below) == shape


def _shape(node: Node) -> tuple[int, ...]:
    made = getattr(node, "_input_metadata", ())
    return tuple(int(size) for size in made[0].shape) if len(made) == 1 else ()
