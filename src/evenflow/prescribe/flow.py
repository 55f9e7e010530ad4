"""What flows through a training as it begins: one batch forward and back, on a copy, and what theory says.

For a chain of layers h_l = W_l f(h_{l−1}) + b_l with weights as if drawn from a distribution of mean 0, mean field
gives the variance q_l = n Var(w_l) E[f(√q z)²] + Var(b_l) of what enters the activations, and the squared gradient

    ‖∂L/∂W_l‖² ∝ ‖δ_l‖² ‖a_{l−1}‖²,    ‖δ_l‖² = n_l Var(w_{l+1}) E[f'(√q_l z)²] ‖δ_{l+1}‖²

(Schoenholz et al. 2017, equations 3 and 6), from the network's own weights, widths and activations. It holds for what
was drawn, whatever the draw; a batch shows one draw, and everything else: convolutions, normalisations, ways around.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.layers import hidden_activations, matrices
from evenflow.diagnose.trends import outer
from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.recurrence import recurrences
from evenflow.doctor.trial import call
from evenflow.errors import EvenflowError
from evenflow.measure.data_facts import input_tensors
from evenflow.prescribe.prescription import Training
from evenflow.spec.setting import NAN, Layer, Setting
from evenflow.theory import moments
from evenflow.watch.probe import Probe

WORST = 4.0
"""Decades, of a ratio of gradients or of a growth through the network, that are as bad as it gets."""
FORGOTTEN = 8.0
"""Decades through time that are as bad as it gets: nothing beside what the last step gives, in single precision."""
CHANCE, HALF = 0.3, 0.6
"""Shares up to which units are silent by chance in one batch, and entries flat as half of a ReLU's are."""
STEPS = 2
"""A last layer, or a branch, that begins at 0 lets gradients through from the second step on."""
APART, ALIKE = 1.0, 0.35
"""Decades, and share of them, by which one draw of thirds of the layers may differ from theory of the outermost two."""
OFF_CENTRE = 0.3
"""Mean of the weights over their deviation above which they are not as if drawn around 0."""


@dataclass(frozen=True)
class Flow:
    """What flows before the first step. Figures that cannot be had are NaN.

    Args:
        gradient: log10 of ‖∂L/∂W‖ ‖W‖ in the first third of the matrices over that in the last.
        predicted: the same by theory, of the first over the last; NaN where it does not hold.
        activations: log10 of the activations' size in the last third over that in the first.
        dead, saturated: share of units, and of entries, that pass no gradient, in the worst hidden layer.
        still: share of the matrices that no gradient comes to.
        loss: on the batch.
        finite: whether the loss and all gradients are.
        through_time: log10 of ‖∂L/∂x_t‖ at the first time step over that at the last, in the recurrent layer where it
            is smallest; NaN where it was not asked for.
    """

    gradient: float = NAN
    predicted: float = NAN
    activations: float = NAN
    dead: float = NAN
    saturated: float = NAN
    still: float = NAN
    loss: float = NAN
    finite: bool = True
    through_time: float = NAN

    @property
    def foreseen(self) -> bool:
        """Whether theory holds here: what it says is what one batch shows, in its order of magnitude.

        A way around that is no module's own leaves each layer looking as if there were none.
        """
        return abs(self.predicted - self.gradient) <= APART + ALIKE * abs(self.predicted)

    @property
    def badness(self) -> float:
        """How much stands in the way of learning: the sum of what is wrong, each thing 1 at the worst.

        >>> Flow(gradient=-2.0, dead=1.0, saturated=0.5).badness
        1.5
        """
        ratio = self.predicted if self.foreseen else self.gradient
        decades = _share(abs(ratio) / WORST) + _share(abs(self.activations) / WORST)
        units = _share(_beyond(self.dead, CHANCE)) + _share(_beyond(self.saturated, HALF))
        forgotten = _share(-self.through_time / FORGOTTEN)
        return decades + units + forgotten + _share(self.still) + (not self.finite)


def _share(value: float) -> float:
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def _beyond(value: float, usual: float) -> float:
    """How far a share is on its way from what is usual to 1."""
    return (value - usual) / (1.0 - usual)


def flow_of(training: Training, *, through_time: bool = False) -> Flow:
    """What flows through a training; one that raises has no flow at all.

    Args:
        training: a copy, which takes one step.
        through_time: whether to ask recurrent layers for the gradient of each time step, which takes another pass.
    """
    patient, plan = training.patient, training.plan
    faded = NAN
    values: list[float] = []
    samples = max((len(one) for _, one in input_tensors(plan.batches[0].inputs) if one.ndim), default=1)
    with untouched_randomness(), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        try:
            patient.model.train()
            if through_time:
                faded = _faded(training.copied())
            loss_fn = training.loss
            with Probe(patient.model, patient.optimizer, window=samples, nonfinite=False) as probe:
                for _ in range(STEPS):
                    batch = plan.batches[0].copied()
                    loss = loss_fn(call(patient.model, batch.inputs), batch.target)
                    patient.optimizer.zero_grad()
                    probe.loss(loss)
                    loss.backward()
                    values.append(float(loss.detach()))
                    patient.optimizer.step()
        except (RuntimeError, TypeError, ValueError, EvenflowError):
            return Flow(finite=False)
    table = probe.table
    return replace(_read(Case(table, table.runs[0]), probe.setting, values[0]), through_time=faded)


