"""Every figure of the probe against NumPy, on tensors that a twin of the model was made to dump."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from probe_dumps import Dump, forward_figures, norm, numbers, parameter_figures, train
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from evenflow.watch.probe import Probe

EXACT = 1e-9
pytestmark = pytest.mark.filterwarnings("ignore:step \\d+. not finite:UserWarning")

STEPS = 4


@pytest.fixture(params=["native", "torch"])
def kernels(request, monkeypatch):
    """With the compiled kernels and without."""
    if request.param == "torch":
        for place in ("bank", "parameters", "recorder", "taps"):
            monkeypatch.setattr(f"evenflow.measure.{place}.native", None)
    return request.param


def row(probe, step, name, **conditions):
    """The figures of one site at one step, by the name of the statistic."""
    found = probe.table.select(step=step, name=name, **conditions)
    assert len(found) == 1, f"{len(found)} rows of {name} at step {step} with {conditions}"
    return {statistic: float(found[statistic][0]) for statistic in found.statistics}


def compared(found, expected, tolerance=EXACT):
    assert {name: found.get(name, np.nan) for name in expected} == pytest.approx(
        expected, rel=tolerance, abs=1e-300, nan_ok=True
    )


def batches(*shape, steps=STEPS, dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(steps)]


def twins(make, modules, data, **options):
    """A training that is dumped and the same training under a probe."""
    window = options.pop("window", 1000)
    torch.manual_seed(0)
    dump = Dump(make(), modules)
    train(dump.model, data, dump.look, **options)
    torch.manual_seed(0)
    model = make()
    probes = []

    def attach(optimizer):
        probes.append(Probe(model, optimizer, window=window).attach())

    train(model, data, lambda _moment: None, attach=attach, **options)
    probes[0].detach()
    assert probes[0].failure is None
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dump.model.get_parameter(name)), f"{name} was trained differently"
    return dump, probes[0]


def all_compared(dump, probe, modules, tolerance=EXACT):
    """Forward signals, gradients and weights of every step."""
    assert len(set(probe.table["step"].tolist())) == len(dump.steps)
    for number, step in enumerate(dump.steps):
        for name in modules:
            compared(row(probe, number, name, kind="activation"), forward_figures(step[name]["y"]), tolerance)
            if step[name]["g"]:
                g = np.concatenate([part.ravel() for part in step[name]["g"]])
                found = row(probe, number, name, kind="pre-activation", phase="accumulated")
                compared(found, {"signal_rms": np.sqrt((g**2).mean()), "nonfinite_count": 0}, tolerance)
        for name in dict(dump.model.named_parameters()):
            found = row(probe, number, name, phase="accumulated")
            compared(found, parameter_figures(step, name), tolerance)


def mlp(activation, dtype=torch.float32):
    def make():
        layers = [nn.Linear(5, 7), activation(), nn.Linear(7, 6), activation(), nn.Linear(6, 2)]
        return nn.Sequential(*layers).to(dtype)

    return make


# Derivatives by torch's autograd, in float64, and the largest of each.
ACTIVATIONS = {
    "relu": (nn.ReLU, 1.0),
    "relu in place": (lambda: nn.ReLU(inplace=True), 1.0),
    "gelu": (nn.GELU, 1.128904145),
    "gelu tanh": (lambda: nn.GELU("tanh"), 1.128904),
    "tanh": (nn.Tanh, 1.0),
    "sigmoid": (nn.Sigmoid, 0.25),
    "elu": (nn.ELU, 1.0),
    "silu": (nn.SiLU, 1.0998393),
    "leaky relu": (lambda: nn.LeakyReLU(0.002), 1.0),
    "leaky relu of 0.1": (lambda: nn.LeakyReLU(0.1), 1.0),
    "hardtanh": (nn.Hardtanh, 1.0),
    "relu6": (nn.ReLU6, 1.0),
    "softplus": (nn.Softplus, 1.0),
    "hardswish": (nn.Hardswish, 1.5),
    "threshold": (lambda: nn.Threshold(0.5, 2.0), 1.0),
    "celu": (lambda: nn.CELU(2.0), 1.0),
    "selu": (nn.SELU, 1.7580993),
    "mish": (nn.Mish, 1.0883),
    "softplus of 2": (lambda: nn.Softplus(2.0, 10.0), 1.0),
    "hardshrink": (nn.Hardshrink, 1.0),
    "softshrink": (nn.Softshrink, 1.0),
    "hardsigmoid": (nn.Hardsigmoid, 1 / 6),
    "log sigmoid": (nn.LogSigmoid, 1.0),
    "softsign": (nn.Softsign, 1.0),
    "prelu": (lambda: nn.PReLU(init=0.005), 1.0),
    "prelu without slope": (lambda: nn.PReLU(init=0.0), 1.0),
}


def slopes(make, z):
    z = torch.from_numpy(z).requires_grad_()
    make().double()(z.clone()).sum().backward()
    assert z.grad is not None
    return z.grad.numpy()


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.usefixtures("kernels")
def test_activations(name):
    """All figures of two activations, with those of saturated and dead entries and units over a window."""
    make, largest = ACTIVATIONS[name]
    data = [8 * batch for batch in batches(8, 5, steps=6)]
    freeze = {"optimiser": lambda p: torch.optim.SGD([one for one in p if one.numel() > 1], 1e-2)}
    dump, probe = twins(mlp(make), ["1", "3"], data, window=16, **freeze)
    assert {site.name for site in probe.table.sites if site.kind == "activation"} == {"1", "3"}
    for module in ("1", "3"):
        seen = []
        for number, step in enumerate(dump.steps):
            (z,), (y,), (g,) = step[module]["z"], step[module]["y"], step[module]["g"]
            slope = np.abs(slopes(make, z))
            flat, dead = slope < 0.01 * largest, slope == 0
            seen.append((flat, dead))
            found = row(probe, number, module, kind="activation")
            compared(found, forward_figures([y]) | {"saturated_fraction": flat.mean()})
            signal = {"signal_rms": np.sqrt((g**2).mean())}
            compared(row(probe, number, module, kind="pre-activation", phase="accumulated"), signal)
            # A window of 16 is full every second step; beside the last full one the one that fills counts.
            first = {0: None, 1: 0, 2: 0, 3: 2, 4: 2, 5: 4}[number]
            shares = (np.nan, np.nan)
            if first is not None:
                shares = tuple(
                    np.mean([part[kind].all(0) for part in seen[first:]], 0).astype(int).mean()
                    for kind in (0, 1)
                )
            expected = {"saturated_unit_fraction": shares[0], "dead_fraction": shares[1]}
            compared(found, expected)


@pytest.mark.usefixtures("kernels")
def test_learned_slopes_are_followed():
    """A slope that falls below 1 % of the other side's, step by step: from then on entries below 0 are flat."""

    def make() -> Any:
        return nn.Sequential(nn.Linear(5, 7), nn.PReLU(init=0.03), nn.Linear(7, 2))

    model = make()

    class Falls(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                model[1].weight.fill_(slopes_to_come.pop(0))

    slopes_to_come = [0.009, 0.0, -150.0, 0.5]
    stepper = Falls(model.parameters(), lr=0.0)
    expected = []
    with Probe(model, stepper, window=8) as probe:
        for data in batches(8, 5):
            with torch.no_grad():
                z = model[0](data).double()
            slope = torch.where(z > 0, 1.0, model[1].weight.detach().double())
            flat, dead = slope.abs() < 0.01 * slope.abs().max(), slope == 0
            expected.append((flat.double().mean().item(), dead.all(0).double().mean().item()))
            model(data).sum().backward()
            stepper.step()
    assert [flat > 0 for flat, _ in expected] == [False, True, True, True]
    for number, (flat, dead) in enumerate(expected):
        found = row(probe, number, "1", kind="activation")
        compared(found, {"saturated_fraction": flat, "dead_fraction": dead})


@pytest.mark.usefixtures("kernels")
def test_one_unit_without_a_dimension_of_its_own():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act, self.last = nn.Linear(5, 1), nn.ReLU(), nn.GELU()

        def forward(self, x):
            return self.last(self.act(self.layer(x).flatten()).sum())

    all_compared(*twins(Flat, ["act", "last"], batches(8, 5), window=8), ["act", "last"])


def by_data(parameters):
    for parameter in parameters:
        parameter.grad.data.mul_(0.5)


def by_hand(parameters):
    for parameter in parameters:
        parameter.grad.mul_(0.5)


def by_assignment(parameters):
    for parameter in parameters:
        parameter.grad = parameter.grad * 0.5


def by_data_assignment(parameters):
    for parameter in parameters:
        parameter.grad.data = parameter.grad * 0.5


CLIPPINGS = {
    "norm": lambda p: nn.utils.clip_grad_norm_(p, 1e-3),
    "norm without foreach": lambda p: nn.utils.clip_grad_norm_(p, 1e-3, foreach=False),
    "value": lambda p: nn.utils.clip_grad_value_(p, 1e-4),
    "by hand": by_hand,
    "assigned": by_assignment,
    "through .data": by_data,
    "assigned to .data": by_data_assignment,
}


@pytest.mark.parametrize("name", CLIPPINGS)
def test_clipping(name):
    dump, probe = twins(mlp(nn.ReLU), ["1", "3"], batches(8, 5), clip=CLIPPINGS[name])
    all_compared(dump, probe, ["1", "3"])
    for number, step in enumerate(dump.steps):
        for parameter, clipped in step["clipped"].items():
            ratio = norm(clipped) / norm(step["accumulated"][parameter])
            expected = {"grad_norm": norm(clipped), "grad_rms": norm(clipped) / np.sqrt(clipped.size)}
            compared(row(probe, number, parameter, phase="clipped"), expected | {"clip_ratio": ratio})


def test_gradients_that_nobody_clips_have_no_such_phase():
    _, probe = twins(mlp(nn.ReLU), ["1"], batches(8, 5))
    assert set(probe.table["phase"]) == {"", "accumulated"}


@pytest.mark.parametrize(
    "options",
    [
        {"micro": 4},
        {"optimiser": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=True)},
        {"optimiser": lambda p: torch.optim.AdamW(p, 0.1, fused=True)},
    ],
    ids=["accumulation", "foreach", "fused"],
)
@pytest.mark.usefixtures("kernels")
def test_training_in_another_way(options):
    make = mlp(lambda: nn.ReLU(inplace=True))
    all_compared(*twins(make, ["1", "3"], batches(8, 5), **options), ["1", "3"])


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_dtypes(dtype):
    make = mlp(nn.ReLU, dtype)
    optimiser = {"optimiser": lambda p: torch.optim.SGD(p, 0.1)}
    all_compared(*twins(make, ["1", "3"], batches(8, 5, dtype=dtype), **optimiser), ["1", "3"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.usefixtures("kernels")
def test_mixed_precision(dtype):
    """Under autocast, with a loss scale: the phases are scaled, unscaled, clipped."""
    options = {"amp": dtype, "scale": 256.0, "clip": CLIPPINGS["norm"]}
    dump, probe = twins(mlp(nn.ReLU), ["1", "3"], batches(8, 5), **options)
    all_compared(dump, probe, ["1", "3"])
    for number, step in enumerate(dump.steps):
        for name, unscaled in step["unscaled"].items():
            compared(row(probe, number, name, phase="unscaled"), {"grad_norm": norm(unscaled)})
            ratio = norm(step["clipped"][name]) / norm(unscaled)
            compared(row(probe, number, name, phase="clipped"), {"clip_ratio": ratio})
        (g,) = step["1"]["g"]
        found = row(probe, number, "1", kind="pre-activation", phase="unscaled")
        compared(found, {"signal_rms": np.sqrt((g**2).mean()) / 256})


def test_autocast_alone():
    all_compared(*twins(mlp(nn.ReLU), ["1", "3"], batches(8, 5), amp=torch.bfloat16), ["1", "3"])


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(5, 7)
        self.part = nn.Sequential(nn.ReLU(), nn.Linear(7, 7), nn.Tanh(), nn.Linear(7, 2))

    def forward(self, x):
        return checkpoint(self.part, self.first(x), use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("micro", [1, 4])
def test_checkpointing(reentrant, micro):
    """The pass that is run again is not counted again, and its gradients are."""
    names = ["part.0", "part.2"]
    all_compared(*twins(lambda: Checkpointed(reentrant), names, batches(8, 5), micro=micro), names)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.usefixtures("kernels")
def test_channels_are_the_units_of_a_convolution(layout):
    def make():
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
        )
        with torch.no_grad():
            model.get_parameter("0.bias")[:2] = -100  # two channels that never fire
            model.get_parameter("2.bias")[1] = -100
        for parameter in model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        return model

    data = [one.to(memory_format=layout) for one in batches(4, 3, 8, 8)]
    dump, probe = twins(make, ["1", "3"], data, window=4)
    all_compared(dump, probe, ["1", "3"])
    for number, step in enumerate(dump.steps):
        for name, units in (("1", 6), ("3", 4)):
            seen = [one[name]["y"][0] for one in dump.steps[number : number + 1]]
            dead = np.mean([(part == 0).all((0, 2, 3)) for part in seen], 0).astype(int)
            assert dead.shape == (units,)
            assert dead.any()
            found = row(probe, number, name, kind="activation")
            compared(found, {"dead_fraction": dead.mean(), "zero_fraction": (step[name]["y"][0] == 0).mean()})
            assert {site.units for site in probe.table.sites if site.name == name} == {units}


class Block(nn.Module):
    """A block of a transformer with attention written out, by a function or by a module."""

    def __init__(self, module):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))
        self.norm = nn.LayerNorm(6)
        self.up, self.act, self.down = nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)
        self.softmax = nn.Softmax(-1) if module else None

    def forward(self, x):
        logits = self.q(x) @ self.k(x).transpose(-1, -2)
        weights = self.softmax(logits) if self.softmax is not None else functional.softmax(logits, dim=-1)
        x = x + weights @ self.v(x)
        return x + self.down(self.act(self.up(self.norm(x))))


