"""An examination takes everything in, and changes nothing of the user's."""

from __future__ import annotations

import copy
import itertools
import math
import random
import sys
from collections import namedtuple
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

import evenflow as ef
from evenflow.doctor.examine import examine
from evenflow.errors import DataError, SpecError
from evenflow.record.store import Store
from evenflow.spec.setting import Setting


def setting_of(table) -> Setting:
    return Setting.from_facts(dict(table.runs[0].facts))


def test_a_table_of_every_step_with_the_setting_among_its_facts(model, batch):
    table = examine(model, batch, F.cross_entropy, steps=7)
    (run,) = table.runs
    assert (run.key, run.status, run.steps_done) == ("doctor", "finished", 6)
    assert sorted(set(table["step"].tolist())) == list(range(7))
    losses = table.select(kind="loss")["loss"]
    setting = setting_of(table)
    assert setting.twins[0].change == "nothing"
    assert setting.twins[0].loss == pytest.approx(losses.tolist())
    assert setting.output is not None
    assert (setting.output.loss, setting.batch) == ("cross_entropy", 32)
    assert setting.target is not None
    assert (setting.target.kind, setting.target.classes) == ("classes", 3)
    assert setting.optimisers[0].type == "Adam"
    trial = dict(run.facts)["trial"]
    assert isinstance(trial, dict)
    assert (trial["steps"], trial["planned"], trial["warnings"]) == (7, 7, [])


def test_the_trial_trains_as_the_user_would(batch):
    inputs, target = batch
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
    table = examine(model, batch, F.cross_entropy, optimizer, steps=6, scheduler=scheduler, clip_norm=0.1)
    expected = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        scheduler.step()
        expected.append(float(loss.detach()))
    assert table.select(kind="loss")["loss"].tolist() == pytest.approx(expected, rel=1e-6)
    assert "clipped" in table["phase"]


def test_the_trial_changes_gradients_as_the_user_does(batch):
    first = nn.Linear(4, 8)
    model = nn.Sequential(first, nn.Tanh(), nn.Linear(8, 3))
    mask = torch.arange(32).reshape(8, 4) % 2
    heard = []
    first.weight.register_hook(lambda gradient: gradient * mask)
    first.bias.register_hook(heard.append)
    before = first.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    examined = examine(model, batch, F.cross_entropy, optimizer, steps=6)
    assert len(heard) >= 6
    assert torch.equal(first.weight, before)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert examined.select(kind="loss")["loss"].tolist() == pytest.approx(losses, rel=1e-6)
    assert torch.equal(first.weight[mask == 0], before[mask == 0])


def everything(model, optimizer, scheduler=None):
    return copy.deepcopy(
        (
            model.state_dict(),
            [module.training for module in model.modules()],
            [(one.requires_grad, one.grad) for one in model.parameters()],
            optimizer.state_dict(),
            None if scheduler is None else scheduler.state_dict(),
            torch.get_rng_state(),
            random.getstate(),
            np.random.get_state(),
        )
    )


def assert_same(found, expected):
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, np.ndarray):
        assert np.array_equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_of_the_users_changes(model, batch, mode):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=300)
    F.cross_entropy(
        model(batch[0]), batch[1]
    ).backward()  # in the middle of a training, with state and gradients
    optimizer.step()
    scheduler.step()
    model[1].eval()
    model.train(mode)
    before = everything(model, optimizer, scheduler)

    def noisy(output, target):
        return F.cross_entropy(output, target) + 0.0 * (random.random() + np.random.rand())

    given = batch[0].clone()
    examine(model, [batch] * 3, noisy, optimizer, steps=5, scheduler=scheduler)
    assert_same(everything(model, optimizer, scheduler), before)
    assert torch.equal(batch[0], given)
    assert not any("_compiled_call_impl" in vars(module) for module in model.modules())


def test_a_model_that_writes_to_its_inputs_does_not_write_to_the_users(batch):
    class Writes(nn.Linear):
        def forward(self, input):
            return super().forward(input.mul_(2))

    given = batch[0].clone()
    examine(Writes(4, 3), batch, F.cross_entropy, steps=3)
    assert torch.equal(batch[0], given)


def test_no_more_batches_are_taken_than_there_are_steps(model, batch):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield batch

    examine(model, endless(), F.cross_entropy, steps=4)
    assert taken == [0, 1, 2, 3]


