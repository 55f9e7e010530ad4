"""What a probe looks at on a few steps only: cosines, inputs, the setting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

import evenflow as ef
from evenflow.measure.onlooker import mean_cosine
from evenflow.record.store import Store
from evenflow.spec.setting import Setting


def reference(values: np.ndarray) -> float:
    rows = values[:8].reshape(min(len(values), 8), -1).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    return cosines[np.triu_indices(len(rows), 1)].mean()


@pytest.mark.parametrize("shape", [(2, 3), (8, 5), (20, 4), (6, 3, 4, 4)])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_cosine_is_that_of_numpy(shape, scale):
    values = np.random.default_rng(0).normal(1, 1, size=shape).astype(np.float32) * np.float32(scale)
    found = mean_cosine(torch.tensor(values))
    assert found is not None
    assert float(found) == pytest.approx(reference(values / np.float32(scale)), rel=1e-5)


def test_what_has_no_cosine():
    assert mean_cosine(torch.ones(1, 4)) is None
    assert mean_cosine(torch.ones(4)) is None
    assert mean_cosine(torch.ones(4, 2, dtype=torch.complex64)) is None
    dead = mean_cosine(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert dead is not None
    assert dead.isnan()


def test_a_sequence_that_puts_time_first_is_read_along_its_samples():
    values = torch.randn(5, 6, 3)
    assert mean_cosine(values, 6) == mean_cosine(values.transpose(0, 1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.end = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.act = nn.Tanh()

    def forward(self, x):
        return self.end(self.act(self.inner(F.relu(self.act(self.first(x))))))


def trained(steps=6, **options):
    torch.manual_seed(0)
    model, inputs = Net(), torch.randn(12, 4) + 1
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = {}
    with ef.Probe(model, optimiser, **options) as probe:
        for step in range(steps):
            with torch.no_grad():
                first = torch.tanh(F.linear(inputs, model.first.weight, model.first.bias))
                inner = torch.tanh(F.linear(first.relu(), model.inner.weight, model.inner.bias))
            for name, value in (("act", first), (":relu", first.relu()), ("act#2", inner)):
                expected[step, name] = reference(value.numpy())
            optimiser.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            probe.loss(loss)
            optimiser.step()
    return probe, expected, inputs


def test_the_cosines_of_modules_and_functions_are_in_the_rows_of_their_sites():
    probe, expected, _ = trained()
    table = probe.table.select(kind="activation")
    found = {
        (int(step), str(name)): value
        for step, name, value in zip(table["step"], table["name"], table["cosine"], strict=True)
    }
    assert {step for (step, _), value in found.items() if value == value} == {0, 1, 2, 4}
    for key, value in expected.items():
        if key[0] in (0, 1, 2, 4):
            assert found[key] == pytest.approx(value, rel=1e-6)
    assert len(table) == 6 * 3  # a cosine has no row of its own


def test_inputs_are_measured_as_they_come():
    probe, _, inputs = trained()
    table = probe.table.select(kind="input")
    assert table["step"].tolist() == [0, 1, 2, 4]
    values = inputs.numpy()
    figures = [table[name][0] for name in ("mean", "std", "rms", "max_abs")]
    assert figures == pytest.approx(
        [values.mean(), values.std(), np.sqrt((values**2).mean()), abs(values).max()], rel=1e-6
    )


def test_inputs_are_measured_before_the_model_writes_to_them():
    class Writes(nn.Linear):
        def forward(self, input):
            return super().forward(input.mul_(2))

    model = Writes(4, 3)
    with ef.Probe(model, torch.optim.SGD(model.parameters(), lr=0.1)) as probe:
        model(torch.ones(2, 4)).sum().backward()
    assert probe.table.select(kind="input")["max_abs"].tolist() == [1.0]
    assert probe.setting.inputs[0].maximum == 1.0


def test_only_the_sites_that_were_asked_for():
    probe, _, _ = trained(sites="act*")
    assert {site.name for site in probe.table.sites if site.kind != "loss"} == {"act", "act#2"}
    assert probe.setting.inputs


def test_only_the_statistics_that_were_asked_for():
    probe, _, _ = trained(statistics=["rms"])
    assert probe.table.statistics == ("rms",)


def test_the_setting_is_that_of_the_first_step_and_goes_into_the_store(tmp_path):
    path = tmp_path / "flow.sqlite"
    probe, _, _ = trained(store=path, name="run")
    setting = probe.setting
    assert [one.name for one in setting.layers] == ["first", "inner", "end"]
    assert setting.layers[0].activation_site == "act"
    assert setting.output is not None
    assert setting.output.layer == "end"
    torch.manual_seed(0)
    fresh = Net().first.weight.detach()
    assert setting.layers[0].weight_std == pytest.approx(float(fresh.std(correction=0)), rel=1e-6)
    with Store.open(path) as store:
        (run,) = store.runs()
    assert Setting.from_facts(dict(run.facts)).to_facts() == setting.to_facts()
    assert Setting.from_facts(dict(probe.table.runs[0].facts)).to_facts() == setting.to_facts()


def test_an_optimiser_that_was_not_given_is_known_when_it_has_stepped():
    model = Net()
    optimiser = torch.optim.SGD(list(model.first.parameters()), lr=0.25)
    with ef.Probe(model) as probe:
        for _ in range(2):
            model(torch.ones(4, 4)).sum().backward()
            optimiser.step()
    assert [one.learning_rate for one in probe.setting.optimisers] == [0.25]
    assert {one.layer for one in probe.setting.parameters if one.optimised} == {"first"}


def test_a_model_that_fails_leaves_no_hook_behind():
    class Fails(Net):
        def forward(self, x):
            super().forward(x)
            raise ValueError("no")

    hooks = nn.modules.module._global_forward_hooks
    model = Fails()
    probe = ef.Probe(model, torch.optim.SGD(model.parameters(), lr=0.1)).attach()
    with pytest.raises(ValueError, match="no"):
        model(torch.ones(4, 4))
    assert not hooks
    probe.detach()


def test_the_training_is_the_same_bit_for_bit():
    def weights(watched):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        optimiser = torch.optim.Adam(model.parameters())
        probe = ef.Probe(model, optimiser)
        if watched:
            probe.attach()
        for _ in range(5):
            optimiser.zero_grad()
            loss = model(torch.ones(16, 4)).square().mean()
            loss.backward()
            if watched:
                probe.loss(loss)
            optimiser.step()
        probe.detach()
        return [one.detach().clone() for one in model.parameters()]

    assert all(map(torch.equal, weights(True), weights(False)))
