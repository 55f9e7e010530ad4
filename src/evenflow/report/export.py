"""Write one figure to a file: a page that opens without a network, or a picture for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenflow.errors import DataError, SpecError, UnavailableError

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENDINGS = (".html", ".png", ".svg")


def write_figure(figure: go.Figure, path: str | Path) -> Path:
    """Write `figure` as .html, .png or .svg, whichever `path` ends in, and return the path.

    The page carries Plotly's script (5 MB) and needs no network. A picture is drawn by kaleido with the
    Chrome or Chromium of this machine; a .png has twice the figure's size in pixels.

    Raises:
        SpecError: another ending.
        UnavailableError: kaleido or the browser is missing.
        DataError: the file cannot be written.
    """
    path = Path(path)
    check_ending(path)
    if not path.parent.is_dir():
        raise DataError(f'"{path}" cannot be written: there is no folder "{path.parent}"; make it first')
    content = _page(figure) if path.suffix.lower() == ".html" else _picture(figure, path)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f'"{path}" cannot be written: {error.strerror}; choose another place') from None
    return path


def check_ending(path: str | Path) -> None:
    """Raise SpecError unless `path` has an ending that `write_figure` knows."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise SpecError(f'figure "{path}": the ending must be .html, .png or .svg')


def _page(figure: go.Figure) -> bytes:
    import plotly.graph_objects as go

    fluid = go.Figure(figure).update_layout(width=None, autosize=True)  # as wide as the window
    config = {"displaylogo": False, "responsive": True}
    return fluid.to_html(include_plotlyjs=True, full_html=True, config=config).encode()


def _picture(figure: go.Figure, path: Path) -> bytes:
    ending = path.suffix.lower().removeprefix(".")
    try:
        import kaleido  # noqa: F401 - plotly would report its absence in five lines
    except ImportError:
        raise UnavailableError(
            f'"{path}": a .{ending} needs kaleido, which is not installed; '
            "run pip install 'evenflow[figures]' or write an .html"
        ) from None
    try:
        return figure.to_image(format=ending, scale=2 if ending == "png" else 1)
    except Exception as error:
        if not _lacks_browser(error):
            raise
        raise UnavailableError(
            f'"{path}": a .{ending} needs Chrome or Chromium, which was not found; '
            "install one (apt install chromium, or plotly_get_chrome) or write an .html"
        ) from None


def _lacks_browser(error: BaseException | None) -> bool:
    # kaleido and choreographer, plotly and older kaleidos name it differently
    while error is not None:
        if "chrome" in f"{type(error).__name__} {error}".lower():
            return True
        error = error.__cause__ or error.__context__
    return False
