"""Blocks: residual, normalised, convolutional, recurrent and Transformer stacks, each with its `Growth`.

What a stack of equal blocks does to the stream's second moment and to the gradient's mean square at
initialisation, for any activation. Each prediction states for what it holds; outside, `Growth.outside` says why and
the numbers are NaN.

>>> round(residual_stack("relu", 32, normalisation="layer").backward[0])
33
>>> lstm(8, 60).outside
'the hidden size 8 is below 32, where one draw differs too much from the mean'
"""

from evenflow.theory.blocks.batch_norm import batch_norm_factor, norm_drift
from evenflow.theory.blocks.convolution import convolution_stack
from evenflow.theory.blocks.deep_norm import DeepNorm, deep_norm_constants, deep_norm_stack
from evenflow.theory.blocks.growth import Growth
from evenflow.theory.blocks.gru_cell import gru
from evenflow.theory.blocks.lstm_cell import lstm
from evenflow.theory.blocks.normalised import normalised_stack
from evenflow.theory.blocks.recurrent import rnn
from evenflow.theory.blocks.residual import residual_stack
from evenflow.theory.blocks.transformer import transformer_stack

__all__ = [
    "DeepNorm",
    "Growth",
    "batch_norm_factor",
    "convolution_stack",
    "deep_norm_constants",
    "deep_norm_stack",
    "gru",
    "lstm",
    "norm_drift",
    "normalised_stack",
    "residual_stack",
    "rnn",
    "transformer_stack",
]