def _faded(training: Training) -> float:
    """Of the worst recurrent layer; NaN where there is none."""
    found = recurrences(training.patient.model, training.plan.batches[0], training.loss)
    return min((_decades(one.gradient[0], one.gradient[-1]) for one in found), default=NAN)


def _read(case: Case, setting: Setting, loss: float) -> Flow:
    gradient = still = NAN
    finite = math.isfinite(loss)
    with np.errstate(all="ignore"):
        try:
            found = matrices(case)
            pull = found.start(found.gradient * found.weight)
            finite = finite and bool(np.isfinite(found.gradient[0]).all())
            still = float(np.mean(np.nan_to_num(found.gradient).max(axis=0) == 0.0))
            gradient = _decades(*outer(np.where(pull > 0.0, pull, np.nan))) if len(pull) > 1 else NAN
        except MissingError:
            pass
        size = _figure(case, "rms")
        return Flow(
            gradient=gradient,
            predicted=predicted_ratio(setting),
            activations=NAN if size is None or len(size) < 2 else -_decades(*outer(size)),
            dead=_worst(case, "dead_fraction"),
            saturated=_worst(case, "saturated_fraction"),
            still=still,
            loss=loss,
            finite=finite,
        )


def _figure(case: Case, statistic: str) -> np.ndarray | None:
    try:
        return hidden_activations(case, statistic).values[0]
    except MissingError:
        return None


def _worst(case: Case, statistic: str) -> float:
    values = _figure(case, statistic)
    return NAN if values is None or not np.isfinite(values).any() else float(np.nanmax(values))


def _decades(one: float, other: float) -> float:
    return math.log10(one / other) if one > 0.0 and other > 0.0 else NAN


def predicted_ratio(setting: Setting) -> float:
    """log10 of ‖∂L/∂W‖ ‖W‖ of the first layer over that of the last, by mean field; NaN where it does not hold.

    >>> layer = dict(type="Linear", fan_in=100, fan_out=100, weight_mean=0.0, weight_std=0.1, bias_std=0.0)
    >>> some = [Layer(name=str(depth), depth=depth, activation="sigmoid", **layer) for depth in range(1, 10)]
    >>> last = Layer(name="10", depth=10, **layer)
    >>> -6.0 < predicted_ratio(Setting(layers=(*some, last))) < -5.0
    True
    """
    layers = [layer for layer in setting.layers if layer.used]
    if len(layers) < 2 or not all(map(_is_drawn, layers)):
        return NAN
    if any(one.fan_out != other.fan_in or not one.activation for one, other in pairwise(layers)):
        return NAN
    entered = next((one for one in setting.inputs if not one.integer), None)
    square = 1.0 if entered is None else entered.mean**2 + entered.std**2
    if not math.isfinite(square):
        return NAN
    try:
        return _ratio(layers, square)
    except (EvenflowError, ZeroDivisionError, OverflowError, ValueError):
        return NAN


def _is_drawn(layer: Layer) -> bool:
    """Whether the theory knows such a layer: a matrix with entries around 0, and nothing around it."""
    return (
        layer.type == "Linear"
        and not layer.normalisation
        and not layer.residual
        and layer.weight_std > 0.0
        and abs(layer.weight_mean) <= OFF_CENTRE * layer.weight_std
    )


def _ratio(layers: list[Layer], square: float) -> float:
    enters: list[float] = []  # log10 of E[a²] in front of each layer
    slopes: list[float] = []  # log10 of E[f'²] behind each but the last
    for layer in layers:
        enters.append(math.log10(square))
        bias = sum(value**2 for value in (layer.bias_std, layer.bias_mean) if not math.isnan(value))
        variance = layer.fan_in * layer.weight_std**2 * square + bias
        if layer is layers[-1]:
            break
        found = moments(layer.activation.partition(":")[0], variance)
        square = float(found.second)
        slopes.append(math.log10(float(found.slope_second)))
    back = sum(
        math.log10(one.fan_out * other.weight_std**2) + slope
        for (one, other), slope in zip(pairwise(layers), slopes, strict=True)
    )
    first, last = layers[0], layers[-1]
    vectors = math.log10(first.fan_in) + enters[0] - math.log10(last.fan_in) - enters[-1]
    sizes = math.log10(first.fan_in * first.fan_out * first.weight_std**2) - math.log10(
        last.fan_in * last.fan_out * last.weight_std**2
    )
    return 0.5 * (back + vectors + sizes)
