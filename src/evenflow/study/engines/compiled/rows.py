"""From the arrays of a recorded step to the rows that the torch engine writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.record.schema import Site
from evenflow.record.writing import Row
from evenflow.spec.network import Network
from evenflow.study.data import DataSet

Figures = Mapping[str, NDArray[np.float64]]

_OUTPUTS = ("mean", "std", "rms", "max_abs", "zero_fraction", "saturated_fraction", "nonfinite_count")


@dataclass(frozen=True)
class Writer:
    """Writes rows for networks of one shape.

    Args:
        network: the shape.
        data: what they are trained on.
        batch: samples in a step.
        parameters: site of every parameter, in the order of the torch module.
        entries: entries of every parameter.
    """

    network: Network
    data: DataSet
    batch: int
    parameters: Sequence[Site]
    entries: NDArray[np.int64]

    def recorded(self, figures: Figures, place: int, *, updated: bool) -> list[Row]:
        """The rows of a recorded step of the network at `place`.

        Args:
            figures: as the functions of `program` give them, as NumPy arrays, and `norms` of the parameters.
                Where the whole data set was not evaluated, the figures of that are missing.
            place: of the network in its group.
            updated: whether the step was made; the last record only reads.
        """
        answers = self.answers(figures, place) if "losses" in figures else []
        return [
            *answers,
            *self._signals(figures, place),
            *self.gradients(figures, place, updated=updated),
        ]

    def answers(self, figures: Figures, place: int) -> list[Row]:
        """Loss, accuracy and recall."""
        losses, right = figures["losses"][:, place], figures["right"][:, place]
        data, rows = self.data, []
        first = 0
        for part, labels in (("train", data.train_labels), ("test", data.test_labels)):
            chosen = slice(first, first + len(labels))
            values = {"loss": float(losses[chosen].mean()), "accuracy": float(right[chosen].mean())}
            rows.append((Site(part, "loss", 0, len(labels)), "", values))
            first += len(labels)
        of_test = right[len(data.train_labels) :][: len(data.test_labels)]
        for label in range(data.classes):
            of_class = data.test_labels == label
            if of_class.any():
                site = Site(f"test class {label}", "class", 0, int(of_class.sum()))
                rows.append((site, "", {"recall": float(of_test[of_class].mean())}))
        return rows

    def dead(self, figures: Figures, place: int) -> list[Row]:
        """Dead units of every hidden layer, without anything else of it."""
        return [
            (
                self._activation(layer),
                "",
                {"dead_fraction": float(figures["dead_fraction"][layer - 1, place])},
            )
            for layer in range(1, self.network.layers + 1)
        ]

    def gradients(self, figures: Figures, place: int, *, updated: bool, clipped: bool = True) -> list[Row]:
        """Loss of the batch, and gradient, weight and update of every parameter."""
        batch_loss = float(figures["batch_loss"][place])
        rows: list[Row] = [(Site("batch", "loss", 0, self.batch), "", {"loss": batch_loss})]
        roots = np.sqrt(self.entries)
        weight, update = figures["weight_norm"][:, place], figures["update_norm"][:, place]
        phases = {"accumulated": figures["grad_norm"][:, place]}
        if clipped and "clipped_norm" in figures:
            phases["clipped"] = figures["clipped_norm"][:, place]
        for phase, gradient in phases.items():
            for number, site in enumerate(self.parameters):
                norm = float(gradient[number])
                values = {"grad_norm": norm, "grad_rms": norm / float(roots[number])}
                if phase == "accumulated":
                    values["weight_norm"] = size = float(weight[number])
                    if updated:
                        values["update_norm"] = moved = float(update[number])
                        values["update_to_weight"] = moved / size if size else math.nan
                rows.append((site, phase, values))
        return rows

    def _signals(self, figures: Figures, place: int) -> list[Row]:
        rows: list[Row] = []
        for layer, width in enumerate(self.network.widths, start=1):
            values = {
                name: float(figures[name][layer - 1, place])
                for name in (*_OUTPUTS, "dead_fraction")
                if name in figures
            }
            rows.append((self._activation(layer), "", values))
            site = Site(f"activation_{layer}", "pre-activation", layer, width)
            received = float(figures["signal_rms"][layer - 1, place])
            rows.append((site, "accumulated", {"signal_rms": received}))
        return rows

    def _activation(self, layer: int) -> Site:
        return Site(f"activation_{layer}", "activation", layer, self.network.widths[layer - 1])


def norms(arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """√Σv² in float64 of arrays with the networks in front: shape (arrays, networks).

    >>> norms([np.array([[3.0, 4.0]])]).tolist()
    [[5.0]]
    """
    flat = [array.reshape(len(array), -1).astype(np.float64) for array in arrays]
    with np.errstate(all="ignore"):  # a training that diverges is a result
        return np.sqrt([np.einsum("ni,ni->n", one, one) for one in flat])


def distances(
    after: Sequence[NDArray[np.floating]], before: Sequence[NDArray[np.floating]]
) -> NDArray[np.float64]:
    """√Σ(v − w)² in float64 of arrays with the networks in front: shape (arrays, networks)."""
    with np.errstate(all="ignore"):
        return norms([one.astype(np.float64) - other for one, other in zip(after, before, strict=True)])