def test_a_source_that_ends_is_gone_round(model, batch):
    table = examine(model, iter([batch, batch]), F.cross_entropy, steps=5)
    assert len(set(table["step"].tolist())) == 5


def test_batches_that_share_their_memory_are_told_apart():
    def reused():
        inputs = torch.zeros(8, 4)
        for number in range(3):
            inputs.fill_(float(number))
            yield inputs, torch.zeros(8, dtype=torch.long)

    found = setting_of(examine(nn.Linear(4, 3), reused(), F.cross_entropy, steps=3)).inputs[0]
    assert (found.minimum, found.maximum) == (0.0, 2.0)


Named = namedtuple("Named", "first second")


@pytest.mark.parametrize("kind", ["tuple", "list", "named", "mapping", "arrays"])
def test_inputs_of_several_tensors(batch, kind):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.end = nn.Linear(4, 3)

        def forward(self, first, second):
            return self.end(first + second)

    inputs, target = batch
    made = {
        "tuple": (inputs, inputs),
        "list": [inputs, inputs],
        "named": Named(inputs, inputs),
        "mapping": {"first": inputs, "second": inputs},
        "arrays": (inputs.numpy(), inputs.numpy()),
    }[kind]
    setting = setting_of(examine(Two(), (made, target), F.cross_entropy, steps=2))
    assert len(setting.inputs) == 2


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.inner, self.end = (
            nn.Embedding(9, 6),
            nn.LSTM(6, 8, batch_first=True),
            nn.Linear(8, 3),
        )
        self.unused = nn.Linear(2, 2)
        self.register_buffer("shift", torch.ones(3))
        self.last = None

    def forward(self, x):
        values, _ = self.inner(self.words(x))
        self.last = self.end(values[:, -1]) + self.shift  # what was computed last cannot be copied as it is
        return {"logits": self.last, "hidden": (values,)}


def test_a_model_with_everything():
    model = Nested()
    model(torch.zeros(2, 5, dtype=torch.long))
    words, target = torch.randint(0, 9, (16, 5)), torch.randint(0, 3, (16,))
    table = examine(model, (words, target), lambda o, t: F.cross_entropy(o["logits"], t), steps=4)
    setting = setting_of(table)
    assert setting.output is not None
    assert setting.output.layer == "end"
    assert {one.layer for one in setting.parameters if not one.reached} == {"unused"}
    assert math.isfinite(setting.twins[0].score)


def test_wrapped_lazy_and_in_place_models(batch):
    inner = nn.Sequential(nn.LazyLinear(8), nn.ReLU(inplace=True), nn.LazyLinear(3))
    table = examine(nn.DataParallel(inner), batch, F.cross_entropy, torch.optim.Adam, steps=2)
    assert [layer.fan_in for layer in setting_of(table).layers] == [4, 8]
    assert isinstance(inner[0], nn.LazyLinear)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        lambda model: torch.optim.LBFGS(model.parameters(), max_iter=2),
        lambda _: torch.optim.RMSprop,
        lambda _: lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        lambda model: torch.optim.SGD([{"params": [one], "lr": 0.1} for one in model.parameters()]),
    ],
)
def test_optimisers_of_every_kind(batch, make):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    losses = examine(model, batch, F.cross_entropy, make(model), steps=5).select(kind="loss")["loss"]
    assert losses[-1] < losses[0]


def test_an_optimiser_of_another_model_steps_nothing(batch):
    other = nn.Linear(4, 3)
    table = examine(
        nn.Linear(4, 3), batch, F.cross_entropy, torch.optim.SGD(other.parameters(), 0.1), steps=3
    )
    setting = setting_of(table)
    assert not any(one.optimised for one in setting.parameters)
    assert setting.optimisers[0].learning_rate == 0.1
    assert set(table.select(kind="weight")["update_norm"].tolist()) == {0.0}


def test_a_loss_that_depends_on_nothing_is_recorded(batch):
    class Detached(nn.Linear):
        def forward(self, input):
            return super().forward(input).detach()

    table = examine(Detached(4, 3), batch, F.cross_entropy, steps=3)
    assert not any(one.reached for one in setting_of(table).parameters)


