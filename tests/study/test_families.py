"""Convolutional, recurrent and Transformer networks against plain PyTorch modules and loops, and against autograd."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from study import plain_families
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evenflow import (
    ConvolutionalNetwork,
    Data,
    RecurrentNetwork,
    SpecError,
    Store,
    Study,
    Training,
    TransformerNetwork,
    build,
    predict,
    run_study,
)
from evenflow.report.figures.predicted import predictions_of
from evenflow.report.view import make_view
from evenflow.spec.study import Cell
from evenflow.study.data import load
from evenflow.study.engines.choice import choices
from evenflow.study.engines.moment import Stopwatch
from evenflow.study.engines.readings import parameter_sites
from evenflow.study.engines.torch import train
from evenflow.study.flops import flops_per_step
from evenflow.study.run import plan

SEED, STEPS = 3, 8
DIGITS = Data(name="digits")
CONVOLUTIONS = ConvolutionalNetwork(width=(6, 5), pooling=1, normalisation="batch", initialisation="he")
GATED: dict[str, Any] = {"depth": 2, "width": 7, "recurrent_initialisation": "orthogonal", "forget_bias": 1.0}
BLOCK: dict[str, Any] = {"depth": 1, "width": 6, "heads": 2, "initialisation": "xavier"}
PLAIN = {
    "convolutions": (CONVOLUTIONS, lambda: plain_families.Convolutions(SEED)),
    "lstm": (RecurrentNetwork(cell="lstm", **GATED), lambda: plain_families.Recurrent(SEED, 4)),
    "gru": (RecurrentNetwork(cell="gru", **GATED), lambda: plain_families.Recurrent(SEED, 3)),
    "pre-norm": (TransformerNetwork(**BLOCK), lambda: plain_families.Attention(SEED, post=False)),
    "post-norm": (
        TransformerNetwork(**BLOCK, residual="post"),
        lambda: plain_families.Attention(SEED, post=True),
    ),
}


def moments(network, data=DIGITS, *, steps=STEPS, every=1, resume=None, **training):
    cell = Cell(
        network=network,
        data=data,
        training=Training(**{"steps": steps, "batch": 64, "learning_rate": 0.01} | training),
        record_every=every,
        seed=SEED,
    )
    torch.set_num_threads(1)
    return list(train(cell, load(data), Stopwatch(), resume))


def rows(moment, kind):
    return {site: values for site, _, values in moment.rows if site.kind == kind}


@pytest.mark.parametrize("name", PLAIN)
def test_losses_and_gradients_equal_those_of_a_plain_loop(name):
    network, make = PLAIN[name]
    found = moments(network)
    data = load(DIGITS)
    x, y = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    theirs, first = plain_families.losses(make(), x, y, SEED, STEPS)
    ours = [
        values["loss"] for one in found for site, values in rows(one, "loss").items() if site.name == "batch"
    ]
    np.testing.assert_allclose(ours[:STEPS], theirs, rtol=2e-5)
    assert ours[STEPS - 1] < ours[0]  # it learns
    norms = [values["grad_norm"] for _, _, values in found[0].rows if "grad_norm" in values]
    assert math.sqrt(sum(norm**2 for norm in norms)) == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (CONVOLUTIONS, 6 * 9 + 6 + 12 + 5 * 6 * 9 + 5 + 10 + 60),
        (RecurrentNetwork(cell="rnn", width=7), 7 * 8 + 49 + 14 + 80),
        (RecurrentNetwork(cell="lstm", width=7), 4 * (7 * 8 + 49 + 14) + 80),
        (RecurrentNetwork(cell="gru", width=(7, 5)), 3 * (7 * 8 + 49 + 14) + 3 * (5 * 7 + 25 + 10) + 60),
        # tokens, per block 12 d² + 13 d with expansion 4 (2 d² + 9 d less with 2), last normalisation, output
        (TransformerNetwork(depth=2, width=8, expansion=4), 72 + 2 * (12 * 64 + 13 * 8) + 16 + 90),
        (TransformerNetwork(depth=1, width=8, normalisation="none"), 72 + 8 * 64 + 7 * 8 + 8 + 90 - 8),
    ],
)
def test_parameters_are_counted_by_hand(network, parameters):
    model = build(network, (8, 8), 10)
    assert sum(one.numel() for one in model.parameters()) == parameters
    depths = [site.depth for site, _ in parameter_sites(model) if site.kind == "weight"]
    assert depths == list(range(1, len(depths) + 1))


@pytest.mark.parametrize(
    ("network", "name", "deviation"),
    [
        (
            ConvolutionalNetwork(width=64, depth=2, initialisation="he"),
            "hidden_2.weight",
            (2 / (64 * 9)) ** 0.5,
        ),
        (ConvolutionalNetwork(width=64, depth=2, kernel=5), "hidden_2.weight", (64 * 25 * 3) ** -0.5),
        (
            ConvolutionalNetwork(width=64, depth=2, initialisation="xavier"),
            "hidden_2.weight",
            (1 / (64 * 9)) ** 0.5,
        ),
        (RecurrentNetwork(width=64), "hidden_1.cells.weight_ih_l0", (64 * 3) ** -0.5),
        (RecurrentNetwork(width=64, initialisation="lecun"), "hidden_1.cells.weight_ih_l0", 8**-0.5),
        (RecurrentNetwork(width=64, initialisation="xavier"), "hidden_1.cells.weight_ih_l0", (2 / 72) ** 0.5),
        (
            RecurrentNetwork(width=64, recurrent_initialisation="normal:0.5"),
            "hidden_1.cells.weight_hh_l0",
            0.5,
        ),
        (TransformerNetwork(width=64, initialisation="xavier"), "block_1.query_key_value.weight", 0.125),
        (TransformerNetwork(width=64, initialisation="he"), "block_2.down.weight", 0.125),
    ],
)
def test_weights_have_the_deviation_of_their_fan_in(network, name, deviation):
    values = dict(build(network, (8, 8), 10, SEED).named_parameters())[name].detach()
    assert float(values.std()) == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_matrices_from_step_to_step_are_orthogonal_and_gates_open(cell):
    bias: dict[str, Any] = {} if cell == "rnn" else {"forget_bias": 2.0}
    model = build(RecurrentNetwork(cell=cell, width=6, initialisation="he", **bias), (8, 8), 10, SEED)
    values = dict(model.named_parameters())
    for gate in values["hidden_1.cells.weight_hh_l0"].detach().double().split(6):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    open_gates = [0.0] * 6 if cell == "rnn" else [0.0] * 6 + [2.0] * 6
    assert values["hidden_1.cells.bias_ih_l0"].tolist()[: len(open_gates)] == open_gates
    assert not values["hidden_1.cells.bias_hh_l0"].any()


def test_gradients_through_time_are_those_of_autograd():
    network = RecurrentNetwork(cell="rnn", depth=2, width=5)
    data = load(Data(name="first_symbol", samples=400, length=9))
    (first, *_) = moments(network, Data(name="first_symbol", samples=400, length=9), steps=1)
    order = np.random.default_rng([SEED, 3, 0]).permutation(len(data.train_labels))[:64]
    model = build(network, data.shape, data.classes, SEED)
    values = dict(model.named_parameters())
    steps = [
        part.clone().requires_grad_()
        for part in torch.from_numpy(data.train_inputs[order]).reshape(64, 9, 4).unbind(1)
    ]
    entering = steps
    for layer in (1, 2):
        w, u, b, d = (
            values[f"hidden_{layer}.cells.{name}_l0"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state, states = torch.zeros(64, 5), []
        for one in entering:
            state = torch.tanh(one @ w.T + b + state @ u.T + d)
            states.append(state)
        entering = states
    logits = entering[-1] @ values["output.weight"].T + values["output.bias"]
    nn.functional.cross_entropy(logits, torch.from_numpy(data.train_labels[order])).backward()
    found = {site.name: values["signal_rms"] for site, values in rows(first, "input").items()}
    assert len(found) == 18
    for step, one in enumerate(steps):
        assert one.grad is not None
        assert found[f"hidden_1[{step}]"] == pytest.approx(float(one.grad.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        ConvolutionalNetwork(depth=3, width=4, pooling=1),
        ConvolutionalNetwork(width=(4, 6), kernel=5),
        RecurrentNetwork(cell="rnn", depth=2, width=5),
        TransformerNetwork(depth=2, width=8, heads=2),
    ],
)
def test_operations_are_those_that_torch_counts(network):
    if isinstance(network, RecurrentNetwork):  # of its own kernel torch counts nothing: by hand
        expected = 2 * 3 * (3 * (8 * (40 + 25) + 8 * 50 + 50) - 8 * 40)
        assert flops_per_step(network, (8, 8), 10, 3) == expected
        return
    model = build(network, (8, 8), 10)
    with FlopCounterMode(display=False) as counter, nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        model(torch.ones(3, 64)).sum().backward()
    assert flops_per_step(network, (8, 8), 10, 3) == counter.get_total_flops()


def test_a_channel_is_dead_when_it_is_flat_everywhere():
    data = load(DIGITS)
    network = ConvolutionalNetwork(depth=1, width=8, bias_initialisation="normal:20")
    site, found = next(iter(rows(moments(network, steps=1)[0], "activation").items()))
    weight, bias = (one.detach() for one in list(build(network, (8, 8), 10, SEED).parameters())[:2])
    images = torch.from_numpy(data.train_inputs).reshape(-1, 1, 8, 8)
    dead = (nn.functional.conv2d(images, weight, bias, padding=1) <= 0).all(3).all(2).all(0)
    assert 0 < int(dead.sum()) < 8
    assert (site.units, found["dead_fraction"]) == (8, float(dead.double().mean()))


def test_a_saturated_state_is_seen():
    network = RecurrentNetwork(
        cell="rnn", width=6, initialisation="normal:3", recurrent_initialisation="normal:0.1"
    )
    found = next(iter(rows(moments(network, steps=1)[0], "activation").values()))
    data = load(DIGITS)
    order = np.random.default_rng([SEED, 3, 0]).permutation(len(data.train_labels))[:64]
    cells = build(network, (8, 8), 10, SEED).get_submodule("hidden_1.cells")
    states = cells(torch.from_numpy(data.train_inputs[order]).reshape(64, 8, 8))[0].detach()
    flat = ((1 - states.double() ** 2) < 0.01).double().mean()
    assert 0.1 < float(flat) == pytest.approx(found["saturated_fraction"], abs=1e-3)
    gated = next(iter(rows(moments(RecurrentNetwork(width=6), steps=1)[0], "activation").values()))
    assert "saturated_fraction" not in gated
    assert "dead_fraction" not in gated


@pytest.mark.parametrize(
    "network",
    [
        ConvolutionalNetwork(depth=3, width=4, residual="pre", pooling=2, normalisation="layer"),
        RecurrentNetwork(cell="gru", depth=3, width=4, residual="pre", normalisation="rms", dropout=0.2),
        TransformerNetwork(
            depth=1, width=8, heads=2, residual="none", normalisation="rms", activation="prelu"
        ),
    ],
)
def test_a_killed_training_goes_on_where_it_stopped(network):
    whole = moments(network, steps=6)
    kept = {}
    data = load(DIGITS)
    cell = Cell(
        network=network,
        data=DIGITS,
        training=Training(steps=6, batch=64, learning_rate=0.01),
        record_every=1,
        seed=SEED,
    )
    for moment in train(cell, data, Stopwatch()):
        kept[moment.step] = moment.snapshot()
    rest = moments(network, steps=6, resume=kept[3])
    assert [one.rows for one in rest] == [one.rows for one in whole[4:]]


def test_residual_layers_by_hand():
    images, sequences = torch.randn(2, 64), torch.randn(2, 64)
    network = ConvolutionalNetwork(depth=2, width=3, residual="pre", residual_scale=0.5, pooling=1)
    model = build(network, (8, 8), 4, SEED)
    one, two, out = (model.get_submodule(name) for name in ("hidden_1", "hidden_2", "output"))
    stream = nn.functional.max_pool2d(one(images.reshape(2, 1, 8, 8)), 2)
    stream = stream + 0.5 * two(stream.relu())
    torch.testing.assert_close(model(images), out(stream.relu().mean((2, 3))))
    network = RecurrentNetwork(depth=2, width=3, residual="post", normalisation="layer", residual_scale=0.5)
    model = build(network, (8, 8), 4, SEED)
    one, two, out = (model.get_submodule(name) for name in ("hidden_1", "hidden_2", "output"))
    stream = nn.functional.layer_norm(one(sequences.reshape(2, 8, 8)), (3,))
    stream = nn.functional.layer_norm(stream + 0.5 * two(stream), (3,))
    torch.testing.assert_close(model(sequences), out(stream[:, -1]))


def test_channels_of_a_colour_image_stay_together():
    image = torch.arange(2 * 3 * 2.0).reshape(1, 2, 3, 2)  # height, width, channels
    model = build(ConvolutionalNetwork(depth=1, width=2, kernel=1), (2, 3, 2), 2, SEED)
    conv = model.get_submodule("hidden_1")
    assert isinstance(conv, nn.Conv2d)
    expected = nn.functional.conv2d(image.permute(0, 3, 1, 2), conv.weight, conv.bias)
    torch.testing.assert_close(conv(model.get_submodule("read")(image.flatten(1))), expected)
    signal = build(ConvolutionalNetwork(depth=2, width=2, pooling=1), (40,), 2, SEED)
    assert signal(torch.zeros(3, 40)).shape == (3, 2)


FOUR_FAMILIES = Study(
    network=ConvolutionalNetwork(depth=2, width=4),
    data=DIGITS,
    training=Training(steps=2),
    record_every=2,
    seeds=1,
    grid={"family": ("dense", "convolutional", "recurrent", "transformer")},
)


def table(path, jobs, **changes):
    run_study(msgspec.structs.replace(FOUR_FAMILIES, **changes), path, jobs=jobs)
    with Store.open(path) as store:
        return store.table(), store.table(source="predicted")


def test_a_study_of_families_with_remedies(tmp_path):
    changes = {"remedies": ("replace_recurrence:gru", "add_normalisation:layer")}
    found, predicted = table(tmp_path / "s.sqlite", 1, **changes)
    # dense, convolutional and recurrent can be normalised, and the LSTM has gates already
    assert [run.fields.get("family", "dense") for run in found.runs] == [
        *("dense", "convolutional", "recurrent", "transformer", "dense", "convolutional", "recurrent")
    ]
    assert all(run.status == "finished" for run in found.runs)
    refused = sorted(str(run.facts["message"]) for run in predicted.runs if run.status == "failed")
    start = "theory predicts fully connected networks layer by layer, and no"
    assert refused == [
        f"{start} convolutional one; evenflow.theory.blocks.convolution_stack knows a stack without pooling, skips "
        "and normalisation",
        f"{start} recurrent one; evenflow.theory.blocks.rnn, lstm and gru know the gradient through the time steps of "
        "one layer",
        f"{start} transformer one; evenflow.theory.blocks.transformer_stack knows the growth over its blocks",
    ]

    # a dense network of the same depth and width must not lend the others its prediction
    with Store.open(tmp_path / "s.sqlite") as store:
        view = make_view(store.table(store.meta["keys"]), FOUR_FAMILIES, predicted)
    known = [one is not None and one.finished for one in predictions_of(view, view.choices)]
    assert dict(zip([choice.value for choice in view.choices], known, strict=True)) == {
        "dense": True,
        "convolutional": False,
        "recurrent": False,
        "transformer": False,
    }


@pytest.mark.slow
def test_processes_change_no_figure(tmp_path):
    one, _ = table(tmp_path / "one.sqlite", 1)
    two, _ = table(tmp_path / "two.sqlite", 2)
    assert one.equals(two), one.difference(two)


def test_they_go_to_torch_and_the_plan_says_why():
    cells = Study(network=RecurrentNetwork(), seeds=2).cells()
    pytest.importorskip("jax")
    (choice,) = choices(cells, "jax")
    assert (choice.engine, choice.reason) == ("torch", "the fast engine has fully connected networks only")
    with pytest.raises(
        SpecError, match="theory predicts fully connected networks layer by layer, and no recurrent"
    ):
        predict(RecurrentNetwork())


def test_what_a_network_cannot_read_is_said_before_anything_runs():
    study = Study(network=ConvolutionalNetwork(depth=6, pooling=1), data=DIGITS)
    with pytest.raises(SpecError, match='data set "digits": pooling = 1 halves samples of 8 × 8 5 times'):
        plan(study)
