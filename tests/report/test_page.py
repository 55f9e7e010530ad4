"""The report is one file that holds everything, in order, and says what the data say."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evenflow.errors import DataError
from evenflow.report import page as page_module
from evenflow.report.page import page, write_figures, write_report
from evenflow.report.story import comparisons_sentence, headline, lead
from evenflow.report.view import make_view
from evenflow.spec.activation import register_activation
from evenflow.spec.files import study_from_text
from evenflow.spec.network import Network

META = {
    "machine": {"system": "Linux 6", "processor": "A <fast> one", "cores": 2, "memory_gib": 8.0},
    "versions": {"python": "3.11.7", "evenflow": "0.1.0"},
}


class Reader(HTMLParser):
    """Ids in order, addresses that would be fetched, and the text of every table cell."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.cell: list[str] | None = None
        self.table = ""

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if given.get("id"):
            self.ids.append(given["id"])
        if tag in ("script", "link", "img", "iframe"):
            self.fetched += [given[name] for name in ("src", "href") if name in given]
        if tag == "table":
            self.table = given["id"]
            self.tables[self.table] = []
        if tag == "tr":
            self.tables[self.table].append([])
        if tag in ("td", "th"):
            self.cell = []

    def handle_data(self, data):
        if self.cell is not None:
            self.cell.append(data.strip())

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.tables[self.table][-1].append("|".join(text for text in self.cell if text))
            self.cell = None


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture
def text(study, table):
    def make(changes=None, **formulas):
        made = study(**(changes or {}))
        return page(table(made, **formulas), made, META)

    return make


def test_the_file_is_whole_and_in_order(study, table, tmp_path):
    made = study()
    path = write_report(table(made), made, META, tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 8e6
    reader = read(text)
    sections = ["summary", "results", "comparisons", "activations", "gradient-start", "gradient-maps"]
    sections += ["training-loss", "test-accuracy", "dead-units", "saturated", "run"]
    places = [reader.ids.index(name) for name in sections]
    assert places == sorted(places)
    assert reader.fetched == ["data:,"]
    assert text.count("plotly.js v") == 1


def test_the_results_table(text):
    rows = read(text()).tables["results-table"]
    heads, first = rows[1], rows[2]
    entry = dict(zip(heads, first, strict=True))
    assert (entry["activation"], entry["initialisation"]) == ("sigmoid", "torch")
    assert entry["test accuracy"] == "0.333|0.333 to 0.333"
    assert entry["trained"] == "0 of 3|0.00 to 0.56"
    assert entry["steps"] == "never"
    assert entry["diverged"] == "0"
    entry = dict(zip(heads, rows[4], strict=True))
    assert (entry["activation"], entry["initialisation"]) == ("ReLU", "torch")
    assert entry["test accuracy"] == "0.920|0.895 to 0.945"  # t interval of 0.91, 0.92, 0.93
    assert entry["FLOP"] == "20.0 M|20.0 to 20.0 M"
    starts = [place for place, name in enumerate(heads) if name == "start"]
    assert rows[2][starts[0]] == "−4.00|−4.0 to −4.0"  # a decade a layer, five layers
    assert rows[2][starts[1]] == "1.00|1.00 to 1.00"
    assert "rarest class" not in heads


def test_recall_of_the_rarest_class_and_energy_only_where_there_are_any(study, table):
    made = study(grid={"imbalance": (1.0, 20.0)})
    text = page(table(made, facts=lambda cell: {"joules": 5.0 + cell.seed}), made, META)
    rows = read(text).tables["results-table"]
    entries = [dict(zip(rows[1], row, strict=True)) for row in rows[2:]]
    assert [entry["rarest class"].partition("|")[0] for entry in entries] == ["–", "0.920"]
    assert entries[0]["energy (J)"].startswith("6.0|")
    assert "not available on this machine" not in text
    assert "Energy: not available on this machine." in page(table(made), made, META)


def test_the_summary_follows_the_data(study, table):
    made = study()
    sentences = " ".join(lead(make_view(table(made), made)))
    assert "4 networks (2 × activation, 2 × initialisation) were each trained for 20 steps" in sentences
    assert "2 reach a test accuracy of 0.9 with every seed: both with ReLU." in sentences
    assert "2 are no better than guessing at the end: both with sigmoid." in sentences
    assert "1.0 × 10⁻⁴ of the last layer's with sigmoid (initialisation torch), the weakest" in sentences

    def other(cell, _step, layer):
        return 10.0 ** (-3 * (5 - layer) if cell.network.initialisation == "gain" else 0.0)

    changed = make_view(
        table(
            made, norm=other, accuracy=lambda cell, _: 0.95 if cell.network.initialisation == "torch" else 0.3
        ),
        made,
    )
    sentences = " ".join(lead(changed))
    assert "2 reach a test accuracy of 0.9 with every seed: both with initialisation torch." in sentences
    assert (
        "Of the 2 networks whose first layer starts below a millionth of the last, none reaches 0.9"
        in sentences
    )
    assert "of the other 2, 2 do." in sentences
    assert headline(changed) == "Activation and initialisation: 4 networks compared"


def test_comparisons_are_listed_with_the_largest_first(text, study, table):
    rows = read(text()).tables["comparisons-table"]
    assert rows[0] == ["field", "from", "to", "both with", "gain in accuracy", "adjusted p"]
    assert rows[1][:4] == ["activation", "sigmoid", "ReLU", "initialisation torch"]
    assert rows[1][4] == "+0.587|+0.562 to +0.612"
    gains = [float(row[4].partition("|")[0]) for row in rows[1:]]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) == 4
    made = study()
    assert comparisons_sentence(make_view(table(made), made)).startswith("2 of 4 comparisons")
    none = comparisons_sentence(make_view(table(made, accuracy=lambda cell, _: 0.3 + 0.1 * cell.seed), made))
    assert none.startswith("None of 4 comparisons")


