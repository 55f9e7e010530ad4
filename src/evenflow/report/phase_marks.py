"""What stands in the phase diagram: marks of initialisations, and names that keep out of each other's way.

Marks are white with a black rim, which shows on every colour of the diagram.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.report.wording import plot_text
from evenflow.spec.network import Network
from evenflow.theory.phase_map import PhaseMap, plane_point

BLACK, WHITE = "#000000", "#ffffff"
KNOWN = {"torch": "PyTorch", "lecun": "LeCun", "xavier": "Xavier", "he": "He"}


def known_points(width: int) -> dict[str, tuple[float, float]]:
    """σ_w² and σ_b² of the usual initialisations between hidden layers of this width.

    >>> {name: (round(w, 3), round(b, 3)) for name, (w, b) in known_points(100).items()}
    {'PyTorch': (0.333, 0.003), 'LeCun': (1.0, 0.0), 'Xavier': (1.0, 0.0), 'He': (2.0, 0.0)}
    """
    return {name: plane_point(Network(width=width, initialisation=term)) for term, name in KNOWN.items()}


def spots(x: Sequence[float], y: Sequence[float], symbol: str, name: str, size: int = 11) -> dict[str, Any]:
    """Marks at these places, as a trace."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "marker": {"symbol": symbol, "size": size, "color": WHITE, "line": {"color": BLACK, "width": 2}},
        "cliponaxis": False,
        "hovertemplate": f"{name}<br>σ_w² %{{x:.4g}}, σ_b² %{{y:.3g}}<extra></extra>",
        "name": name,
        "showlegend": False,
    }


def known_marks(known: Mapping[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """A mark for every place; initialisations that share one share its mark."""
    places: dict[tuple[float, float], list[str]] = {}
    for name, place in known.items():
        places.setdefault(place, []).append(name)
    return [spots([x], [y], "circle", ", ".join(names)) for (x, y), names in places.items()]


def known_names(known: Mapping[str, tuple[float, float]], right: float) -> list[dict[str, Any]]:
    """Names over the marks: one for marks that lie together, at two heights in turn, so that none hides another."""
    groups: list[tuple[float, float, list[str]]] = []
    for name, (x, y) in known.items():
        if groups and x - groups[-1][0] < 0.05 * right:
            groups[-1][2].append(name)
        else:
            groups.append((x, y, [name]))
    return [
        {
            **label(", ".join(names), x, y),
            "xanchor": "left" if x < 0.2 * right else "center",
            "xshift": -8 if x < 0.2 * right else 0,
            "yanchor": "bottom",
            "yshift": 9 + 19 * (index % 2),
        }
        for index, (x, y, names) in enumerate(groups)
    ]


def region_names(found: PhaseMap, point: tuple[float, float] | None) -> list[dict[str, Any]]:
    """A label in the middle of every region that has room for one, away from the network's name."""
    bounded = np.isfinite(found.variance)
    free = np.ones(bounded.shape, dtype=bool)
    free[: len(free) // 4] = False  # the names of the others
    if point is not None:
        right, top = found.weight_variances[-1], found.bias_variances[-1]
        beside = np.abs(found.weight_variances - point[0]) < 0.3 * right
        above = np.abs(found.bias_variances - point[1] - 0.18 * top) < 0.25 * top
        free &= ~(beside & above[:, None])
    labels = []
    for mask, text in (
        (bounded & (found.chi < 1), "<b>ordered</b><br>gradients vanish"),
        (bounded & (found.chi > 1), "<b>chaotic</b><br>gradients explode"),
        (~bounded & (found.chi > 1), "<b>chaotic</b><br>variance grows<br>without bound"),
        (~bounded & (found.chi < 1), "<b>ordered</b><br>variance grows<br>without bound"),
    ):
        if mask.mean() > 0.06:
            row, column = _middle(mask & free if (mask & free).any() else mask)
            x, right = float(found.weight_variances[column]), float(found.weight_variances[-1])
            one = label(text, x, float(found.bias_variances[row]))
            if x > 0.8 * right:  # a narrow picture would cut it
                one |= {"x": 0.995 * right, "xanchor": "right"}
            labels.append(one)
    return labels


def _middle(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The cell of a region that is furthest from its edge; sideways counts twice, since text needs width."""
    inner = left = mask
    while left.any():
        inner = left
        padded = np.pad(inner, ((1, 1), (2, 2)))
        left = (
            padded[1:-1, 2:-2] & padded[:-2, 2:-2] & padded[2:, 2:-2] & padded[1:-1, :-4] & padded[1:-1, 4:]
        )
    rows, columns = np.nonzero(inner)
    middle = len(rows) // 2
    return int(rows[middle]), int(np.median(columns[rows == rows[middle]]))


def network_mark(point: tuple[float, float], name: str) -> dict[str, Any]:
    """The mark of the reader's own network."""
    return spots([point[0]], [point[1]], "star", name, size=17)


def network_name(point: tuple[float, float], name: str, right: float) -> dict[str, Any]:
    """Its name, straight above the mark and past the names of the others."""
    arrow = {"showarrow": True, "ax": 0, "ay": -85, "arrowhead": 0, "arrowcolor": BLACK, "standoff": 8}
    side = "left" if point[0] < 0.2 * right else "right" if point[0] > 0.8 * right else "center"
    return label(f"<b>{plot_text(name)}</b>", *point) | arrow | {"xanchor": side}


def label(text: str, x: float, y: float) -> dict[str, Any]:
    """Black text on a light ground, as an annotation."""
    return {
        "text": text,
        "x": x,
        "y": y,
        "showarrow": False,
        "bgcolor": "rgba(255,255,255,0.8)",
        "borderpad": 2,
        "font": {"size": 12, "color": BLACK},
    }
