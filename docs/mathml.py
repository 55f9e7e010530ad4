"""Writes mathematics as MathML, which browsers draw by themselves: no script, no fonts, no network.

docutils translates the LaTeX; every browser has drawn MathML Core since 2023 (Chrome 109, Firefox, Safari).
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError


def mathml(source: str, *, block: bool) -> str:
    """One formula as a `math` element.

    Raises:
        ExtensionError: docutils does not know a command in it.
    """
    try:
        return tex2mathml(source, as_block=block)
    except (MathError, SyntaxError) as error:
        raise ExtensionError(f"formula {source!r} cannot be written as MathML: {error}") from None


def inline(writer: Any, node: nodes.math) -> None:
    """A formula within a line."""
    writer.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def displayed(writer: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own, which scrolls by itself where the page is narrower."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
