from __future__ import annotations

import copy

import torch
from torch import nn

from evenflow.doctor.copying import Patient
from evenflow.prescribe.adopt import Before, adopt


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2))


def step(patient):
    patient.optimizer.zero_grad()
    patient.model(torch.randn(8, 3)).square().mean().backward()
    patient.optimizer.step()


def held(group):
    return {id(one) for one in group["params"]}


def test_a_new_scale_joins_the_group_of_vectors_and_trains():
    model = mlp()
    matrices = [one for one in model.parameters() if one.ndim > 1]
    vectors = [one for one in model.parameters() if one.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    )
    patient = Patient(model, optimizer)
    step(patient)
    before = Before.of(model)
    norm = nn.LayerNorm(4)
    model[0] = nn.Sequential(model[0], norm)
    adopt(before, patient)
    assert held(optimizer.param_groups[1]) >= {id(norm.weight), id(norm.bias)}
    assert len(optimizer.param_groups[0]["params"]) == 3
    was = norm.weight.detach().clone()
    step(patient)
    assert not torch.equal(was, norm.weight)


def test_what_bears_the_same_name_takes_the_group_of_what_it_replaces():
    model = mlp()
    optimizer = torch.optim.SGD([{"params": one.parameters(), "lr": 0.1 * (n + 1)} for n, one in
                                 enumerate((model[0], model[2], model[4]))])  # fmt: skip
    before = Before.of(model)
    old = {id(one) for one in model[2].parameters()}
    model[2] = nn.Linear(4, 4)
    adopt(before, Patient(model, optimizer))
    assert held(optimizer.param_groups[1]) == {id(one) for one in model[2].parameters()}
    assert not old & set().union(*map(held, optimizer.param_groups))


def test_state_stays_with_what_stays_and_leaves_with_what_is_drawn_anew():
    model = mlp()
    patient = Patient(model, torch.optim.Adam(model.parameters()))
    step(patient)
    first, second = model[0].get_parameter("weight"), model[2].get_parameter("weight")
    kept = copy.deepcopy(patient.optimizer.state[first])
    before = Before.of(model)
    nn.init.orthogonal_(second)
    model[4] = nn.Linear(4, 2)
    adopt(before, patient)
    state = patient.optimizer.state
    assert torch.equal(state[first]["exp_avg"], kept["exp_avg"])
    assert second not in state
    assert len(state) == 3
    step(patient)


def test_frozen_layers_and_those_left_out_stay_out():
    model = mlp()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    before = Before.of(model)
    model[1] = nn.PReLU()
    adopt(before, Patient(model, optimizer))
    assert held(optimizer.param_groups[0]) == {
        id(one) for one in (*model[4].parameters(), *model[1].parameters())
    }


def test_names_of_parameters_are_kept_beside_them():
    model = mlp()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    before = Before.of(model)
    model[1] = nn.PReLU()
    model[4] = nn.Identity()
    adopt(before, Patient(model, optimizer))
    group = optimizer.param_groups[0]
    assert group["param_names"] == ["0.weight", "0.bias", "2.weight", "2.bias", "1.weight"]
    assert [id(dict(model.named_parameters())[name]) for name in group["param_names"]] == [
        id(one) for one in group["params"]
    ]


def test_a_history_of_all_parameters_begins_anew():
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
    patient = Patient(model, optimizer)

    def closure():
        optimizer.zero_grad()
        loss = patient.model(torch.ones(4, 3)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = Before.of(model)
    model[1] = nn.PReLU()
    adopt(before, patient)
    was = [one.detach().clone() for one in model.parameters()]
    optimizer.step(closure)
    assert all(not torch.equal(one, then) for one, then in zip(model.parameters(), was, strict=True))
