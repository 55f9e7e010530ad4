"""The layers of a model: what their modules say, and what autograd's graph shows behind them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from evenflow.errors import SpecError
from evenflow.measure.autograd_graph import MATRIX_OPERATIONS, Graph, Node, operation
from evenflow.measure.bank import Slot
from evenflow.measure.graph_layers import Behind, behind
from evenflow.measure.layer_facts import MULTIPLYING, figures_of, weights_of
from evenflow.measure.sites import is_weight_layer
from evenflow.measure.slopes import known_activation
from evenflow.spec.activation import activation as catalogued
from evenflow.spec.setting import NAN, Layer


def read_layers(
    model: nn.Module,
    graph: Graph,
    depths: Mapping[nn.Module, int],
    slots: list[Slot],
    outputs: Sequence[Tensor],
    ran: Collection[nn.Module] | None,
) -> list[tuple[Layer, Behind]]:
    """The layers of a model in the order of execution, each with what the graph shows behind it.

    Args:
        model, outputs: as in `read_setting`.
        graph: of the outputs and the loss.
        depths: of the modules in the order of execution.
        slots: the sites of activations that a recorder knows.
        ran: modules that a forward pass has called; None where that is not known.
    """
    by_depth: dict[int, Slot] = {}
    for slot in slots:
        if slot.kind == "activation":
            by_depth.setdefault(slot.depth, slot)
    owners = {
        id(parameter): type(module).__name__
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    }
    modules = dict(model.named_modules())
    found = []
    ends = [tensor.grad_fn for tensor in outputs]
    for name, module in modules.items():
        if not is_weight_layer(module):
            continue
        weights = weights_of(module)
        if weights is None:
            continue
        uses = list(graph.uses(weights.weight))
        if not uses and weights.bias is not None:  # the weight alone is frozen
            uses = list(graph.uses(weights.bias))
        used = ran is None or bool(uses) or module in ran
        follows = Behind()
        if uses:
            node, turned = uses[0]
            weights = weights_of(module, turned=not turned and operation(node) in ("mm", "addmm")) or weights
            follows = behind(graph, node, ends)
        depth = depths.get(module, 1)
        slot = by_depth.get(depth) if used else None
        activation = catalogue_name(follows.activation)
        if slot is not None and not uses:  # frozen, or detached from the loss
            activation = _of_slot(slot, modules)
        figures = figures_of(weights, module, activation)
        if not _multiplies(module, [node for node, _ in uses]):
            figures |= {"distinct_units": NAN, "expected_std": NAN}
        found.append(
            (
                Layer(
                    name=name or type(module).__name__,
                    type=type(module).__name__,
                    depth=depth,
                    fan_in=weights.fan_in,
                    fan_out=weights.fan_out,
                    activation=activation,
                    activation_site=slot.name if slot is not None and activation else "",
                    normalisation=_normalisation(follows, graph, owners),
                    residual=follows.residual,
                    used=used,
                    evaluated=False,  # what evaluation calls is found by another pass
                    **figures,
                ),
                follows,
            )
        )
    return sorted(found, key=lambda pair: pair[0].depth)


def _of_slot(slot: Slot, modules: Mapping[str, nn.Module]) -> str:
    """The activation that a site listens to."""
    path, _, function = slot.name.partition("#")[0].partition(":")
    known = None if function else known_activation(modules[path])
    return known.name if known else catalogue_name(function or type(modules[path]).__name__.lower())


def catalogue_name(name: str) -> str:
    try:
        return catalogued(name).name
    except SpecError:
        return name


def _normalisation(follows: Behind, graph: Graph, owners: Mapping[int, str]) -> str:
    """The class of the module that normalises, by its parameters; what the operation is called otherwise."""
    if follows.normalised_by is None:
        return ""
    for node in graph.inputs.get(follows.normalised_by, ()):
        owner = owners.get(id(getattr(node, "variable", None)), "")
        if owner:
            return owner
    return follows.normalisation


def _multiplies(module: nn.Module, uses: Sequence[Node]) -> bool:
    """Whether the weights of a module are multiplied with signals; others may be added, as embeddings of places are."""
    return isinstance(module, MULTIPLYING) or any(operation(node) in MATRIX_OPERATIONS for node in uses)
