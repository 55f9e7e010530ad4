"""What every family of networks asks of the fields that all have, in the same words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.errors import SpecError
from evenflow.spec.activation import activation
from evenflow.spec.initialisation import check_terms
from evenflow.spec.terms import split_term

_CLIPS: dict[str, bool | None] = {"none": False, "norm": True, "value": True}


def clip_term(clip: str) -> tuple[str, float | None]:
    """Kind (`none`, `norm`, `value`) and bound of gradient clipping.

    >>> clip_term("norm:1")
    ('norm', 1.0)
    """
    return split_term(clip, _CLIPS, "clip")


def check_common(
    *,
    widths: Sequence[int],
    activations: Sequence[str],
    initialisation: str,
    bias_initialisation: str,
    residual_scale: float,
    dropout: float,
    clip: str,
) -> None:
    """Raise SpecError for a value that no family can have."""
    for width in widths:
        if width < 1:
            raise SpecError(f"width = {width}: a layer has at least 1 unit")
    if not activations:
        raise SpecError("activation = []: the list is empty; name at least one activation")
    for name in dict.fromkeys(activations):
        activation(name)
    check_terms(initialisation, bias_initialisation)
    kind, bound = clip_term(clip)
    if kind != "none" and (bound is None or bound <= 0):
        raise SpecError(f'clip "{clip}": the bound is above 0')
    if not 0 <= dropout < 1:
        raise SpecError(f"dropout = {dropout:g}: it is a share, at least 0 and below 1")
    if not math.isfinite(residual_scale):
        raise SpecError(f"residual_scale = {residual_scale:g}: it is a finite number")


def listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """One name, or several that alternate, as several."""
    return (names,) if isinstance(names, str) else names


def layer_widths(depth: int | None, width: int | Sequence[int], default: int, noun: str) -> tuple[int, ...]:
    """The width of every layer from `depth` and `width`, of which either may say how many there are.

    Args:
        depth: layers, or None where `width` lists them, or `default` holds.
        width: of every layer, or one number a layer.
        default: layers where neither says.
        noun: what a layer is called in an error message, with its article, such as "a hidden layer".

    Raises:
        SpecError: there is no layer, or the two say different things.

    >>> layer_widths(None, (16, 8), 20, "a hidden layer"), layer_widths(2, 4, 20, "a hidden layer")
    ((16, 8), (4, 4))
    """
    if not isinstance(width, int) and not width:
        raise SpecError(f"width = []: the list is empty; give one number {noun}")
    if depth is not None and depth < 1:
        raise SpecError(f"depth = {depth}: a network has at least 1 {noun.partition(' ')[2]}")
    if isinstance(width, int):
        return (width,) * (default if depth is None else depth)
    if depth is not None and len(width) != depth:
        raise SpecError(
            f"width lists {len(width)} layers but depth = {depth}; "
            "leave depth out, or give one number for width"
        )
    return tuple(width)


def check_equal_widths(residual: str, widths: Sequence[int], noun: str) -> None:
    """Raise SpecError where skips would join layers of different width."""
    if residual != "none" and len(set(widths)) > 1:
        raise SpecError(
            f'residual = "{residual}" needs {noun} of equal width, but width = '
            f'{list(widths)}; give one number, or residual = "none"'
        )
