"""Which remedies fit a finding: those that a twin showed to help first, those that were tried in vain not at all.

A rule names all that can answer what it finds. What killed units before the first step was no step; what grew from the
first step on was drawn so; inputs that are standardised already are not to be standardised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.layers import TWO_SIDED
from evenflow.diagnose.remedies import sentence, tried
from evenflow.spec.setting import Setting

_STEPS = ("lower_learning_rate", "warm_up")
_DRAWN = ("reinitialise", "zero_biases")
_SIGNALS = ("dead_units", "saturated_activations", "exploding_activations", "exploding_gradient")
"""Rules whose finding is there from the start, or comes with the steps."""
_LARGE = 1e6
"""An operand beyond it has grown; nothing that is drawn or standardised comes near."""
_LARGE_BIAS = 0.5
"""A mean of biases that outweighs what signals of size 1 bring."""
_CAUSES = (
    "lower_learning_rate",
    "raise_learning_rate",
    "standardise_input",
    "unfreeze",
    "mend_output_layer",
    "reinitialise",
)
_ADAPTIVE = ("Adam", "RMSprop", "Adagrad", "Adadelta", "Lion", "Rprop")


def advised(finding: Finding, setting: Setting, first_step: int | None) -> Finding:
    """A finding with the remedies that fit it, and a sentence for each.

    Args:
        finding: with all remedies of its rule.
        setting: of the training.
        first_step: the first recorded one.
    """
    remedies = fitting(finding, setting, first_step)
    return replace(
        finding, remedies=remedies, advice=tuple(sentence(one, finding, setting) for one in remedies)
    )


def fitting(finding: Finding, setting: Setting, first_step: int | None) -> tuple[str, ...]:
    """The names of the remedies that fit, the best first; all of them where none would be left."""
    finding = replace(finding, remedies=_named(finding, setting))
    unfit = set(_unfit(finding, setting, first_step))
    left = [one for one in finding.remedies if one not in unfit]
    left = left or list(finding.remedies)
    return tuple(sorted(left, key=lambda one: _rank(one, finding, setting)))


def _named(finding: Finding, setting: Setting) -> tuple[str, ...]:
    """What mends a cause that the twins have found, by name."""
    if "mend_the_cause" not in finding.remedies:
        return finding.remedies
    helped = [(twins[0].points, one) for one in _CAUSES if (twins := tried(one, setting)) and twins[0].clear]
    return tuple(one for _, one in sorted(helped, reverse=True)[:1]) or finding.remedies


def _rank(remedy: str, finding: Finding, setting: Setting) -> tuple[int, float]:
    """What a twin showed to help comes first, then what is likely; the order of the rule is kept otherwise."""
    twins = tried(remedy, setting)
    if twins and twins[0].clear and finding.severity != "information":
        return 0, -twins[0].points
    return 2 - (remedy in _likely(finding, setting)) + (remedy in _unlikely(finding, setting)), 0.0


def _likely(finding: Finding, setting: Setting) -> Iterator[str]:
    """What is fitting where it fits at all: biases that silence, and steps where it came with them."""
    if finding.rule in _SIGNALS:
        yield "lower_learning_rate"
    if any(layer.bias_mean < -_LARGE_BIAS for layer in setting.layers):
        yield "zero_biases"


def _unlikely(finding: Finding, setting: Setting) -> Iterator[str]:
    """Weights that are drawn as theory asks are seldom the reason."""
    spreads = [one.weight_std / one.expected_std for one in setting.layers if one.expected_std > 0.0]
    if spreads and all(2 / 3 < one < 1.5 for one in spreads) and finding.rule not in ("symmetric_init",):
        yield "reinitialise"


def _unfit(finding: Finding, setting: Setting, first_step: int | None) -> Iterator[str]:
    yield from _tried_in_vain(finding, setting)
    if finding.rule in _SIGNALS and finding.first_step is not None and first_step is not None:
        yield from _STEPS if finding.first_step <= first_step else _DRAWN
    if finding.rule == "nonfinite_origin":
        yield from _not_the_origin(finding)
    if not _biased(setting):
        yield "zero_biases"
    if setting.inputs and all(one.integer or _ordinary(one.mean, one.std) for one in setting.inputs):
        yield from (
            ("standardise_input", "normalise_first_layer") if finding.rule != "unnormalised_input" else ()
        )
    residual = any(layer.residual for layer in setting.layers)
    if setting.layers:
        yield "add_skip_connections" if residual else "scale_residual_branches"
        if all(layer.normalisation for layer in setting.layers[:-1]):
            yield "add_normalisation"
        if finding.rule == "vanishing_gradient" and not _squashes(setting):
            yield "change_activation"
    if finding.rule != "lr_too_high" and any(
        word in one.type for one in setting.optimisers for word in _ADAPTIVE
    ):
        yield "change_optimiser"


def _tried_in_vain(finding: Finding, setting: Setting) -> Iterator[str]:
    """What a twin did that was no better; a learning rate by a rule about it can be wrong by more than was tried."""
    for one in finding.remedies:
        twins = tried(one, setting) if one != "reinitialise" else ()  # of that the rules know more
        if (
            twins
            and not twins[0].clear
            and not (finding.rule.startswith("lr_") and one.endswith("learning_rate"))
        ):
            yield one


def _not_the_origin(finding: Finding) -> Iterator[str]:
    """Broken data, numbers that had grown, or an operation outside its domain: one of the three."""
    origin = str(finding.evidence.get("origin", ""))
    if origin in ("", "not traced"):
        return
    if origin.startswith("input"):
        yield from ("guard_operation", "lower_learning_rate", "clip_gradients")
        return
    yield "check_inputs"
    if largest_operand(origin) > _LARGE:
        yield "guard_operation"
    else:
        yield from ("lower_learning_rate", "clip_gradients")


def largest_operand(origin: str) -> float:
    """The largest magnitude among the ranges that an origin tells of; 0 where it tells of none.

    >>> largest_operand("forward: aten::mm from self of shape (2, 2) in [-3e+20, 1] and other of shape (2,) in [0, 5]")
    3e+20
    """
    largest = 0.0
    for part in origin.split(" in [")[1:]:
        for word in part.partition("]")[0].split(","):
            try:
                value = abs(float(word))
            except ValueError:
                continue
            largest = max(largest, value) if math.isfinite(value) else largest
    return largest


def _biased(setting: Setting) -> bool:
    """Whether a layer's biases are as large as what its weights bring."""
    return any(abs(layer.bias_mean) > _LARGE_BIAS for layer in setting.layers)


def _ordinary(mean: float, std: float) -> bool:
    return math.isnan(mean) or (abs(mean) <= 1.0 and 0.03 <= std <= 2.0)


def _squashes(setting: Setting) -> bool:
    names = {
        layer.activation.partition(":")[0].replace("_", "") for layer in setting.layers if layer.activation
    }
    return not names or any(name in TWO_SIDED for name in names)
