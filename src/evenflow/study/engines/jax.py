"""The fast engine: many networks of one shape at once, the training loop between two records compiled.

Initial weights, order of the data and every figure are those of the torch engine. The arithmetic is the same up to
the order of sums, so that losses and norms agree to rounding; a gradient below 1.2e-38, which float32 holds only in a
shortened form, is 0 here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from evenflow.spec.study import Cell
from evenflow.study.data import DataSet
from evenflow.study.draws import batch_indices
from evenflow.study.engines.cadence import cadence
from evenflow.study.engines.compiled.evaluation import chunked
from evenflow.study.engines.compiled.optimisers import BETAS
from evenflow.study.engines.compiled.program import Batches, Own, Samples, advance, apply, evaluate, read
from evenflow.study.engines.compiled.readings import NAMES, layer_figures
from evenflow.study.engines.compiled.rows import Writer, distances, norms
from evenflow.study.engines.compiled.state import State, fresh, from_bytes, sites, stacked, to_bytes
from evenflow.study.engines.grouping import shape
from evenflow.study.engines.moment import Moment, Stopwatch


def train(
    cells: Sequence[Cell],
    data: DataSet,
    stopwatch: Stopwatch,
    resume: Sequence[bytes | None] = (),
    *,
    dtype: type[np.floating] = np.float32,
) -> Iterator[dict[int, Moment]]:
    """Train cells together and yield every recorded step: the place of a cell -> its moment.

    A cell whose loss is not finite ends with that step; the others go on. The figures of a cell do not depend on
    the others, as long as their number stays the same.

    Args:
        cells: of one `shape`, data, optimiser, batch, number of steps and cadence of records.
        data: the data set that they name.
        stopwatch: filled with the time of every step, divided by the number of cells.
        resume: of every cell what an earlier `Moment.snapshot` of the same step returned; or nothing.
        dtype: of weights and signals.
    """
    with jax.enable_x64(True):
        group = _Group(cells, data, resume, dtype)
    while group.going:
        with jax.enable_x64(True):
            moments = group.next(stopwatch)
        yield from moments


class _Group:
    """The training of one group of cells, from one record to the next."""

    def __init__(
        self, cells: Sequence[Cell], data: DataSet, resume: Sequence[bytes | None], dtype: type[np.floating]
    ) -> None:
        first = cells[0]
        self.cells, self.data = cells, data
        self.network, self.training, self.when = shape(first.dense), first.training, cadence(first, data)
        self.dtype = dtype
        fresh_states = [fresh(cell, data.train_inputs.shape[1], data.classes) for cell in cells]
        self.writer = Writer(
            self.network,
            data,
            min(self.training.batch, len(data.train_labels)),
            sites(fresh_states[0].parameters),
            np.array([array.size for array in fresh_states[0].parameters.values()]),
        )
        self.step = 0
        if resume and resume[0] is not None:
            kept = [from_bytes(one, like) for one, like in zip(resume, fresh_states, strict=True) if one]
            self.step, fresh_states = kept[0][0], [state for _, state in kept]
        self.state = stacked(fresh_states, dtype)
        self.own = Own(
            *(
                jnp.asarray([float(value(cell)) for cell in cells], dtype)
                for value in (
                    lambda cell: cell.training.decay,
                    lambda cell: cell.training.momentum,
                    lambda cell: cell.network.residual_scale,
                    lambda cell: cell.network.clipping[1] or 1.0,
                )
            )
        )
        self.samples = Samples(
            jnp.asarray(data.train_inputs, dtype),
            jnp.asarray(data.train_labels.astype(np.int32)),
            *chunked(data, dtype),
        )
        self.going = list(range(len(cells)))

    def next(self, stopwatch: Stopwatch) -> list[dict[int, Moment]]:
        """Make the steps up to the next record, and that record."""
        moments: list[dict[int, Moment]] = []
        steps = self.training.steps
        upto = min(-(-self.step // self.when.record) * self.when.record, steps)
        if upto > self.step:
            moments += self._advance(upto - self.step, stopwatch)
            if not self.going:
                return moments
        started = time.perf_counter()
        step, last = self.step, self.step == steps
        state, figures = self._record(self.state, step)
        evaluated = self.when.evaluates(step)
        if evaluated:
            figures |= self._answers(self.state)
        stopwatch.recorded.append((time.perf_counter() - started) / len(self.cells))
        if not last:
            self.state = state
        self.step += 1
        state = self.state
        here: dict[int, Moment] = {}
        for place in list(self.going):
            diverged = not math.isfinite(figures["batch_loss"][place])
            seen = figures
            if diverged and not evaluated:  # its end is evaluated in any case
                seen = figures | self._answers(state)
            rows = self.writer.recorded(seen, place, updated=not last)
            here[place] = Moment(step, rows, diverged, lambda place=place: to_bytes(step, state, place))
            if diverged or last:
                self.going.remove(place)
        return [*moments, here]

    def _advance(self, steps: int, stopwatch: Stopwatch) -> list[dict[int, Moment]]:
        before, first = self.state, self.step
        started = time.perf_counter()
        batches = self._batches(first, steps, max(self.when.record - 1, steps))
        self.state, found = advance(
            self.network, self.training.optimiser, before, self.own, self.samples, batches, steps
        )
        losses = np.asarray(found)[:steps]
        spent = time.perf_counter() - started
        stopwatch.plain += [spent / steps / len(self.cells)] * steps
        self.step += steps
        moments: list[dict[int, Moment]] = []
        for place in list(self.going):
            ill = np.flatnonzero(~np.isfinite(losses[:, place]))
            if ill.size:
                self.going.remove(place)
                moments.append({place: self._diverged(before, first, int(ill[0]), place)})
        return moments

    def _diverged(self, before: State, first: int, steps: int, place: int) -> Moment:
        """The end of a cell whose loss was not finite in a step between two records: that step again, and read."""
        at = before
        if steps:
            batches = self._batches(first, steps, max(self.when.record - 1, steps))
            at, _ = advance(
                self.network, self.training.optimiser, before, self.own, self.samples, batches, steps
            )
        step = first + steps
        after, figures = self._record(at, step)
        figures |= self._answers(after)  # what the whole data set says is read behind the update
        rows = [
            *self.writer.gradients(figures, place, updated=False, clipped=False),
            *self.writer.answers(figures, place),
            *self.writer.dead(figures, place),
        ]
        return Moment(step, rows, True, lambda: to_bytes(step, after, place))

    def _answers(self, state: State) -> dict[str, NDArray[np.float64]]:
        found = evaluate(self.network, state, self.own, self.samples)
        return {name: np.asarray(values, np.float64) for name, values in found.items()}

    def _record(self, state: State, step: int) -> tuple[State, dict[str, NDArray[np.float64]]]:
        """Read the networks, make this step, and read it."""
        batches = self._batches(step, 1, 1)
        network, own, samples = self.network, self.own, self.samples
        seen = read(network, state, own, samples, batches)
        slopes = [
            state.parameters.get(f"activation_{layer}.weight") for layer in range(1, network.layers + 1)
        ]
        layers = [
            layer_figures(*layer)
            for layer in zip(network.activations, seen.signals, seen.received, slopes, strict=True)
        ]
        bounded, parameters, slots = apply(
            network, self.training.optimiser, state, seen.gradients, own, batches
        )
        figures = {"batch_loss": np.asarray(seen.loss, np.float64)}
        figures |= dict(zip(NAMES, np.stack([np.asarray(one) for one in layers], axis=1), strict=True))
        before = self._in_order(state.parameters)
        figures["grad_norm"] = norms(self._in_order(seen.gradients))
        figures["weight_norm"] = norms(before)
        figures["update_norm"] = distances(self._in_order(parameters), before)
        if network.clipping[0] != "none":
            figures["clipped_norm"] = norms(self._in_order(bounded))
        return State(parameters, seen.buffers, slots), figures

    def _in_order(self, arrays: Mapping) -> list[np.ndarray]:
        return [np.asarray(arrays[site.name]) for site in self.writer.parameters]

    def _batches(self, first: int, steps: int, room: int) -> Batches:
        """Samples and rates of `steps` steps from `first` on, in arrays that hold `room` of them."""
        samples = len(self.data.train_labels)
        training = self.training
        indices = np.zeros((room, len(self.cells), min(training.batch, samples)), np.int32)
        of_seed: dict[int, np.ndarray] = {}
        for place, cell in enumerate(self.cells):
            if cell.seed not in of_seed:
                of_seed[cell.seed] = np.stack(
                    [
                        batch_indices(step, samples, training.batch, cell.seed)
                        for step in range(first, first + steps)
                    ]
                )
            indices[:steps, place] = of_seed[cell.seed]
        number = np.arange(first + 1, first + room + 1, dtype=np.float64)
        adam = training.optimiser in ("adam", "adamw")
        size, root = np.ones(room), np.ones(room)
        if adam:
            size, root = 1 / (1 - BETAS[0] ** number), np.sqrt(1 - BETAS[1] ** number)
        rates = np.array(
            [[cell.training.rate_at(step) for cell in self.cells] for step in range(first, first + room)]
        )
        return Batches(
            jnp.asarray(indices),
            jnp.asarray(rates, self.dtype),
            jnp.asarray(size[:, None] * rates, self.dtype),
            jnp.asarray(root, self.dtype),
        )
