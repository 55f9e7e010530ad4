"""Advice against networks that are really drawn."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import SpecError
from evenflow.study.build import build
from evenflow.theory.snippet import snippet

DATA = ef.Data(name="digits")


def gradient_logs(model: nn.Module, inputs, labels) -> np.ndarray:
    """log10 of the gradient norm of every linear map's weights."""
    model.double().train()
    nn.functional.cross_entropy(model(inputs), labels).backward()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return np.array([float(torch.log10(torch.linalg.norm(one.weight.grad))) for one in linear])  # type: ignore[arg-type]


def batch():
    from evenflow.study.data import load
    from evenflow.study.draws import batch_indices

    samples = load(DATA)
    chosen = batch_indices(0, len(samples.train_inputs), 64, 0)
    inputs = torch.from_numpy(samples.train_inputs[chosen]).double()
    return inputs, torch.from_numpy(samples.train_labels[chosen]), samples.classes


def measured(network: ef.Network, remedy, seeds: int = 5) -> np.ndarray:
    """Mean over seeds of log10 of every layer's gradient over the last one's, in networks that are built."""
    inputs, labels, classes = batch()
    changed = msgspec.structs.replace(network, **remedy.change)
    found = []
    for seed in range(seeds):
        model = build(changed, inputs.shape[1], classes, seed)
        if remedy.initialisation is not None:
            torch.manual_seed(seed)
            exec(snippet(remedy.initialisation), {"model": model})
        logs = gradient_logs(model, inputs, labels)
        found.append(logs - logs[-1])
    return np.mean(found, axis=0)


def worst(ratio: np.ndarray) -> float:
    return float(np.max(np.abs(ratio)))


def test_the_first_remedy_of_a_deep_sigmoid_network_is_flatter_when_measured() -> None:
    network = ef.Network(depth=20, width=64, activation="sigmoid")
    advice = ef.advise(network, DATA)
    assert not advice.current.in_reach
    best = advice.remedies[0]
    before, after = (worst(measured(network, one)) for one in (advice.current, best))
    assert before > 10
    assert after < 1
    assert after == pytest.approx(abs(best.worst_log10), abs=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "softplus", "relu"])
def test_every_remedy_is_as_flat_as_predicted(activation) -> None:
    network = ef.Network(depth=20, width=128, activation=activation)
    for one in ef.advise(network, DATA).remedies:
        ratio = measured(network, one)
        allowed = 0.3 + 0.05 * abs(one.worst_log10) + 2 * one.deviation / np.sqrt(5)
        assert ratio[0] == pytest.approx(one.ratio_log10, abs=allowed), one.what


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_the_snippet_initialises_a_plain_module(name) -> None:
    function = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[name]
    inputs, labels, classes = batch()
    sizes = [inputs.shape[1], *[96] * 20]
    hidden = [step for a, b in pairwise(sizes) for step in (nn.Linear(a, b), function())]
    model = nn.Sequential(*hidden, nn.Linear(96, classes))
    advice = ef.advise(ef.Network(depth=20, width=96, activation=name), DATA)
    torch.manual_seed(0)
    exec(advice.snippet, {"model": model})
    linear = [module for module in model if isinstance(module, nn.Linear)]
    for layer, (weight, bias) in zip(linear, advice.initialisation.draws, strict=True):
        assert float(layer.weight.detach().std()) * layer.in_features**0.5 == pytest.approx(weight, rel=0.1)
        assert float(layer.bias.detach().std()) == pytest.approx(bias, rel=0.4)
    logs = gradient_logs(model, inputs, labels)
    assert abs(logs[0] - logs[-1]) < 1


def test_a_snippet_for_another_depth_says_so_by_itself() -> None:
    advice = ef.advise(ef.Network(depth=3, width=8), ef.Data(name="blobs"))
    with pytest.raises(ValueError, match="zip"):
        exec(advice.snippet, {"model": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))})


def test_softplus_has_no_critical_initialisation() -> None:
    advice = ef.advise(ef.Network(depth=30, width=32, activation="softplus"), DATA)
    assert "no critical initialisation exists for softplus" in advice.initialisation.reason
    assert not advice.initialisation.critical
    assert advice.remedies[0].change.get("activation") or "residual" in advice.remedies[0].change


def test_a_custom_activation() -> None:
    ef.register_activation("waved", lambda z: z + 0.5 * z / (1 + z * z))
    advice = ef.advise(ef.Network(depth=10, width=32, activation="waved"), DATA)
    assert "waved" in advice.initialisation.reason
    assert any(one.in_reach and not one.change for one in advice.remedies)


def test_a_torch_model_is_advised_as_its_specification_is() -> None:
    inputs, labels, classes = batch()
    network = ef.Network(depth=6, width=64, activation="tanh")
    model = build(network, inputs.shape[1], classes, 0)
    live = ef.advise(model, (inputs.float(), labels))
    specified = ef.advise(network, DATA)
    np.testing.assert_allclose(live.initialisation.draws, specified.initialisation.draws, rtol=1e-5)
    assert live.current.ratio_log10 == pytest.approx(specified.current.ratio_log10, abs=0.2)


def test_a_batch_does_not_go_with_a_specification() -> None:
    with pytest.raises(SpecError, match="a batch goes with a torch model"):
        ef.advise(ef.Network(depth=2), ([[1.0]], [0]))
