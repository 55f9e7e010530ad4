"""The weights of a layer before training: how they are spread, whether its units are alike, what theory asks for.

Expected standard deviations, with n_in and n_out the fans of the layer:

- He et al. (2015, equation 10): √(2 / n_in) in front of ReLU and its relatives, √(2 / ((1 + a²) n_in)) with slope a
  below 0;
- LeCun et al. (1998, section 4.6), Klambauer et al. (2017): √(1 / n_in) in front of SELU, and for the matrices of a
  recurrent layer;
- Glorot and Bengio (2010, equation 12): √(2 / (n_in + n_out)) otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from evenflow.measure.sites import CONVOLUTIONS, parameter_kind
from evenflow.measure.transforms import plainly_readable

RECURRENT = (nn.RNNBase, nn.RNNCellBase)
MULTIPLYING = (nn.Linear, nn.MultiheadAttention, *CONVOLUTIONS, *RECURRENT)
"""Modules whose weights are multiplied with signals for certain; others may add them, as embeddings of places do."""
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_RECTIFIERS = (
    "relu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "hardswish",
    "softplus",
    "elu",
    "prelu",
    "clamp",
    "celu",
)
_ALIKE = 1e-5  # of the weights' size: what two units may differ by and still be the same
_COMPARED = 4096  # units at most that are compared with each other


@dataclass(frozen=True)
class Weights:
    """The weights of a layer and how they lie: units in rows where it is not turned."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    fan_in: int
    fan_out: int
    turned: bool = False


def weights_of(module: nn.Module, *, turned: bool = False) -> Weights | None:
    """The weights of a module that has some of its own; of a recurrent one those from one time step to the next.

    Args:
        module: a layer.
        turned: whether its units are the columns, as in x @ W; what torch's own layers have is known.

    >>> found = weights_of(nn.Conv2d(3, 8, 5))
    >>> found.fan_in, found.fan_out
    (75, 200)
    """
    own = {name: one for name, one in module.named_parameters(recurse=False) if plainly_readable(one)}
    many = {name: one for name, one in own.items() if parameter_kind(module, name, one) == "weight"}
    if not many:
        return None
    preferred = ("weight_hh_l0", "weight_hh", "in_proj_weight", "weight")
    name = next((word for word in preferred if word in many), next(iter(many)))
    weight = many[name]
    bias = own.get(name.replace("weight", "bias")) if "weight" in name else own.get("bias")
    if bias is not None and bias.ndim != 1:
        bias = None
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Weights(weight, None, 1, weight.shape[1])
    turned = isinstance(module, _TRANSPOSED) or (
        turned and not isinstance(module, (nn.Linear, *CONVOLUTIONS))
    )
    rows, columns = (weight.shape[1], weight.shape[0]) if turned else (weight.shape[0], weight.shape[1])
    field = math.prod(weight.shape[2:])
    return Weights(weight, bias, columns * field, rows * field, turned)


def figures_of(found: Weights, module: nn.Module, activation: str) -> dict[str, float]:
    """Mean and standard deviation of weights and bias, share of distinct units, expected standard deviation."""
    weight = found.weight.detach()
    if not weight.numel():
        return {}
    figures = {"weight_mean": float(weight.double().mean()), "weight_std": _spread(weight)}
    if found.bias is not None and found.bias.numel():
        bias = found.bias.detach()
        figures |= {"bias_mean": float(bias.double().mean()), "bias_std": _spread(bias)}
    if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
        figures["distinct_units"] = distinct_units(found)
        figures["distinct_inputs"] = distinct_units(replace(found, bias=None, turned=not found.turned))
        figures["expected_std"] = expected_std(found, module, activation)
    return figures


def expected_std(found: Weights, module: nn.Module, activation: str) -> float:
    """What initialisation theory gives for a layer; see the head of this file."""
    name, _, parameter = activation.partition(":")
    if isinstance(module, RECURRENT) or name == "selu":
        return math.sqrt(1 / max(found.fan_in, 1))
    if name == "leaky_relu":
        return math.sqrt(2 / ((1 + float(parameter or 0.01) ** 2) * max(found.fan_in, 1)))
    if is_rectifier(activation):
        return math.sqrt(2 / max(found.fan_in, 1))
    return math.sqrt(2 / max(found.fan_in + found.fan_out, 1))


def is_rectifier(activation: str) -> bool:
    """Whether an activation is ReLU or one of its relatives, for which He's initialisation is made.

    >>> is_rectifier("leaky_relu:0.2"), is_rectifier("tanh")
    (True, False)
    """
    name = activation.partition(":")[0]
    return name in _RECTIFIERS or name == "leaky_relu"


def distinct_units(found: Weights) -> float:
    """The share of a layer's units whose incoming weights and bias equal those of no other unit.

    >>> layer = nn.Linear(3, 4)
    >>> _ = nn.init.ones_(layer.weight)
    >>> distinct_units(weights_of(layer)), distinct_units(Weights(layer.weight, None, 3, 4))
    (1.0, 0.0)
    """
    weight = found.weight.detach()
    units = weight.transpose(0, 1) if found.turned and weight.ndim > 1 else weight
    rows = units.reshape(units.shape[0], -1)[:_COMPARED].double()
    if found.bias is not None and found.bias.shape[0] == units.shape[0]:
        rows = torch.cat([rows, found.bias.detach()[:_COMPARED].double()[:, None]], dim=1)
    if len(rows) < 2 or not bool(rows.isfinite().all()):
        return 1.0
    scale = float(rows.abs().max()) or 1.0
    # A projection on one fixed direction tells two different units apart, and sorts in one dimension.
    direction = torch.linspace(0.5, 1.5, rows.shape[1], dtype=torch.float64, device=rows.device).sqrt()
    direction = direction * (
        1 + 0.37 * torch.sin(torch.arange(1, len(direction) + 1, device=rows.device) ** 2)
    )
    order = (rows @ direction).argsort()
    close = (rows[order][1:] - rows[order][:-1]).abs().amax(dim=1) <= _ALIKE * scale
    alike = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    alike[1:] |= close
    alike[:-1] |= close
    return 1 - float(alike.double().mean())


def _spread(values: Tensor) -> float:
    return float(values.double().std(correction=0))
