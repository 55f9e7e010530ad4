from __future__ import annotations

import pytest
import torch
from prescribed_trainings import check, classes, named, view_of
from torch import nn

from evenflow.prescribe.replace_recurrence import REMEDY


class Sequences(nn.Module):
    """Reads 8 numbers, then 22 steps of nothing, and answers from the last output or the last state."""

    def __init__(self, from_state: bool = False, **options) -> None:
        super().__init__()
        self.cells: nn.RNNBase = nn.RNN(2, 16, batch_first=True, **options)
        self.end, self.from_state = nn.Linear(16 * (1 + self.cells.bidirectional), 3), from_state

    def forward(self, x):
        x = torch.cat([x.view(len(x), 4, 2), torch.zeros(len(x), 26, 2)], 1)
        outputs, state = self.cells(x)
        return self.end(state[-1] if self.from_state else outputs[:, -1])


def arriving(training) -> float:
    inputs = classes()[0].inputs.clone().requires_grad_()
    training.patient.model(inputs).square().sum().backward()
    return float(inputs.grad.norm())


@pytest.mark.parametrize("from_state", [False, True])
@pytest.mark.parametrize("choice", ["lstm", "gru", "lstm+length", "gru+length"])
def test_gated_cells_remember(choice, from_state):
    view = view_of(Sequences(from_state), None, "vanishing_gradient")
    changed = check(named(REMEDY.forms(view), choice), view)
    assert arriving(changed) > (1e3 if "length" in choice else 30) * arriving(view.training)


def test_units_remember_for_as_many_steps_as_there_are():
    view = view_of(Sequences(), None, "vanishing_gradient")
    found = REMEDY.forms(view)
    assert [one.choice for one in found] == ["lstm+length", "gru+length", "lstm", "gru"]
    model = found[0].change(view.training.copied()).patient.model
    bias = model.get_parameter("cells.bias_ih_l0").detach()
    assert torch.allclose(bias[16:32].exp(), torch.linspace(1, 29, 16), rtol=1e-5)
    assert torch.equal(bias[:16], -bias[16:32])


def test_sizes_and_options_are_kept():
    view = view_of(
        Sequences(num_layers=2, bidirectional=True, bias=False, dropout=0.1), None, "vanishing_gradient"
    )
    for one in REMEDY.forms(view):
        cells = one.change(view.training.copied()).patient.model.cells
        assert isinstance(cells, nn.RNNBase)
        assert (cells.num_layers, cells.bidirectional, cells.bias, cells.dropout) == (2, True, False, 0.1)
        assert cells.batch_first


def test_a_state_that_is_handed_on_and_single_cells_become_grus():
    class HandedOn(nn.Module):
        def __init__(self, cell: bool) -> None:
            super().__init__()
            self.cells = nn.RNNCell(2, 8) if cell else nn.RNN(2, 8, batch_first=True)
            self.end = nn.Linear(8, 3)

        def forward(self, x):
            state = x.new_zeros(1, len(x), 8)
            for part in x.view(len(x), 4, 2).unbind(1):
                if isinstance(self.cells, (nn.RNN, nn.GRU)):
                    state = self.cells(part[:, None], state)[1]
                else:
                    state = self.cells(part, state[0])[None]
            return self.end(state[0])

    for cell in (False, True):
        view = view_of(HandedOn(cell), None, "vanishing_gradient")
        found = REMEDY.forms(view)
        assert [one.choice for one in found] == ["gru"]
        check(found[0], view)


def test_what_is_gated_already_is_left_alone():
    model = Sequences()
    model.cells = nn.GRU(2, 16, batch_first=True)
    view = view_of(model, None, "vanishing_gradient")
    assert not REMEDY.forms(view)
    assert "no plain recurrent layer" in REMEDY.why_not(view)
