"""What flows through the layers of a case: gradients, signals and updates by depth, at its start and at its end.

A layer counts by its matrix. Embeddings are left out, since most of their rows have no gradient in a step; so are
biases and the scales of normalisations, which live on other scales. A matrix's gradient is put in relation to the
matrix and the loss,

    ρ = ‖∂L/∂W‖ ‖W‖ / L,

how much of the loss a relative change of the weights would move to first order. It does not depend on the layer's
width, nor on the unit of the loss, and with units f(aW) = a f(W) it is the same in all layers (Du, Hu and Lee 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.diagnose.case import Case, Series
from evenflow.diagnose.finding import MissingError, NotApplicableError
from evenflow.diagnose.trends import Vector, beginning, middle, outer
from evenflow.record.axes import Site
from evenflow.spec.setting import Layer

_AWAKE = 5
"""Steps after which a network whose last layer begins at 0 has gradients everywhere."""
_STEP = 3e-4
"""Update relative to the weight below which 200 steps change it by 6 % at most."""
_ADAPTIVE = ("adam", "rmsprop", "adagrad", "adadelta", "rprop", "lion", "adafactor", "muon", "lamb", "sophia")
TWO_SIDED = ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign", "erf", "relu6", "arctan", "atan")
"""Activations that are flat, or nearly, where the input is large, on either side."""
_CUT_AT_0 = ("relu6",)
"""Those of them that are 0 on one side, where a unit is silent rather than saturated."""


@dataclass(frozen=True)
class Matrices:
    """The matrices of a case in the order of depth, a column each.

    Args:
        sites: of the matrices.
        steps: recorded steps.
        gradient: ‖∂L/∂W‖, of (steps, sites), before clipping.
        weight: ‖W‖, of the same steps.
        update: ‖ΔW‖ / ‖W‖, NaN where it was not recorded.
    """

    sites: tuple[Site, ...]
    steps: NDArray[np.int64]
    gradient: NDArray[np.float64]
    weight: NDArray[np.float64]
    update: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sites."""
        return tuple(site.name for site in self.sites)

    @property
    def places(self) -> Vector:
        """0, 1, 2, … in the order of depth."""
        return np.arange(len(self.sites), dtype=float)

    def start(self, values: NDArray[np.float64]) -> Vector:
        """Before the first update; behind a last layer that begins at 0, in front of which all is 0, soon after."""
        first = beginning(values)
        later = beginning(np.where(values[:_AWAKE] == 0, np.nan, values[:_AWAKE]))
        return np.where(np.isnan(later), first, later)

    def end(self, values: NDArray[np.float64]) -> Vector:
        """Median over the last third of the steps."""
        return middle(values[-max(len(values) // 3, 1) :])

    @property
    def hardly_move(self) -> bool:
        """Whether not even the last layers move: then the steps are too small, whatever the gradient is.

        By the update that nine tenths of the steps stay below, which is past a warm-up and no odd step.
        """
        if not np.isfinite(self.update).any():
            return False
        _, last = outer(np.quantile(np.where(np.isnan(self.update), 0.0, self.update), 0.9, axis=0))
        return last < _STEP

    def pull(self, loss: float) -> NDArray[np.float64]:
        """ρ = ‖∂L/∂W‖ ‖W‖ / L by step and matrix, with one loss for all steps."""
        return self.gradient * self.weight / max(abs(loss), np.finfo(float).tiny)


def matrices(case: Case) -> Matrices:
    """The matrices of a case that a gradient was recorded of, without embeddings.

    Raises:
        MissingError: no gradients of weights were recorded, or only those of embeddings.
    """
    gradient = case.series("grad_norm", "weight")
    sparse = embeddings(case)
    chosen = [place for place, site in enumerate(gradient.sites) if site.name not in sparse]
    if not chosen:
        raise NotApplicableError("only embeddings have weights, whose gradients say nothing of the flow")
    sites = tuple(gradient.sites[place] for place in chosen)
    values = gradient.values[:, chosen]
    return Matrices(
        sites,
        gradient.steps,
        values,
        _aligned(case, "weight_norm", sites, gradient.steps),
        _aligned(case, "update_to_weight", sites, gradient.steps),
    )


def embeddings(case: Case) -> frozenset[str]:
    """Names of the parameters whose gradient touches some rows only."""
    setting = case.setting
    layers = {layer.name for layer in setting.layers if layer.type.startswith("Embedding")}
    return frozenset(one.name for one in setting.parameters if one.sparse or one.layer in layers)


_MAPS = ("Linear", "Conv", "Lazy", "RNN", "LSTM", "GRU", "Bilinear", "MultiheadAttention")


def linear_map(layer: Layer) -> bool:
    """Whether a layer is a matrix between units: a module that is known as one, or one in front of an activation."""
    return not layer.type.startswith("Embedding") and (
        any(word in layer.type for word in _MAPS) or layer.activation != ""
    )


def adaptive(case: Case) -> bool | None:
    """Whether the optimiser divides by the gradient's size, as Adam does; None where no optimiser is known."""
    groups = case.setting.optimisers
    if not groups:
        return None
    return any(word in group.type.lower() for group in groups for word in _ADAPTIVE)


def hidden_activations(case: Case, statistic: str) -> Series:
    """A statistic of the activations that stand before the last matrix; the last one's function is the output's.

    Raises:
        MissingError: it was not recorded of any.
    """
    series = case.series(statistic, "activation")
    try:
        last = max(site.depth for site in case.series("grad_norm", "weight").sites)
    except MissingError:
        last = math.inf
    own = {layer.activation_site for layer in case.setting.layers if layer.depth == last} - {""}
    chosen = [
        place
        for place, site in enumerate(series.sites)
        if site.name not in own and (site.depth < last or last == math.inf)
    ]
    if not chosen:
        raise NotApplicableError("no activation stands before the last layer")
    return Series(series.steps, tuple(series.sites[place] for place in chosen), series.values[:, chosen])


def two_sided(case: Case, series: Series) -> NDArray[np.bool_]:
    """Whether the activation at each site is bounded on both sides, by its name, else by its values."""
    known = _activations(case)
    bounded = _bounded(case, series.sites)
    return np.array(
        [
            known[site.name] in TWO_SIDED if known.get(site.name) else bound
            for site, bound in zip(series.sites, bounded, strict=True)
        ],
        dtype=bool,
    )


def silent_where_flat(case: Case, series: Series) -> NDArray[np.bool_]:
    """Whether a unit without a slope says 0 there: of a rectifier always, of what is flat on both sides never.

    A unit of a tanh or a hard tanh that lies in a flat part says ±1; no gradient comes back through it either, but it
    is saturated and not dead, which is another finding with other remedies.
    """
    return ~two_sided(case, series) | cut_at_zero(case, series)


def cut_at_zero(case: Case, series: Series) -> NDArray[np.bool_]:
    """Whether the activation at each site is bounded on both sides and 0 on the lower one."""
    known = _activations(case)
    return np.array([known.get(site.name) in _CUT_AT_0 for site in series.sites], dtype=bool)


def _activations(case: Case) -> dict[str, str]:
    """The names of the activations by their sites, without parameters."""
    return {
        layer.activation_site: layer.activation.split(":")[0].replace("_", "")
        for layer in case.setting.layers
        if layer.activation_site
    }


def _bounded(case: Case, sites: tuple[Site, ...]) -> list[bool]:
    """Whether a site never gave more than 1, and hardly ever exactly 0: a sigmoid's or a tanh's range."""
    try:
        largest = case.series("max_abs", "activation")
        zeros = case.series("zero_fraction", "activation")
    except MissingError:
        return [False] * len(sites)
    tops = dict(zip(largest.names, _columns(largest.values, "max"), strict=True))
    silent = dict(zip(zeros.names, _columns(zeros.values, "median"), strict=True))
    return [
        tops.get(site.name, math.inf) <= 1.0 + 1e-6 and silent.get(site.name, 1.0) < 0.01 for site in sites
    ]


def _columns(values: NDArray[np.float64], how: str) -> list[float]:
    columns = [column[~np.isnan(column)] for column in values.T]
    figure = np.max if how == "max" else np.median
    return [float(figure(column)) if len(column) else math.nan for column in columns]


def _aligned(
    case: Case, statistic: str, sites: tuple[Site, ...], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """A statistic of these sites at these steps, NaN where it was not recorded."""
    found = np.full((len(steps), len(sites)), np.nan)
    try:
        series = case.series(statistic, "weight")
    except MissingError:
        return found
    columns = {site: place for place, site in enumerate(series.sites)}
    _, mine, theirs = np.intersect1d(steps, series.steps, return_indices=True)
    for place, site in enumerate(sites):
        if site in columns:
            found[mine, place] = series.values[theirs, columns[site]]
    return found
