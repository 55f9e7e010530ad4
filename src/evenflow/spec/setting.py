"""What is known of a training besides its figures: layers, parameters, optimisers, inputs, outputs, loss, trials.

A probe or the doctor collects it from the live model and puts it among the facts of the run, under "setting"; the
rules of diagnosis read it. Everything may be missing: a rule that needs what is not there says so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

NAN = float("nan")


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer with weights, as it stood before the first step.

    Args:
        name: dotted path of the module.
        type: class of the module, such as "Linear", "Conv2d", "LSTM", "Embedding".
        depth: order of execution, from 1.
        fan_in, fan_out: of the weights.
        activation: catalogue name of what is applied to its output; "" if nothing or nothing known.
        activation_site: name of that activation's site in the table.
        normalisation: type of the normalisation between this layer and its activation, or directly behind; "".
        residual: whether its output is added to a skip connection.
        weight_mean, weight_std: of the entries of the weights.
        bias_mean, bias_std: of the bias; NaN without one.
        distinct_units: share of the units whose incoming weights are like no other unit's, 0 to 1.
        expected_std: what Glorot, He or LeCun initialisation gives for its fans and its activation.
        distinct_inputs: share of its inputs whose outgoing weights are like no other input's, 0 to 1.
        used: whether the forward pass calls it, or takes its weights.
        evaluated: whether the forward pass in evaluation calls it, though that in training does not.
        output_rms: root mean square of what it puts out in the first forward pass, the largest of its calls; infinite
            where that is not finite, NaN where it was not measured.
    """

    name: str
    type: str
    depth: int
    fan_in: int
    fan_out: int
    activation: str = ""
    activation_site: str = ""
    normalisation: str = ""
    residual: bool = False
    weight_mean: float = NAN
    weight_std: float = NAN
    bias_mean: float = NAN
    bias_std: float = NAN
    distinct_units: float = NAN
    expected_std: float = NAN
    distinct_inputs: float = NAN
    used: bool = True
    evaluated: bool = False
    output_rms: float = NAN


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the model.

    Args:
        name: dotted path.
        layer: dotted path of its module.
        kind: as the kind of its site: "weight", "bias", "scale", "shift", "slope".
        size: number of entries.
        dtype: such as "float32".
        requires_grad: as it was when the training began.
        optimised: whether an optimiser has it.
        normalised: whether a normalisation directly behind its layer takes its effect away (a bias's wholly).
        sparse: whether its gradient touches some rows only, as an embedding's.
        reached: whether the loss was computed from it, as far as autograd knows; not where it is detached or unused.
        registered: whether the model knows it; not where its module is held in a plain list or mapping.
        learning_rate: of the group that an optimiser has it in, before any schedule; NaN if not known.
    """

    name: str
    layer: str
    kind: str
    size: int
    dtype: str = "float32"
    requires_grad: bool = True
    optimised: bool = True
    normalised: bool = False
    sparse: bool = False
    reached: bool = True
    registered: bool = True
    learning_rate: float = NAN


class Optimiser(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter group of an optimiser."""

    type: str
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    parameters: int = 0


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input tensor of the model, over the batches that were seen.

    Args:
        name: of the argument, or its place.
        shape: of one batch.
        integer: whether it holds whole numbers, such as tokens.
        mean, std, minimum, maximum: over all entries.
        feature_mean: largest absolute mean of a feature, in units of that feature's standard deviation.
        feature_spread: standard deviation of the widest feature over that of the median feature that varies.
        offset: ‖μ‖ / ‖σ‖ of the vectors of all features' means and standard deviations: how far the whole cloud lies
            off 0, in which a feature that hardly varies counts by its size.
        outlying: how far the farthest entry of a feature is from its median, in units of the deviation that its middle
            half would have if it were normal; NaN where that half is one value.
    """

    name: str
    shape: tuple[int, ...]
    integer: bool = False
    mean: float = NAN
    std: float = NAN
    minimum: float = NAN
    maximum: float = NAN
    feature_mean: float = NAN
    feature_spread: float = NAN
    offset: float = NAN
    outlying: float = NAN


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is to give.

    Args:
        kind: "classes" are whole numbers, "binary" 0 and 1, "one_hot" and "probabilities" rows that sum to 1.
        classes: number of classes that occur; 0 where it has none.
        shape: of one batch.
    """

    kind: Literal["classes", "binary", "one_hot", "probabilities", "real", "other"]
    classes: int = 0
    shape: tuple[int, ...] = ()
    mean: float = NAN
    std: float = NAN
    minimum: float = NAN
    maximum: float = NAN


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """How the last layer's numbers become the loss.

    Args:
        layer: the last layer with weights.
        units: its outputs for one sample.
        activation: what the model applies to them, such as "softmax", "log_softmax", "relu"; "" for nothing.
        loss: "cross_entropy", "nll", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse", "l1",
            "smooth_l1", "huber", "kl_div", "poisson_nll", or "" where it is not known.
        operations: names of the operations between the last layer and the loss, in the order of the forward pass.
        shape: of one batch of outputs.
        compared: the shape in which the loss takes their difference from the targets, such as (n, n) where every output
            is compared with every target; () where it takes none, or that is not known.
        in_loss: whether the activation is applied by the loss function rather than the model.
        over_samples: whether a softmax between the last layer and the loss runs over the samples of a batch.
    """

    layer: str = ""
    units: int = 0
    activation: str = ""
    loss: str = ""
    operations: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    minimum: float = NAN
    maximum: float = NAN
    mean: float = NAN
    std: float = NAN
    compared: tuple[int, ...] = ()
    over_samples: bool = False
    in_loss: bool = False


Change = Literal["nothing", "learning_rate", "inputs", "outliers", "unfrozen", "output", "weights", "signals"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A twin of the training, from the same start on the same batches, with one thing changed.

    Args:
        change: what is changed: "learning_rate", "inputs" (standardised), "outliers" (inputs standardised by
            their middle half, and what lies far out cut off), "unfrozen" (all parameters trained at a usual rate),
            "output" (the last layer's numbers as the loss takes them), "weights" (drawn anew, as theory asks),
            "signals" (each layer scaled to outputs of unit size), or "nothing" for the training as it is.
        factor: of the learning rate; 1 otherwise.
        loss: at every step.
        score: share of right answers (classes), or the explained share of the target's variance, at the end; NaN if
            neither applies.
        chance: the score of the best constant answer.
        later_loss: at every step that followed, where it was trained on; empty where it was not.
        later_score: at the end of these.
    """

    change: Change
    factor: float = 1.0
    loss: tuple[float, ...] = ()
    score: float = NAN
    chance: float = NAN
    later_loss: tuple[float, ...] = ()
    later_score: float = NAN


class Recurrence(msgspec.Struct, frozen=True, kw_only=True):
    """How the gradient of the loss comes back through the time steps of a recurrent layer.

    Args:
        name: dotted path of the module.
        type: of it, such as "LSTM".
        gradient: root mean square of the gradient with respect to what enters at each time step, the first step
            first, before training.
        gradient_at_end: the same after the trial; empty where it was not measured.
    """

    name: str
    type: str = ""
    gradient: tuple[float, ...] = ()
    gradient_at_end: tuple[float, ...] = ()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a training.

    Args:
        layers: layers with weights, in the order of execution.
        parameters: all parameters of the model.
        optimisers: parameter groups; empty if no optimiser is known.
        inputs: of the model.
        target: what the loss compares the output with, if it is known.
        output: the end of the model, if it is known.
        batch: samples in a step; 0 if not known.
        twins: trainings from the same start with one thing changed; empty where none were tried.
        origin: what made the first value that is not finite, in words; "" while all is finite.
        origin_step: the step of it; -1 while all is finite.
        origin_lowest, origin_highest: of the finite values that it was made from; NaN where they are not known.
        assumed: whether the optimiser is the doctor's own choice, as none was given.
        recurrences: how the gradient comes back through time, by recurrent layer; the doctor measures it.
        uncleared: in how many steps a gradient still held what the step before had used; 0 if it is ever cleared.
    """

    layers: tuple[Layer, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    optimisers: tuple[Optimiser, ...] = ()
    inputs: tuple[Input, ...] = ()
    target: Target | None = None
    output: Output | None = None
    batch: int = 0
    twins: tuple[Trial, ...] = ()
    origin: str = ""
    origin_step: int = -1
    origin_lowest: float = NAN
    origin_highest: float = NAN
    assumed: bool = False
    recurrences: tuple[Recurrence, ...] = ()
    uncleared: int = 0

    def to_facts(self) -> dict[str, object]:
        """As the facts of a run hold it: {"setting": plain data}; NaN becomes None, which JSON can hold."""
        return {"setting": _plain(msgspec.to_builtins(self))}

    @classmethod
    def from_facts(cls, facts: object) -> Setting:
        """From the facts of a run; an empty one where they hold none."""
        found = facts.get("setting") if isinstance(facts, dict) else None
        return cls() if found is None else msgspec.convert(_filled(found), cls, strict=False)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value


def _filled(value: object) -> object:
    """Without the entries that are None, which then take their defaults."""
    if isinstance(value, dict):
        return {key: _filled(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [NAN if one is None else _filled(one) for one in value]
    return value
