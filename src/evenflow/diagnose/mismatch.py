"""Ends of models that do not fit their loss: what is wrong with each pair, and what it costs at the least.

Cross-entropy of K numbers that lie within an interval of length r cannot go below log(1 + (K − 1) e^−r): the right
one at the top, all others at the bottom. For probabilities in place of logits r = 1; over ten classes that is 1.46 of
the 2.30 nats of guessing. An output that cannot reach below a bound b misses E[(b − y)²; y < b] of the squared error,
which for normal targets is σ² ((1 + z²) Φ(−z) − z φ(z)) with z = (mean − b) / σ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenflow.spec.setting import NAN, Output, Setting, Target
from evenflow.wording import decimal, exact, number

RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "elu": (-1.0, math.inf),
    "celu": (-1.0, math.inf),
    "selu": (-1.7581, math.inf),
    "gelu": (-0.17, math.inf),
    "gelu_tanh": (-0.17, math.inf),
    "silu": (-0.2785, math.inf),
    "mish": (-0.3088, math.inf),
    "hardswish": (-0.375, math.inf),
    "log_sigmoid": (-math.inf, 0.0),
}
"""What an activation can put out."""
RECTIFIERS = ("relu", "relu6")
PROBABILITIES = ("softmax", "sigmoid", "hardsigmoid")
LOG_PROBABILITIES = ("log_softmax", "log_sigmoid")
REGRESSION = ("mse", "l1", "smooth_l1", "huber")
CLEARLY_MISSED = 0.1
"""Share of the targets' variance that is out of reach: ten points of what could be explained."""
_HARDLY_MISSED = 0.01


@dataclass(frozen=True)
class Mismatch:
    """An output that does not fit its loss.

    Args:
        what: one clause for people.
        certain: whether it costs results whatever the training does; otherwise only where the training failed.
        floor: the least loss that can be reached, in nats; NaN where there is none or it is not known.
        remedy: the name of what mends it.
        missed: share of the targets' variance out of reach; NaN where that does not apply.
    """

    what: str
    certain: bool
    remedy: str
    floor: float = NAN
    missed: float = NAN


def mismatch(setting: Setting) -> Mismatch | None:
    """What does not fit between the end of a model and its loss; None where all does, or nothing is known.

    >>> twice = Output(units=10, activation="softmax", loss="cross_entropy")
    >>> round(mismatch(Setting(output=twice)).floor, 3)
    1.461
    """
    output, target = setting.output, setting.target
    if output is None:
        return None
    pairs = broadcast(output, target) or softmax_of_samples(output, target) or maximised(output)
    if pairs is not None or not output.loss or _is_rescaled(output):
        return pairs
    found = (
        one_class(output) or squashed_logits(output) or missing_logarithm(output) or missing_sigmoid(output)
    )
    if found is None and output.loss in REGRESSION and target is not None:
        found = out_of_range(output, target) or squared_error_of_classes(output, target)
    return found


_NOT_BELOW_0 = ("nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy")
_HARMLESS = frozenset(("mul", "div", "neg", "mean", "sum", "view", "squeeze", "unsqueeze", "alias"))


def maximised(output: Output) -> Mismatch | None:
    """A loss that is 0 at the least, with the sign turned and nothing else added: the training makes it large.

    >>> turned = Output(loss="cross_entropy", operations=("log_softmax", "nll_loss", "neg"))
    >>> maximised(turned).remedy, maximised(Output(loss="mse", operations=("mse_loss",)))
    ('mend_loss', None)
    """
    places = [place for place, name in enumerate(output.operations) if name.startswith(_NOT_BELOW_0)]
    behind = output.operations[places[-1] + 1 :] if places else ()
    if output.loss in ("", "nll", "kl_div") or behind.count("neg") % 2 == 0 or not set(behind) <= _HARMLESS:
        return None
    return Mismatch(
        f"the sign of the loss is turned: what is minimised is minus {output.loss}, so every step makes "
        "the answers worse",
        certain=True,
        remedy="mend_loss",
    )


def activation_name(output: Output) -> str:
    """The activation of the output without its parameter."""
    return output.activation.partition(":")[0]


