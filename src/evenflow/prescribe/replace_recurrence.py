"""Gated cells in the place of plain recurrent layers, with the same sizes and called in the same way."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenflow.prescribe.open_forget_gates import choices, length
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, home, in_place_of, runs
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import trace_of
from evenflow.wording import plural

_TITLES = {"lstm": "LSTM", "gru": "GRU"}


def forms(view: View) -> Sequence[Prescription]:
    """LSTMs and GRUs, their gates open from the start; where a state is handed on, GRUs alone."""
    if why_not(view):
        return ()
    model, trace = view.training.patient.model, trace_of(view)
    found = _plain(model)
    handed_on = any(
        type(one.module) is nn.RNN
        and not any(each.name == "zeros" for each in trace.calls[one.began : one.ended])
        for one in trace.visits
    )  # where no state is given torch makes one of zeros
    finding = answered(view, REMEDY.answers)
    steps = length(trace, list(found.values()))
    cells = any(isinstance(one, nn.RNNCell) for one in found.values())
    result = []
    for way, options, words, does in choices(steps):
        for kind, title in _TITLES.items():
            if kind == "lstm" and (cells or handed_on):
                continue
            names = {
                path: _made(one, kind) + home(model)
                for path, one in model.named_modules(remove_duplicate=False)
                if isinstance(one, nn.RNN | nn.RNNCell) and type(one) in (nn.RNN, nn.RNNCell)
            }
            operation = Operation(f"torch.manual_seed(0)\n{in_place_of(names)}open_gates(model{options})\n")
            if not runs(view, operation):
                continue
            result.append(
                Prescription(
                    remedy=REMEDY.name,
                    choice=kind if way == "1" else f"{kind}+{way}",
                    title=f"Put {title}s, open {words}, in the place of "
                    f"{plural(len(found), 'plain recurrent layer')}",
                    why=because(
                        finding, f"a gated cell adds to its state and lets the gradient pass; {does}"
                    ),
                    sign="gradient_ratio",
                    change=operation,
                    code=operation.code,
                    size=3,
                    inference=2,
                    keeps_weights=False,
                )
            )
    return result


def _plain(model: nn.Module) -> dict[str, nn.Module]:
    """Of these classes themselves: a class of the user's own may do something else."""
    return {name: one for name, one in model.named_modules() if type(one) in (nn.RNN, nn.RNNCell)}


def _made(one: nn.RNN | nn.RNNCell, choice: str) -> str:
    if isinstance(one, nn.RNNCell):
        bias = "" if one.bias else ", bias=False"
        return f"nn.GRUCell({one.input_size}, {one.hidden_size}{bias})"
    options = [
        *([f"num_layers={one.num_layers}"] if one.num_layers != 1 else []),
        *(["bias=False"] if not one.bias else []),
        *(["batch_first=True"] if one.batch_first else []),
        *([f"dropout={one.dropout}"] if one.dropout else []),
        *(["bidirectional=True"] if one.bidirectional else []),
    ]
    kind = "LSTMForRNN" if choice == "lstm" else "nn.GRU"
    return f"{kind}({', '.join([str(one.input_size), str(one.hidden_size), *options])})"


def why_not(view: View) -> str:
    """Why no recurrent layer can be replaced."""
    model = view.training.patient.model
    reason = blocked(model)
    if reason:
        return reason
    return "" if _plain(model) else "the model has no plain recurrent layer of torch's, nn.RNN or nn.RNNCell"


REMEDY = Remedy(
    name="replace_recurrence",
    title="LSTM or GRU in the place of a plain recurrent layer",
    answers=(
        "vanishing_gradient",
        "exploding_gradient",
        "saturated_activations",
        "exploding_activations",
        "poor_init",
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A plain recurrent layer multiplies the gradient by the same matrix and by the slope of tanh at every step: "
        "at torch's own start by 0.55 to 0.6, so that after 20 steps next to nothing is left. A gated cell adds to its "
        "state (Hochreiter and Schmidhuber 1997; Cho et al. 2014).\n\n"
        "At torch's own start an LSTM keeps 0.64 per step and is hardly better; with its forget gate open it keeps "
        "0.87. It has four times the weights of a plain layer, a GRU three times."
    ),
)
