"""Files that open, and one clear line where they cannot be made."""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys

import pytest

from evenflow.errors import DataError, SpecError, UnavailableError
from evenflow.report.activation_figures import activation_figure
from evenflow.report.export import write_figure


def refusal(error, *arguments):
    with pytest.raises(error) as caught:
        write_figure(*arguments)
    return str(caught.value)


@pytest.fixture(scope="module")
def figure():
    return activation_figure(["relu", "tanh"])


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def _kaleido():
    pytest.importorskip("kaleido", reason="kaleido is not installed: pip install 'evenflow[figures]'")


@pytest.fixture(scope="module")
def _browser(_kaleido):
    if not (os.environ.get("BROWSER_PATH") or any(map(shutil.which, BROWSERS))):
        pytest.skip("no Chrome or Chromium on this machine")


def test_a_page_carries_its_script(figure, tmp_path):
    path = write_figure(figure, tmp_path / "curves.html")
    text = path.read_text(encoding="utf-8")
    assert "plotly.js v" in text
    assert not re.search(r"<(script|link)[^>]+(src|href)=", text)
    assert "Tanh" in text
    assert figure.layout.width == 1100  # the caller's figure is left as it was


@pytest.mark.usefixtures("_browser")
def test_pictures(figure, tmp_path):
    png = write_figure(figure, tmp_path / "curves.PNG").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (2200, 1040)
    svg = write_figure(figure, str(tmp_path / "curves.svg")).read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "Tanh" in svg


def test_another_ending(figure, tmp_path):
    assert (
        refusal(SpecError, figure, "curves.pdf")
        == 'figure "curves.pdf": the ending must be .html, .png or .svg'
    )
    assert refusal(SpecError, figure, "curves") == 'figure "curves": the ending must be .html, .png or .svg'
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(figure, tmp_path):
    path = tmp_path / "none" / "curves.html"
    assert refusal(DataError, figure, path) == (
        f'"{path}" cannot be written: there is no folder "{path.parent}"; make it first'
    )


def test_a_place_that_cannot_be_written(figure, tmp_path):
    path = tmp_path / "folder.html"
    path.mkdir()
    assert (
        refusal(DataError, figure, path)
        == f'"{path}" cannot be written: Is a directory; choose another place'
    )


def test_without_kaleido(figure, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    path = tmp_path / "curves.svg"
    assert refusal(UnavailableError, figure, path) == (
        f'"{path}": a .svg needs kaleido, which is not installed; '
        "run pip install 'evenflow[figures]' or write an .html"
    )


@pytest.mark.usefixtures("_kaleido")
def test_without_a_browser(figure, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    path = tmp_path / "curves.png"
    assert refusal(UnavailableError, figure, path) == (
        f'"{path}": a .png needs Chrome or Chromium, which was not found; '
        "install one (apt install chromium, or plotly_get_chrome) or write an .html"
    )


@pytest.mark.usefixtures("_kaleido")
def test_another_failure_is_not_hidden(figure, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("out of paper")

    monkeypatch.setattr(type(figure), "to_image", fail)
    with pytest.raises(ValueError, match="out of paper"):
        write_figure(figure, tmp_path / "curves.png")
