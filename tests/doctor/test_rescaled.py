"""A twin whose signals begin at unit size, where those of the training grow from layer to layer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

import evenflow as ef
from evenflow.doctor.batches import take_batches
from evenflow.doctor.copying import admit
from evenflow.doctor.rescaled import rescale, rescaled


class Amplified(nn.Module):
    """Layers drawn by He, each of which is followed by a factor that nobody sees in the weights."""

    def __init__(self, factor: float, depth: int = 5, normalised: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.factor = factor
        self.layers = nn.ModuleList(nn.Linear(4 if place == 0 else 24, 24) for place in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(24) if normalised else nn.Identity() for _ in range(depth))
        self.head = nn.Linear(24, 3)
        for name, one in self.named_parameters():
            if "norms" in name:
                continue
            if one.ndim > 1:
                nn.init.kaiming_normal_(one)
            else:
                nn.init.zeros_(one)

    def forward(self, values):
        for layer, norm in zip(self.layers, self.norms, strict=True):
            values = norm(F.relu(layer(values)) * self.factor)
        return self.head(values)


def sizes(model, inputs) -> list[float]:
    """Root mean squares of what the linear layers put out, by hooks of the test's own."""
    found: list[float] = []
    handles = [
        one.register_forward_hook(lambda _m, _i, out: found.append(float(out.square().mean().sqrt())))
        for one in model.modules()
        if isinstance(one, nn.Linear)
    ]
    with torch.no_grad():
        model(inputs)
    for handle in handles:
        handle.remove()
    return found


def patient_of(model):
    return admit(model, torch.optim.Adam(model.parameters()), None)


def test_every_layer_puts_out_unit_size_and_keeps_its_directions(batch):
    model = Amplified(8.0)
    before = copy.deepcopy(model)
    assert max(sizes(model, batch[0])) > 1000
    rescale(model, take_batches([batch], 1, torch.device("cpu"))[0])
    assert all(1 / 3 <= size <= 3 for size in sizes(model, batch[0]))
    for name, weight in model.state_dict().items():
        if name.endswith("weight"):
            ratio = weight / before.state_dict()[name]
            torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: Amplified(8.0), True),
        (lambda: Amplified(1.0), False),
        (lambda: Amplified(8.0, normalised=True), False),
    ],
    ids=["growing", "drawn by He", "normalised after the factor"],
)
def test_only_signals_that_grow_have_such_a_twin(model, expected, batch):
    first = take_batches([batch], 1, torch.device("cpu"))[0]
    assert (rescaled(patient_of(model()), first) is not None) == expected


def test_what_was_learned_is_not_given_up(batch):
    patient = patient_of(Amplified(8.0))
    F.cross_entropy(patient.model(batch[0]), batch[1]).backward()
    patient.optimizer.step()
    assert rescaled(patient, take_batches([batch], 1, torch.device("cpu"))[0]) is None


def test_running_statistics_and_the_original_stay(batch):
    torch.manual_seed(0)
    head = nn.Linear(24, 3)
    model = nn.Sequential(nn.Linear(4, 24), nn.BatchNorm1d(24), nn.ReLU(), head)
    with torch.no_grad():
        head.weight.mul_(100)
    before = copy.deepcopy(model.state_dict())
    patient = patient_of(model)
    first = take_batches([batch], 1, torch.device("cpu"))[0]
    change = rescaled(patient, first)
    assert change is not None
    twin = change(patient.copied())
    torch.testing.assert_close(twin.model.state_dict()["1.running_mean"], before["1.running_mean"])
    torch.testing.assert_close(model.state_dict(), before)


def test_growth_that_costs_results_is_a_fault_and_one_that_costs_none_is_not(batch):
    def told(factor: float, depth: int):
        model = Amplified(factor, depth)
        rate = torch.optim.SGD(model.parameters(), lr=0.05)
        found = ef.doctor(model, [batch], F.cross_entropy, rate, steps=120)
        return {one.rule for one in found.findings if one.severity == "fault"}

    assert told(6.0, 6) & {"exploding_activations", "exploding_gradient"}
    assert not told(1.0, 6)
