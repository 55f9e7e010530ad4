"""`evenflow activations`: the catalogue, what each function does to signals and gradients, and its curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from evenflow.measure.activation_cost import ActivationCost
    from evenflow.spec.activation import Activation
    from evenflow.spec.properties import Interval

    Costs = dict[str, ActivationCost]


def activations(
    *names: str,
    at: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    plot: Path | None = None,
    animate: Path | None = None,
    cost: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """List the activation functions with properties measured from the functions themselves.

    One name shows everything about that function; several compare them.

    Examples:

        evenflow activations                                the list

        evenflow activations gelu                           formula, paper, all

        evenflow activations relu --at -3,-1,0,0.5,1,3      z, f(z), f'(z)

        evenflow activations tanh gelu --plot curves.html   their curves

        evenflow activations relu --animate page.html       signal and gradient through a network of ReLU

    Parameters
    ----------
    names
        Such as relu, or leaky_relu:0.2 with the slope after a colon. All of them when left out.
    at
        Numbers with commas between: print f and f' there.
    plot
        Draw functions and derivatives into this file, .html, .png or .svg (the last two need Chrome or Chromium).
    animate
        Write a page, .html, on which a signal runs through a network of these activations and its gradient back, with
        the depth and the scale of the weights to choose; it needs no network.
    cost
        Also time forward and backward on this machine, as multiples of ReLU.
    """
    from rich.console import Console

    from evenflow.cli.lists import numbers
    from evenflow.errors import SpecError
    from evenflow.report.animation import check_page, write_animation
    from evenflow.report.export import check_ending
    from evenflow.spec.activation import activation, activation_names

    if plot is not None:
        check_ending(plot)
    if animate is not None:
        check_page(animate)
    chosen = tuple(dict.fromkeys(activation(name) for name in names or activation_names()))
    points = None if at is None else numbers(at, "--at", "-3,0,2.5")
    if points is not None and not names:
        raise SpecError("--at needs an activation, such as: evenflow activations relu --at -1,0,1")
    written = None if plot is None else _draw(chosen, plot)
    page = None if animate is None else write_animation(chosen, animate)
    console = Console(highlight=False, markup=False)
    for one in chosen if points else ():
        console.print(_values(one, points or (), one.title if len(chosen) > 1 else None))
    if not points or cost:
        costs = _costs(chosen) if cost else {}
        tables = [_details(chosen[0], costs)] if len(chosen) == 1 else _comparison(chosen, costs)
        for table in tables:
            console.print(table)
    if written is not None:
        console.print(f"figure: {written}", soft_wrap=True)
    if page is not None:
        console.print(f"page: {page}", soft_wrap=True)
    return 0


def _draw(functions: Sequence[Activation], path: Path) -> Path:
    from evenflow.report.activation_figures import activation_figure
    from evenflow.report.export import write_figure

    return write_figure(activation_figure(functions), path)


def _values(one: Activation, points: Sequence[float], title: str | None) -> Table:
    from evenflow.report.plain_table import plain_table

    table = plain_table(title)
    for column in ("z", "f(z)", "f'(z)"):
        table.add_column(column, justify="right")
    for z in points:
        table.add_row(_general(z), _general(one(z)), _general(one.derivative(z)))
    return table


def _comparison(functions: Sequence[Activation], costs: Costs) -> list[Table]:
    from evenflow.report.plain_table import plain_table
    from evenflow.spec.properties import properties

    forward = plain_table("Forward: what f does to a signal, z ~ N(0, 1)")
    backward = plain_table("Backward: what f' does to a gradient")
    for table, columns in (
        (forward, ("lowest", "highest", "mean", "E[f²]", "gain")),
        (backward, ("steepest", "at z", "E[f'²]")),
    ):
        table.add_column("activation", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
    forward.add_column("monotone", no_wrap=True)
    backward.add_column("saturated")
    backward.add_column("dead", no_wrap=True)
    if costs:
        forward.add_column("cost", justify="right", no_wrap=True)
        backward.add_column("cost", justify="right", no_wrap=True)
    for one in functions:
        found = properties(one)
        forward.add_row(
            one.name,
            _fixed(found.minimum),
            _fixed(found.maximum),
            "0" if found.zero_centred else _fixed(found.mean),
            _fixed(found.second_moment),
            _fixed(found.gain),
            "yes" if found.monotone else "no",
            *([f"{costs[one.name].forward:.1f}"] if costs else []),
        )
        backward.add_row(
            one.name,
            _fixed(found.max_slope),
            _short(found.max_slope_at),
            _fixed(found.slope_second_moment),
            _intervals(found.saturated),
            _intervals(found.dead),
            *([f"{costs[one.name].backward:.1f}"] if costs else []),
        )
    timed = "; cost: time, ReLU = 1" if costs else ""
    forward.caption = f"gain: 1/√E[f²]{timed}\n"
    backward.caption = f"saturated: |f'| < 1 % of the steepest; dead: f' = 0{timed}"
    return [forward, backward]


def _details(one: Activation, costs: Costs) -> Table:
    from evenflow.report.plain_table import plain_table
    from evenflow.spec.properties import properties

    found = properties(one)
    convention = ", by convention: f has a kink there" if found.slope_at_zero_is_convention else ""
    table = plain_table(f"{one.title} ({one.name})")
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column()
    rows = {
        "f(z)": one.formula,
        "f'(z)": one.derivative_formula,
        "paper": one.reference or "-",
        "range": f"{_general(found.minimum, 6)} to {_general(found.maximum, 6)}",
        "mean, z ~ N(0, 1)": "0: zero-centred" if found.zero_centred else _general(found.mean, 6),
        "E[f²]": _general(found.second_moment, 6),
        "gain 1/√E[f²]": _general(found.gain, 6),
        "monotone": "yes" if found.monotone else "no",
        "largest slope": f"{_general(found.max_slope, 6)} at z = {_general(found.max_slope_at, 6)}",
        "E[f'²]": _general(found.slope_second_moment, 6),
        "f'(0)": f"{_general(found.slope_at_zero, 6)}{convention}",
        "kinks": ", ".join(f"z = {_general(kink, 6)}" for kink in found.kinks) or "none",
        "saturated, |f'| < 1 %": _intervals(found.saturated),
        "dead, f' = 0": _intervals(found.dead),
    }
    if costs:
        rows["forward, ReLU = 1"] = f"{costs[one.name].forward:.1f}"
        rows["backward, ReLU = 1"] = f"{costs[one.name].backward:.1f}"
    for label, text in rows.items():
        table.add_row(label, text)
    return table


def _costs(functions: Sequence[Activation]) -> Costs:
    from evenflow.measure.activation_cost import activation_costs
    from evenflow.study.elementwise import activation_module

    width = 256
    return activation_costs({one.name: activation_module(one, width) for one in functions}, width=width)


def _intervals(intervals: Sequence[Interval]) -> str:
    """Intervals of z in words: `|z| > 5.99`, `z < -3.02, -0.779 to -0.726`."""
    if not intervals:
        return "-"
    if len(intervals) == 2 and intervals[0][0] == -math.inf and intervals[0][1] == -intervals[1][0]:
        return f"|z| > {_short(intervals[1][0])}"
    return ", ".join(map(_interval, intervals))


def _interval(interval: Interval) -> str:
    low, high = interval
    if low == -math.inf:
        return "everywhere" if high == math.inf else f"z < {_short(high)}"
    return f"z > {_short(low)}" if high == math.inf else f"{_short(low)} to {_short(high)}"


def _general(number: float, digits: int = 8) -> str:
    """A number without a needless zero behind or a minus before 0."""
    return f"{number + 0.0:.{digits}g}".replace("inf", "∞")


def _short(number: float) -> str:
    return _general(number, 3)


def _fixed(number: float) -> str:
    return f"{number:.3f}".replace("inf", "∞")
