"""Remedies for losses, for graphs that are cut, for what is not defined everywhere, for what pulls too hard."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from changed_trainings import changed, check, examined, run, training_of, view_of
from torch import Tensor, nn

from evenflow.prescribe.guard_operation import REMEDY as GUARD
from evenflow.prescribe.lower_dropout import REMEDY as DROPOUT
from evenflow.prescribe.lower_weight_decay import REMEDY as DECAY
from evenflow.prescribe.mend_loss import REMEDY as LOSS
from evenflow.prescribe.modes import Guarded
from evenflow.prescribe.pass_gradient_through import REMEDY as THROUGH
from evenflow.prescribe.raise_precision import REMEDY as PRECISION
from evenflow.prescribe.remove_detach import REMEDY as DETACH
from evenflow.prescribe.take_out_operation import REMEDY as OUT

functional = nn.functional


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def blobs(count: int = 6, classes: int = 3):
    centres = 2.0 * torch.randn(classes, 4)
    found = []
    for _ in range(count):
        target = torch.randint(0, classes, (32,))
        found.append((centres[target] + torch.randn(32, 4), target))
    return found


def net(*end: nn.Module, out: int = 3):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, out), *end)


def sgd(model: nn.Module, rate: float = 0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=rate, **options)


def rows(data):
    return [(inputs, functional.one_hot(target, 3).float()) for inputs, target in data]


def bits(data):
    return [(inputs, (target == 0).float()[:, None]) for inputs, target in data]


ENDS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any], Any, str]] = {
    "nll of scores": (net, functional.nll_loss, blobs, "cross entropy"),
    "nll of softmax": (lambda: net(nn.Softmax(-1)), functional.nll_loss, blobs, "log of probabilities"),
    "square of one-hot": (net, functional.mse_loss, lambda: rows(blobs()), "cross entropy"),
    "square of softmax": (
        lambda: net(nn.Softmax(-1)),
        functional.mse_loss,
        lambda: rows(blobs()),
        "cross entropy",
    ),
    "square of sigmoid": (
        lambda: net(nn.Sigmoid(), out=1),
        functional.mse_loss,
        lambda: bits(blobs()),
        "cross entropy",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_loss_that_takes_what_the_model_puts_out(name):
    make, loss, data, choice = ENDS[name]
    model = make()
    training = training_of(model, data(), loss, sgd(model), steps=40)
    view = examined(training)
    (form,) = LOSS.forms(view)
    assert form.choice == choice
    assert LOSS.why_not(view) == ""
    target = view.setting.target
    assert target is not None
    made = changed(form, training)
    made = type(made)(made.patient, type(made.plan)(made.plan.batches, made.plan.loss, 40, None, target.kind))
    check(form, training)
    plan = training.plan
    own = type(training)(training.patient, type(plan)(plan.batches, loss, 40, None, target.kind))
    assert run(made).score >= max(0.75, run(own).score - 0.02)


def test_every_output_is_compared_with_its_own_target():
    weights = torch.randn(4)
    data = [(inputs, inputs @ weights) for inputs, _ in blobs()]
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    def square(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean()

    training = training_of(model, data, square, sgd(model, 0.02), target="real")
    view = examined(training)
    (form,) = LOSS.forms(view)
    assert form.choice == "same shape"
    made = check(form, training)
    assert run(made).settled < 0.3 * run(training).settled
    assert not LOSS.forms(examined(made))


def test_a_loss_that_fits_is_left_alone():
    model = net()
    view = examined(training_of(model, blobs(), steps=5))
    assert not LOSS.forms(view)
    assert "takes what the model puts out" in LOSS.why_not(view)
    assert "not known" in LOSS.why_not(view_of(view.training))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_updates_that_are_rounded_away_arrive_in_float32(kind):
    model = net().to(kind)
    data = [(inputs.to(kind), target) for inputs, target in blobs()]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2 if kind is torch.float16 else 3e-5)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.float(), target)

    training = training_of(model, data, loss, optimizer, steps=80)
    whole, autocast = PRECISION.forms(view_of(training))
    for form in (whole, autocast):
        made = check(form, training)
        assert all(one.dtype is torch.float32 for one in made.patient.model.parameters())
        after = run(made)
        assert math.isfinite(after.settled)
        assert not run(training).settled < after.settled
        assert len(set(after.losses)) > 70
    assert kind is torch.bfloat16 or math.isnan(run(training).settled)
    plain = view_of(training_of(net(), blobs()))
    assert not PRECISION.forms(plain)
    assert "16 bits" in PRECISION.why_not(plain)


def test_weight_decay_that_outweighs_the_loss_is_lowered():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 0.1, weight_decay=3.0))
    none, little = DECAY.forms(view_of(training))
    assert run(training).settled > 1.0
    assert run(check(none, training)).settled < 0.4
    assert run(check(little, training)).settled < 0.6
    for optimizer, word in (
        (sgd(model, 0.1), "no weight decay"),
        (sgd(model, 0.1, weight_decay=1e-4), "is little"),
        (torch.optim.AdamW(model.parameters(), lr=1e-3), "is little"),
        (torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3), "usual"),
    ):
        view = view_of(training_of(model, blobs(), optimizer=optimizer))
        assert not DECAY.forms(view)
        assert word in DECAY.why_not(view)


def test_dropout_that_lets_next_to_nothing_through_is_lowered():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drops = nn.ModuleDict({"a": nn.Dropout(0.95), "b": nn.Dropout(0.2)})
            self.memory = nn.LSTM(4, 16, 2, dropout=0.9, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, inputs):
            return self.head(self.drops["b"](self.drops["a"](self.memory(inputs[:, None])[0][:, -1])))

    model = Both()
    training = training_of(model, blobs(), optimizer=torch.optim.Adam(model.parameters(), lr=0.01))
    little, none = DROPOUT.forms(view_of(training))
    assert "0.95" in little.title
    made: Any = check(little, training).patient.model
    assert (made.drops["a"].p, made.drops["b"].p, made.memory.dropout) == (0.1, 0.2, 0.1)
    assert run(check(none, training)).settled < 0.5 < run(training).settled
    usual = view_of(training_of(net(nn.Dropout(0.5)), blobs()))
    assert not DROPOUT.forms(usual)
    assert "no module drops more than 0.5" in DROPOUT.why_not(usual)


class Cut(nn.Module):
    """Loses its gradient behind the first layers, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.body = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh())
        self.head = nn.Linear(3, 3)

    def forward(self, inputs):
        if self.way == "no_grad":
            with torch.no_grad():
                return self.head(self.body(inputs))
        found = self.body(inputs)
        if self.way == "detach":
            found = found.detach()
        if self.way == "data":
            found = found.data
        if self.way == "sign":
            found = found.sign()
        return self.head(found)


