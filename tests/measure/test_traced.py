"""A probe on a compiled model, held against the same probe on the same model in eager mode."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from torch import Tensor, nn
from torch._dynamo.output_graph import OutputGraph
from torch._dynamo.utils import counters

import evenflow as ef
from evenflow.record.table import Table
from evenflow.watch.probe import ProbeWarning

WIDTH = 6
_PLAIN_COMPILER = OutputGraph.call_user_compiler


class Called(nn.Module):
    """Functions instead of modules, one activation called twice, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.first(x))
        return self.second(torch.tanh(hidden) + F.gelu(x) + self.act(hidden - 0.5)).sigmoid()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2)
        self.norm = nn.LayerNorm(WIDTH)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.attention(x, x, x)
        return self.norm(x + self.drop(mixed))


class Interrupted(nn.Module):
    """A forward in two graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.first(x))
        torch._dynamo.graph_break()
        return self.second(torch.tanh(hidden))


class Recurrent(nn.Module):
    """Dynamo leaves an LSTM to Python."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.act, self.out = nn.LSTM(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.act(self.read(x)[0]))


def plain() -> nn.Module:
    norm = nn.BatchNorm1d(WIDTH)
    return nn.Sequential(
        *(nn.Linear(WIDTH, WIDTH), norm, nn.ReLU(inplace=True), nn.Dropout(0.2)),
        *(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1)),
    )


def convolutions() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LeakyReLU(0.1), nn.Flatten()),
        *(nn.Linear(12, 4), nn.Sigmoid()),
    )


def blocks() -> nn.Module:
    return nn.Sequential(nn.Sequential(Block(), Block()), nn.Linear(WIDTH, 1))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "in place, dropout, batch norm": (plain, (8, WIDTH)),
    "functions": (Called, (8, WIDTH)),
    "convolutions": (convolutions, (3, 2, 4, 4)),
    "attention": (blocks, (3, 2, WIDTH)),
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    assert OutputGraph.call_user_compiler is _PLAIN_COMPILER


def train(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    *,
    order: str = "eager",
    probed: bool = True,
    steps: int = 3,
    every: int = 1,
    backend: str = "aot_eager",
    fullgraph: bool = True,
) -> tuple[nn.Module, Table | None]:
    """Two micro-batches a step, clipped; the order in which the model is compiled and the probe attached."""
    torch.manual_seed(0)
    model = make()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    called: Any = model
    compiling: Any = {"backend": backend, "fullgraph": fullgraph}
    if order == "compile, attach":
        called = torch.compile(model, **compiling)
    if order == "compile in place, attach":
        model.compile(**compiling)
    probe = ef.Probe(called, optimiser, every=every, window=8).attach() if probed else None
    if order == "attach, compile":
        called = torch.compile(model, **compiling)
    if order == "attach, compile in place":
        model.compile(**compiling)
    if order == "attach, compile a function":
        called = torch.compile(lambda x: model(x), **compiling)
    for step in range(steps):
        optimiser.zero_grad()
        for micro in range(2):
            torch.manual_seed(10 * step + micro)
            called(torch.randn(shape)).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimiser.step()
        with torch.no_grad():  # validation adds to no figure
            called(torch.full(shape, 50.0))
    if probe is None:
        return model, None
    probe.detach()
    assert probe.failure is None
    return model, probe.table


def agree(found: Table | None, expected: Table | None, tolerance: float = 1e-6) -> None:
    """Inputs and cosines are looked at in eager mode only."""
    assert found is not None
    assert expected is not None
    found, expected = (one.select(kind=lambda kind: kind != "input") for one in (found, expected))
    for name in ("step", "name", "kind", "phase", "depth", "units"):
        assert found[name].tolist() == expected[name].tolist(), name
    compared = set(expected.statistics) - {"cosine"}
    assert set(found.statistics) - {"cosine"} == compared
    for name in compared:
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=1e-7, err_msg=name)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("name", MODELS)
def test_figures_are_those_of_eager_mode(name: str) -> None:
    make, shape = MODELS[name]
    _, found = train(make, shape, order="attach, compile")
    assert not counters["graph_break"]
    _, expected = train(make, shape)
    agree(found, expected)


@pytest.mark.parametrize(
    "order",
    [
        *("compile, attach", "compile in place, attach", "attach, compile in place"),
        "attach, compile a function",
    ],
)
def test_every_order_is_heard(order: str) -> None:
    _, found = train(Called, (8, WIDTH), order=order)
    assert not counters["graph_break"]
    _, expected = train(Called, (8, WIDTH))
    agree(found, expected)


def test_training_stays_bitwise_the_same() -> None:
    bare, _ = train(plain, (8, WIDTH), order="attach, compile", probed=False, steps=20)
    torch._dynamo.reset()
    probed, _ = train(plain, (8, WIDTH), order="attach, compile", steps=20)
    assert same_weights(bare, probed)
    other, _ = train(plain, (8, WIDTH), order="attach, compile", steps=19)
    assert not same_weights(bare, other)


