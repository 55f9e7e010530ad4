"""Real stacks of torch modules, and what signals and gradients do in them: the independent side of every test here.

The gradient at the last output is drawn from a normal distribution. Figures are means over seeds of logarithms, so
that a ratio of norms is a geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
Block = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Block] = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.01),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
    "mish": nn.Mish(),
    "hardswish": nn.Hardswish(),
}


@dataclass(frozen=True)
class Measured:
    """As `Growth` has it: relative second moments, and the gradient's norm per block."""

    forward: Array
    backward: Array
    per_block: float


Stream = Tensor | tuple[Tensor, Tensor]  # the second is an LSTM's h and c


def measured(make: Callable[[], Iterator[Stream]], seeds: int) -> Measured:
    """Over `seeds` draws of the streams, input first, that `make` yields block by block."""
    logs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        streams = []
        for stream in make():
            for one in stream if isinstance(stream, tuple) else (stream,):
                if one.requires_grad and not one.is_leaf:
                    one.retain_grad()
            streams.append(stream)
        last = streams[-1][1] if isinstance(streams[-1], tuple) else streams[-1]
        (last * torch.randn_like(last)).sum().backward()
        logs.append([(_log_square(_value(one)), _log_square(_gradient(one))) for one in streams])
    signal, gradient = np.mean(np.array(logs), axis=0).T
    back = gradient - gradient[-1]
    blocks = len(back) - 1
    return Measured(
        np.exp(signal[1:] - signal[0]), np.exp(back[:-1]), math.exp(float(back[0]) / (2 * blocks))
    )


def norm_module(kind: str, width: int) -> nn.Module:
    return {
        "none": lambda: nn.Identity(),
        "layer": lambda: nn.LayerNorm(width, eps=1e-12),
        "rms": lambda: nn.RMSNorm(width, eps=1e-12),
        "batch": lambda: nn.BatchNorm1d(width, eps=1e-12),
    }[kind]()


def residual(
    name: str,
    depth: int,
    *,
    seeds: int,
    weight_variance: float = 2.0,
    normalisation: str = "none",
    position: str = "pre",
    scale: float = 1.0,
    width: int = 128,
    batch: int = 64,
) -> Measured:
    """x + s·W·f(N(x)), or N(x + s·W·f(x))."""
    f, norm = ACTIVATIONS[name], norm_module(normalisation, width).double()

    def make() -> Iterator[Tensor]:
        x = torch.randn(batch, width, dtype=torch.float64, requires_grad=True)
        yield x
        for _ in range(depth):
            w = _weight(width, width, weight_variance)
            x = x + scale * f(norm(x)) @ w if position == "pre" else norm(x + scale * f(x) @ w)
            yield x

    return measured(make, seeds)


def normalised(
    name: str,
    depth: int,
    *,
    seeds: int,
    normalisation: str = "layer",
    width: int = 128,
    batch: int = 64,
    skipped: int = 0,
) -> Measured:
    """W·f(N(h)), the first `skipped` blocks not counted."""
    f, norm = ACTIVATIONS[name], norm_module(normalisation, width).double()

    def make() -> Iterator[Tensor]:
        h = torch.randn(batch, width, dtype=torch.float64)
        for _ in range(skipped):
            h = f(norm(h)) @ _weight(width, width, 1.0)
        h.requires_grad_()
        yield h
        for _ in range(depth):
            h = f(norm(h)) @ _weight(width, width, 1.0)
            yield h

    return measured(make, seeds)


def convolution(
    name: str,
    depth: int,
    channels: int,
    size: int,
    *,
    seeds: int,
    kernel: int = 3,
    padding_mode: Literal["zeros", "circular"] = "zeros",
    groups: int = 1,
    gain: float = 2.0,
) -> Measured:
    """conv(f(h)) with weights of variance gain/fan_in."""
    f = ACTIVATIONS[name]

    def make() -> Iterator[Tensor]:
        h = torch.randn(2, channels, size, size, requires_grad=True)
        yield h
        for _ in range(depth):
            layer = nn.Conv2d(
                channels,
                channels,
                kernel,
                padding=kernel // 2,
                padding_mode=padding_mode,
                groups=groups,
                bias=False,
            )
            nn.init.normal_(layer.weight, std=math.sqrt(gain * groups / (kernel * kernel * channels)))
            h = layer(f(h))
            yield h

    return measured(make, seeds)


