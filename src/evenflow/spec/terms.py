"""Small terms of the form `kind` or `kind:value`, such as `normal:0.1`, `norm:1.0` or `constant:0`.

A term is one word in a TOML file and one value in a grid, so that a choice and its number stay together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from evenflow.errors import SpecError, suggest


def split_term(text: str, known: Mapping[str, bool | None], what: str) -> tuple[str, float | None]:
    """Split `text` into its kind and its value.

    Args:
        text: such as `"he"` or `"normal:0.1"`.
        known: the kinds, each with True (needs a value), False (takes none) or None (may have one).
        what: what the term is called in an error message.

    Raises:
        SpecError: the kind is not known, or the value is missing, unwanted or not a finite number.

    >>> split_term("normal:0.1", {"he": False, "normal": True}, "initialisation")
    ('normal', 0.1)
    """
    kind, colon, tail = text.partition(":")
    if kind not in known:
        raise SpecError(
            f'{what} "{text}" is not known{suggest(kind, known)}; known: {", ".join(spellings(known))}'
        )
    if not colon:
        if known[kind]:
            raise SpecError(f'{what} "{text}" needs a number after a colon, such as "{kind}:0.1"')
        return kind, None
    if known[kind] is False:
        raise SpecError(f'{what} "{text}" takes no number; write "{kind}"')
    try:
        value = float(tail)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f'{what} "{text}": "{tail}" is not a finite number')
    return kind, value


def spellings(known: Mapping[str, bool | None]) -> list[str]:
    """How each kind is written: `he`, `normal:NUMBER`, `orthogonal[:NUMBER]`."""
    tails = {True: ":NUMBER", False: "", None: "[:NUMBER]"}
    return [kind + tails[needs] for kind, needs in known.items()]
