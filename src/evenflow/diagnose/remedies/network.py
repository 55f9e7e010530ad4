"""What to do about the network itself, its operations, and what no network can mend."""

from __future__ import annotations

import math
import re

from evenflow.diagnose.finding import Finding
from evenflow.spec.setting import Setting
from evenflow.wording import listed, named, number

_GUARDS = (
    (r"log_?softmax", "Keep what enters the log_softmax finite, and leave no row masked out as a whole."),
    (
        r"\blog(1p|2|10)?(backward\d*)?\b",
        "Clamp what enters the logarithm, such as x.clamp_min(1e-8), or use log_softmax or a loss with logits.",
    ),
    (r"\b(div|reciprocal)_?(backward\d*)?\b", "Add a small number to the divisor, such as x / (y + 1e-8)."),
    (r"\brsqrt", "Add a small number under the root, such as (x + 1e-8).rsqrt()."),
    (r"\bsqrt", "Add a small number under the root, such as (x + 1e-8).sqrt(): at 0 its slope is infinite."),
    (
        r"\b(linalg_vector_)?norm",
        "Add a small number under the norm's root: at a vector of zeros it has no slope.",
    ),
    (
        r"\bexp(m1)?(backward\d*)?\b",
        "Take off the largest entry before exp, or use logsumexp or softmax, which do.",
    ),
    (r"\bpow", "Keep the base of the power above 0, such as x.clamp_min(1e-8)."),
    (r"\ba(cos|sin)", "Clamp what enters to a little within −1 to 1: at the ends its slope is infinite."),
)
"""By the operation that made the first value that is not finite; the first that fits counts."""


def change_activation(_finding: Finding, setting: Setting) -> str:
    names = {one.activation.partition(":")[0] for one in setting.layers if one.activation}
    given = f" in place of {listed(sorted(names))}" if names else ""
    if names & {"relu", "relu6"}:
        return f"Take an activation with a slope below 0, such as LeakyReLU or GELU{given}."
    if "sigmoid" in names or "hardsigmoid" in names:
        return f"Take an activation that is centred and has a slope of 1 at 0, such as tanh, or ReLU{given}."
    return f"Take an activation whose slope is not small, such as ReLU or GELU{given}."


def add_normalisation(_finding: Finding, setting: Setting) -> str:
    bare = [one for one in setting.layers[:-1] if not one.normalisation]
    where = f" behind {listed([named(one.name) for one in bare], most=3)}" if bare else ""
    return f"Put a BatchNorm or LayerNorm{where}, before the activation."


def add_skip_connections(_finding: Finding, setting: Setting) -> str:
    count = len(setting.layers)
    return f"Let every one or two of the {count} layers add to what they take: x + layer(x)." if count > 1 else (
        "Let layers add to what they take: x + layer(x)."
    )  # fmt: skip


def scale_residual_branches(_finding: Finding, setting: Setting) -> str:
    count = sum(one.residual for one in setting.layers)
    scale = f"{number(1 / math.sqrt(count))}, one over the root of their number, {count}" if count else "1/√L"
    return f"Multiply what each residual branch adds by {scale}."


def guard_operation(finding: Finding, _setting: Setting) -> str:
    origin = str(finding.evidence.get("origin", ""))
    if origin in ("", "not traced"):
        return (
            "Clamp what enters logarithms, roots and divisions of the loss function, or add a small number."
        )
    if origin.startswith("loss"):
        return (
            "Look into the loss function: its value is finite and its slope is not, as of a root or a norm at 0; add a "
            "small number under it."
        )
    for pattern, what in _GUARDS:
        if re.search(pattern, origin, re.IGNORECASE):
            return what
    return "Keep what that operation takes within its domain: clamp it, or add a small number."


def look_at_the_data(_finding: Finding, setting: Setting) -> str:
    batch = f" of {setting.batch} samples" if setting.batch else ""
    return (
        f"Look at the data: whether labels still belong to their inputs, and whether one batch{batch} can be learned "
        "by heart."
    )


def mend_the_cause(_finding: Finding, setting: Setting) -> str:
    if setting.twins:
        return "Mend what it follows from; no twin did clearly better."
    return "Mend what it follows from, or ask the doctor, whose twins say what helps."


LINES = {
    "change_activation": change_activation,
    "add_normalisation": add_normalisation,
    "add_skip_connections": add_skip_connections,
    "scale_residual_branches": scale_residual_branches,
    "guard_operation": guard_operation,
    "look_at_the_data": look_at_the_data,
    "mend_the_cause": mend_the_cause,
}
"""Sentences by the names of the remedies."""