@pytest.mark.parametrize("module", [True, False], ids=["module", "function"])
def test_attention(module):
    data = batches(3, 4, 6)
    dump, probe = twins(lambda: Block(module), ["act", "q", "k"], data)
    all_compared(dump, probe, ["act"])
    for number, step in enumerate(dump.steps):
        logits = step["q"]["y"][0] @ step["k"]["y"][0].swapaxes(-1, -2)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        entropy = -(weights * np.log(weights)).sum(-1).mean()
        found = row(probe, number, "softmax" if module else ":softmax", kind="attention")
        compared(found, {"entropy": entropy, "logit_max": logits.max()}, 1e-5)


def test_attention_that_shows_its_weights():
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.weights = []

        def forward(self, x):
            output, weights = self.attention(x, x, x, average_attn_weights=False)
            self.weights.append(numbers(weights))
            return output

    model = Shown()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Probe(model, optimizer) as probe:
        train(model, batches(3, 4, 6), lambda _: None, optimiser=lambda _: optimizer)
    for number, weights in enumerate(model.weights):
        entropy = -(weights * np.log(weights)).sum(-1).mean()
        compared(row(probe, number, "attention", kind="attention"), {"entropy": entropy}, 1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_recurrent(kind):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.out = kind(5, 6, num_layers=2, batch_first=True), nn.Linear(6, 2)

        def forward(self, x):
            return self.out(self.cells(x)[0][:, -1])

    dump, probe = twins(Last, ["cells"], batches(4, 7, 5))
    for number, step in enumerate(dump.steps):
        found = row(probe, number, "cells", kind="output", phase="")
        compared(found, forward_figures(step["cells"]["y"]))
        (g,) = step["cells"]["h"]
        found = row(probe, number, "cells", kind="output", phase="accumulated")
        compared(found, {"signal_rms": np.sqrt((g**2).mean())})
    all_compared(dump, probe, [])


@pytest.mark.usefixtures("kernels")
def test_small_gradients_are_not_zero():
    """float32 squares of 1e-23 are 0; the sums are float64."""

    def make():
        layers = [part for _ in range(30) for part in (nn.Linear(8, 8), nn.Sigmoid())]
        model = nn.Sequential(*layers)
        with torch.no_grad():
            for module in model:
                if isinstance(module, nn.Linear):
                    module.weight.mul_(1.3)
        return model

    names = ["1", "31", "59"]
    sgd = {"optimiser": lambda p: torch.optim.SGD(p, 1.0)}
    dump, probe = twins(make, names, batches(4, 8, steps=2), **sgd)
    gradient = dump.steps[0]["accumulated"]["0.weight"]
    assert float(torch.from_numpy(gradient).float().norm()) == 0  # what everybody else reads
    assert 1e-25 < norm(gradient) < 1e-21
    all_compared(dump, probe, names)


def test_nonfinite_entries_are_counted():
    data = batches(8, 5)
    data[2][3, 1] = float("nan")
    data[2][4, 1] = float("inf")
    torch.manual_seed(0)
    dump = Dump(mlp(nn.ReLU)(), ["1"])
    train(dump.model, data[:3], dump.look)
    torch.manual_seed(0)
    model = mlp(nn.ReLU)()
    with Probe(model) as probe:
        train(model, data[:3], lambda _: None)
    step = dump.steps[2]
    (y,) = step["1"]["y"]
    assert 0 < (~np.isfinite(y)).sum() < y.size
    found = row(probe, 2, "1", kind="activation")
    compared(found, {"nonfinite_count": (~np.isfinite(y)).sum(), "zero_fraction": (y == 0).mean()})
    gradient = step["accumulated"]["0.weight"]
    found = row(probe, 2, "0.weight", phase="accumulated")
    assert found["nonfinite_count"] == (~np.isfinite(gradient)).sum() > 0


def test_depth_is_the_order_of_execution():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.act_last = nn.Linear(5, 5), nn.ReLU()
            self.first, self.act_first = nn.Linear(5, 5), nn.ReLU()

        def forward(self, x):
            return self.act_last(self.last(self.act_first(self.first(x))))

    _, probe = twins(Backwards, [], batches(4, 5))
    depths = {site.name: site.depth for site in probe.table.sites if site.kind not in ("loss", "input")}
    assert depths == {
        "first.weight": 1,
        "first.bias": 1,
        "act_first": 1,
        "last.weight": 2,
        "last.bias": 2,
        "act_last": 2,
    }


SCRIPT = """
import torch
from torch import nn
from evenflow.measure.kernels import native
from evenflow.watch.probe import Probe
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with Probe(model, optimizer, window=4) as probe:
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 5)).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
assert probe.failure is None
print(native is None)
for name in sorted(probe.table.statistics):
    print(name, *(f"{value:.10g}" for value in sorted(probe.table[name].tolist())))
"""


@pytest.mark.slow
def test_the_same_without_compiled_kernels():
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(SCRIPT, {})
    environment = os.environ | {"EVENFLOW_KERNELS": "torch"}
    there = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert there.returncode == 0, there.stderr
    compiled, plain = here.getvalue().splitlines(), there.stdout.splitlines()
    assert (compiled[0], plain[0]) == ("False", "True")
    assert compiled[1:] == plain[1:]
    assert len(compiled) > 15
