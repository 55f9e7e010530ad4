"""The torch engine against a plain script that shares no code with it, and against its own restart."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from study.plain_script import run as plain_run

from evenflow import Data, Network, Training
from evenflow.spec.properties import properties
from evenflow.spec.study import Cell
from evenflow.study.build import build
from evenflow.study.data import load
from evenflow.study.draws import batch_indices
from evenflow.study.engines.cadence import cadence
from evenflow.study.engines.moment import Moment, Stopwatch
from evenflow.study.engines.torch import train

DIGITS = Data(name="digits")


def cell(
    steps: int = 12, every: int = 5, seed: int = 1, training: dict | None = None, **network: object
) -> Cell:
    shape = {"depth": 3, "width": 16} | network
    return Cell(
        network=msgspec.convert(shape, Network),
        data=DIGITS,
        training=msgspec.convert({"steps": steps, "batch": 64} | (training or {}), Training),
        record_every=every,
        seed=seed,
    )


def moments(which: Cell, resume: bytes | None = None) -> list[Moment]:
    torch.set_num_threads(1)
    return list(train(which, load(which.data), Stopwatch(), resume))


def figures(which: list[Moment]) -> dict:
    return {
        (moment.step, site.name, site.kind, phase): values
        for moment in which
        for site, phase, values in moment.rows
    }


@pytest.mark.parametrize(
    ("name", "module", "initialisation"),
    [
        ("relu", torch.nn.ReLU, "torch"),
        ("sigmoid", torch.nn.Sigmoid, "torch"),
        ("gelu", torch.nn.GELU, "gain"),
        ("tanh", torch.nn.Tanh, "gain"),
        ("selu", torch.nn.SELU, "gain"),
    ],
)
def test_every_figure_equals_that_of_a_plain_script(
    name: str, module: Callable[[], torch.nn.Module], initialisation: str
) -> None:
    depth, width, steps, every, seed = 6, 24, 45, 20, 2
    ours = figures(
        moments(
            cell(
                steps,
                every,
                seed,
                {"batch": 128},
                depth=depth,
                width=width,
                activation=name,
                initialisation=initialisation,
            )
        )
    )
    gain = None if initialisation == "torch" else properties(Network(activation=name).activations[0]).gain
    theirs = plain_run(module, gain, depth, width, steps, every, seed)
    assert set(ours) == set(theirs)
    for place, expected in theirs.items():
        assert set(ours[place]) == set(expected), place
        for statistic, value in expected.items():
            assert ours[place][statistic] == pytest.approx(value, rel=2e-5, abs=1e-12, nan_ok=True), (
                place,
                statistic,
            )


def test_a_training_that_goes_on_from_a_snapshot_is_the_same_to_the_bit() -> None:
    which = cell(30, 5, dropout=0.3, normalisation="batch", activation="prelu")
    whole, snapshots = [], {}
    for moment in train(which, load(which.data), Stopwatch()):
        whole.append(moment)
        snapshots[moment.step] = moment.snapshot()
    again = moments(which, snapshots[10])
    assert [moment.step for moment in again] == [15, 20, 25, 30]
    expected = {place: row for place, row in figures(whole).items() if place[0] > 10}
    assert figures(again) == expected


def test_recording_does_not_change_the_training() -> None:
    setting: dict[str, Any] = {"dropout": 0.2, "normalisation": "batch"}
    often, seldom = (figures(moments(cell(20, every, **setting))) for every in (1, 20))
    assert often[20, "test", "loss", ""] == seldom[20, "test", "loss", ""]


def test_the_last_record_is_the_trained_network_and_has_no_update() -> None:
    rows = figures(moments(cell(12, 5)))
    assert sorted({place[0] for place in rows}) == [0, 5, 10, 12]
    assert "update_norm" in rows[10, "hidden_1.weight", "weight", "accumulated"]
    assert "update_norm" not in rows[12, "hidden_1.weight", "weight", "accumulated"]


def test_clipping_shows_both_phases() -> None:
    rows = figures(moments(cell(1, 1, clip="norm:0.01")))
    places = [place for place in rows if place[0] == 0 and place[3] == "clipped"]
    total = math.sqrt(sum(rows[place]["grad_norm"] ** 2 for place in places))
    assert total == pytest.approx(0.01, rel=1e-4)
    before = math.sqrt(sum(rows[(*place[:3], "accumulated")]["grad_norm"] ** 2 for place in places))
    assert before > 0.02
    clipped = figures(moments(cell(1, 1, clip="value:0.001")))
    for place in places:
        assert clipped[place]["grad_rms"] <= 0.001 * (1 + 1e-6)


def test_the_whole_data_set_is_evaluated_as_seldom_as_asked() -> None:
    """The figures that are there are those of a training that is evaluated in every record."""
    often = figures(moments(cell(9, 2)))
    seldom = figures(moments(msgspec.structs.replace(cell(9, 2), evaluate_every=4)))
    evaluated = {place[0] for place in seldom if place[1] == "test"}
    assert evaluated == {0, 4, 8, 9}
    for place, row in often.items():
        if place[0] in evaluated:
            assert seldom[place] == row
        elif place[2] in ("loss", "class") and place[1] != "batch":
            assert place not in seldom
        else:
            assert seldom[place] == {name: value for name, value in row.items() if name != "dead_fraction"}


def test_a_large_data_set_is_evaluated_for_less_than_training_costs() -> None:
    large = Data(name="blobs", samples=20_000)
    training = Training(steps=100, batch=50)
    which = Cell(network=Network(depth=1), data=large, training=training, record_every=10, seed=0)
    found = cadence(which, load(large))
    assert (
        found.evaluate == 140
    )  # 20,000 samples against 3 × 50 × 10 in ten steps: 13.3 records apart, or more
    assert [step for step in range(101) if found.evaluates(step)] == [0, 100]
    small = msgspec.structs.replace(which, data=DIGITS)
    assert cadence(small, load(DIGITS)).evaluate == 10


def test_a_diverged_training_is_recorded_and_ends() -> None:
    ended = moments(cell(50, 10, training={"learning_rate": 1e30, "optimiser": "sgd"}))
    assert ended[-1].diverged
    assert ended[-1].step < 10
    last = figures(ended)[ended[-1].step, "batch", "loss", ""]
    assert not math.isfinite(last["loss"])
    assert figures(ended)[ended[-1].step, "test", "loss", ""]["accuracy"] < 0.3


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam", "adamw"])
def test_an_update_is_what_the_optimiser_promises(optimiser: str) -> None:
    """First step: SGD and momentum move by rate × gradient; Adam by the rate in every entry (Kingma & Ba 2015)."""
    which = cell(1, 1, training={"optimiser": optimiser, "learning_rate": 0.01, "weight_decay": 0.0})
    row = figures(moments(which))[0, "hidden_2.weight", "weight", "accumulated"]
    if optimiser in ("sgd", "momentum"):
        assert row["update_norm"] == pytest.approx(0.01 * row["grad_norm"], rel=1e-4)
    else:
        live = row["update_norm"] / 0.01 / math.sqrt(16 * 16)
        assert 0.5 < live <= 1 + 1e-3


def test_dead_units_are_dead_for_every_training_sample() -> None:
    """With a bias of -1000 on every unit nothing passes; a leaky slope always passes."""
    for name, expected in (("relu", 1.0), ("leaky_relu", 0.0)):
        rows = figures(moments(cell(1, 1, activation=name, bias_initialisation="constant:-1000")))
        assert rows[0, "activation_1", "activation", ""]["dead_fraction"] == expected


def test_a_vanishing_gradient_is_small_and_not_zero() -> None:
    """float32 `.norm()` of this first layer reads exactly 0."""
    rows = figures(moments(cell(1, 1, depth=32, width=64, activation="sigmoid")))
    first = rows[0, "hidden_1.weight", "weight", "accumulated"]["grad_norm"]
    last = rows[0, "output.weight", "weight", "accumulated"]["grad_norm"]
    assert 0 < first < 1e-20 * last


@pytest.mark.parametrize(
    "network",
    [
        {"width": 1},
        {"depth": 1},
        {"width": (16, 8, 4)},
        {"activation": ("relu", "sigmoid")},
        {"residual": "pre", "normalisation": "layer"},
        {"residual": "post", "normalisation": "batch", "normalisation_position": "after", "dropout": 0.1},
        {"activation": "prelu", "normalisation": "rms"},
        {"initialisation": "constant:0"},
        {"initialisation": "orthogonal", "bias_initialisation": "normal:0.1"},
    ],
)
def test_every_shape_of_network_trains(network: dict) -> None:
    shape: dict[str, Any] = {"depth": 3} | network
    if isinstance(shape.get("width"), tuple):
        shape["depth"] = len(shape["width"])
    rows = figures(moments(cell(2, 1, **shape)))
    assert math.isfinite(rows[2, "train", "loss", ""]["loss"])
    assert (0, f"activation_{shape['depth']}", "pre-activation", "accumulated") in rows


def test_a_batch_larger_than_the_data_is_the_whole_data_set() -> None:
    rows = figures(moments(cell(1, 1, training={"batch": 10**6})))
    whole = rows[0, "train", "loss", ""]["loss"]
    assert rows[0, "batch", "loss", ""]["loss"] == pytest.approx(whole, rel=1e-5)


def test_a_warm_up_is_that_of_torchs_scheduler() -> None:
    """Eight steps with a warm-up over five, beside a loop with `LinearLR`; every step's update."""
    which = cell(8, 1, training={"optimiser": "adam", "learning_rate": 0.02, "warm_up": 5})
    found = figures(moments(which))
    data = load(which.data)
    model = build(which.network, data.train_inputs.shape[1], data.classes, which.seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=0.01, total_iters=5)
    for step in range(8):
        chosen = batch_indices(step, len(data.train_labels), which.training.batch, which.seed)
        before = model.get_parameter("hidden_2.weight").detach().clone()
        inputs, labels = torch.tensor(data.train_inputs[chosen]), torch.tensor(data.train_labels[chosen])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
        scheduler.step()
        moved = float((model.get_parameter("hidden_2.weight").detach() - before).double().norm())
        row = found[step, "hidden_2.weight", "weight", "accumulated"]
        assert row["update_norm"] == pytest.approx(moved, rel=1e-4)


def test_a_snapshot_in_a_warm_up_goes_on_with_it() -> None:
    which = cell(8, 2, training={"warm_up": 6})
    every, snapshots = [], []
    for moment in train(which, load(which.data), Stopwatch()):
        every.append(moment)
        snapshots.append(moment.snapshot())
    again = moments(which, snapshots[1])
    assert figures(again) == {key: value for key, value in figures(every).items() if key[0] > 2}
