"""A page on which a signal runs forward through a network and its gradient back, for any depth and scale of weights.

The page has no network of its own: it iterates the mean-field maps (Poole et al. 2016, equation 3; Schoenholz et
al. 2017, equation 6), whose two functions of the variance q, ``V(q) = E[f(√q·z)²]`` and ``D(q) = E[f'(√q·z)²]``, are
tabulated here. Between two places of the table a cubic meets values and slopes of both ends, in logarithms, where
both functions are straight lines for small and for large q.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import DataError, SpecError
from evenflow.report.templating import environment, plain_json
from evenflow.report.wording import number
from evenflow.spec.activation import Activation, activation
from evenflow.spec.initialisation import weight_draw
from evenflow.theory.gaussian import moments

Array = NDArray[np.float64]

DEEPEST = 100
LEAST_SCALE, LARGEST_SCALE = 0.1, 10.0
_DECADES = (-12, 12)  # of q; beyond, the table goes on as it ends
_PER_DECADE = 4
_NOTHING = -700.0  # the logarithm that stands for 0
_KNOWN = {"torch": "PyTorch's weights", "lecun": "LeCun", "he": "He", "gain": "its own gain"}


@dataclass(frozen=True, eq=False)
class Maps:
    """V and D of one activation on a grid of ln q, with their slopes ``d ln V/d ln q`` and ``d ln D/d ln q``.

    Args:
        log_q: natural logarithm of q, evenly spaced, of shape (places,).
        value, value_slope: ln V and its slope, of shape (places,).
        slope, slope_slope: ln D and its slope, of shape (places,).
    """

    log_q: Array
    value: Array
    value_slope: Array
    slope: Array
    slope_slope: Array


def maps(function: Activation | str) -> Maps:
    """Tabulate V and D, as far as they are finite.

    Raises:
        SpecError: they are not finite even for small q.
    """
    function = activation(function)
    first, last = _DECADES
    log_q = math.log(10) * np.linspace(first, last, 1 + (last - first) * _PER_DECADE)
    columns = []
    for q in np.exp(log_q):
        try:
            at = moments(function, q)
        except SpecError:
            break  # E[f²] is infinite from here on
        root = math.sqrt(q)
        with np.errstate(divide="ignore", invalid="ignore"):
            value_slope = root * at.radial / at.second
            slope_slope = (at.slope_radial - at.slope_second) / (2 * at.slope_second)
            logs = np.log(at.second), np.log(at.slope_second)
        columns.append((logs[0], value_slope, logs[1], slope_slope))
    if len(columns) < 2:
        raise SpecError(
            f'activation "{function.name}": its second moment is infinite, so nothing can be shown'
        )
    table = np.array(columns, dtype=np.float64).T
    table[[0, 2]] = np.maximum(table[[0, 2]], _NOTHING)
    table[[1, 3]] = np.where(np.isfinite(table[[1, 3]]), table[[1, 3]], 0.0)
    return Maps(log_q[: table.shape[1]], *table)


def animation(names: Sequence[Activation | str], *, depth: int = 20, scale: float | None = None) -> str:
    """The page as a text, complete in itself.

    Args:
        names: the activations to choose among; the first is shown.
        depth: hidden layers at the start, 2 to 100.
        scale: σ_w, standard deviation of a weight times √fan-in, at the start; PyTorch's default when left out.

    Raises:
        SpecError: a name is not known, there is none, or a number is out of its range.
    """
    functions = tuple(dict.fromkeys(activation(name) for name in names))
    if not functions:
        raise SpecError("animation: no activation to show; name at least one")
    if not 2 <= depth <= DEEPEST:
        raise SpecError(f"animation: depth = {depth}: 2 to {DEEPEST} layers can be shown")
    begin = _scales(functions[0])["torch"] if scale is None else scale
    if not LEAST_SCALE <= begin <= LARGEST_SCALE:
        raise SpecError(
            f"animation: scale = {begin:g}: {LEAST_SCALE:g} to {LARGEST_SCALE:g} times 1/√fan-in can be shown"
        )
    data = {
        "depth": depth,
        "deepest": DEEPEST,
        "scale": begin,
        "scales": [LEAST_SCALE, LARGEST_SCALE],
        "activations": [_data(function) for function in functions],
    }
    return (
        environment()
        .get_template("animation.html.j2")
        .render(titles=[function.title for function in functions], data=plain_json(data))
    )


def write_animation(
    names: Sequence[Activation | str], path: str | Path, *, depth: int = 20, scale: float | None = None
) -> Path:
    """Write the page of `animation` and return its path.

    Raises:
        SpecError: as `animation`, or the ending of the file is not .html.
        DataError: the file cannot be written.
    """
    path = Path(path)
    check_page(path)
    text = animation(names, depth=depth, scale=scale)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f'"{path}" cannot be written: {error.strerror}; choose another place') from None
    return path


def check_page(path: str | Path) -> None:
    """Raise SpecError unless `path` ends in .html."""
    if Path(path).suffix.lower() != ".html":
        raise SpecError(f'animation "{path}": it is a page, so the ending must be .html')


def _scales(function: Activation) -> dict[str, float]:
    """σ_w of the usual initialisations between layers of equal width."""
    width = 100
    found = {}
    for name in _KNOWN:
        try:
            found[name] = weight_draw(name, width, width, function).scale * math.sqrt(width)
        except SpecError:
            continue  # the activation has no gain
    return found


def _data(function: Activation) -> dict[str, object]:
    table = maps(function)
    known = [
        {"name": f"{_KNOWN[name]}: {number(scale, 3)}", "scale": scale}
        for name, scale in _scales(function).items()
        if LEAST_SCALE <= scale <= LARGEST_SCALE
    ]
    return {
        "name": function.name,
        "title": function.title,
        "known": known,
        "start": float(table.log_q[0]),
        "step": float(table.log_q[1] - table.log_q[0]),
        **{
            field: [float(f"{entry:.9g}") for entry in getattr(table, field)]
            for field in ("value", "value_slope", "slope", "slope_slope")
        },
    }
