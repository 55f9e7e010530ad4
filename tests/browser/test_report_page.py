"""The report in a real browser: nothing fetched, everything drawn, sortable, wide and narrow, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table
from evenflow.report.page import write_report
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chrome or Chromium on this machine")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FIGURES = 7


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A study with every sort of figure: dead units, a norm of 0, a diverged run."""
    study = Study(
        name="browser",
        seeds=2,
        network=Network(depth=4, width=8),
        training=Training(steps=20),
        grid={"initialisation": ("torch", "gain"), "activation": ("relu", "tanh", "gelu", "leaky_relu")},
    )
    runs, rows = [], []
    for number, cell in enumerate(study.cells()):
        diverged = number == 3
        status = "pending" if number > 13 else "diverged" if diverged else "finished"
        runs.append(Run(cell.key, cell.seed, cell.fields, status, 20))
        if status == "pending":
            continue
        for step in (0, 10) if diverged else (0, 10, 20):
            for name in ("train", "test"):
                figures = {"loss": 2.0 / (1 + step * number), "accuracy": 0.4 + 0.02 * step + 0.01 * number}
                rows.append((number, step, Site(name, "loss", 0, 200), "", figures))
            for layer in range(1, 6):
                size = 0.0 if number == 0 and layer == 1 else 10.0 ** (layer - 5 + 0.1 * number)
                site = Site(f"layer_{layer}.weight", "weight", layer, 8)
                rows.append((number, step, site, "accumulated", {"grad_norm": size}))
                site = Site(f"activation_{min(layer, 4)}", "activation", min(layer, 4), 8)
                rows.append((number, step, site, "", {"dead_fraction": 0.1, "saturated_fraction": 0.4}))
            for label in range(2):
                rows.append((number, step, Site(f"test class {label}", "class", 0, 100), "", {"recall": 0.5}))
    path = tmp_path_factory.mktemp("report") / "report.html"
    meta: dict[str, dict[str, Any]] = {"machine": {"system": "none", "cores": 1}, "versions": {}}
    return write_report(Table.from_rows(runs, rows), study, meta, path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def opened(browser, report) -> Iterator[Callable[..., Any]]:
    """`opened(width, scheme)`: the page, with `requests` and `complaints` as lists on it."""
    contexts = []

    def open_page(width: int = 1440, scheme: str = "light") -> tuple[Any, list[str], list[str]]:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        requests: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        return page, requests, complaints

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_alone_and_fits(opened, report, width, scheme):
    page, requests, complaints = opened(width, scheme)
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert complaints == []
    figures = page.locator(".figure")
    assert figures.count() == FIGURES
    assert page.locator(".figure .main-svg .cartesianlayer .subplot").count() >= FIGURES
    for place in range(FIGURES):
        assert (
            figures.nth(place).locator(".trace, .hm, .heatmaplayer image, .scatterlayer .js-line").count() > 0
        )
        box = figures.nth(place).bounding_box()
        assert box["height"] > 120
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_narrow_figures_are_stacked(opened):
    wide, _, _ = opened(1440)
    narrow, _, _ = opened(390)
    domain = "document.getElementById('figure-gradient-start').layout.xaxis2.domain[0]"
    assert wide.evaluate(domain) > 0.4
    assert narrow.evaluate(domain) == 0


def test_the_page_follows_the_scheme(opened):
    page, _, _ = opened(1440, "light")
    text = "getComputedStyle(document.querySelector('#figure-gradient-start .xtick text')).fill"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(text), page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-drawn=dark]", state="attached")
    dark = page.evaluate(text), page.evaluate(ground)

    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour[4:-1].split(","))

    assert brightness(light[0]) < 200 < brightness(light[1])
    assert brightness(dark[1]) < 200 < brightness(dark[0])


def test_a_click_sorts_the_table(opened):
    page, _, _ = opened()
    head = page.locator("#results-table th", has_text="test accuracy")
    cells = page.locator("#results-table td.is-test_accuracy span")
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    *known, missing = cells.all_inner_texts()
    assert missing == "–"  # the one that has not begun stays last
    falling = [float(text) for text in known]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 1
    head.locator("button").press("Enter")  # by keyboard, the other way
    assert head.get_attribute("aria-sort") == "ascending"
    assert cells.all_inner_texts() == [*known[::-1], missing]
    page.locator("#results-table th", has_text="activation").locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    names = page.locator("#results-table td.held span").all_inner_texts()
    assert names == sorted(names, key=str.lower)


def test_what_is_missing_sorts_last_both_ways(opened):
    page, _, _ = opened()
    column = page.locator("#results-table th button", has_text="worst class")
    place = (
        "[...document.querySelectorAll('#results-table tbody tr')].map(row => row.cells[{}].dataset.order)"
    )
    heads = page.locator("#results-table thead tr:last-child th").all_inner_texts()
    for _ in range(2):
        column.click()
        orders = page.evaluate(place.format(heads.index("worst class")))
        assert "" in orders
        assert orders == sorted(orders, key=lambda order: order == "")


def test_all_comparisons_on_demand(opened):
    page, _, _ = opened()
    rows = page.locator("#comparisons-table tbody tr:visible")
    assert rows.count() == 12
    page.locator("#comparisons button.more").click()
    assert rows.count() == 16
    assert page.locator("#comparisons button.more").inner_text() == "Show the first 12"
