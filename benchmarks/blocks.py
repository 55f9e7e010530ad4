"""What theory predicts of a stack's gradient against what torch's modules do, block by block.

    python benchmarks/blocks.py [--seeds N] [--only WORD]

The figure is the factor on the gradient's norm per block (per time step) towards the input; measured, it is a
geometric mean over the seeds. "whole" is the mean square at the input relative to the output, all blocks together.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from theory.blocks import measuring  # the measuring side of the tests

from evenflow.theory.blocks import (
    Growth,
    convolution_stack,
    deep_norm_constants,
    deep_norm_stack,
    gru,
    lstm,
    normalised_stack,
    residual_stack,
    rnn,
    transformer_stack,
)
from evenflow.theory.blocks.residual import Normalisation, Position

Case = tuple[str, Growth, Callable[..., measuring.Measured]]

RESIDUALS: list[tuple[str, Normalisation, Position]] = [
    ("no norm", "none", "pre"),
    ("pre-LN", "layer", "pre"),
    ("pre-RMS", "rms", "pre"),
    ("pre-BN", "batch", "pre"),
    ("post-LN", "layer", "post"),
]
CHAINS: list[tuple[Literal["layer", "rms", "batch"], int]] = [("layer", 1), ("rms", 1), ("batch", 4)]
CONVOLUTIONS: list[tuple[str, int, Literal["zeros", "circular"], int]] = [
    ("relu", 16, "zeros", 1),
    ("relu", 8, "zeros", 1),
    ("relu", 16, "circular", 1),
    ("relu", 16, "zeros", 2),
    ("tanh", 16, "zeros", 1),
]
ENCODERS: list[tuple[Position, Literal["torch", "xavier"]]] = [
    ("pre", "torch"),
    ("pre", "xavier"),
    ("post", "torch"),
    ("post", "xavier"),
]
DRIFTING = ("gelu", "silu", "softplus")  # the norms of a batch drift apart; 8 layers are inside the validity


def residuals() -> Iterator[Case]:
    for depth in (8, 32, 128):
        for label, norm, position in RESIDUALS:
            for scale in (1.0, depth**-0.5) if norm == "none" else (1.0,):
                told = residual_stack(
                    "relu", depth, normalisation=norm, position=position, scale=scale, width=256
                )
                measure = partial(
                    measuring.residual,
                    "relu",
                    depth,
                    normalisation=norm,
                    position=position,
                    scale=scale,
                    width=256,
                    batch=64 if norm == "batch" else 16,
                )
                yield f"residual relu, {label}, branch x {scale:.2g}, L={depth}", told, measure


def normalised() -> Iterator[Case]:
    for norm, skipped in CHAINS:
        for name in ("relu", "tanh", "sigmoid", "selu", "elu", "mish", *DRIFTING):
            depth = 8 if norm == "batch" and name in DRIFTING else 20
            batch = 128 if norm == "batch" else 16
            told = normalised_stack(name, depth, normalisation=norm, batch=batch, width=128)
            measure = partial(
                measuring.normalised, name, depth, normalisation=norm, width=128, batch=batch, skipped=skipped
            )
            yield f"{norm} norm chain, {name}, L={depth}", told, measure
    for batch in (8, 16, 64):
        told = normalised_stack("relu", 20, normalisation="batch", batch=batch, width=128)
        measure = partial(
            measuring.normalised, "relu", 20, normalisation="batch", width=128, batch=batch, skipped=4
        )
        yield f"batch norm chain, relu, B={batch}, L=20", told, measure


def convolutions() -> Iterator[Case]:
    for name, size, mode, groups in CONVOLUTIONS:
        told = convolution_stack(name, 20, 32, size, padding_mode=mode, groups=groups)
        measure = partial(measuring.convolution, name, 20, 32, size, padding_mode=mode, groups=groups)
        yield f"convolution, {name}, {mode}, {size} x {size}, {groups} group(s), L=20", told, measure


def recurrents() -> Iterator[Case]:
    for width, second in product((64, 256), (0.0, 1.0)):
        for label, kind, bias, told in (
            ("RNN tanh", nn.RNN, 0.0, rnn("tanh", width, 60, inputs=32, input_second=second)),
            ("LSTM", nn.LSTM, 0.0, lstm(width, 60, inputs=32, input_second=second)),
            ("LSTM", nn.LSTM, 1.0, lstm(width, 60, forget_bias=1.0, inputs=32, input_second=second)),
            ("GRU", nn.GRU, 0.0, gru(width, 60, inputs=32, input_second=second)),
        ):
            measure = partial(measuring.recurrent, kind, width, 60, kept_bias=bias, input_second=second)
            extra = f", forget bias {bias:g}" if bias else ""
            yield f"{label}{extra}, h={width}, E x²={second:g}, T=60", told, measure


def transformers() -> Iterator[Case]:
    for (position, start), depth in product(ENCODERS, (6, 12, 24)):
        told = transformer_stack(depth, 128, 32, position=position, start=start)
        measure = partial(measuring.transformer, depth, 32, position=position, start=start)
        yield f"Transformer {position}-LN, {start}, L={depth}", told, measure
    for depth in (6, 12, 24):
        constants = deep_norm_constants(encoders=depth)
        measure = partial(
            measuring.deep_norm, depth, 32, alpha=constants.encoder_alpha, beta=constants.encoder_beta
        )
        yield f"Transformer DeepNorm, L={depth}", deep_norm_stack(depth, 128, 32), measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="draws of every stack (default 10)")
    parser.add_argument("--only", default="", help="run the cases whose name holds this word")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    table = Table(title=f"Factor on the gradient's norm per block, {arguments.seeds} seeds")
    table.add_column("block")
    for title in ("predicted", "measured", "error %", "whole, predicted", "whole, measured"):
        table.add_column(title, justify="right")
    errors = []
    for family in (residuals, normalised, convolutions, recurrents, transformers):
        for label, told, measure in family():
            if arguments.only.lower() not in label.lower():
                continue
            found = measure(seeds=arguments.seeds)
            errors.append(100 * (told.per_block / found.per_block - 1))
            table.add_row(
                label,
                f"{told.per_block:.4f}",
                f"{found.per_block:.4f}",
                f"{errors[-1]:+.2f}",
                f"{told.backward[0]:.3g}",
                f"{found.backward[0]:.3g}",
            )
    Console(width=120).print(table)
    worst = max((abs(one) for one in errors), default=0.0)
    print(f"{len(errors)} cases, largest error {worst:.2f} %, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
