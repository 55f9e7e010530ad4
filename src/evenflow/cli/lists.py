"""Lists as they are typed: with commas between, such as `--at -3,0,2.5` or `--activation relu,sigmoid`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import Token


def numbers(text: str, option: str, example: str) -> tuple[float, ...]:
    """The numbers in `text`.

    Args:
        text: what was typed behind the option.
        option, example: what an error names, such as `--at` and `-3,0,2.5`.

    Raises:
        SpecError: a number is missing or is none.

    >>> numbers("-3, 0,inf", "--at", "-3,0,2.5")
    (-3.0, 0.0, inf)
    """
    from evenflow.errors import SpecError

    found = []
    for part in text.split(","):
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            fault = f'"{part.strip()}" is not a number' if part.strip() else "a number is missing"
            raise SpecError(
                f'{option} "{text}": {fault}; write numbers with commas between, such as {option} {example}'
            )
        found.append(number)
    return tuple(found)


def whole(_kind: object, tokens: Sequence[Token]) -> int:
    """A converter for options that take a whole number, which 1.5 is not.

    Raises:
        ValueError: the text is no whole number; the command line adds the name of the option.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


def words(text: str) -> tuple[str, ...]:
    """The words in `text`, an empty one included, so that whoever reads it can complain.

    >>> words("relu, sigmoid")
    ('relu', 'sigmoid')
    """
    return tuple(part.strip() for part in text.split(","))


def whole_numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """As `numbers`, for counts.

    Raises:
        SpecError: a number is missing, is none, or is not whole.

    >>> whole_numbers("128,64", "--width", "128,64")
    (128, 64)
    """
    from evenflow.errors import SpecError

    found = numbers(text, option, example)
    for number in found:
        if not (math.isfinite(number) and number == int(number)):
            raise SpecError(f'{option} "{text}": {number:g} is not a whole number')
    return tuple(int(number) for number in found)
