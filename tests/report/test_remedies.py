"""What the remedies of a study did, in the terminal and on the page."""

import html
import io
import re

import pytest
from rich.console import Console

from evenflow.report.page import page
from evenflow.report.remedies_terminal import remedies
from evenflow.spec.network import Network

META = {"machine": {}, "versions": {}}


def accuracy(cell, step):
    """Batch normalisation helps by 0.5 and a little more with every seed; clipping does nothing."""
    gain = 0.5 + cell.seed / 1000 if cell.network.normalisation == "batch" else 0.0
    return 0.2 + cell.seed / 100 + gain * step / 20


@pytest.fixture
def shown(study, table):
    def show(width=120, **changes):
        known = {
            "grid": {"activation": ("sigmoid", "relu")},
            "remedies": ("add_normalisation:batch", "clip_gradients", "lower_dropout"),
        }
        asked = study(**(known | changes))
        written = io.StringIO()
        console = Console(width=width, file=written, color_system=None)
        every = table(asked, remedied=True, accuracy=accuracy)
        console.print(remedies(table(asked, accuracy=accuracy), every, asked))
        return written.getvalue()

    return show


@pytest.mark.parametrize("width", [80, 100, 130])
def test_the_terminal_has_a_line_a_remedy_and_keeps_to_its_width(shown, width):
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "sigmoid – as it is: accuracy 0.210, first/last −4.0" in text
    assert "ReLU – as it is: accuracy 0.210, first/last 0.0" in text
    assert text.count("helps") == text.count("no effect") == 2
    assert text.count("+0.50") >= 2


def test_what_is_counted_and_left_out_is_said(shown):
    text = " ".join(shown(200).split())
    assert (
        "Of 4 trials of a remedy on a network, 2 raised the test accuracy and 0 lowered it beyond chance"
        in text
    )
    assert "and 2 left it within two points (paired t test at 5 %" in text
    assert "With 3 seeds only a large and steady difference can be told from chance." in text
    assert "Not carried out: lower_dropout (its dropout is 0 already)." in text


def test_many_networks_are_cut_to_the_best_remedies(shown):
    text = shown(140, grid={"width": tuple(range(4, 14))}, remedies=("all",))
    assert "The 3 best remedies of each network; the report has all." in text
    assert len(re.findall(r"^ \S+:\S.*", text, re.MULTILINE)) == 30


def test_the_page_has_a_row_a_trial(study, table):
    asked = study(
        remedies=("add_normalisation:batch", "clip_gradients"), grid={"activation": ("sigmoid", "relu")}
    )
    every = table(asked, remedied=True, accuracy=accuracy)
    text = page(table(asked, accuracy=accuracy), asked, META, None, every)
    section = text[text.index('<section id="remedies">') :]
    section = html.unescape(section[: section.index("</section>")])
    rows = re.findall(r"<tr>\s*<td.*?</tr>", section, re.DOTALL)
    assert len(rows) == 4
    words = [re.sub(r"<[^>]+>", " ", row).split() for row in rows]
    assert words[0][:2] == ["sigmoid", "add_normalisation:batch"]
    assert {"normalisation", "none", "→", "batch"} <= set(words[0])
    assert "helps" in words[0]
    assert "+0.501" in words[0]
    assert "not" in words[0]  # the formula of the gradients knows nothing of normalisation
    assert '<a href="#remedies">' in text
    # only the grid's own networks stand in the other tables
    results = text[text.index('id="results-table"') : text.index('<section id="comparisons">')]
    assert len(re.findall(r"<tr>\s*<td", results)) == 2


def test_a_study_without_remedies_has_no_such_section(study, table):
    asked = study()
    assert 'id="remedies"' not in page(table(asked), asked, META, None, None)


def test_trainings_that_have_not_ended_are_no_effects(study, table):
    asked = study(remedies=("clip_gradients",), grid={}, network=Network(depth=2, width=4))
    every = table(asked, remedied=True, status=lambda _: "running")
    written = io.StringIO()
    console = Console(width=100, file=written, color_system=None)
    console.print(remedies(every, every, asked))
    assert "nothing to say so far" in written.getvalue()


def test_a_gradient_of_exactly_0_is_shown_as_such(study, table):
    def norm(cell, step, layer):  # noqa: ARG001 - the form of a formula
        return 0.0 if layer == 1 and cell.network.normalisation == "none" else 1.0

    asked = study(remedies=("add_normalisation:batch",), grid={}, network=Network(depth=2, width=4))
    every = table(asked, remedied=True, norm=norm)
    text = page(every, asked, META, None, every)
    assert "−∞" in text