def _is_rescaled(output: Output) -> bool:
    """Whether the outputs lie outside what their activation can give: something behind it scales them anew."""
    if output.in_loss:  # the outputs are those of the model
        return False
    low, high = RANGES.get(activation_name(output), (-math.inf, math.inf))
    return output.minimum < low - 1e-3 or output.maximum > high + 1e-3


def one_class(output: Output) -> Mismatch | None:
    """A softmax over one unit: 1 whatever the unit says, without a gradient."""
    alone = output.units == 1 and (
        output.loss == "cross_entropy" or activation_name(output) in ("softmax", "log_softmax")
    )
    if not alone:
        return None
    return Mismatch(
        "a softmax over a single unit is 1 whatever the unit says, so no gradient comes back; use as many units as "
        "classes, or one unit with binary_cross_entropy_with_logits",
        certain=True,
        remedy="mend_output_layer",
    )


def squashed_logits(output: Output) -> Mismatch | None:
    """An activation on what a loss of logits takes for logits."""
    name = activation_name(output)
    binary = output.loss == "binary_cross_entropy_with_logits"
    if output.loss != "cross_entropy" and not binary:
        return None
    takes = "binary cross-entropy with logits" if binary else "cross-entropy"
    if name in RECTIFIERS:
        says = "no logit below 0 can be said, so no probability below one half" if binary else (
            "a unit whose logit is below 0 says 0 and gets no gradient"
        )  # fmt: skip
        return Mismatch(
            f"{name} stands between the last layer and {takes}: {says}",
            certain=binary,
            remedy="mend_output_layer",
        )
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if not math.isfinite(high - low):
        return None
    again = {
        "softmax": "takes a softmax itself",
        "sigmoid": "takes a sigmoid itself" if binary else "takes logits",
    }
    floor = _binary_floor(low, high) if binary else _floor(output.units, high - low)
    why = f"{takes} {again.get(name, 'takes logits')}"
    return Mismatch(
        f"{name} stands between the last layer and {takes}, which {why.removeprefix(takes).strip()}; the loss cannot "
        f"go below {number(floor, 3)}",
        certain=True,
        floor=floor,
        remedy="mend_output_layer",
    )


def _floor(units: int, interval: float) -> float:
    return math.log1p((max(units, 2) - 1) * math.exp(-interval))


def _binary_floor(low: float, high: float) -> float:
    """Mean of the least losses of the two answers, log(1 + e^−high) and log(1 + e^low), both as frequent."""
    return 0.5 * (math.log1p(math.exp(-high)) + math.log1p(math.exp(low)))


def missing_logarithm(output: Output) -> Mismatch | None:
    """A loss of log-probabilities that gets something else."""
    name = activation_name(output)
    if output.loss not in ("nll", "kl_div") or name in LOG_PROBABILITIES:
        return None
    if (
        not name and not output.maximum > 0.0
    ):  # written by hand perhaps: nothing speaks against log-probabilities
        return None
    gets = f"the outputs of {name}" if name else "plain outputs"
    return Mismatch(
        f"{output.loss} takes log-probabilities and gets {gets}: it rewards large numbers, not right ones; use "
        "cross_entropy on the last layer's numbers",
        certain=True,
        remedy="mend_loss",
    )


def missing_sigmoid(output: Output) -> Mismatch | None:
    """Binary cross-entropy, which takes probabilities, on numbers of any size."""
    name = activation_name(output)
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if output.loss != "binary_cross_entropy" or (low >= 0.0 and high <= 1.0) or name == "clamp":
        return None
    return Mismatch(
        f"binary_cross_entropy takes probabilities and gets {'the outputs of ' + name if name else 'plain outputs'}; "
        "use binary_cross_entropy_with_logits",
        certain=True,
        remedy="mend_loss",
    )


