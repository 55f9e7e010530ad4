"""What the best constant answer costs: where learning begins, whatever the loss was at the start."""

from __future__ import annotations

import math

from evenflow.diagnose.twins import own_trial, skill_of
from evenflow.spec.setting import NAN, Setting


def chance_loss(setting: Setting, start: float, end: float) -> float:
    """What the best constant answer costs, by the kind of loss and target; NaN where it is not known.

    Cross-entropy: the entropy of the classes, at most H(p) + (1 − p) log(K − 1) where the commonest has share p, and
    log K without it. Squared error: the targets' variance. A loss that is summed over the batch begins at about batch
    times that; but one that falls from there while the score stays at chance, or ends as NaN, was
    never summed.
    """
    target, output = setting.target, setting.output
    if target is None or output is None:
        return NAN
    own = own_trial(setting)
    commonest = NAN if own is None else own.chance
    chance = NAN
    if output.loss in ("cross_entropy", "nll") and target.classes > 1:
        two = target.classes == 2 and (target.minimum, target.maximum) == (0.0, 1.0)
        chance = entropy_bound(target.mean if two else commonest, target.classes)
    elif output.loss.startswith("binary_cross_entropy") and 0.0 < target.mean < 1.0:
        chance = entropy_bound(target.mean, 2)
    elif output.loss == "mse" and target.std > 0.0:
        chance = target.std**2
    if setting.batch < 2 or output.loss == "mse" or not 0.9 < start / (setting.batch * chance) < 1.4:
        return chance
    in_vain = end == math.inf or (own is not None and skill_of(own) < 0.1 and end < 0.5 * start)
    return chance if in_vain else chance * setting.batch


_NAMED = ("binary_cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "nll_loss", "kl_div")


def has_a_floor(setting: Setting) -> bool:
    """Whether a loss cannot come near 0 however well is learned: further terms are added, or its targets are soft.

    The cross-entropy of targets in 0 to 1 has their entropy at the least; a variational auto-encoder has both.

    >>> from evenflow.spec.setting import Output
    >>> elbo = Output(loss="mse", operations=("sigmoid", "mse_loss", "sub"))
    >>> has_a_floor(Setting(output=elbo)), has_a_floor(Setting(output=Output(loss="mse", operations=("mse_loss",))))
    (True, False)
    """
    output, target = setting.output, setting.target
    if output is None:
        return False
    places = [place for place, name in enumerate(output.operations) if name.startswith(_NAMED)]
    behind = output.operations[places[-1] + 1 :] if places else ()
    soft = target is not None and target.kind in ("real", "probabilities")
    entropy = "cross_entropy" in output.loss or output.loss == "kl_div"
    return (soft and entropy) or not {"add", "sub", "rsub"}.isdisjoint(behind)


_MORE_THAN_ONE = frozenset(
    (
        *(
            "mm",
            "bmm",
            "matmul",
            "addmm",
            "baddbmm",
            "linalg_vector_norm",
            "norm",
            "cosine_similarity",
            "cdist",
        ),
        *("add", "mul", "div", "exp", "logsumexp", "maximum", "minimum", "where"),
    )
)


def is_plain(setting: Setting) -> bool:
    """Whether the loss is one term that compares each output with its own target, so that its chance is for certain.

    Not where outputs are compared with each other, terms are added or weighted, or a sample has several targets, each
    with a best constant of its own.

    >>> from evenflow.spec.setting import Output, Target
    >>> classes = Target(kind="classes", classes=10, shape=(32,))
    >>> plain = Output(loss="cross_entropy", operations=("log_softmax", "nll_loss"))
    >>> contrastive = Output(loss="cross_entropy", operations=("mm", "log_softmax", "nll_loss"))
    >>> [is_plain(Setting(output=one, target=classes)) for one in (plain, contrastive)]
    [True, False]
    """
    output, target = setting.output, setting.target
    if output is None or target is None or not _MORE_THAN_ONE.isdisjoint(output.operations):
        return False
    if has_a_floor(setting):
        return False
    own = output.loss in ("cross_entropy", "nll") and target.kind == "classes"
    return own or math.prod(target.shape[1:]) == 1


def entropy_bound(commonest: float, classes: int) -> float:
    """Largest entropy in nats of `classes` of which the commonest has this share.

    >>> round(entropy_bound(0.5, 2), 4), round(entropy_bound(float("nan"), 10), 4)
    (0.6931, 2.3026)
    """
    if math.isnan(commonest) or not 0.0 < commonest < 1.0:
        return math.log(classes)
    rest = 1.0 - commonest
    entropy = -commonest * math.log(commonest) - rest * math.log(rest)
    return min(entropy + rest * math.log(max(classes - 1, 1)), math.log(classes))
