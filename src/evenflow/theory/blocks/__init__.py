"""Blocks: residual, normalised, convolutional, recurrent and Transformer stacks, each with its `Growth`.

What a stack of equal blocks does to the stream's second moment and to the gradient's mean square at
initialisation, for any activation. Each prediction states for what it holds; outside, `Growth.outside` says why and
the numbers are NaN.

>>> round(residual("relu", 32, normalisation="layer").backward[0])
33
>>> lstm(8, 60).outside
'the hidden size 8 is below 32, where one draw differs too much from the mean'
"""

from evenflow.theory.blocks.batch_norm import batch_norm_factor, norm_drift
from evenflow.theory.blocks.convolution import convolution
from evenflow.theory.blocks.gated import gru, lstm
from evenflow.theory.blocks.growth import Growth
from evenflow.theory.blocks.normalised import normalised
from evenflow.theory.blocks.recurrent import rnn
from evenflow.theory.blocks.residual import residual
from evenflow.theory.blocks.transformer import DeepNorm, deep_norm, deep_norm_constants, transformer

__all__ = [
    "DeepNorm",
    "Growth",
    "batch_norm_factor",
    "convolution",
    "deep_norm",
    "deep_norm_constants",
    "gru",
    "lstm",
    "norm_drift",
    "normalised",
    "residual",
    "rnn",
    "transformer",
]
