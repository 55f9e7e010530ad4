"""A recommended initialisation as PyTorch code to paste; text only, so that theory needs no framework."""

from __future__ import annotations

from evenflow.theory.recommend import Recommendation

_SNIPPET = '''\
from torch import nn


def initialise(model: nn.Module) -> None:
    """Keep pre-activations at variance {variance:.4g}; of every linear map (σ_w, σ_b)."""
    {body}
    draws = {draws}
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for layer, (weight, bias) in zip(linear, draws, strict=True):
        nn.init.normal_(layer.weight, std=weight / layer.in_features**0.5)
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=bias)


initialise(model)
'''


def snippet(recommendation: Recommendation) -> str:
    """PyTorch code that draws the linear maps of `model` so, in the order in which the model names them."""
    first, *between, last = (f"({weight:.6g}, {bias:.6g})" for weight, bias in recommendation.draws)
    lines = [f"first, last = {first}, {last}"]
    draws = "[first, last]"
    if between:
        period = next(
            step
            for step in range(1, len(between) + 1)
            if all(one == other for one, other in zip(between, between[step:], strict=False))
        )
        shown = ", ".join(between[:period])
        if period == 1:
            lines.append(f"between = {shown}")
            draws = f"[first, *[between] * {len(between)}, last]"
        else:
            lines.append(f"between = [{shown}]")
            draws = f"[first, *(between[n % {period}] for n in range({len(between)})), last]"
    body = "\n    ".join(lines)
    return _SNIPPET.format(variance=recommendation.variance, body=body, draws=draws)