def broadcast(output: Output, target: Target | None) -> Mismatch | None:
    """A loss of differences that compares every output with every target, as (n, 1) against (n) becomes (n, n).

    >>> pairs = Output(units=1, loss="mse", shape=(32, 1), compared=(32, 32))
    >>> broadcast(pairs, Target(kind="real", shape=(32,))).remedy
    'mend_loss'
    >>> broadcast(pairs, Target(kind="real", shape=(32, 1))) is None
    True
    """
    if target is None or output.shape == target.shape:
        return None
    spread = _spread(output.shape, target.shape)
    if not output.compared or output.compared != spread:
        return None
    if math.prod(spread) <= max(math.prod(output.shape), math.prod(target.shape)):
        return None
    return Mismatch(
        f"outputs of shape {output.shape} are spread out against targets of shape {target.shape}, so that every output "
        "is compared with every target and only their mean can be learned; give both one shape",
        certain=True,
        remedy="mend_loss",
    )


def _spread(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that two shapes are broadcast to; () where they cannot be."""
    length = max(len(one), len(other))
    pairs = list(zip((1,) * (length - len(one)) + one, (1,) * (length - len(other)) + other, strict=True))
    fits = all(first == second or 1 in (first, second) for first, second in pairs)
    return tuple(max(pair) for pair in pairs) if fits else ()


def softmax_of_samples(output: Output, target: Target | None) -> Mismatch | None:
    """A softmax along the batch: what is said of a sample then depends on which others are beside it."""
    shape, wanted = output.shape, () if target is None else target.shape
    of_samples = wanted[:1] == shape[:1] if wanted else len(shape) == 2
    if not output.over_samples or not of_samples:
        return None
    own = activation_name(output) in ("softmax", "log_softmax")
    return Mismatch(
        "a softmax runs over the samples of the batch instead of over the classes: what it says of one sample depends "
        "on the others beside it; take it along the classes, dim=1",
        certain=True,
        remedy="mend_output_layer" if own else "mend_loss",
    )


def out_of_range(output: Output, target: Target) -> Mismatch | None:
    """Targets of a regression that the output's activation cannot reach."""
    low, high = RANGES.get(activation_name(output), (-math.inf, math.inf))
    missed = missed_share(target, low, high)
    if not missed > _HARDLY_MISSED:
        return None
    reach = (
        f"at least {exact(low)}"
        if high == math.inf
        else f"at most {exact(high)}"
        if low == -math.inf
        else None
    )
    return Mismatch(
        f"{activation_name(output)} puts out {reach or f'{exact(low)} to {exact(high)}'}, and the targets go from "
        f"{exact(target.minimum)} to {exact(target.maximum)}: "
        f"{decimal(100 * min(missed, 1.0), 0)} % of their variance out of reach",
        certain=missed > CLEARLY_MISSED,
        missed=missed,
        remedy="mend_output_layer",
    )


def missed_share(target: Target, low: float, high: float) -> float:
    """Σ over both bounds of E[(distance beyond it)²] / σ², normal targets assumed, and no more than their range allows.

    >>> round(missed_share(Target(kind="real", mean=0.0, std=1.0, minimum=-3.0, maximum=3.0), 0.0, math.inf), 3)
    0.5
    """
    if not target.std > 0.0:
        return NAN
    missed = 0.0
    for beyond, inside in (
        (low - target.minimum, target.mean - low),
        (target.maximum - high, high - target.mean),
    ):
        if beyond > 1e-6 * target.std:
            missed += min(_tail(inside / target.std), (beyond / target.std) ** 2)
    return missed


def _tail(z: float) -> float:
    below = 0.5 * math.erfc(z / math.sqrt(2.0))
    return (1.0 + z * z) * below - z * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def squared_error_of_classes(output: Output, target: Target) -> Mismatch | None:
    """A squared error on probabilities, whose gradient carries p (1 − p) and dies where the answer is surely wrong."""
    name = activation_name(output)
    if name not in PROBABILITIES or target.kind not in ("one_hot", "binary", "classes"):
        return None
    return Mismatch(
        f"{output.loss} compares the probabilities of {name} with classes: its gradient carries p (1 − p), which is "
        "next to 0 where the answer is surely wrong; cross-entropy on the last layer's numbers has no such factor",
        certain=False,
        remedy="mend_loss",
    )
