"""Which models are found, to which run they belong, and that nothing is left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import training_scripts as scripts
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.modules import module as module_hooks
from torch.optim import optimizer as optimisers  # pyright: ignore[reportAttributeAccessIssue]

import evenflow as ef
from evenflow.watch.discovery import models_of, when_called
from evenflow.watch.script import Script, watch_script
from evenflow.watch.settings import Settings

TRAIN = """
def train(model, *optimisers, steps=3, inputs=4):
    for _ in range(steps):
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss = model(torch.ones(5, inputs)).square().mean()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
"""
HEAD = f"import torch\nfrom torch import nn\nSGD = torch.optim.SGD\n{TRAIN}"


@pytest.fixture
def watched(tmp_path, monkeypatch, capsys):
    """The store, the output and the error of a script."""
    monkeypatch.chdir(tmp_path)

    def call(text, *arguments, name="train", **settings):
        Path(f"{name}.py").write_text(text)
        code = watch_script(Script(f"{name}.py", arguments), Settings(name, **settings), Path("flow.sqlite"))
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out, captured.err

    return call


def runs(**conditions):
    with ef.Store.open("flow.sqlite") as store:
        return {run.key: store.table([run.key], **conditions) for run in store.runs()}


def steps(table):
    return np.unique(table.select(kind="weight", update_norm=lambda norm: ~np.isnan(norm))["step"]).tolist()


def loss(table):
    return table["loss"][~np.isnan(table["loss"])].tolist()


def places():
    """What a session changes in this process."""
    hooks = [
        optimisers._global_optimizer_pre_hooks,
        optimisers._global_optimizer_post_hooks,
        module_hooks._global_forward_pre_hooks,
        module_hooks._global_forward_hooks,
    ]
    methods = (
        torch.optim.Optimizer.__init__,
        torch.autograd.backward,
        GradScaler.scale,
        GradScaler._unscale_grads_,
    )
    return [
        *map(len, hooks),
        *methods,
        list(sys.meta_path),
        sys.modules["__main__"],
        sys.argv,
        list(sys.path),
    ]


def test_two_models_are_two_runs_with_their_own_losses(watched):
    before = places()
    out, error = watched(scripts.GAN, "weights.pt")
    assert places() == before
    said = np.array([line.split() for line in out.splitlines()], dtype=float)
    found = runs()
    assert [steps(table) for table in found.values()] == [list(range(5))] * 2
    with ef.Store.open("flow.sqlite") as store:
        models = [(run.key, run.facts["model"]) for run in store.runs()]
    assert models == [("train", "Critic"), ("train-2", "Generator")]
    assert loss(found["train"])[:5] == pytest.approx(said[:, 0])
    assert loss(found["train-2"]) == pytest.approx(said[:, 1])
    assert error.index("Critic, 5 steps") < error.index("Generator, 5 steps")


def test_an_older_run_stays(watched):
    text = f"{HEAD}\nmodel = nn.Linear(4, 1)\ntrain(model, SGD(model.parameters(), lr=0.1))"
    watched(text)
    before = runs()["train"]
    watched(text)
    after = runs()
    assert list(after) == ["train", "train-2"]
    assert (
        after["train"].select(kind="weight")["grad_norm"].tolist()
        == before.select(kind="weight")["grad_norm"].tolist()
    )


def test_a_second_training_is_a_run_of_its_own_and_the_first_model_is_let_go(watched):
    text = f"""{HEAD}
import gc, weakref
first = nn.Linear(4, 1)
train(first, SGD(first.parameters(), lr=0.1))
alive = weakref.ref(first)
del first
second = nn.Linear(4, 2)
train(second, SGD(second.parameters(), lr=0.1), steps=2)
gc.collect()
print(alive())
again = torch.optim.Adam(second.parameters())
train(second, again, steps=4)
"""
    out, _ = watched(text)
    assert out == "None\n"
    assert [steps(table) for table in runs().values()] == [[0, 1, 2], [0, 1], [0, 1, 2, 3]]


def test_two_optimisers_of_one_model_are_one_run(watched):
    text = f"""{HEAD}