def test_one_seed_says_that_there_are_no_intervals(text):
    one = text({"seeds": 1})
    assert "One seed: no intervals" in one
    rows = read(one).tables["results-table"]
    assert not any(" to " in cell for row in rows[2:] for cell in row)
    assert "One seed: no intervals" not in text()


def test_one_network_on_its_own(text):
    alone = text({"seeds": 1, "grid": {}, "network": Network(depth=1, width=1)})
    assert "One network: ReLU" in alone
    assert "There is nothing to compare" in alone
    assert "comparisons-table" not in read(alone).ids


def test_diverged_and_open_runs_are_said(text):
    def status(cell):
        return "diverged" if cell.network.activation == "relu" and cell.seed == 0 else "finished"

    diverged = text(status=status)
    rows = read(diverged).tables["results-table"]
    assert [row[-1] for row in rows[2:]] == ["0", "0", "1", "1"]
    assert "2 trainings diverged and count as results" in diverged
    running = text(status=lambda cell: "running" if cell.seed == 2 else "finished")
    assert "So far: 4 of 12 trainings have not ended." in running
    assert "Mean of 2 seeds" in running
    assert "1 of 3 not ended" in running


def test_what_was_run_can_be_run_again(study, table):
    made = study(seeds=(3, 5))
    text = page(table(made), made, META)
    found = re.search(r'<pre id="specification"><code>(.*?)</code>', text, re.DOTALL)
    assert found
    assert study_from_text(html.unescape(found[1]), "page", Path()) == made
    assert "<code>evenflow study small.toml</code>" in text
    for fact in ("3, 5", "Linux 6", "2 cores used", "8.0 GiB", "python 3.11.7, evenflow 0.1.0"):
        assert fact in text


def test_text_of_the_user_is_text(study, table):
    register_activation("sly", lambda z: z, title="<script>alert(1)</script>", replace=True)
    made = study(name="a & b", grid={"activation": ("sly", "relu")})
    text = page(table(made), made, META)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "A &lt;fast&gt; one" in text
    assert "a &amp; b" in text
    data = re.findall(r'<script type="application/json" id="data-[^"]*">(.*?)</script>', text, re.DOTALL)
    assert len(data) == 5  # no unit is dead or saturated here
    for content in data:
        json.loads(content)


def test_a_place_that_cannot_be_written(study, table, tmp_path):
    made = study()
    path = tmp_path / "none" / "report.html"
    with pytest.raises(DataError) as caught:
        write_report(table(made), made, META, path)
    assert str(caught.value) == (
        f'report "{path}" cannot be written: No such file or directory; choose another place'
    )


def test_an_old_report_stays_when_the_new_one_fails(study, table, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    made = study()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(DataError, match="No space left"):
        write_report(table(made), made, META, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_figures_for_a_paper(study, table, tmp_path, monkeypatch):
    written = []

    def write(figure, path):
        written.append((figure, path))
        return path

    class Browser:
        """Stands for kaleido; drawing itself is the matter of test_export.py."""

        opened = closed = 0

        @classmethod
        def start_sync_server(cls, **_):
            cls.opened += 1

        @classmethod
        def stop_sync_server(cls, **_):
            cls.closed += 1

    monkeypatch.setattr(page_module, "write_figure", write)
    monkeypatch.setitem(sys.modules, "kaleido", Browser)
    made = study()
    paths = write_figures(table(made), made, tmp_path / "figures")
    assert (tmp_path / "figures").is_dir()
    assert [path.name for path in paths[:4]] == [
        "activations.png",
        "activations.svg",
        "gradient-start.png",
        "gradient-start.svg",
    ]
    assert len(paths) == 2 * 5
    assert (Browser.opened, Browser.closed) == (1, 1)
    assert written[0][0].layout.paper_bgcolor == "#ffffff"
    assert written[0][0].layout.width > 1000


def test_figures_need_a_folder(study, table, tmp_path):
    (tmp_path / "file").write_text("")
    made = study()
    with pytest.raises(DataError) as caught:
        write_figures(table(made), made, tmp_path / "file")
    assert (
        str(caught.value)
        == f'figures: folder "{tmp_path / "file"}" cannot be made: File exists; choose another place'
    )


IMPORTS = "import sys; import evenflow.report.page, evenflow.report.terminal; "


@pytest.mark.parametrize(("extra", "loaded"), [("", False), ("import plotly; import torch; ", True)])
def test_importing_the_report_loads_neither_plotly_nor_torch(extra, loaded):
    code = IMPORTS + extra + "print([name for name in ('plotly', 'torch', 'jinja2') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip() != "[]") == loaded
