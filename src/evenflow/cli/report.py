"""`evenflow report`: make the report of a study again."""

from __future__ import annotations

from pathlib import Path


def report(run: Path, *, figures: Path | None = None) -> int:
    """Print the results of a study again and write its HTML file anew.

    Works while the study is running, with what it has recorded so far.

    Example:

        evenflow report runs/default --figures figures

    Parameters
    ----------
    run
        Folder of a study, such as runs/default, or the store in it.
    figures
        Also write every figure as PNG and SVG into this folder (needs Chrome or Chromium).
    """
    from evenflow.cli.finish import finish

    finish(run, figures)
    return 0
