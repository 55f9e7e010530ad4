"""What to do about what enters a network and what leaves it."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.mismatch import maximised
from evenflow.diagnose.remedies.tried import came_of_it, tried
from evenflow.spec.setting import Setting
from evenflow.wording import named, number


def standardise_input(_finding: Finding, setting: Setting) -> str:
    far = [one for one in setting.inputs if math.isfinite(one.mean) and math.isfinite(one.std)]
    worst = max(far, key=lambda one: max(abs(one.mean), one.std), default=None)
    have = "" if worst is None else f" (over all of it {number(worst.mean, 3)} and {number(worst.std, 3)})"
    cut, plain = tried("cut_outliers", setting), tried("standardise_input", setting)
    if cut and cut[0].clear and (not plain or cut[0].points > plain[0].points):
        return (
            "Look at the entries far out, which may be codes for what is missing; take off each feature's median, "
            f"divide by the distance of its quartiles, and cut off what is far out{came_of_it(cut)}."
        )
    return (
        f"Standardise the inputs: take off each feature's mean and divide by its standard deviation{have}"
        f"{came_of_it(plain)}."
    )


def normalise_first_layer(_finding: Finding, setting: Setting) -> str:
    first = (
        f" in front of {named(setting.layers[0].name)}" if setting.layers else " in front of the first layer"
    )
    return f"Put a BatchNorm or LayerNorm{first}, where the data cannot be changed."


def check_inputs(finding: Finding, _setting: Setting) -> str:
    step = "" if finding.first_step is None else f" of step {finding.first_step:,}"
    return f"Look at the batch{step}: torch.isfinite(inputs) says which samples are broken."


def mend_output_layer(_finding: Finding, setting: Setting) -> str:
    output = setting.output
    took = came_of_it(tried("mend_output_layer", setting))
    if output is None or not output.activation:
        return f"Hand the loss what it takes{took}."
    place = f" behind {named(output.layer)}" if output.layer else ""
    return (
        f"Leave out the {output.activation.partition(':')[0]}{place} in training, and apply it only where "
        f"probabilities are read{took}."
        if output.loss in ("cross_entropy", "binary_cross_entropy_with_logits")
        else f"Leave out the {output.activation.partition(':')[0]}{place}, or take one that reaches all targets{took}."
    )


def mend_loss(_finding: Finding, setting: Setting) -> str:
    output, target = setting.output, setting.target
    if output is None:
        return "Take the loss that fits what the model puts out."
    if "expand" in output.operations or (target is not None and _shapes_differ(output.shape, target.shape)):
        shape = f" {target.shape}" if target is not None and target.shape else ""
        return f"Give outputs {output.shape} and targets{shape} one shape, such as with output.squeeze(-1)."
    if "neg" in output.operations and maximised(output) is not None:
        return f"Leave out the minus sign: {output.loss} is to become small."
    instead = {
        "nll": "cross_entropy on the last layer's numbers",
        "kl_div": "kl_div on log_softmax of the last layer's numbers",
        "binary_cross_entropy": "binary_cross_entropy_with_logits",
    }.get(
        output.loss,
        "cross_entropy on the last layer's numbers, without " + (output.activation or "a squashing"),
    )
    return f"In place of {output.loss} take {instead}."


def _shapes_differ(output: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return math.prod(output) == math.prod(target) and output != target


LINES = {
    "standardise_input": standardise_input,
    "normalise_first_layer": normalise_first_layer,
    "check_inputs": check_inputs,
    "mend_output_layer": mend_output_layer,
    "mend_loss": mend_loss,
}
"""Sentences by the names of the remedies."""
