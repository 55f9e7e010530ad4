"""Gradients through time: what is read of them, against autograd; the layers that forget, and those that do not."""

from __future__ import annotations

import math

import pytest
import torch
from diagnosed_trainings import adam, severity, trained, verdict
from torch import Tensor, nn

from evenflow.diagnose.through_time import through_time
from evenflow.doctor.batches import Batch
from evenflow.doctor.recurrence import has_recurrence, recurrences

STEPS = 24


class Reader(nn.Module):
    """A recurrent layer and a linear one for its last state."""

    def __init__(
        self, kind: str = "RNN", *, batch_first: bool = True, recurrent: float | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows = getattr(nn, kind)(4, 24, batch_first=batch_first)
        self.head = nn.Linear(24, 4)
        if recurrent is not None:
            with torch.no_grad():
                nn.init.orthogonal_(self.rows.weight_hh_l0).mul_(recurrent)

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.rows(inputs)[0]
        return self.head(states[:, -1] if self.rows.batch_first else states[-1])


class Cells(nn.Module):
    """A cell called step by step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = getattr(nn, kind)(4, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        state = None
        for row in inputs.unbind(1):
            state = self.cell(row, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


def first_signs() -> list[tuple[Tensor, Tensor]]:
    """Noise whose first value is what to remember to the end."""
    source = torch.Generator().manual_seed(0)
    classes = torch.randint(4, (512,), generator=source)
    signals = 0.3 * torch.randn(512, STEPS, 4, generator=source)
    signals[:, 0] += 3.0 * nn.functional.one_hot(classes, 4)
    return list(zip(signals.split(32), classes.split(32), strict=True))


def kept(model: Reader) -> Reader:
    model.rows.requires_grad_(False)
    return model


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_the_gradient_by_time_step_is_that_of_autograd(kind, batch_first):
    model = Reader(kind, batch_first=batch_first)
    inputs, classes = first_signs()[0]
    inputs = inputs if batch_first else inputs.transpose(0, 1).contiguous()
    (found,) = recurrences(model, Batch(inputs, classes), nn.functional.cross_entropy)
    assert (found.name, found.type) == ("rows", kind)
    assert not inputs.requires_grad
    leaf = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(leaf), classes), leaf)
    by_step = gradient if batch_first else gradient.transpose(0, 1)
    expected = [float(by_step[:, step].square().mean().sqrt()) for step in range(STEPS)]
    assert found.gradient == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_are_read_at_their_states(kind):
    (found,) = recurrences(Cells(kind), Batch(*first_signs()[0]), nn.functional.cross_entropy)
    assert found.name == "cell"
    assert len(found.gradient) == STEPS
    assert found.gradient[0] < found.gradient[-1]


def test_what_has_no_time_is_left_out():
    inputs, classes = first_signs()[0]
    assert recurrences(Reader(), Batch(inputs[:, :3], classes), nn.functional.cross_entropy) == ()
    assert not has_recurrence(nn.Linear(4, 2), Batch(inputs, classes))


class Written(nn.Module):
    """A recurrence written out as a loop over linear layers."""

    def __init__(self, recurrent: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enters, self.state, self.head = nn.Linear(4, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 4)
        nn.init.orthogonal_(self.state.weight, recurrent)

    def forward(self, inputs: Tensor) -> Tensor:
        values = inputs.new_zeros(len(inputs), 24)
        for row in inputs.unbind(1):
            values = torch.tanh(self.enters(row) + self.state(values))
        return self.head(values)


def test_a_loop_over_linear_layers_is_a_recurrence():
    inputs, classes = first_signs()[0]
    model = Written(0.3)
    assert has_recurrence(model, Batch(inputs, classes))
    found = {
        one.name: one.gradient
        for one in recurrences(model, Batch(inputs, classes), nn.functional.cross_entropy)
    }
    assert set(found) == {"enters", "state"}
    entered = []
    handle = model.enters.register_forward_hook(lambda _module, _inputs, output: entered.append(output))
    loss = nn.functional.cross_entropy(model(inputs), classes)
    handle.remove()
    expected = [float(one.square().mean().sqrt()) for one in torch.autograd.grad(loss, entered)]
    assert found["enters"] == pytest.approx(expected, rel=1e-4)


def test_a_loop_that_forgets_is_named():
    found = verdict("vanishing_gradient", trained(Written(0.1), adam(lr=2e-3), first_signs(), steps=60))
    assert found is not None
    assert found.severity == "fault"
    assert set(found.sites) == {"enters", "state"}
    assert (
        severity("vanishing_gradient", trained(Written(1.0), adam(lr=5e-3), first_signs(), steps=100)) == ""
    )


def test_a_layer_that_forgets_is_named_with_what_it_loses_at_every_step():
    found = verdict(
        "vanishing_gradient", trained(Reader(recurrent=0.1), adam(lr=2e-3), first_signs(), steps=60)
    )
    assert found is not None
    assert found.severity == "fault"
    assert found.sites == ("rows",)
    # A tenth of an orthogonal matrix keeps a tenth of the length; the slope of tanh is just below 1 at small states.
    assert found.evidence["decades_per_time_step"] == pytest.approx(math.log10(0.1), abs=0.15)
    assert "per time step" in found.message


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        (lambda: Reader("GRU"), 5e-3),
        (lambda: Reader("LSTM"), 5e-3),
        (lambda: Reader(recurrent=0.1), 1e-7),
        (lambda: kept(Reader(recurrent=0.1)), 5e-3),
    ],
    ids=["GRU that has not begun to learn", "LSTM likewise", "steps of next to nothing", "kept on purpose"],
)
def test_others_are_left_alone(model, rate):
    case = trained(model(), adam(lr=rate), first_signs(), steps=60)
    assert case.setting.recurrences
    assert through_time(case) is None


def test_a_layer_that_remembers_learns():
    case = trained(Reader(recurrent=1.0), adam(lr=5e-3), first_signs(), steps=100)
    assert case.loss.values[-1, 0] < 0.5  # so that the silence about it is no accident
    assert severity("vanishing_gradient", case) == ""
