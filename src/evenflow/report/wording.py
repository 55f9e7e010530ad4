"""Numbers and lists as a report writes them: 0.973, 1.2 × 10⁻¹⁶, 12.6 G, "sigmoid, GELU and SiLU"."""

from __future__ import annotations

import html
import math

from evenflow.wording import MISSING, capitalised, decimal, listed, number, plural, raised

__all__ = [
    "MISSING",
    "capitalised",
    "decimal",
    "from_log",
    "listed",
    "number",
    "of_the_last",
    "p_value",
    "plot_text",
    "plural",
    "prefixed",
    "raised",
    "setting",
    "signed",
]

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def signed(value: float, digits: int = 3) -> str:
    """As `decimal`, with a plus sign where the number is above 0.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '0.000')
    """
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


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


def of_the_last(log10: float) -> str:
    """A gradient against the last layer's, from log10 of their ratio.

    >>> of_the_last(-2.0), of_the_last(float("-inf")), of_the_last(1.1)
    ("0.010 of the last layer's", 'exactly 0', "13 times the last layer's")
    """
    text = from_log(log10)
    return text if log10 == -math.inf else f"{text} {'of' if log10 < 0 else 'times'} the last layer's"


def plot_text(text: str) -> str:
    """Text for Plotly, which reads `<b>` and its like in labels as markup."""
    return html.escape(text, quote=False)