model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
train(model, SGD(model[0].parameters(), lr=0.1), SGD(model[2].parameters(), lr=0.2))
"""
    watched(text)
    (table,) = runs().values()
    updates = table.select(kind="weight", update_norm=lambda norm: norm > 0)
    assert len(updates) == 2 * 3
    ratio = updates["update_norm"] / updates["grad_norm"]
    assert ratio == pytest.approx(np.where(updates["name"] == "0.weight", 0.1, 0.2), rel=1e-3)


def test_an_optimiser_that_comes_later_begins_a_training_and_the_first_may_join_it(watched):
    text = f"""{HEAD}
model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
head = SGD(model[2].parameters(), lr=0.01)
train(model, head)
backbone = SGD(model[0].parameters(), lr=0.01)
train(model, backbone, steps=2)
train(model, head, backbone, steps=2)
"""
    watched(text)
    first, second = runs().values()
    assert steps(first) == [0, 1, 2]
    assert steps(second) == [0, 1, 2, 3]
    updated = second.select(kind="weight", update_norm=lambda norm: norm > 0)
    assert updated.select(name="0.weight")["step"].tolist() == [0, 1, 2, 3]
    assert updated.select(name="2.weight")["step"].tolist() == [2, 3]


def test_a_model_that_is_found_at_its_first_step_has_its_gradient_and_update(watched):
    text = f"""{HEAD}
import copy
source = nn.Linear(4, 1)
made = SGD(source.parameters(), lr=0.01)
model, optimiser = copy.deepcopy((source, made))  # no __init__ runs
train(model, optimiser)
"""
    watched(text)
    (table,) = runs().values()
    weight = table.select(kind="weight", phase="accumulated")
    assert weight["step"].tolist() == [0, 1, 2]
    assert weight["update_norm"] == pytest.approx(0.01 * weight["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("print(1)", "no optimiser stepped a model: torch was not imported"),
        (f"{HEAD}\nSGD(nn.Linear(2, 2).parameters(), lr=1)", "no optimiser stepped a model"),
        (
            f"{HEAD}\nx = torch.ones(2, requires_grad=True)\no = SGD([x], lr=1)\nx.sum().backward()\no.step()",
            "SGD stepped tensors that are in no module; these were not watched",
        ),
    ],
    ids=["no torch", "no step", "no module"],
)
def test_a_script_that_trains_no_model(watched, tmp_path, text, line, monkeypatch):
    if "torch" not in text:
        monkeypatch.delitem(sys.modules, "torch")
    _, error = watched(text)
    assert error.startswith(f"evenflow: {line}\n")
    assert not (tmp_path / "flow.sqlite").exists()


def test_a_probe_that_fails_does_not_stop_the_script(watched, monkeypatch):
    from evenflow.watch import session

    def broken(*_, **__):
        raise RuntimeError("planted")

    monkeypatch.setattr(session, "Probe", broken)
    text = f"{HEAD}\nmodel = nn.Linear(4, 1)\ntrain(model, SGD(model.parameters(), lr=0.1))\nprint('trained')"
    out, error = watched(text)
    assert out == "trained\n"
    assert error.count("planted") == 1
    assert "no module" not in error


def test_a_store_that_fails_does_not_stop_the_script(watched):
    text = f"""{HEAD}
import pathlib
pathlib.Path("flow.sqlite").mkdir()
model = nn.Linear(4, 1)
train(model, SGD(model.parameters(), lr=0.1))
print('trained')
"""
    out, error = watched(text)
    assert out == "trained\n"
    assert "the script goes on, and nothing more is written" in error
    assert "evenflow: Linear, 3 steps" in error
    assert "nothing was stored" in error


def test_the_loss_of_an_accumulation_is_the_sum_and_that_of_a_closure_its_first(watched):
    text = f"""{HEAD}
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
model = nn.Linear(4, 1)
optimiser = SGD(model.parameters(), lr=0.1)
optimiser.zero_grad()
total = 0.0
for _ in range(4):
    loss = model(torch.randn(5, 4)).square().mean() / 4
    total += loss.item()
    scaler.scale(loss).backward()