def test_every_second_step_compiles_nothing_anew() -> None:
    _, found = train(Called, (8, WIDTH), order="attach, compile", steps=5, every=2)
    assert counters["stats"]["unique_graphs"] == 2  # one of training, one of validation
    _, expected = train(Called, (8, WIDTH), steps=5, every=2)
    assert found is not None
    assert set(found["step"].tolist()) == {0, 2, 4}
    agree(found, expected)


def test_clipping_is_told_apart() -> None:
    model, found = train(plain, (8, WIDTH), order="attach, compile", steps=1)
    assert found is not None
    before = found.select(phase="accumulated", kind="weight")["grad_norm"]
    after = found.select(phase="clipped", kind="weight")
    gradients = [p.grad for n, p in model.named_parameters() if p.ndim > 1 and p.grad is not None]
    np.testing.assert_allclose(after["grad_norm"], [float(g.double().norm()) for g in gradients], rtol=1e-6)
    assert (before > 10 * after["grad_norm"]).all()


def test_a_broken_graph_is_recorded_on_both_sides() -> None:
    with pytest.warns(ProbeWarning, match="breaks the graph of Interrupted"):
        _, found = train(Interrupted, (8, WIDTH), order="attach, compile", fullgraph=False)
    _, expected = train(Interrupted, (8, WIDTH))
    agree(found, expected)


def test_what_is_left_to_python_is_heard() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProbeWarning)
        _, found = train(Recurrent, (4, 2, WIDTH), order="attach, compile", fullgraph=False)
    _, expected = train(Recurrent, (4, 2, WIDTH))
    agree(found, expected)


def test_tiny_gradients_do_not_underflow() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Tanh())
    probe = ef.Probe(model, optimiser := torch.optim.SGD(model.parameters(), lr=1e-30)).attach()
    (torch.compile(model, backend="aot_eager")(torch.zeros(10, 10)) * 1e-23).sum().backward()
    optimiser.step()
    probe.detach()
    found = probe.table.select(kind="pre-activation", phase="accumulated")["signal_rms"]
    np.testing.assert_allclose(found, [1e-23], rtol=1e-6)


def test_another_model_of_the_class_adds_nothing() -> None:
    models = [Called(), Called()]
    optimiser = torch.optim.SGD(models[0].parameters(), lr=0.0)
    probe = ef.Probe(models[0], optimiser).attach()
    both = [torch.compile(model, backend="aot_eager") for model in models]
    both[0](torch.ones(2, WIDTH)).sum().backward()
    both[1](torch.full((2, WIDTH), 1e6)).sum().backward()
    optimiser.step()
    probe.detach()
    assert np.nanmax(probe.table.select(kind="activation")["max_abs"]) < 100


def test_nothing_is_left_behind() -> None:
    model = Called()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    state = {name: set(vars(module)) for name, module in model.named_modules()}
    compiled: Any = torch.compile(model, backend="aot_eager", fullgraph=True)
    with ef.Probe(compiled, optimiser) as probe:
        compiled(torch.ones(2, WIDTH)).sum().backward()
        optimiser.step()
    vars(model).pop("_is_torch_compile")  # torch.compile's own
    assert {name: set(vars(module)) for name, module in model.named_modules()} == state
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter._backward_hooks is None for parameter in model.parameters())
    pickle.loads(pickle.dumps(copy.deepcopy(model)))
    recorded = len(probe.table)
    compiled(torch.ones(2, WIDTH)).sum().backward()
    optimiser.step()
    assert len(probe.table) == recorded


def test_attached_too_late_is_said_and_the_rest_recorded() -> None:
    model = Called()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    compiled = torch.compile(lambda x: model(x), backend="aot_eager")
    compiled(torch.ones(2, WIDTH)).sum().backward()
    probe = ef.Probe(model, optimiser).attach()
    compiled(torch.ones(2, WIDTH)).sum().backward()
    optimiser.step()  # the probe may have been attached in the middle of it
    compiled(torch.ones(2, WIDTH)).sum().backward()
    with pytest.warns(
        ProbeWarning, match=r"activations and their signals are missing.*torch\._dynamo\.reset"
    ):
        optimiser.step()
    probe.detach()
    assert "weight" in probe.table["kind"]
    assert "activation" not in probe.table["kind"]


@pytest.mark.slow
def test_inductor() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        bare, _ = train(Called, (8, WIDTH), order="attach, compile", probed=False, backend="inductor")
        torch._dynamo.reset()
        model, found = train(Called, (8, WIDTH), order="attach, compile", backend="inductor")
    _, expected = train(Called, (8, WIDTH))
    agree(found, expected, tolerance=1e-3)
    for one, other in zip(bare.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
