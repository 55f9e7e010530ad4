"""`evenflow predict --map`, `--chain` and `--advise`: theory that needs no network to be built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenflow.spec.activation import Activation
    from evenflow.spec.data import Data
    from evenflow.spec.network import Network


def show_map(
    network: Network, weight_variance: float | None, bias_variance: float | None, plot: Path | None
) -> int:
    """Write the phase diagram and print what depth does at the network's place in it.

    Raises:
        SpecError: the network has no place there, or a variance is out of range.
    """
    from rich.console import Console

    from evenflow.report.export import write_figure
    from evenflow.report.forecast_terminal import phase_table
    from evenflow.report.phase_figure import phase_figure
    from evenflow.theory import critical_line, phase

    function = _one_activation(network)
    point = _point(network, weight_variance, bias_variance)
    found = phase(function, *point)
    figure = phase_figure(function, point, width=network.widths[0])
    written = write_figure(figure, plot or Path("phase-map.html"))
    named = weight_variance is None and bias_variance is None
    title = f"{function.title}, {network.initialisation}" if named else function.title
    console = Console(highlight=False, markup=False)
    console.print(phase_table(point, found, title))
    console.print(f"Critical line: {critical_line(function).verdict}.")
    console.print(f"figure: {written}", soft_wrap=True)
    return 0


def show_advice(network: Network, data: Data, loss: str | None, batch: int) -> int:
    """Print the recommended initialisation, its code, and what else would bring the depth in reach.

    Raises:
        SpecError: the network, the data or the loss do not fit or leave the reach of the theory.
    """
    from rich.console import Console

    from evenflow.report.advice_terminal import initialisation_sentence, remedies_table
    from evenflow.report.forecast_terminal import network_title
    from evenflow.study.advice import advise

    found = advise(network, data, loss, batch=batch)
    console = Console(highlight=False, markup=False)
    console.print(remedies_table(found.current, found.remedies, network_title(network, data)))
    console.print(found.verdict)
    console.print(initialisation_sentence(found.initialisation))
    console.print()
    console.print(found.snippet, soft_wrap=True)  # code is pasted: no line of it may be broken
    return 0


def show_chain(network: Network, weight: str, at: str | None) -> int:
    """Print the product of slope × weight through a chain with a unit a hidden layer.

    Raises:
        SpecError: a list is longer than the chain, a number is wrong, or a slope has no bound.
    """
    from rich.console import Console

    from evenflow.cli.lists import numbers
    from evenflow.report.forecast_terminal import chain_sentence, chain_table
    from evenflow.theory import chain

    weights = numbers(weight, "--weight", "0.1,0.5")
    points = None if at is None else numbers(at, "--at", "-3,0,2.5")
    found = chain(network.activation_names, weights, network.layers, points)
    console = Console(highlight=False, markup=False)
    console.print(chain_table(found, highest=points is None))
    console.print(chain_sentence(found))
    return 0


def _one_activation(network: Network) -> Activation:
    from evenflow.errors import SpecError

    if len(set(network.activation_names)) > 1:
        names = ", ".join(dict.fromkeys(network.activation_names))
        raise SpecError(f"--map shows one activation, not several ({names}); give one with --activation")
    return network.activations[0]


def _point(network: Network, weight: float | None, bias: float | None) -> tuple[float, float]:
    from evenflow.errors import SpecError
    from evenflow.theory.meanfield import check_draw
    from evenflow.theory.phase_map import plane_point

    if weight is None or bias is None:
        try:
            drawn = plane_point(network)
        except SpecError as error:
            raise SpecError(f"--map: {error}; give --weight-variance and --bias-variance") from None
        weight = drawn[0] if weight is None else weight
        bias = drawn[1] if bias is None else bias
    check_draw(weight, bias)
    return weight, bias
