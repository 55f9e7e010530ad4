"""What a probe measures on request: rows, time steps, micro-batches, a budget; and where NaN came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.measure.budget import Budget
from evenflow.watch.probe import Probe, ProbeWarning


def made(seed=0) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


def train(model, optimizer, steps, rows=256):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(rows, 20)).square().mean().backward()
        optimizer.step()


def recorded(steps=150, **options):
    model, optimizer = made()
    with Probe(model, optimizer, **options) as probe:
        train(model, optimizer, steps)
    return probe, model


def test_standard_errors_of_some_rows_cover_what_all_rows_give():
    full, model = recorded()
    some, same = recorded(rows=24)
    for parameter, other in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(parameter, other)  # the rows are drawn by a generator of the probe's own
    for statistic in ("mean", "rms", "zero_fraction", "saturated_fraction", "signal_rms"):
        for name in ("1", "3"):
            kind = "pre-activation" if statistic == "signal_rms" else "activation"
            whole, part = (probe.table.select(kind=kind, name=name) for probe in (full, some))
            errors = part[f"{statistic}_se"]
            if not errors.any():
                assert statistic == "zero_fraction"
                continue
            scores = (part[statistic] - whole[statistic]) / errors
            # Squared gradients have heavy tails: 24 rows understate how they spread.
            assert 0.8 < scores.std() < (1.8 if statistic == "signal_rms" else 1.2)
            assert abs(scores.mean()) < 0.7


def test_a_batch_that_is_no_larger_than_the_rows_is_read_as_a_whole():
    full, _ = recorded(steps=3)
    some, _ = recorded(steps=3, rows=256)
    for statistic in ("mean", "rms", "saturated_fraction"):
        np.testing.assert_allclose(some.table[statistic], full.table[statistic], rtol=1e-12)
    assert np.nanmax(some.table["rms_se"]) == 0.0


@pytest.mark.parametrize("batch_first", [True, False])
def test_every_time_step_is_a_site(batch_first):
    torch.manual_seed(1)
    recurrent, head = nn.LSTM(5, 7, batch_first=batch_first), nn.Linear(7, 1)
    model = nn.ModuleDict({"recurrent": recurrent, "head": head})
    outputs = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = model

        def forward(self, inputs):
            output, _ = self.parts["recurrent"](inputs)
            output.retain_grad()
            outputs.append(output)
            return self.parts["head"](output)

    whole = Model()
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
    with Probe(whole, optimizer, time_steps=True) as probe:
        whole(torch.randn(4, 6, 5)).square().mean().backward()
        optimizer.step()
    time = 1 if batch_first else 0
    for step in range(outputs[0].shape[time]):
        rows = probe.table.select(name=f"parts.recurrent[{step}]")
        values, signal = (
            tensor.select(time, step).detach().double() for tensor in (outputs[0], outputs[0].grad)
        )
        assert np.nanmax(rows["rms"]) == pytest.approx(float(values.square().mean().sqrt()), rel=1e-9)
        assert np.nanmax(rows["signal_rms"]) == pytest.approx(float(signal.square().mean().sqrt()), rel=1e-9)


def test_micro_batches():
    model, optimizer = made()
    expected = []
    with Probe(model, optimizer, micro_batches=True) as probe:
        for _ in range(3):
            optimizer.zero_grad()
            squares, before = [], torch.zeros(30, 20)
            for _ in range(4):
                (model(torch.randn(8, 20)).square().mean() / 4).backward()
                gradient = model[0].weight.grad
                squares.append(float((gradient - before).double().square().sum()))
                before = gradient.clone()
            optimizer.step()
            expected.append(np.sqrt(np.mean(squares)))
    found = probe.table.select(name="0.weight", phase="micro")["grad_norm"]
    assert found == pytest.approx(expected, rel=1e-5)
    assert not model[0].weight._backward_hooks


def test_a_budget_is_kept_by_its_own_measure():
    budget = Budget(0.05)
    recorded_steps = 0
    for _ in range(2000):
        due = budget.next()
        recorded_steps += due
        budget.took(1.5 if due else 1.0)
        budget.every = budget.proposal
    assert budget.every == 10
    assert recorded_steps == pytest.approx(2000 / 10, rel=0.2)
    assert budget.spent == pytest.approx(0.05)


def test_a_budget_records_every_step_where_that_costs_nothing():
    budget = Budget(0.05)
    due = []
    for _ in range(1000):
        due.append(budget.next())
        budget.took(1.0)
        budget.every = budget.proposal
    assert budget.every == 1
    assert np.mean(due) > 0.9  # some are left out, to see whether it still costs nothing


def test_a_probe_with_a_budget_records_some_steps_and_says_what_it_costs():
    probe, _ = recorded(steps=60, budget=0.2)
    steps = np.unique(probe.table["step"])
    assert set(range(3)) <= set(steps.tolist())
    assert len(steps) < 60
    assert probe.cost >= 0


class Logarithm(nn.Module):
    bad = False

    def forward(self, inputs):
        return torch.log(inputs) if self.bad else inputs


def test_the_first_value_that_is_not_finite_is_traced_to_its_operation():
    torch.manual_seed(0)
    logarithm = Logarithm()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), logarithm, nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters())

    def step(number):
        logarithm.bad = number == 3
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()

    with Probe(model, optimizer) as probe:
        for number in range(3):
            step(number)
        with pytest.warns(ProbeWarning, match="step 3: not finite: forward: aten::log"):
            step(3)
        step(4)
    assert probe.origin is not None
    found, origin = probe.origin
    assert (found, origin.direction, origin.module, origin.operation) == (3, "forward", "2", "aten::log")
    counts = probe.table.select(name="0.weight", phase="accumulated")["nonfinite_count"]
    assert (counts[:3] == 0).all()
    assert counts[3] > 0


def test_a_gradient_that_is_not_finite_is_traced_to_the_backward_pass():
    class Norm(nn.Module):
        def forward(self, inputs):
            return inputs.square().sum(1, keepdim=True).sqrt()  # at 0 the slope is infinite

    torch.manual_seed(0)
    first = nn.Linear(4, 8)
    model = nn.Sequential(first, nn.Tanh(), Norm())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        model(torch.randn(4, 4)).mean().backward()
        optimizer.step()

    with Probe(model, optimizer) as probe:
        step()
        with torch.no_grad():
            first.weight.zero_()
            first.bias.zero_()
        with pytest.warns(ProbeWarning, match="not finite: backward"):
            step()
    assert probe.origin is not None
    assert probe.origin[0] == 1
    assert probe.origin[1].module == "2"


def test_it_is_not_looked_for_on_request():
    model, optimizer = made()
    with Probe(model, optimizer, nonfinite=False) as probe:
        model(torch.full((2, 20), float("nan"))).sum().backward()
        optimizer.step()
    assert probe.origin is None
    assert probe.table["nonfinite_count"].max() > 0
