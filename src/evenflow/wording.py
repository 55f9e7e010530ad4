"""Numbers and lists as people write them, for every room of the house: 1.2 × 10⁻¹⁶, "sigmoid, GELU and SiLU"."""

from __future__ import annotations

import math
from collections.abc import Sequence

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MISSING = "–"


def decimal(value: float, digits: int = 2) -> str:
    """A number with a fixed count of digits after the point, and a true minus sign.

    >>> decimal(-5.678), decimal(-0.001), decimal(float("-inf")), decimal(float("nan"))
    ('−5.68', '0.00', '−∞', '–')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def number(value: float, digits: int = 2) -> str:
    """A number of any size with so many significant digits.

    >>> number(0.0301), number(1.234e-16), number(43.2), number(0.0), number(2.5e6)
    ('0.030', '1.2 × 10⁻¹⁶', '43', '0', '2.5 × 10⁶')
    """
    if not math.isfinite(value):
        return decimal(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e4:
        rounded = float(f"{value:.{digits - 1}e}")
        behind = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
        return f"{value:.{behind}f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa.replace('-', '−')} × 10{raised(int(exponent))}"


def exact(value: float) -> str:
    """A number that somebody wrote, such as a learning rate, as short as it is; others with three significant digits.

    >>> exact(0.3), exact(0.001), exact(3e-5), exact(10.0), exact(1 / 3), exact(2.5e6)
    ('0.3', '0.001', '3 × 10⁻⁵', '10', '0.333', '2.5 × 10⁶')
    """
    text = number(value, 3)
    mantissa, sign, power = text.partition(" × ")
    short = f"{value:.2g}"
    if not math.isfinite(value) or "." not in mantissa or not math.isclose(float(short), value, rel_tol=1e-9):
        return text
    return mantissa.rstrip("0").rstrip(".") + sign + power


def named(name: str) -> str:
    """The name of a layer in a sentence, in quotation marks where it could be taken for a number or a word of it.

    >>> named("0"), named("2.weight"), named("input"), named("layer1.conv"), named("fc1")
    ('"0"', '"2.weight"', '"input"', 'layer1.conv', 'fc1')
    """
    plain = name[:1].isalpha() and not name.isalpha()
    return name if plain or name.startswith('"') else f'"{name}"'


def raised(exponent: int) -> str:
    """Digits set high.

    >>> raised(-16)
    '⁻¹⁶'
    """
    return str(exponent).translate(_RAISED)


def listed(words: Sequence[str], most: int = 8) -> str:
    """Words in a sentence; a long list is cut and says so.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b and c', 'a, b and 1 more')
    """
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def plural(count: int, word: str, many: str = "") -> str:
    """A count with its word.

    >>> plural(1, "seed"), plural(3, "seed"), plural(2, "class", "classes")
    ('1 seed', '3 seeds', '2 classes')
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def capitalised(text: str) -> str:
    """The first letter raised, the others as they are."""
    return text[:1].upper() + text[1:]