def recurrent(
    kind: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU],
    width: int,
    steps: int,
    *,
    seeds: int,
    inputs: int = 32,
    input_second: float = 0.0,
    kept_bias: float = 0.0,
    weight_scale: float = 1.0,
    settled: int = 30,
) -> Measured:
    """The state (c of an LSTM, h of the others) after `settled` steps, and `steps` steps on."""

    def make() -> Iterator[Stream]:
        module = kind(inputs, width).double()
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(False)
            if name.startswith("weight"):
                parameter.mul_(weight_scale)
            elif name == "bias_hh_l0" and kind is not nn.RNN:  # the second gate forgets, or updates
                parameter[width : 2 * width] += kept_bias
        x = math.sqrt(input_second) * torch.randn(settled + steps, 4, inputs, dtype=torch.float64)
        _, state = module(x[: settled - 1])
        for one in state if isinstance(state, tuple) else (state,):
            one.requires_grad_()
        # the h and c given here are leaves apart; from the next step on, h is a function of c
        for t in range(settled - 1, settled + steps):
            _, state = module(x[t : t + 1], state)
            yield state

    return measured(make, seeds)


def transformer(
    depth: int,
    tokens: int,
    *,
    seeds: int,
    position: str = "pre",
    start: str = "torch",
    width: int = 128,
    feedforward: int = 512,
    input_variance: float = 1.0,
) -> Measured:
    """`nn.TransformerEncoderLayer` without dropout, 4 heads."""

    def make() -> Iterator[Tensor]:
        x = (math.sqrt(input_variance) * torch.randn(2, tokens, width)).requires_grad_()
        yield x
        for _ in range(depth):
            layer = nn.TransformerEncoderLayer(
                width, 4, feedforward, 0.0, batch_first=True, norm_first=position == "pre"
            )
            for parameter in layer.parameters():
                if start == "xavier" and parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            x = layer(x)
            yield x

    return measured(make, seeds)


def deep_norm(
    depth: int,
    tokens: int,
    *,
    seeds: int,
    alpha: float,
    beta: float,
    width: int = 128,
    feedforward: int = 512,
) -> Measured:
    """LN(α·x + MHA(x)), LN(α·x + FFN(x)), written out."""

    def make() -> Iterator[Tensor]:
        x = torch.randn(2, tokens, width, requires_grad=True)
        yield x
        for _ in range(depth):
            attention = nn.MultiheadAttention(width, 4, batch_first=True, bias=False)
            first, second = (
                nn.Linear(width, feedforward, bias=False),
                nn.Linear(feedforward, width, bias=False),
            )
            joint = attention.in_proj_weight
            with torch.no_grad():
                for part, gain in enumerate((1.0, 1.0, beta)):
                    nn.init.xavier_uniform_(joint[part * width : (part + 1) * width], gain)
            for matrix in (attention.out_proj.weight, first.weight, second.weight):
                nn.init.xavier_uniform_(matrix, beta)
            x = nn.functional.layer_norm(alpha * x + attention(x, x, x, need_weights=False)[0], (width,))
            x = nn.functional.layer_norm(alpha * x + second(torch.relu(first(x))), (width,))
            yield x

    return measured(make, seeds)


def _weight(inputs: int, outputs: int, variance: float) -> Tensor:
    return torch.randn(inputs, outputs, dtype=torch.float64) * math.sqrt(variance / inputs)


def _value(stream: Stream) -> Tensor:
    return stream[1].detach() if isinstance(stream, tuple) else stream.detach()


def _gradient(stream: Stream) -> Tensor:
    """The whole derivative: torch gives that of c without what goes through h = o·tanh(c)."""
    if not isinstance(stream, tuple):
        assert stream.grad is not None
        return stream.grad
    h, c = stream
    assert c.grad is not None
    if h.grad is None:
        return c.grad
    squashed = torch.tanh(c.detach())
    return c.grad + h.grad * h.detach() / squashed * (1 - squashed**2)


def _log_square(values: Tensor) -> float:
    # float32 squares underflow long before the values do
    return math.log(max(float(values.double().square().mean()), 1e-300))
