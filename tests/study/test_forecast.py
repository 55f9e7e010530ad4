"""ef.predict: the table, real networks beside it, torch models, losses and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.study.forecast import draw

SMALL = ef.Network(depth=4, width=32, activation="relu", initialisation="he")
BLOBS = ef.Data(name="blobs", samples=400)


def test_predicted_and_drawn_tables_join_and_agree() -> None:
    predicted = ef.predict(SMALL, BLOBS)
    drawn = draw(SMALL, BLOBS, seeds=40)
    assert set(predicted.sites) == set(drawn.sites)
    weights = predicted.select(kind="weight")
    found = np.log10(drawn.select(kind="weight")["grad_norm"].reshape(40, -1))
    noise = np.std(found, axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(weights["grad_norm_log10"] - found.mean(axis=0)) < 3 * noise + 0.05)
    assert np.allclose(np.log10(weights["grad_norm"]), weights["grad_norm_log10"])
    for kind, statistic in (
        ("pre-activation", "rms"),
        ("activation", "rms"),
        ("pre-activation", "signal_rms"),
    ):
        expected, real = (table.select(kind=kind)[statistic] for table in (predicted, drawn))
        expected, real = expected[~np.isnan(expected)], real[~np.isnan(real)].reshape(40, -1)
        assert np.allclose(np.log10(expected), np.log10(real).mean(axis=0), atol=0.1), (kind, statistic)


@pytest.mark.slow
def test_dead_units_of_twenty_layers_on_digits_are_within_three_percent() -> None:
    network = ef.Network(depth=20, width=128, activation="relu", initialisation="he")
    expected = ef.predict(network, ef.Data(name="digits")).select(kind="activation")["dead_fraction"]
    drawn = draw(network, ef.Data(name="digits"), seeds=40)
    found = drawn.select(kind="activation")["dead_fraction"].reshape(40, -1).mean(axis=0)
    assert np.max(np.abs(expected - found)) < 0.03
    assert found[-1] > 0.2


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))


INPUTS = torch.randn(32, 12, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 3


@pytest.mark.parametrize(
    "loss", [None, "mse", nn.CrossEntropyLoss(label_smoothing=0.1), nn.MultiMarginLoss()]
)
def test_a_torch_model_with_any_loss_is_near_its_own_gradient(loss: object) -> None:
    network = model()
    predicted = ef.predict(network, (INPUTS, CLASSES), loss)  # type: ignore[arg-type]
    logits = network(INPUTS)
    if loss == "mse":
        value = nn.functional.mse_loss(logits, nn.functional.one_hot(CLASSES, 3).float())
    else:
        value = (loss or nn.CrossEntropyLoss())(logits, CLASSES)  # type: ignore[operator]
    weights = predicted.select(kind="weight")
    parameters = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    real = [float(one.norm().log10()) for one in torch.autograd.grad(value, parameters)]
    assert [site.name for site in weights.sites] == ["0.weight", "2.weight", "4.weight"]
    assert np.max(np.abs(weights["grad_norm_log10"] - real) / (weights["grad_norm_log10_sd"] + 0.02)) < 3.5


def test_a_loss_with_tensors_of_its_own_and_without_gradients_around_it() -> None:
    loss = nn.CrossEntropyLoss(weight=torch.ones(3))
    with torch.inference_mode():
        weighted = ef.predict(model(), (INPUTS, CLASSES), loss)
    plain = ef.predict(model(), (INPUTS, CLASSES))
    one, other = (table.select(kind="weight")["grad_norm_log10"] for table in (weighted, plain))
    assert np.allclose(one, other, atol=0.02)


def test_warnings_reach_python() -> None:
    with pytest.warns(UserWarning, match="not Gaussian"):
        ef.predict(ef.Network(depth=2, width=16, residual="post"), BLOBS)


def test_an_activation_that_begins_far_out_is_predicted() -> None:
    shifted = ef.register_activation("begins_far_out", lambda z: np.maximum(z - 0.7, 0.0), replace=True)
    network = ef.Network(depth=3, width=128, activation=shifted.name, initialisation="normal:0.6")
    found = np.log10(draw(network, BLOBS, seeds=20).select(kind="weight")["grad_norm"].reshape(20, -1))
    expected = ef.predict(network, BLOBS).select(kind="weight")["grad_norm_log10"]
    assert np.all(
        np.abs(expected - found.mean(axis=0)) < 3 * np.std(found, axis=0, ddof=1) / np.sqrt(20) + 0.05
    )


def test_regression_with_targets_of_its_own_shape() -> None:
    network = nn.Sequential(nn.Linear(12, 32), nn.SiLU(), nn.Linear(32, 1))
    table = ef.predict(network, (INPUTS, torch.randn(32, 1)), nn.MSELoss())
    assert np.all(np.isfinite(table.select(kind="weight")["grad_norm_log10"]))


def test_more_seeds_make_a_surer_mean() -> None:
    one, four = (ef.predict(SMALL, BLOBS, seeds=count).select(kind="weight") for count in (1, 4))
    assert np.allclose(one["grad_norm_log10_sd"], 2 * four["grad_norm_log10_sd"])


def test_a_large_batch_is_shortened_and_says_so() -> None:
    with pytest.warns(UserWarning, match="stand for all"):
        table = ef.predict(ef.Network(depth=2, width=16, activation="tanh"), BLOBS, batch=400)
    assert table.runs[0].facts["warnings"] == [
        "the first 256 of the batch's 320 samples stand for all, for time grows with their square"
    ]


def test_progress_counts_networks() -> None:
    told: list[int] = []
    draw(SMALL, BLOBS, seeds=3, progress=told.append)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SMALL, BLOBS, "crossentropy"), 'loss "crossentropy" is not known; did you mean "cross_entropy"'),
        ((SMALL, (INPUTS, CLASSES)), "a batch goes with a torch model"),
        ((model(),), r"give \(inputs, targets\)"),
        (
            (model(), (INPUTS, CLASSES), nn.CrossEntropyLoss(reduction="none")),
            r"returned a tensor of shape \(32,\)",
        ),
        ((model(), (INPUTS, CLASSES), lambda _logits, _targets: 1.0), "the loss returned float"),
        (
            (model(), (INPUTS, CLASSES), lambda logits, _targets: logits.detach().sum()),
            "does not depend on the logits",
        ),
        ((model(), (INPUTS, CLASSES + 1)), "targets run to class 3, but the model has 3 outputs"),
        ((model(), (INPUTS, torch.randn(32, 3))), "takes one class number a sample"),
        ((model(), (INPUTS * torch.nan, CLASSES)), "not finite"),
        ((model(), (INPUTS[0], CLASSES)), r"not of shape \(12,\)"),
        ((model(), (INPUTS, CLASSES[:5])), r"32 inputs, but targets of shape \(5,\)"),
        ((model(), (INPUTS, CLASSES[:, None]), nn.CrossEntropyLoss()), "does not take logits of shape"),
        (("relu", (INPUTS, CLASSES)), "a Network or a torch model, not a str"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ef.SpecError, match=message):
        ef.predict(*arguments)


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(ef.SpecError, match="batch = 0"):
        ef.predict(SMALL, BLOBS, batch=0)
    with pytest.raises(ef.SpecError, match="seeds = 0: a mean"):
        ef.predict(SMALL, BLOBS, seeds=0)
    with pytest.raises(ef.SpecError, match="seeds = 0: draw"):
        draw(SMALL, BLOBS, seeds=0)
    with pytest.raises(ef.SpecError, match="start alike"):
        ef.predict(ef.Network(depth=2, width=4, initialisation="constant:1"), BLOBS)
