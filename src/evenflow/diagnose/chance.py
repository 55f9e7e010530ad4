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
        chance = entropy_bound(commonest, target.classes)
    elif output.loss.startswith("binary_cross_entropy") and 0.0 < target.mean < 1.0:
        chance = entropy_bound(target.mean, 2)
    elif output.loss == "mse" and target.std > 0.0:
        chance = target.std**2
    if setting.batch < 2 or output.loss == "mse" or not 0.9 < start / (setting.batch * chance) < 1.4:
        return chance
    in_vain = end == math.inf or (own is not None and skill_of(own) < 0.1 and end < 0.5 * start)
    return chance if in_vain else chance * setting.batch


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
