"""The animation in a real browser: its numbers are those of the theory, its controls work, nothing is fetched."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenflow.report.animation import write_animation
from evenflow.theory import chi, variance_map

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chrome or Chromium on this machine")

NAMES = ("sigmoid", "tanh", "relu", "gelu", "selu", "softplus")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_animation(NAMES, tmp_path_factory.mktemp("animation") / "page.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def page(browser, written) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.seen = []
    opened.on("request", lambda request: opened.seen.append(request.url))
    opened.on("pageerror", lambda error: opened.seen.append(str(error)))
    opened.goto(written.as_uri())
    opened.wait_for_selector("html[data-drawn]", state="attached")
    yield opened
    context.close()


def choose(page, name: str, scale: float, depth: int) -> None:
    """Set the controls as a hand would, and let the scale be exact between the slider's steps."""
    page.select_option("#activation", str(NAMES.index(name)))
    page.evaluate("document.getElementById('scale').step = 'any'")
    for control, value in (("scale", repr(math.log10(scale))), ("depth", str(depth))):
        page.evaluate(
            "([name, value]) => { const one = document.getElementById(name); one.value = value;"
            " one.dispatchEvent(new Event('input')); }",
            [control, value],
        )


def shown(page) -> np.ndarray:
    """log10 of signal and gradient of every layer, from the page's table."""
    rows = page.eval_on_selector_all(
        "#numbers tbody tr", "rows => rows.map(row => [row.cells[2].textContent, row.cells[4].textContent])"
    )
    return np.array(rows, dtype=float)


def by_theory(name: str, scale: float, depth: int) -> np.ndarray:
    """The same from `evenflow.theory`, layer by layer."""
    variances = [scale**2]
    for _ in range(depth - 1):
        variances.append(float(variance_map(name, variances[-1], scale**2)))
    factors = [float(np.log10(chi(name, q, scale**2))) for q in variances[:-1]]
    gradients = [sum(factors[layer:]) / 2 for layer in range(depth)]
    return np.column_stack([np.log10(variances) / 2, gradients])


def test_the_page_computes_what_theory_does(page):
    for name in NAMES:
        for scale, depth in ((0.577, 20), (1.414, 60), (4.3, 12), (0.13, 30)):
            choose(page, name, scale, depth)
            assert shown(page) == pytest.approx(by_theory(name, scale, depth), abs=3e-4), (name, scale, depth)
            assert f"{depth} layers" in page.text_content("#headline")


def test_nothing_is_fetched_and_it_fits(page, written):
    for width in (1200, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#picture rect").count() == 3 * 20
    assert [url for url in page.seen if not url.startswith("data:")] == [written.as_uri()]


def test_it_plays_forward_and_back_and_stops(page):
    page.focus("#play")
    page.keyboard.press("Enter")
    assert page.text_content("#play") == "Pause"
    page.wait_for_function("document.getElementById('position-value').textContent.startsWith('forward')")
    assert page.locator("#picture .ahead").count() > 20
    page.keyboard.press("Enter")
    assert page.text_content("#play") == "Play"
    place = page.input_value("#position")
    page.wait_for_timeout(60)
    assert page.input_value("#position") == place
    page.focus("#position")
    page.keyboard.press("End")
    assert page.text_content("#position-value") == "all"
    assert page.locator("#picture .ahead").count() == 0


def test_the_sentence_and_the_buttons_follow(page):
    choose(page, "relu", 1.0, 20)
    assert "shrinks to" in page.text_content("#says")
    assert "It vanishes" not in page.text_content("#says")
    page.click("#known button:has-text('He')")
    assert page.text_content("#says").count("keeps its size") == 2
    assert page.get_attribute("#known button:has-text('He')", "aria-pressed") == "true"
    choose(page, "sigmoid", 1.0, 20)
    assert "It vanishes" in page.text_content("#says")
