"""Numbers and lists as people write them: 0.973, 1.2 × 10⁻¹⁶, 12.6 G, "sigmoid, GELU and SiLU"."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
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


def signed(value: float, digits: int = 3) -> str:
    """As `decimal`, with a plus sign where the number is above 0.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '0.000')
    """
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


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


def setting(value: float) -> str:
    """A number that somebody chose, with every digit that matters.

    >>> setting(0.001), setting(1e6), setting(3e-5), setting(20)
    ('0.001', '10⁶', '3 × 10⁻⁵', '20')
    """
    if value == 0 or 1e-4 <= abs(value) < 1e5 or not math.isfinite(value):
        return f"{value:g}".replace("-", "−")
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    head = f"{float(mantissa):g} × ".replace("-", "−") if float(mantissa) != 1 else ""
    return f"{head}10{raised(int(exponent))}"


def raised(exponent: int) -> str:
    """Digits set high.

    >>> raised(-16)
    '⁻¹⁶'
    """
    return str(exponent).translate(_RAISED)


def from_log(log10: float, digits: int = 2) -> str:
    """The number whose log10 is given.

    >>> from_log(-15.93), from_log(float("-inf")), from_log(0.405)
    ('1.2 × 10⁻¹⁶', 'exactly 0', '2.5')
    """
    if log10 == -math.inf:
        return "exactly 0"
    return number(10.0**log10, digits) if abs(log10) < 300 else decimal(log10)


def prefixed(value: float) -> str:
    """A large number with an SI prefix, three significant digits.

    >>> prefixed(1.26e10), prefixed(950.0), prefixed(float("nan"))
    ('12.6 G', '950', '–')
    """
    if not math.isfinite(value):
        return decimal(value)
    size = min(max(0, math.floor(math.log10(abs(value)) / 3) if value else 0), len(_PREFIXES) - 1)
    scaled = value / 1000**size
    behind = 0 if abs(scaled) >= 100 or not size else 1 if abs(scaled) >= 10 else 2
    return f"{decimal(scaled, behind)} {_PREFIXES[size]}".strip()


def p_value(value: float) -> str:
    """A p value; below a thousandth only that is said.

    >>> p_value(0.0321), p_value(1e-9), p_value(1.0)
    ('0.032', '< 0.001', '1')
    """
    if math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else "1" if value > 0.9995 else f"{value:.3f}"


def listed(words: Sequence[str], most: int = 8) -> str:
    """Words in a sentence; a long list is cut and says so.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b and c', 'a, b and 1 more')
    """
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def of_the_last(log10: float) -> str:
    """A gradient against the last layer's, from log10 of their ratio.

    >>> of_the_last(-2.0), of_the_last(float("-inf")), of_the_last(1.1)
    ("0.010 of the last layer's", 'exactly 0', "13 times the last layer's")
    """
    text = from_log(log10)
    return text if log10 == -math.inf else f"{text} {'of' if log10 < 0 else 'times'} the last layer's"


def plural(count: int, word: str, many: str = "") -> str:
    """A count with its word.

    >>> plural(1, "seed"), plural(3, "seed"), plural(2, "class", "classes")
    ('1 seed', '3 seeds', '2 classes')
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def capitalised(text: str) -> str:
    """The first letter raised, the others as they are."""
    return text[:1].upper() + text[1:]


def plot_text(text: str) -> str:
    """Text for Plotly, which reads `<b>` and its like in labels as markup."""
    return html.escape(text, quote=False)
