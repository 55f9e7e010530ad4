"""What to do about weights: how they are drawn, and whether they are trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.diagnose.drawing import is_table
from evenflow.diagnose.finding import Finding
from evenflow.diagnose.remedies.tried import came_of_it, tried
from evenflow.spec.setting import Layer, Setting
from evenflow.wording import listed, named, number

_OFF = 1.5
"""Times what theory asks for, up or down, from which on a layer's spread is worth naming."""
_RECTIFIED = ("relu", "leaky_relu", "prelu", "elu", "gelu", "gelu_tanh", "silu", "mish", "hardswish", "celu")


def reinitialise(finding: Finding, setting: Setting) -> str:
    layers = [one for one in setting.layers if one.weight_std >= 0.0 and one.expected_std > 0.0]
    off = [one for one in layers if not 1 / _OFF < one.weight_std / one.expected_std < _OFF]
    worst = _first_named(off, finding) or max(off, key=_times_off, default=None)
    took = came_of_it(tried("reinitialise", setting))
    table = _first_named([one for one in setting.layers if is_table(one)], finding)
    if table is not None and finding.rule == "poor_init":
        return (
            f"Draw {named(table.name)} anew with torch.nn.init.normal_: its entries have standard deviation "
            f"{number(table.weight_std)}, where 1 fits{took}."
        )
    rule = _drawn(worst, setting)
    if worst is None:
        return f"Draw the weights anew at random: {rule}{took}."
    return (
        f"Draw the weights anew, {rule}: those of {named(worst.name)} have standard deviation "
        f"{number(worst.weight_std)}, where {number(worst.expected_std)} fits{took}."
    )


def _times_off(layer: Layer) -> float:
    return math.inf if layer.weight_std == 0.0 else abs(math.log(layer.weight_std / layer.expected_std))


def _first_named(layers: Sequence[Layer], finding: Finding) -> Layer | None:
    """The layer that the finding names first."""
    for site in finding.sites:
        for layer in layers:
            if site in (layer.name, layer.activation_site, f"{layer.name}.weight"):
                return layer
    return None


def _drawn(layer: Layer | None, setting: Setting) -> str:
    """The function of torch that draws weights as this layer's activation asks for, else the network's."""
    names = [one.activation for one in (layer, *setting.layers) if one is not None and one.activation]
    rectified = bool(names) and names[0].partition(":")[0] in _RECTIFIED
    return "torch.nn.init.kaiming_normal_" if rectified else "torch.nn.init.xavier_uniform_"


def zero_biases(_finding: Finding, setting: Setting) -> str:
    worst = min(setting.layers, key=lambda one: one.bias_mean if one.bias_mean < 0.0 else 0.0, default=None)
    if worst is None or not worst.bias_mean < 0.0:
        return "Let the biases begin at 0."
    return f"Let the biases begin at 0: those of {named(worst.name)} have mean {number(worst.bias_mean)}."


def unfreeze(finding: Finding, setting: Setting) -> str:
    names = listed([named(one) for one in finding.sites], most=3)
    return f"Set requires_grad to True on {names}{came_of_it(tried('unfreeze', setting))}."


def register_modules(finding: Finding, setting: Setting) -> str:
    held = listed(sorted({named(one.partition("[")[0]) for one in finding.sites}), most=3)
    return (
        f"Make {held} an nn.ModuleList, or an nn.ModuleDict, before the optimiser is made"
        f"{came_of_it(tried('register_modules', setting))}."
    )


def add_to_optimiser(finding: Finding, setting: Setting) -> str:
    names = listed([named(one) for one in finding.sites], most=3)
    given = listed(sorted({group.type for group in setting.optimisers})) or "the optimiser"
    return (
        f"Give {given} {names} as well, as model.parameters() does: with all weights trained the same training was "
        f"{number(best.points)} points better."
        if (best := next(iter(tried("add_to_optimiser", setting)), None)) is not None and best.clear
        else f"Give {given} {names} as well, as model.parameters() does."
    )


def remove_detach(finding: Finding, _setting: Setting) -> str:
    names = listed([named(one) for one in finding.sites], most=3)
    return f"Leave out detach(), .data, item() and torch.no_grad() on the way from {names} to the loss."


def raise_precision(finding: Finding, setting: Setting) -> str:
    types = {one.dtype for one in setting.parameters if one.name in finding.sites} or {"16 bits"}
    return f"Keep the weights in float32, not {listed(sorted(types))}, and compute in 16 bits with torch.autocast."


LINES = {
    "reinitialise": reinitialise,
    "zero_biases": zero_biases,
    "unfreeze": unfreeze,
    "register_modules": register_modules,
    "add_to_optimiser": add_to_optimiser,
    "remove_detach": remove_detach,
    "raise_precision": raise_precision,
}
"""Sentences by the names of the remedies."""