class CutBody(Cut):
    def forward(self, inputs):
        with torch.no_grad():
            found = self.body(inputs)
        return self.head(found)


@pytest.mark.parametrize("way", ["detach", "data", "body"])
def test_the_gradient_is_let_through_where_it_was_cut(way):
    model: Any = CutBody("") if way == "body" else Cut(way)
    training = training_of(model, blobs(), optimizer=sgd(model, 0.3), steps=120)
    view = view_of(training)
    (form,) = DETACH.forms(view)
    made: Any = check(form, training)
    run(made, copy=False)
    assert not torch.equal(made.patient.model.model.body[0].weight, model.body[0].weight)
    assert run(changed(form, training)).settled < run(training).settled - 0.02
    (edit,) = form.code().edits
    assert edit.file.name == "test_ends_and_cuts.py"
    assert edit.old[0] != edit.new[0]
    assert edit.file.read_text().splitlines()[edit.line - 1] == edit.old[0]
    assert {"detach": "found = found", "data": "found = found", "body": "with torch.enable_grad():"}[
        way
    ] == edit.new[0].strip()
    with torch.no_grad():
        assert not made.patient.model(training.plan.batches[0].inputs).requires_grad
    copied = pickle.loads(pickle.dumps(made.patient.model))
    assert torch.equal(
        copied(training.plan.batches[0].inputs), made.patient.model(training.plan.batches[0].inputs)
    )


def test_a_graph_that_is_whole_is_left_alone():
    class Target(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, inputs):
            return self.head(inputs.detach())

    spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 8)), nn.Linear(8, 3))
    for model in (net(), Target(), spectral):  # the last computes its norm under torch's own no_grad
        view = view_of(training_of(model, blobs()))
        assert not DETACH.forms(view)
        assert "no detach()" in DETACH.why_not(view)
        assert not THROUGH.forms(view)
        assert "rounds nothing" in THROUGH.why_not(view)


def test_the_gradient_passes_through_a_sign():
    model = Cut("sign")
    training = training_of(model, blobs(), optimizer=sgd(model, 0.3), steps=120)
    (form,) = THROUGH.forms(view_of(training))
    made: Any = check(form, training)
    inputs = training.plan.batches[0].inputs
    assert torch.equal(made.patient.model(inputs), model(inputs))
    assert run(made).settled < run(training).settled - 0.02
    made.patient.model(inputs).sum().backward()
    weight = made.patient.model.model.body[0].weight
    assert weight.grad is not None
    assert bool(weight.grad.abs().sum() > 0)


