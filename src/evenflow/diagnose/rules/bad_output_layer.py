"""The end of the model and the loss do not fit: one squashes what the other expects whole.

What does not fit is read from the setting (`diagnose.mismatch`); most of it is certain without training. What it costs
is seen beside the twin whose end fits. Where there is none, what is certain is a fault unless the answers became as
good as they can all the same (a softmax twice keeps the loss up, and often still finds the right class), and what is
not certain is one only where the training failed.
"""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.learning import Learning, learning
from evenflow.diagnose.mismatch import RECTIFIERS, REGRESSION, Mismatch, activation_name, mismatch
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import Comparison, compared
from evenflow.spec.setting import Output

WELL = 0.9
"""Share of the way from which on nothing can be ten points better."""
MARGIN = 0.05
"""A bound that a regression has come so close to, it has been seen to live with."""
SILENT = 0.995
"""Share of outputs that are exactly 0 beyond which an output layer says nothing at all."""
HALF = 0.5


def judge(case: Case) -> Verdict | None:
    """An output that does not fit its loss, or that has gone silent."""
    output = case.setting.output
    found = mismatch(case.setting)
    if output is None or (found is None and not output.loss):
        raise MissingError(
            "autograd's graph does not show how the outputs become the loss"
            if case.examined
            else "nothing is known of how the outputs become the loss; hand the loss to the probe before it is "
            "detached, or use evenflow doctor"
        )
    curve = _curve(case)
    silent_since = silence(case, output)
    if silent_since is not None and (found is None or not found.certain):
        found = Mismatch(
            f"{activation_name(output)} at the end puts out 0 for every sample from step {silent_since} on, and "
            "gets no gradient any more",
            certain=True,
            remedy="mend_output_layer",
        )
    if found is None:
        return _harmless(output)
    twin = next(iter(compared(case.setting, "output")), None) if silent_since is None else None
    message = found.what
    if twin is not None and twin.clear:
        message += f"; with an output as the loss takes it the same training is {twin.words}"
    elif _is_harmless(found, curve, twin):
        message += "; here it did no great harm: " + (
            "the answers became as good all the same"
            if twin is None
            else f"with an output as the loss takes it the same training ends "
            f"{twin.points:+.1f} points away, less than ten"
        )
    return Verdict(
        severity=_severity(found, output, curve, twin),
        sites=(output.layer,) if output.layer else (),
        first_step=silent_since,
        evidence=_evidence(found, output, curve, twin),
        message=message,
        strength=0.9 if found.certain else 0.3,
        remedies=(found.remedy,),
    )


def _curve(case: Case) -> Learning | None:
    try:
        return learning(case)
    except MissingError:
        return None


def _severity(found: Mismatch, output: Output, curve: Learning | None, twin: Comparison | None) -> Severity:
    learned = math.nan if curve is None else curve.learned
    if twin is not None and twin.clear:
        return "fault"
    if _is_harmless(found, curve, twin):
        return "risk"
    if found.certain:
        return "fault"
    if activation_name(output) in RECTIFIERS and output.loss not in REGRESSION:
        return "risk" if learned >= WELL else "fault"
    return (
        "information" if learned >= HALF else "risk"
    )  # of what is neither certain nor seen to cost anything


def _is_harmless(found: Mismatch, curve: Learning | None, twin: Comparison | None) -> bool:
    """Whether the training did as well as it can, with an output that does not fit."""
    if curve is None or curve.nonfinite_step is not None:
        return False
    if math.isfinite(found.missed):
        return found.certain and curve.learned >= WELL - MARGIN
    if twin is not None and not twin.clear and curve.skill >= HALF:
        return True
    return found.certain and curve.skill >= WELL


def silence(case: Case, output: Output) -> int | None:
    """First step from which a rectified output is 0 for every sample to the end of the run; None where it is not."""
    if activation_name(output) not in RECTIFIERS:
        return None
    place = next((layer.activation_site for layer in case.setting.layers if layer.name == output.layer), "")
    try:
        series = case.series("zero_fraction", "activation")
    except MissingError:
        return None
    if place not in series.names:
        return None
    share = series.values[:, series.names.index(place)]
    speaks = np.flatnonzero(~(share >= SILENT))
    first = int(speaks[-1]) + 1 if len(speaks) else 0
    return int(series.steps[first]) if first < 0.9 * len(share) else None


def _evidence(
    found: Mismatch, output: Output, curve: Learning | None, twin: Comparison | None
) -> dict[str, float | int | str]:
    evidence: dict[str, float | int | str] = {
        "output_activation": output.activation or "none",
        "loss": output.loss,
        "output_units": output.units,
    }
    if math.isfinite(found.floor):
        evidence["least_possible_loss"] = found.floor
    if math.isfinite(found.missed):
        evidence["share_of_target_variance_out_of_reach"] = found.missed
    if curve is not None:
        evidence |= {"loss_start": curve.start, "loss_end": curve.end, "share_learned": curve.learned}
    if twin is not None:
        evidence["twin_points"] = twin.points
    return evidence


def _harmless(output: Output) -> Verdict | None:
    """The logarithm of a softmax twice is the same as once, only slower to read."""
    if output.loss != "cross_entropy" or activation_name(output) != "log_softmax":
        return None
    return Verdict(
        severity="information",
        sites=(output.layer,) if output.layer else (),
        message="log_softmax stands before cross-entropy, which takes it again; twice gives the same as once, so it "
        "does no harm",
        evidence={"output_activation": output.activation, "loss": output.loss},
        strength=0.1,
    )


RULE = Rule(
    code="EF302",
    name="bad_output_layer",
    title="The output layer does not fit the loss",
    judge=judge,
    remedies=("mend_output_layer", "mend_loss"),
    follows_from=("unnormalised_input", "lr_too_high", "poor_init"),
    confidence=0.97,
    explanation=(
        "What stands between the last layer and the loss keeps the loss from being small: a softmax before "
        "cross-entropy, a sigmoid before binary cross-entropy with logits, ReLU or a saturating function on logits or "
        "on a regression whose targets lie outside its range, probabilities where their logarithm is due, a softmax "
        "over one unit or over the samples, outputs and targets of different shapes, a rectified output that has gone "
        "silent."
    ),
)
