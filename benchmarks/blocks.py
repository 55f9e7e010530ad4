"""What theory predicts of a stack's gradient against what torch's modules do, block by block.

    python benchmarks/blocks.py [--seeds N] [--only WORD]

The figure is the factor on the gradient's norm per block (per time step) towards the input; measured, it is a
geometric mean over the seeds, and ± its standard error would be some tenths of a percent at 10 seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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

Case = tuple[str, Growth, Callable[[int], measuring.Measured]]


def residuals() -> Iterator[Case]:
    width = 256
    for depth in (8, 32, 128):
        for label, normalisation, position, scale in (
            ("no norm, He", "none", "pre", 1.0),
            ("no norm, 1/√L", "none", "pre", depth**-0.5),
            ("pre-LN", "layer", "pre", 1.0),
            ("pre-RMS", "rms", "pre", 1.0),
            ("pre-BN", "batch", "pre", 1.0),
            ("post-LN", "layer", "post", 1.0),
        ):
            told = residual_stack(
                "relu", depth, normalisation=normalisation, position=position, scale=scale, width=width
            )

            def measure(seeds, depth=depth, normalisation=normalisation, position=position, scale=scale):
                return measuring.residual(
                    "relu",
                    depth,
                    seeds=seeds,
                    normalisation=normalisation,
                    position=position,
                    scale=scale,
                    width=width,
                    batch=64 if normalisation == "batch" else 16,
                )

            yield f"residual ReLU, {label}, L={depth}", told, measure


def normalised() -> Iterator[Case]:
    for normalisation, depth, skipped in (("layer", 20, 1), ("rms", 20, 1), ("batch", 20, 4)):
        for name in ("relu", "tanh", "sigmoid", "selu", "elu", "mish", "gelu", "silu", "softplus"):
            # the norms of a batch drift apart for the last three; 8 layers are inside
            blocks = 8 if normalisation == "batch" and name in ("gelu", "silu", "softplus") else depth
            told = normalised_stack(name, blocks, normalisation=normalisation, batch=128, width=128)

            def measure(seeds, name=name, blocks=blocks, normalisation=normalisation, skipped=skipped):
                return measuring.normalised(
                    name,
                    blocks,
                    seeds=seeds,
                    normalisation=normalisation,
                    width=128,
                    batch=128 if normalisation == "batch" else 16,
                    skipped=skipped,
                )

            yield f"{normalisation} norm chain, {name}, L={blocks}", told, measure
    for batch in (8, 16, 64):
        told = normalised_stack("relu", 20, normalisation="batch", batch=batch, width=128)

        def measure(seeds, batch=batch):
            return measuring.normalised(
                "relu", 20, seeds=seeds, normalisation="batch", width=128, batch=batch, skipped=4
            )

        yield f"batch norm chain, relu, B={batch}", told, measure


def convolutions() -> Iterator[Case]:
    for label, name, size, mode, groups in (
        ("zero padding, 16 x 16", "relu", 16, "zeros", 1),
        ("zero padding, 8 x 8", "relu", 8, "zeros", 1),
        ("circular, 16 x 16", "relu", 16, "circular", 1),
        ("2 groups, 16 x 16", "relu", 16, "zeros", 2),
        ("tanh, zero padding, 16 x 16", "tanh", 16, "zeros", 1),
    ):
        told = convolution_stack(name, 20, 32, size, padding_mode=mode, groups=groups)

        def measure(seeds, name=name, size=size, mode=mode, groups=groups):
            return measuring.convolution(name, 20, 32, size, seeds=seeds, padding_mode=mode, groups=groups)

        yield f"convolution, {label}, L=20", told, measure


def recurrents() -> Iterator[Case]:
    for width in (64, 256):
        for second in (0.0, 1.0):
            given = {"inputs": 32, "input_second": second}
            for label, kind, told, bias in (
                ("RNN tanh", nn.RNN, rnn("tanh", width, 60, **given), 0.0),
                ("LSTM", nn.LSTM, lstm(width, 60, **given), 0.0),
                ("LSTM, forget bias 1", nn.LSTM, lstm(width, 60, forget_bias=1.0, **given), 1.0),
                ("GRU", nn.GRU, gru(width, 60, **given), 0.0),
            ):

                def measure(seeds, kind=kind, width=width, bias=bias, second=second):
                    return measuring.recurrent(
                        kind, width, 60, seeds=seeds, kept_bias=bias, input_second=second
                    )

                yield f"{label}, h={width}, E x²={second:g}, T=60", told, measure


def transformers() -> Iterator[Case]:
    for position in ("pre", "post"):
        for start in ("torch", "xavier"):
            for depth in (6, 12, 24):
                told = transformer_stack(depth, 128, 32, position=position, start=start)

                def measure(seeds, depth=depth, position=position, start=start):
                    return measuring.transformer(depth, 32, seeds=seeds, position=position, start=start)

                yield f"Transformer {position}-LN, {start}, L={depth}", told, measure
    for depth in (6, 12, 24):
        constants = deep_norm_constants(encoders=depth)

        def measure(seeds, depth=depth, constants=constants):
            return measuring.deep_norm(
                depth, 32, seeds=seeds, alpha=constants.encoder_alpha, beta=constants.encoder_beta
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
            found = measure(arguments.seeds)
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
