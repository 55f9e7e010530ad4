"""Recurrent layers that remember from the start: the bias of an LSTM's forget gate, of a GRU's update gate."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenflow.prescribe.operation import Operation
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Trace, trace_of
from evenflow.wording import plural

_GATED = (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell)
_SHORT = 10  # steps after which a gate with a bias of 1 has 1/20 of the state left
_KEEPS = 0.6443
"""Of the gradient per step at torch's own start: 1/2 + 1/(4√3), for the gates stand at 1/2 and weights at 1/√(3h)."""


def forms(view: View) -> Sequence[Prescription]:
    """A bias of 1, and biases for the length of the sequences, these first where they are long."""
    layers = _layers(view)
    if not layers:
        return ()
    finding = answered(view, REMEDY.answers)
    steps = length(trace_of(view), layers)
    found = []
    for choice, options, words, does in choices(steps):
        operation = Operation(f"open_gates(model{options})\n", in_place=True)
        found.append(
            Prescription(
                remedy=REMEDY.name,
                choice=choice,
                title=f"Open the gates of {plural(len(layers), 'recurrent layer')}, {words}",
                why=because(finding, does),
                sign="gradient_ratio",
                change=operation,
                code=operation.code,
                size=2,
            )
        )
    return found


def choices(steps: int) -> list[tuple[str, str, str, str]]:
    """Names of both ways, options of `open_gates`, and what they do; sequences of more than ten steps need the second.

    >>> [choice for choice, *_ in choices(50)], [choice for choice, *_ in choices(4)]
    (['length', '1'], ['1'])
    """
    one = (
        "1",
        "",
        "with a bias of 1",
        "with a bias of 1 the gates keep 0.73 of the state at every step, not 0.50",
    )
    spread = (
        "length",
        f", steps={steps}",
        f"for 1 to {steps - 1} steps",
        f"their units then remember for 1 to {steps - 1} steps, evenly spread, not for 1 or 2",
    )
    if steps <= _SHORT:
        return [one]
    return [spread, one]


def _layers(view: View) -> list[nn.Module]:
    return [
        one
        for one in view.training.patient.model.modules()
        if isinstance(one, _GATED)
        and any(name.startswith("bias_ih") and each.requires_grad for name, each in one.named_parameters())
    ]


def length(trace: Trace, layers: Sequence[nn.Module]) -> int:
    """Steps of the longest sequence that recurrent layers were given; 0 where that is not known."""
    lengths = [
        one.taken[1 if getattr(one.module, "batch_first", False) else 0]
        for one in trace.visits
        if any(one.module is layer for layer in layers) and len(one.taken) == 3
    ]
    single = [len(trace.runs_of(one.name)) for one in trace.visits if isinstance(one.module, nn.RNNCellBase)]
    return max([*lengths, *single], default=0)


def why_not(view: View) -> str:
    """Why there is no gate to open."""
    return "" if _layers(view) else "the model has no LSTM or GRU whose biases are in training"


REMEDY = Remedy(
    name="open_forget_gates",
    title="gates of recurrent layers open from the start",
    answers=("vanishing_gradient", "correlation_collapse"),
    forms=forms,
    why_not=why_not,
    explanation=(
        f"At torch's own start the gates of an LSTM stand at one half, and a gradient keeps {_KEEPS:.2f} of itself per "
        "step: after ten steps a hundredth. A forget gate with a bias of 1 keeps 0.87 (Jozefowicz et al. 2015); with "
        "biases log 1 to log T the units remember for 1 to T steps (Tallec and Ollivier 2018). "
        "Where only the last steps matter, a short memory is the better start."
    ),
)