class Writes(nn.Module):
    """Runs a function of the first layer's numbers."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(4, 16), nn.Linear(16, 3), function

    def forward(self, inputs):
        return self.last(self.function(self.first(inputs)))


def _unit_length(values: Tensor) -> Tensor:
    found = (values - 2.0).relu()
    return found / found.norm(dim=-1, keepdim=True)


def _masked(values: Tensor) -> Tensor:
    logits = values.masked_fill(values.mean(1, keepdim=True) < 0.1, -torch.inf)
    return logits.softmax(-1)


def _root(values: Tensor) -> Tensor:
    return (values * (values > 0)).sqrt()


def _logarithm(values: Tensor) -> Tensor:
    return torch.log(values.relu())


@pytest.mark.parametrize("function", [_unit_length, _masked, _root, _logarithm])
def test_operations_in_a_model_are_kept_where_they_are_defined(function):
    model = Writes(function)
    training = training_of(model, blobs(), optimizer=sgd(model, 0.05))
    assert math.isnan(run(training).settled)
    forms = GUARD.forms(view_of(training))
    assert min(run(check(form, training)).settled for form in forms) < 1.12  # guessing costs 1.10
    assert "0.001" in forms[1].name


def _log_of_softmax(output: Tensor, target: Tensor) -> Tensor:
    return -torch.log(torch.softmax(200 * output, -1))[torch.arange(len(target)), target].mean()


def test_the_logarithm_of_a_softmax_takes_its_own_form():
    model = net()
    training = training_of(model, blobs(), _log_of_softmax, sgd(model, 1e-4))
    assert not math.isfinite(run(training).losses[-1])
    form = GUARD.forms(view_of(training))[0]
    made = check(form, training)
    output, target = torch.randn(32, 3), training.plan.batches[0].target
    assert torch.allclose(made.plan.loss(output, target), functional.cross_entropy(200 * output, target))
    assert math.isfinite(run(made).settled)
    assert "log_softmax" in form.code().snippet
    assert "test_ends_and_cuts.py, line" in form.code().snippet


def _root_of_error(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) * (target > 0)).square().sum(-1).sqrt().mean()


def _entropy(output: Tensor, target: Tensor) -> Tensor:
    chances = torch.softmax(100 * output, -1)
    return functional.cross_entropy(output, target) - (chances * chances.log()).sum(-1).mean()


def test_a_loss_that_is_written_out_and_not_finite_gives_way_to_one_of_torch():
    real = [(inputs, inputs[:, :1] - inputs[:, 1:2]) for inputs, _ in blobs()]
    for data, loss, out, choice in (
        (real, _root_of_error, 1, "squared error"),
        (blobs(), _entropy, 3, "cross entropy"),
    ):
        model = net(out=out)
        training = training_of(model, data, loss, sgd(model, 0.05))
        assert not math.isfinite(run(training).losses[-1])
        view = examined(training)
        assert view.setting.origin.startswith("loss")
        (form,) = LOSS.forms(view)
        assert form.choice == choice
        made = check(form, training)
        batch = training.plan.batches[0]
        output = torch.randn(32, out)
        expected = (functional.mse_loss if out == 1 else functional.cross_entropy)(output, batch.target)
        assert torch.equal(made.plan.loss(output, batch.target), expected)
        losses = run(made).losses
        assert losses[-1] < 0.7 * losses[0]


def test_a_loss_of_torch_stays_where_the_model_is_what_is_not_finite():
    model = Writes(_logarithm)
    training = training_of(model, blobs(), optimizer=sgd(model, 0.05))
    assert not LOSS.forms(examined(training))


class Own(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


def _log_of_sigmoid(values: Tensor) -> Tensor:
    return torch.log(torch.sigmoid(500 * values))


@pytest.mark.parametrize(("end", "choice"), [(False, ""), (True, "log_softmax")])
def test_a_part_without_weights_that_makes_nan_is_taken_out(end, choice):
    parts = [nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)]
    parts.insert(3 if end else 2, Own(_log_of_sigmoid if end else _logarithm))
    model = nn.Sequential(*parts)
    loss = functional.nll_loss if end else functional.cross_entropy
    training = training_of(model, blobs(), loss, sgd(model, 0.1))
    assert not math.isfinite(run(training).losses[-1])
    (form,) = OUT.forms(examined(training))
    assert form.choice == choice
    losses = run(check(form, training)).losses
    assert losses[-1] < 0.5 < 1.0 < losses[0]


@pytest.mark.parametrize("make", [lambda: Writes(_logarithm), lambda: net(nn.LogSoftmax(-1))])
def test_what_has_weights_or_is_well_stays_in(make):
    model = make()
    training = training_of(model, blobs(), optimizer=sgd(model, 0.05))
    view = examined(training)
    assert not OUT.forms(view)
    assert OUT.why_not(view)


def test_a_guard_changes_nothing_where_all_is_defined():
    values = torch.rand(5, 4) + 0.5
    others = torch.tensor([[-3.0, 2.0, 0.5, 1.0]])
    plain = (
        values.log(),
        values.sqrt(),
        values / others,
        values.softmax(1),
        1 / others,
        torch.sigmoid(others).log(),
    )
    with Guarded(1e-8):
        same = (
            values.log(),
            values.sqrt(),
            values / others,
            values.softmax(1),
            1 / others,
            torch.sigmoid(others).log(),
        )
    assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(plain, same, strict=True))
    linear = view_of(
        training_of(nn.Linear(4, 3), [(one, one[:, :3]) for one, _ in blobs()], functional.mse_loss)
    )
    assert not GUARD.forms(linear)
    assert "neither model nor loss" in GUARD.why_not(linear)
