"""The setting of a training, read from the live model: what the rules of diagnosis know besides the figures.

Modules say what there is; the graph that autograd has built says what is done with it, in whatever code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from torch import Tensor, nn
from torch.optim import Optimizer

from evenflow.measure.autograd_graph import Graph, operation
from evenflow.measure.bank import Slot
from evenflow.measure.data_facts import input_facts
from evenflow.measure.graph_layers import Behind, activation_of
from evenflow.measure.layer_facts import weights_of
from evenflow.measure.output_end import (
    compared_shape,
    loss_kind,
    output_activation,
    softmax_over,
    way_to_loss,
)
from evenflow.measure.setting_layers import catalogue_name, read_layers
from evenflow.measure.sites import is_weight_layer, parameter_kind, rates_of, registered_depths
from evenflow.measure.unregistered import unregistered_parameters
from evenflow.spec.setting import NAN, Input, Optimiser, Output, Parameter, Setting

_WHOLE_BATCH = ("BatchNorm", "InstanceNorm")  # these take a bias in front of them away wholly


def read_setting(
    model: nn.Module,
    optimisers: Iterable[Optimizer] = (),
    *,
    outputs: Sequence[Tensor] = (),
    loss: Tensor | None = None,
    inputs: Sequence[tuple[str, Tensor]] = (),
    depths: Mapping[nn.Module, int] | None = None,
    slots: Iterable[Slot] = (),
    ran: Collection[nn.Module] | None = None,
) -> Setting:
    """What can be known of a training at one moment of it; best before the first step.

    Args:
        model: without what wraps it.
        optimisers: those that step it.
        outputs: tensors that the model has put out, with their graphs.
        loss: computed from them, with its graph; it may have been backpropagated.
        inputs: tensors that the model was called with, and their names.
        depths: of the modules in the order of execution; that of registration when left out.
        slots: the sites of activations that a recorder knows.
        ran: the modules that the forward pass called, where that is known.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> output = model(torch.ones(5, 4))
    >>> loss = nn.functional.cross_entropy(output, torch.tensor([0, 1, 2, 0, 1]))
    >>> setting = read_setting(model, outputs=[output], loss=loss)
    >>> setting.layers[0].activation, setting.output.loss
    ('relu', 'cross_entropy')
    """
    graph = Graph([*outputs, *([] if loss is None else [loss])])
    found = read_layers(model, graph, depths or registered_depths(model), list(slots), outputs, ran)
    return Setting(
        layers=tuple(layer for layer, _ in found),
        parameters=_parameters(model, list(optimisers), graph, {layer.name: each for layer, each in found}),
        optimisers=read_optimisers(optimisers),
        inputs=read_inputs(inputs),
        output=read_output(model, outputs, loss, graph),
        batch=next((len(tensor) for _, tensor in inputs if tensor.ndim), 0),
    )


def read_inputs(inputs: Sequence[tuple[str, Tensor]]) -> tuple[Input, ...]:
    """The figures of what a model was called with once."""
    return tuple(input_facts(name, [tensor]) for name, tensor in inputs)


def read_optimisers(optimisers: Iterable[Optimizer]) -> tuple[Optimiser, ...]:
    """The parameter groups of optimisers, with the learning rates they have now.

    >>> import torch
    >>> weight = nn.Parameter(torch.ones(1))
    >>> read_optimisers([torch.optim.SGD([weight], lr=0.1, momentum=0.9)])[0].momentum
    0.9
    """
    return tuple(
        Optimiser(
            type=type(optimiser).__name__,
            learning_rate=float(group.get("lr", float("nan"))),
            momentum=float(group.get("momentum", (group.get("betas") or (0.0,))[0]) or 0.0),
            weight_decay=float(group.get("weight_decay", 0.0) or 0.0),
            parameters=sum(parameter.numel() for parameter in group["params"]),
        )
        for optimiser in optimisers
        for group in optimiser.param_groups
    )


def with_optimisers(setting: Setting, model: nn.Module, optimisers: Sequence[Optimizer]) -> Setting:
    """A setting as it is with these optimisers alone: what they are, and which parameters they have."""
    rates = rates_of(*optimisers)
    known = (*model.named_parameters(), *unregistered_parameters(model))
    own = {name: rates[id(one)] for name, one in known if id(one) in rates}
    parameters = tuple(
        replace(one, optimised=one.name in own, learning_rate=own.get(one.name, NAN))
        for one in setting.parameters
    )
    return replace(setting, parameters=parameters, optimisers=read_optimisers(optimisers))


def _parameters(
    model: nn.Module, optimisers: list[Optimizer], graph: Graph, behinds: Mapping[str, Behind]
) -> tuple[Parameter, ...]:
    rates = rates_of(*optimisers)
    seen: set[int] = set()
    found = []
    for path, module in model.named_modules():
        follows = behinds.get(path or type(module).__name__, Behind())
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            kind = parameter_kind(module, name, parameter)
            normalised = bool(follows.normalisation) and (
                kind == "weight" or (kind == "bias" and follows.normalisation in _WHOLE_BATCH)
            )
            found.append(
                Parameter(
                    name=f"{path}.{name}" if path else name,
                    layer=path,
                    kind=kind,
                    size=parameter.numel(),
                    dtype=str(parameter.dtype).removeprefix("torch."),
                    requires_grad=parameter.requires_grad,
                    optimised=id(parameter) in rates or not optimisers,
                    normalised=normalised,
                    sparse=isinstance(module, nn.Embedding | nn.EmbeddingBag),
                    reached=graph.reaches(parameter) or graph.empty,
                    learning_rate=rates.get(id(parameter), NAN),
                )
            )
    found += [
        Parameter(
            name=name,
            layer=name.rpartition(".")[0],
            kind="weight" if parameter.ndim > 1 else "bias",
            size=parameter.numel(),
            dtype=str(parameter.dtype).removeprefix("torch."),
            optimised=id(parameter) in rates,
            registered=False,
            learning_rate=rates.get(id(parameter), NAN),
        )
        for name, parameter in unregistered_parameters(model)
        if graph.reaches(parameter)
    ]
    return tuple(found)


def read_output(
    model: nn.Module, outputs: Sequence[Tensor], loss: Tensor | None, graph: Graph
) -> Output | None:
    """The end of the model; None where nothing of it is known."""
    floating = [tensor for tensor in outputs if tensor.is_floating_point()]
    if not floating and loss is None:
        return None
    if loss is not None and loss.grad_fn is not None:
        nodes, inside = way_to_loss(graph, loss, floating)
    elif floating and floating[0].grad_fn is not None:
        nodes, inside = way_to_loss(graph, floating[0], floating[:1])
    else:
        nodes, inside = [], 0
    layer, units = _last_layer(model, graph, nodes[:1])
    following = nodes[1:]
    known, inside = inside > 0, max(inside - 1, 0)
    kind, own = loss_kind(following, inside) if loss is not None else ("", len(following))
    activation = output_activation(following, inside or len(following), own)
    of_model = output_activation(following[:inside], inside, own) if known else activation
    return Output(
        layer=layer,
        units=units,
        activation=catalogue_name(activation) if activation else "",
        loss=kind,
        operations=tuple(activation_of(node) or operation(node) for node in following),
        compared=() if loss is None else compared_shape(following[inside:]),
        in_loss=activation != of_model,
        over_samples=bool(floating) and softmax_over(following, floating[0].shape),
        **_output_figures(floating),
    )


def _output_figures(outputs: Sequence[Tensor]) -> dict[str, Any]:
    if not outputs:
        return {}
    values = outputs[0].detach().double()
    figures: dict[str, Any] = {"shape": tuple(values.shape)}
    if values.numel():
        low, high = values.aminmax()
        figures |= {
            "minimum": float(low),
            "maximum": float(high),
            "mean": float(values.mean()),
            "std": float(values.std(correction=0)),
        }
    return figures


def _last_layer(model: nn.Module, graph: Graph, first: Sequence[Any]) -> tuple[str, int]:
    """The module whose weights the last matrix operation takes, and its units; ("", 0) where it is not known."""
    for node in first:
        for name, module in model.named_modules():
            weights = weights_of(module) if is_weight_layer(module) else None
            if weights is None:
                continue
            own = list(module.parameters(recurse=False))
            if any(use is node for parameter in own for use, _ in graph.uses(parameter)):
                units = getattr(module, "out_features", None) or getattr(module, "out_channels", None)
                return name or type(module).__name__, int(units or weights.fan_out)
    return "", 0
