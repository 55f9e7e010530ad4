"""The activation functions of the study and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.errors import SpecError
from evenflow.report.activation_figures import TOGETHER, activation_figure
from evenflow.report.figures.picture import NARROW, WIDE, Panels, Picture
from evenflow.report.view import View
from evenflow.report.wording import capitalised, decimal, listed, number, plot_text, plural, raised
from evenflow.spec.activation import Activation, activation
from evenflow.spec.properties import properties

_NOTE = "The derivative f' is what every layer multiplies the gradient by on its way back."
TITLE = "Activation functions and their derivatives"


def activations_picture(view: View) -> Picture:
    """f and f' of every activation that a cell of the study uses."""
    names = [name for choice in view.choices for name in _names(choice.summary.fields.get("activation"))]
    functions: list[Activation] = []
    for name in dict.fromkeys(names):
        try:
            functions.append(activation(name))
        except SpecError:  # registered by a module that this process did not load
            continue
    if not functions:
        return Picture("activations", TITLE, "No activation of the study is known here.")
    plain = activation_figure(functions).to_plotly_json()
    layouts = _apart if len(functions) > TOGETHER else _together
    wide, narrow = layouts(plain["layout"], functions)
    return Picture(
        name="activations",
        title=TITLE,
        sentence=_sentence(functions, _depth(view)),
        note=_NOTE + (" Dotted: ReLU." if len(functions) > TOGETHER else ""),
        traces=[_outlined(trace) for trace in plain["data"]],
        wide=wide,
        narrow=narrow,
    )


def _outlined(trace: dict) -> dict:
    """An open marker has its line's own colour, which shows on a dark ground too."""
    marker = trace.get("marker")
    if not marker or "line" not in marker:
        return trace
    return trace | {"marker": marker | {"line": marker["line"] | {"color": marker["color"]}, "size": 8}}


def _together(given: dict, functions: Sequence[Activation]) -> tuple[dict, dict]:
    panels = Panels(
        titles=["<b>f(z)</b>", "<b>f'(z)</b>"],
        x={"title": "z", "range": given["xaxis"]["range"], "dtick": 1, "zeroline": True},
        y={"zeroline": True},
        entries=len(functions),
        entry_width=max([60, *(7 * len(one.title) for one in functions)]),
    )

    def layout(columns: int, height: int, width: int) -> dict:
        done = panels.layout(columns, height, width, gap=56)
        for name in ("yaxis", "yaxis2"):
            done[name] = {key: value for key, value in done[name].items() if key != "matches"}
            done[name] |= {"showticklabels": True}
        done["yaxis"] |= {"range": given["yaxis"]["range"], "dtick": 1}
        return done | {"hovermode": "x unified"}

    return layout(2, 340, WIDE), layout(1, 250, NARROW)


def _apart(given: dict, functions: Sequence[Activation]) -> tuple[dict, dict]:
    """A pair of panels for every function; the traces name the axes in this order."""
    panels = Panels(
        titles=[
            f"<b>{plot_text(one.title)}</b>" if half == 0 else "f'" for one in functions for half in (0, 1)
        ],
        x={"range": given["xaxis"]["range"], "dtick": 2, "zeroline": True},
        y={"zeroline": True},
    )

    def layout(columns: int, height: int, width: int) -> dict:
        done = panels.layout(columns, height, width, gap=30)
        for place in range(len(panels.titles)):
            name = "yaxis" if place == 0 else f"yaxis{place + 1}"
            kept = {key: value for key, value in done[name].items() if key != "matches"}
            done[name] = kept | {"range": given[name]["range"], "showticklabels": True}
        return done

    return layout(6, 110, WIDE), layout(2, 110, NARROW)


def _sentence(functions: Sequence[Activation], depth: int) -> str:
    slopes = {one: properties(one).max_slope for one in functions}
    steepest = max(functions, key=lambda one: slopes[one])
    flattest = min(functions, key=lambda one: slopes[one])
    kept = slopes[flattest] ** depth
    through = (
        f"passing {plural(depth, 'activation')}, a gradient keeps at most {number(slopes[flattest])}"
        f"{f'{raised(depth)} = {number(kept)}' if depth > 1 else ''} of itself there, before the weights have their say"
    )
    if len(functions) == 1:
        text = f"The slope of {flattest.title} is at most {decimal(slopes[flattest], 2)}"
        return f"{text}; {through}." if slopes[flattest] < 0.995 else f"{text}."
    low = [one.title for one in functions if math.isclose(slopes[one], slopes[flattest], rel_tol=1e-3)]
    high = [one.title for one in functions if math.isclose(slopes[one], slopes[steepest], rel_tol=1e-3)]
    if len(low) == len(functions):
        every = "Both" if len(functions) == 2 else f"All {len(functions)}"
        text = f"{every} reach a slope of {decimal(slopes[flattest], 2)}"
    else:
        verb = "has" if len(low) == 1 else "have"
        text = f"{capitalised(listed(low, 3))} {verb} the smallest steepest slope, {decimal(slopes[flattest], 2)}"
    if slopes[flattest] < 0.995:
        text += f": {through}"
    if len(low) < len(functions):
        verb = "is" if len(high) == 1 else "are"
        text += f"; the steepest {verb} {listed(high, 3)} with {decimal(slopes[steepest], 2)}"
    return f"{text}."


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def _depth(view: View) -> int:
    depths = [choice.summary.fields.get("depth") for choice in view.choices]
    return max((depth for depth in depths if isinstance(depth, int)), default=1)