scaler.step(optimiser)
scaler.update()
other = nn.Linear(4, 1)
second = torch.optim.LBFGS(other.parameters(), max_iter=4)
seen = []
def closure():
    second.zero_grad()
    loss = other(torch.ones(5, 4)).square().mean()
    loss.backward()
    seen.append(loss.item())
    return loss
second.step(closure)
print(total, seen[0], len(seen))
"""
    out, _ = watched(text)
    total, first, count = map(float, out.split())
    assert count > 1
    found = [loss(table) for table in runs().values()]
    assert found == [[pytest.approx(total, rel=1e-6)], [pytest.approx(first, rel=1e-6)]]


def test_a_step_that_a_loss_scale_leaves_out_does_not_stop_the_script(watched):
    text = f"""{HEAD}
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
model = nn.Linear(4, 1)
optimiser = SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimiser.zero_grad()
    loss = model(torch.ones(5, 4)).square().mean()
    if step == 1:
        loss = loss * 1e30
    scaler.scale(loss).backward()
    scaler.step(optimiser)
    scaler.update()
print("trained")
"""
    out, _ = watched(text)
    assert out == "trained\n"
    (table,) = runs().values()
    assert np.unique(table["step"]).tolist() == [0, 1, 2]
    assert len(loss(table)) == 3
    assert 1 not in table.select(kind="weight")["step"][~np.isnan(table.select(kind="weight")["update_norm"])]


class Steered(nn.Module):
    """Never called itself, as a LightningModule is."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def training_step(self): ...


def test_the_outermost_module_that_is_called_is_the_model():
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    outer = nn.Sequential(inner, nn.Flatten())
    sgd = torch.optim.SGD(inner.parameters())
    assert models_of(sgd) == [[outer]]
    assert models_of(torch.optim.SGD(inner[0].parameters())) == [[outer]]
    wrapped = torch.compile(outer, backend="eager")
    assert models_of(sgd) == [[outer]]
    assert wrapped is not outer


def test_a_module_that_is_steered_leaves_the_choice_to_the_first_call():
    net = nn.Linear(2, 2)
    steered = Steered(net=net)
    assert models_of(torch.optim.SGD(steered.parameters())) == [[net]]
    Steered.forward = lambda self, x: self.net(x)
    try:
        candidates = models_of(torch.optim.SGD(steered.parameters()))[0]
        assert candidates == [steered, net]
        called = []
        when_called(candidates, called.append)
        steered(torch.ones(1, 2))
        net(torch.ones(1, 2))
        assert called == [steered]
        assert net._compiled_call_impl is steered._compiled_call_impl is None
    finally:
        del Steered.forward


def test_models_in_one_container_with_an_optimiser_each_are_several():
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    container = Steered(generator=generator, critic=critic)
    assert models_of(torch.optim.SGD(generator.parameters())) == [[generator]]
    assert models_of(torch.optim.SGD(critic.parameters())) == [[critic]]
    del container  # alive up to here


def test_models_that_share_an_optimiser():
    encoder, decoder = nn.Linear(2, 2), nn.Linear(2, 1)
    sgd = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()])
    found = models_of(sgd)
    assert len(found) == 2
    assert all([model] in found for model in (encoder, decoder))


@pytest.mark.parametrize(("sites", "said"), [("lyer.*", True), ("0.*", False)])
def test_a_pattern_that_names_nothing_is_said_while_the_script_runs(watched, sites, said):
    script = (
        HEAD
        + "model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())\ntrain(model, SGD(model.parameters(), 0.1))\n"
    )
    _, error = watched(script, sites=[sites])
    line = "evenflow: --sites ['lyer.*'] names no site of this Sequential, which has 0.weight and 0.bias"
    assert (line in error) == said