def test_a_training_that_is_not_finite_ends_early_and_is_on_record(batch):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e12)
    target = batch[1].float()[:, None]
    table = examine(model, (batch[0], target), F.mse_loss, optimizer, steps=100)
    assert table.runs[0].status == "diverged"
    assert table["step"].max() < 20
    assert setting_of(table).origin


def test_the_time_is_kept(model, batch):
    table = examine(model, batch, F.cross_entropy, steps=10_000, seconds=0.2)
    trial = dict(table.runs[0].facts)["trial"]
    assert isinstance(trial, dict)
    assert trial["steps"] < trial["planned"]


def test_the_table_is_kept_where_a_store_is_named(model, batch, tmp_path):
    path = tmp_path / "doctor.sqlite"
    tables = [examine(model, batch, F.cross_entropy, steps=2, store=path) for _ in range(2)]
    with Store.open(path) as store:
        assert [run.key for run in store.runs()] == ["doctor", "doctor-2"]
        kept = store.table(["doctor"])
    assert setting_of(kept).to_facts() == setting_of(tables[0]).to_facts()
    assert kept["grad_norm"].shape == tables[0]["grad_norm"].shape


def test_nothing_is_written_otherwise(model, batch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examine(model, batch, F.cross_entropy, steps=2)
    assert not list(tmp_path.iterdir())


class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(x)


def fails_later():
    count = itertools.count()

    def loss(output, target):
        if next(count) == 2:
            raise RuntimeError("no more")
        return F.cross_entropy(output, target)

    return loss


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Breaks, {}, r"step 0 of the trial: the model raises RuntimeError: .*\(test_examine.py, line \d+\)"),
        (
            None,
            {"loss_fn": fails_later()},
            r"step 2 of the trial: the loss function raises RuntimeError: no more",
        ),
        (None, {"loss_fn": lambda o, _: o}, r"gives a tensor of shape \(32, 3\), not one number"),
        (
            None,
            {"loss_fn": lambda o, _: o.mean().item()},
            "gives float; it has to give a tensor .* with its graph",
        ),
        (None, {"loss_fn": "mse"}, "loss_fn of the doctor: give a function"),
        (None, {"steps": 0}, "steps=0 of the doctor"),
        (None, {"clip_norm": -1}, "clip_norm=-1 of the doctor"),
        (None, {"seconds": 0}, "seconds=0 of the doctor"),
        (None, {"optimizer": 3}, "type int is neither"),
        (None, {"optimizer": lambda _: 3}, "gives int, not a torch.optim.Optimizer"),
        (None, {"scheduler": 3}, "scheduler of the doctor: type int is none"),
        (None, {"loss_fn": nn.CrossEntropyLoss}, r"is a class; give one of it, such as CrossEntropyLoss\(\)"),
        (lambda: 3, {}, "looks at a torch.nn.Module"),
        (lambda: nn.Linear(4, 3, device="meta"), {}, "on the meta device"),
        (lambda: nn.Linear(4, 3).requires_grad_(False), {}, "there is nothing to train"),
    ],
)
def test_what_cannot_be_examined_is_said(batch, make, options, message):
    options = {"loss_fn": F.cross_entropy, "steps": 4, **options}
    loss = options.pop("loss_fn")
    with pytest.raises(SpecError, match=message):
        examine(make() if make else nn.Linear(4, 3), batch, loss, **options)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], DataError, "give no batch"),
        ([torch.ones(2, 4)], DataError, "batch 0 of the data is no .input, target. but Tensor"),
        ([(torch.ones(2, 4), None, None)], DataError, "but 3 things"),
        ([("words", torch.ones(2))], DataError, "holds no tensor but str"),
        (3, SpecError, "type int is neither"),
        ((1 / 0 for _ in range(2)), DataError, "the data raise ZeroDivisionError"),
    ],
)
def test_data_that_are_no_batches_are_said(data, error, message):
    with pytest.raises(error, match=message):
        examine(nn.Linear(4, 3), data, F.cross_entropy)


def test_the_package_can_be_called(batch):
    assert isinstance(sys.modules["evenflow.doctor.trial"], ModuleType)  # so `evenflow.doctor` is the package
    diagnosis = ef.doctor(nn.Linear(4, 3), batch, F.cross_entropy, steps=3)
    assert isinstance(diagnosis, ef.Diagnosis)
    assert diagnosis.steps == 3
