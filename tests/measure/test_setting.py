"""The setting of a training, read from models written in many ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.measure.autograd_graph import Graph, operation
from evenflow.measure.data_facts import input_facts, target_facts
from evenflow.measure.setting import read_optimisers, read_setting
from evenflow.spec.setting import Layer, Output, Setting

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])
ONE_HOT = F.one_hot(CLASSES, 3).float()


def setting_of(model, loss=None, inputs=INPUTS, optimisers=()) -> Setting:
    output = model(inputs)
    tensor = output if isinstance(output, torch.Tensor) else output[0]
    value = F.cross_entropy(tensor, CLASSES) if loss is None else loss(output)
    return read_setting(model, optimisers, outputs=[tensor], loss=value, inputs=[("input", inputs)])


def end_of(loss, *end: nn.Module) -> Output:
    found = setting_of(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), *end), loss).output
    assert found is not None
    return found


def layer(setting: Setting, name: str) -> Layer:
    return next(one for one in setting.layers if one.name == name)


LOSSES = {
    "cross_entropy": (
        lambda o: F.cross_entropy(o, CLASSES),
        lambda o: F.cross_entropy(o, ONE_HOT),
        lambda o: F.cross_entropy(o, CLASSES, label_smoothing=0.1),
        lambda o: F.nll_loss(o.log_softmax(1), CLASSES),
        lambda o: -(ONE_HOT * o.log_softmax(1)).sum(1).mean(),
        lambda o: -o.log_softmax(1)[torch.arange(6), CLASSES].mean(),
        lambda o: (torch.logsumexp(o, 1) - o[torch.arange(6), CLASSES]).mean(),
    ),
    "nll": (lambda o: F.nll_loss(o, CLASSES), lambda o: -o.exp().log()[torch.arange(6), CLASSES].mean()),
    "mse": (
        lambda o: F.mse_loss(o, ONE_HOT),
        lambda o: ((o - ONE_HOT) ** 2).mean(),
        lambda o: (ONE_HOT - o).square().sum(1).mean(),
        lambda o: ((o - ONE_HOT) * (o - ONE_HOT)).mean(),
        lambda o: F.mse_loss(o, ONE_HOT).sqrt(),
    ),
    "l1": (lambda o: F.l1_loss(o, ONE_HOT), lambda o: (o - ONE_HOT).abs().mean()),
    "smooth_l1": (lambda o: F.smooth_l1_loss(o, ONE_HOT),),
    "huber": (lambda o: F.huber_loss(o, ONE_HOT),),
    "binary_cross_entropy": (
        lambda o: F.binary_cross_entropy(o.sigmoid(), ONE_HOT),
        lambda o: -(ONE_HOT * o.sigmoid().log() + (1 - ONE_HOT) * (1 - o.sigmoid()).log()).mean(),
    ),
    "binary_cross_entropy_with_logits": (lambda o: F.binary_cross_entropy_with_logits(o, ONE_HOT),),
    "poisson_nll": (lambda o: F.poisson_nll_loss(o, ONE_HOT),),
    "": (lambda o: F.multi_margin_loss(o, CLASSES), lambda o: o.sum()),
}


@pytest.mark.parametrize(
    ("kind", "loss"), [(kind, loss) for kind, losses in LOSSES.items() for loss in losses]
)
def test_the_kind_of_a_loss_whoever_wrote_it(kind, loss):
    assert end_of(loss).loss == kind


@pytest.mark.parametrize(
    ("end", "activation"),
    [
        ((), ""),
        ((nn.Softmax(1),), "softmax"),
        ((nn.LogSoftmax(1),), "log_softmax"),
        ((nn.Sigmoid(),), "sigmoid"),
        ((nn.ReLU(),), "relu"),
        ((nn.Tanh(), nn.Flatten()), "tanh"),
        ((nn.Dropout(0.5),), ""),
    ],
)
def test_what_the_model_does_to_its_outputs(end, activation):
    for loss, kind in ((F.cross_entropy, "cross_entropy"), (F.mse_loss, "mse")):
        target = CLASSES if kind == "cross_entropy" else ONE_HOT
        found = end_of(lambda o, loss=loss, target=target: loss(o, target), *end)
        assert (found.activation, found.loss, found.layer, found.units) == (activation, kind, "2", 3)


def test_a_softmax_in_the_loss_function_counts_too():
    assert end_of(lambda o: F.cross_entropy(o.softmax(1), CLASSES)).activation == "softmax"
    found = end_of(lambda o: -o.log()[torch.arange(6), CLASSES].mean(), nn.Softmax(1))
    assert (found.loss, found.activation) == ("nll", "log_softmax")


def test_the_figures_of_the_output():
    model = nn.Linear(4, 3)
    found = setting_of(model).output
    values = model(INPUTS).detach().numpy()
    assert found is not None
    assert found.shape == (6, 3)
    assert [found.minimum, found.maximum, found.mean, found.std] == pytest.approx(
        [values.min(), values.max(), values.mean(), values.std()], rel=1e-6
    )


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [
        (nn.ReLU(), F.relu, "relu"),
        (nn.ReLU(inplace=True), lambda x: x.clamp(min=0), "relu"),
        (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2), "leaky_relu:0.2"),
        (nn.SELU(), torch.selu, "selu"),
        (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh"),
        (nn.SiLU(), lambda x: x * torch.sigmoid(x), "silu"),
        (nn.Tanh(), torch.tanh, "tanh"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_activation_behind_a_layer_as_a_module_and_as_a_function(module, function, name):
    class Called(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(function(self.first(x)))

    assert layer(setting_of(Called()), "first").activation == name
    assert layer(setting_of(nn.Sequential(nn.Linear(4, 8), module, nn.Linear(8, 3))), "0").activation == name


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.end = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)
        self.inner, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.plain = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (self.norm(self.inner(x)) + x).relu()
        return self.end(self.plain(x).mean((2, 3)))


def test_normalisation_and_skip_connections():
    found = setting_of(Residual(), inputs=torch.randn(6, 1, 5, 5))
    inner, plain = layer(found, "inner"), layer(found, "plain")
    assert (inner.normalisation, inner.residual, inner.activation) == ("BatchNorm2d", True, "relu")
    assert (plain.normalisation, plain.residual, plain.activation) == ("", False, "")
    assert not layer(found, "stem").residual
    normalised = {one.name for one in found.parameters if one.normalised}
    assert normalised == {"inner.weight", "inner.bias"}


def test_a_layer_normalisation_leaves_a_bias_its_effect():
    found = setting_of(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)))
    assert {one.name for one in found.parameters if one.normalised} == {"0.weight"}


def test_the_figures_of_weights_are_those_of_numpy():
    model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    found = setting_of(model, inputs=torch.randn(6, 3, 5, 5))
    weight, bias = (getattr(model[0], name).detach().numpy() for name in ("weight", "bias"))
    first = found.layers[0]
    assert (first.fan_in, first.fan_out, first.distinct_units) == (75, 200, 1.0)
    assert [first.weight_mean, first.weight_std, first.bias_mean, first.bias_std] == pytest.approx(
        [weight.mean(), weight.std(), bias.mean(), bias.std()], rel=1e-5
    )


@pytest.mark.parametrize(
    ("make", "initialise", "behind"),
    [
        (lambda: nn.Linear(400, 300), nn.init.kaiming_normal_, nn.ReLU()),
        (lambda: nn.Linear(400, 300), nn.init.xavier_normal_, nn.Tanh()),
        (
            lambda: nn.Linear(400, 300),
            lambda weight: nn.init.kaiming_normal_(weight, 0.3),
            nn.LeakyReLU(0.3),
        ),
        (lambda: nn.Linear(400, 300), lambda weight: nn.init.normal_(weight, 0, 400**-0.5), nn.SELU()),
    ],
)
def test_expected_deviations_are_those_of_torch_initialisers(make, initialise, behind):
    torch.manual_seed(0)
    first = make()
    initialise(first.weight)
    found = setting_of(nn.Sequential(first, behind, nn.Linear(300, 3)), inputs=torch.randn(6, 400)).layers[0]
    assert found.weight_std == pytest.approx(found.expected_std, rel=0.01)


def test_units_that_are_alike():
    first = nn.Linear(4, 8)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(first.weight, 0.1)
    assert setting_of(model).layers[0].distinct_units == 1.0  # their biases differ
    nn.init.zeros_(first.bias)
    assert setting_of(model).layers[0].distinct_units == 0.0
    with torch.no_grad():
        first.weight[:6] = torch.randn(6, 4)
    assert setting_of(model).layers[0].distinct_units == pytest.approx(6 / 8)


def test_units_in_columns():
    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 1).repeat(1, 3))

        def forward(self, x):
            return x @ self.weight

    found = setting_of(Columns()).layers[0]
    assert (found.fan_in, found.fan_out, found.distinct_units) == (4, 3, 0.0)


def test_embeddings_of_places_are_no_layers_that_multiply():
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.places, self.end = nn.Parameter(torch.zeros(6, 4)), nn.Linear(4, 3)

        def forward(self, x):
            return self.end(x + self.places)

    found = layer(setting_of(Places()), "Places")
    assert math.isnan(found.expected_std)
    assert math.isnan(found.distinct_units)


def test_parameters_say_who_trains_them_and_whether_the_loss_knows_them():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.detached, self.frozen, self.end = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.unused, self.left_out = nn.Linear(2, 2), nn.Linear(4, 4)

        def forward(self, x):
            return self.end(torch.relu(self.left_out(self.frozen(self.detached(x).detach()))))

    model = Odd()
    model.frozen.requires_grad_(False)
    given = [p for name, p in model.named_parameters() if not name.startswith("left_out")]
    found = setting_of(model, optimisers=[torch.optim.SGD(given, 0.1, momentum=0.9, weight_decay=0.01)])
    weights = {one.layer: one for one in found.parameters if one.kind == "weight"}
    assert {name for name, one in weights.items() if not one.reached} == {"detached", "frozen", "unused"}
    assert {name for name, one in weights.items() if not one.requires_grad} == {"frozen"}
    assert {name for name, one in weights.items() if not one.optimised} == {"left_out"}
    (optimiser,) = found.optimisers
    assert (optimiser.type, optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay) == (
        "SGD",
        0.1,
        0.9,
        0.01,
    )


def test_shared_weights_are_one_layer():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.end = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            for _ in range(3):
                x = torch.tanh(self.inner(x))
            return self.end(x)

    assert [one.name for one in setting_of(Shared()).layers] == ["inner", "end"]


def test_recurrent_layers_and_embeddings():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.inner = nn.Embedding(9, 5), nn.LSTM(5, 7, batch_first=True)
            self.end = nn.Linear(7, 3)

        def forward(self, x):
            return self.end(self.inner(self.words(x))[0][:, -1]), None

    found = setting_of(Words(), lambda o: F.cross_entropy(o[0], CLASSES), torch.randint(0, 9, (6, 4)))
    assert [one.type for one in found.layers] == ["Embedding", "LSTM", "Linear"]
    assert found.layers[1].expected_std == pytest.approx(7**-0.5)
    assert {one.name for one in found.parameters if one.sparse} == {"words.weight"}
    assert found.inputs[0].integer
    assert found.output is not None
    assert (found.output.layer, found.output.loss) == ("end", "cross_entropy")


def test_groups_of_an_optimiser_have_their_own_rates():
    weights = [nn.Parameter(torch.ones(size)) for size in (2, 3)]
    groups = [{"params": [weights[0]], "lr": 0.5}, {"params": [weights[1]]}]
    found = read_optimisers([torch.optim.AdamW(groups, lr=0.1)])
    assert [(one.learning_rate, one.parameters, one.type) for one in found] == [
        (0.5, 2, "AdamW"),
        (0.1, 3, "AdamW"),
    ]


def test_inputs_feature_by_feature():
    rows = np.random.default_rng(0).normal(size=(40, 3)) * [1, 10, 1000] + [0, 50, 0]
    found = input_facts("x", [torch.tensor(rows[:20]), torch.tensor(rows[20:])])
    mean, std = rows.mean(0), rows.std(0)
    assert [found.mean, found.std, found.minimum, found.maximum] == pytest.approx(
        [rows.mean(), rows.std(), rows.min(), rows.max()]
    )
    assert found.feature_mean == pytest.approx(max(abs(mean) / std))
    assert found.feature_spread == pytest.approx(std.max() / np.median(std))


@pytest.mark.parametrize(
    ("target", "kind", "classes"),
    [
        (torch.tensor([0, 2, 1, 2]), "classes", 3),
        (torch.tensor([[0.0], [1.0]]), "binary", 2),
        (torch.tensor([True, False]), "binary", 2),
        (ONE_HOT, "one_hot", 3),
        (torch.tensor([[0.5, 0.5], [0.1, 0.9]]), "probabilities", 2),
        (torch.tensor([1.5, 0.2]), "real", 0),
    ],
)
def test_the_kind_of_a_target(target, kind, classes):
    found = target_facts([target])
    assert (found.kind, found.classes) == (kind, classes)


def test_a_setting_survives_the_facts_of_a_run():
    found = setting_of(Residual(), inputs=torch.randn(6, 1, 5, 5))
    assert Setting.from_facts(found.to_facts()).to_facts() == found.to_facts()
    assert Setting.from_facts(found.to_facts()) != Setting()


def test_a_graph_knows_what_it_reaches():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    graph = Graph([(used * 2).tanh()])
    assert graph.reaches(used)
    assert not graph.reaches(unused)
    assert [operation(node) for node, _ in graph.uses(used)] == ["mul"]


@pytest.mark.parametrize(("axis", "over"), [(0, True), (-2, True), (1, False), (-1, False)])
def test_a_softmax_is_read_after_the_backward_pass_as_before_it(axis: int, over: bool):
    model = nn.Linear(4, 3)
    for end in (
        lambda out: F.nll_loss(out.log_softmax(axis), CLASSES),
        lambda out: out.logsumexp(axis).sum(),
    ):
        output = model(INPUTS)
        loss = end(output)
        for after in (False, True):
            if after:
                loss.backward()
            found = read_setting(model, outputs=[output], loss=loss).output
            assert found is not None
            assert found.over_samples is over
