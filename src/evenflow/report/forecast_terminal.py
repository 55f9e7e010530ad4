"""A forecast in the terminal: a table with a line a layer, and the sentences under it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenflow.report.forecast import FLOAT32_ZERO, Layers, chosen, notes
from evenflow.report.plain_table import plain_table
from evenflow.report.wording import MISSING, decimal, number, plural, setting

if TYPE_CHECKING:
    from rich.table import Table

    from evenflow.spec.data import Data
    from evenflow.spec.network import Network
    from evenflow.theory.phases import Phase
    from evenflow.theory.scalar_chain import Chain

_EFFECT = {"ordered": "vanish", "critical": "pass evenly", "chaotic": "explode"}


def forecast_table(layers: Layers, title: str, *, every: bool = False) -> Table:
    """One row a layer: the gradient of its weights, its signal, its dead units, and notes.

    Args:
        layers: what was predicted and measured.
        title: names the network.
        every: show every layer; else long networks are shortened to about 24 rows, and a line says so.
    """
    measured = len(layers.seeds) > 0
    mixed = len(set(layers.activations)) > 1
    table = plain_table(title)
    table.add_column("layer", justify="right", no_wrap=True)
    if mixed:
        table.add_column("activation", no_wrap=True)
    table.add_column("predicted", justify="right", no_wrap=True)
    if measured:
        table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("2nd moment", justify="right", no_wrap=True)
    table.add_column("dead", justify="right", no_wrap=True)
    said = notes(layers)
    if any(said):
        table.add_column("note")
    places = range(len(layers)) if every else chosen(layers)
    for place in places:
        cells = [_name(layers, place)]
        if mixed:
            cells.append(layers.activations[place] if place < len(layers.activations) else "")
        cells.append(_with_deviation(layers.log[place], layers.deviation[place]))
        if measured:
            cells.append(_with_deviation(layers.measured[place], layers.measured_deviation[place]))
        dead = layers.dead[place]
        cells += [
            number(float(layers.second[place])),
            MISSING if math.isnan(dead) else f"{100 * dead:.0f} %",
        ]
        table.add_row(*cells, *([said[place]] if any(said) else []))
    table.caption = _caption(layers, len(places), said)
    return table


def _caption(layers: Layers, shown: int, said: Sequence[str]) -> str:
    lines = []
    if shown < len(layers):
        lines.append(f"{shown} of {len(layers)} layers; --all shows every one")
    lines.append("predicted: log₁₀ of the weights' gradient norm, ± standard deviation")
    if len(layers.seeds):
        lines.append(f"measured: the same in {plural(len(layers.seeds), 'random network')}")
    lines.append("2nd moment: of the pre-activation")
    if any("vanishing" in text or "exploding" in text for text in said):
        lines.append("vanishing, exploding: the gradient over the last layer's")
    if any("0 in float32" in text for text in said):
        lines.append(f"0 in float32: below 10^{decimal(FLOAT32_ZERO, 1)}, half of its smallest number")
    return "\n".join(lines)


def network_title(network: Network, data: Data) -> str:
    """The network in a line: what sets it apart from the plainest."""
    widths = list(dict.fromkeys(network.widths))
    size = f"{network.layers} × {widths[0]}" if len(widths) == 1 else "-".join(map(str, network.widths[:6]))
    if len(widths) > 1 and network.layers > 6:
        size += "-…"
    names = ", ".join(dict.fromkeys(network.activation_names))
    parts = [f"{names}, {network.initialisation}"]
    if network.bias_initialisation != "auto":
        parts.append(f"bias {network.bias_initialisation}")
    if network.normalisation != "none":
        parts.append(f"{network.normalisation} normalisation {network.normalisation_position} the activation")
    if network.residual != "none":
        scale = f" × {network.residual_scale:g}" if network.residual_scale != 1 else ""
        parts.append(f"residual {network.residual}{scale}")
    return f"{size}, {', '.join(parts)}, on {data.name}"


def phase_sentence(network: Network) -> str:
    """What depth does to a plain network of this kind, in a sentence; "" where no phase is defined."""
    from evenflow.errors import SpecError
    from evenflow.theory import phase
    from evenflow.theory.phase_map import plane_point

    try:
        point = plane_point(network)
        found = phase(network.activations[0], *point)
    except SpecError:
        return ""
    return (
        f"As depth grows without end, gradients of a very wide network {_EFFECT[found.name]}: phase {found.name}, "
        f"χ₁ = {number(found.chi, 3)} at σ_w² = {number(point[0], 3)}, σ_b² = {number(point[1], 2)}."
    )


def phase_table(point: tuple[float, float], found: Phase, title: str) -> Table:
    """A point of the phase diagram, what depth does there, and over how many layers."""
    table = plain_table(title)
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    fate = "where the variance settles" if found.variance else "the variance fades"
    if found.variance == math.inf:
        fate = "the variance grows without bound"
    for row in (
        ("σ_w²", number(point[0], 4), "weight variance × fan-in"),
        ("σ_b²", number(point[1], 3), "bias variance"),
        ("phase", found.name, f"with depth gradients {_EFFECT[found.name]}"),
        ("χ₁", number(found.chi, 4), "factor on the squared gradient per layer"),
        ("q*", number(found.variance, 4), fate),
        ("ξ_q", _scale(found.variance_scale), "layers: depth scale of the variance"),
        ("c*", number(found.correlation, 4), "where the correlation of two inputs settles"),
        ("ξ_c", _scale(found.correlation_scale), "layers: depth scale of the correlation"),
        ("ξ_∇", _scale(found.gradient_scale), _gradient_words(found.gradient_scale)),
        ("depth", _scale(found.trainable_depth), "layers about train: 6 ξ, an empirical rule"),
    ):
        table.add_row(*row)
    return table


def chain_table(found: Chain, *, highest: bool) -> Table:
    """The textbooks' product, hop by hop from the output back to layer 1.

    Args:
        found: the chain.
        highest: whether every slope is the largest that the activation has.
    """
    table = plain_table("One unit a layer: the gradient is the product of slope × weight")
    for column in ("layer", "activation", "slope", "weight", "slope × weight", "product so far"):
        table.add_column(column, justify="left" if column == "activation" else "right", no_wrap=True)
    for back, place in enumerate(reversed(range(len(found.factors)))):
        table.add_row(
            str(place + 1),
            found.activations[place],
            setting(found.slopes[place]),
            setting(found.weights[place]),
            setting(found.factors[place]),
            setting(found.remaining[back]),
        )
    table.caption = (
        "slope: the largest that the activation has, so the size of the product is an upper bound"
        if highest
        else "slope: at the pre-activation that was given"
    )
    return table


def chain_sentence(found: Chain) -> str:
    """What arrives at layer 1, in words."""
    hops = len(found.factors)
    start = f"After {plural(hops, 'factor')} the gradient at layer 1"
    if found.log10 == -math.inf:
        return f"{start} is exactly 0."
    if abs(found.log10) > 300:
        return f"{start} is 10^{decimal(found.log10)} of the output's."
    size = abs(found.gradient) if found.gradient else 10**found.log10
    times = 1 / size if size < 1 else size
    shown = f"{times:,.6g}" if times < 1e5 else f"{times:,.0f}" if times < 1e12 else number(times, 3)
    word = "as large as" if times == 1 else "times smaller than" if size < 1 else "times larger than"
    head = "" if times == 1 else f"{shown} "
    return f"{start} is {head}{word} at the output: {number(found.gradient, 3)}."


def _name(layers: Layers, place: int) -> str:
    return "output" if place == len(layers) - 1 else str(layers.depth[place])


def _with_deviation(mean: float, deviation: float) -> str:
    if not math.isfinite(mean):
        return "exactly 0" if mean == -math.inf else MISSING
    return f"{decimal(mean)} ± {decimal(deviation)}" if not math.isnan(deviation) else decimal(mean)


def _scale(layers: float) -> str:
    return number(layers, 3)


def _gradient_words(scale: float) -> str:
    if scale < 0:
        return "layers, minus: depth scale in which the squared gradient grows e-fold"
    return "layers: depth scale of the squared gradient"
