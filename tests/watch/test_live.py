"""The live line among what a script prints, and the facts it holds."""

from __future__ import annotations

import io
import math
import sys

import pytest
from flow_tables import activation, probe_rows, table_of, weight

from evenflow.record.axes import Site
from evenflow.watch.facts import facts
from evenflow.watch.live import Live


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [100.0]
    monkeypatch.setattr("evenflow.watch.live.time.monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


@pytest.fixture
def terminal(monkeypatch):
    """Call it in the test: pytest sets the streams again after its fixtures."""

    def connect():
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return connect


def test_a_line_that_stays_is_not_wiped(terminal, clock):
    stream = terminal()
    live = Live()
    live.start()
    live.show("one")
    live.say("news")
    live.show("two")
    print("bar 50 %", end="")
    live.say("more")
    live.stop()
    assert stream.getvalue() == "\r\x1b[Kone\r\x1b[Knews\n\r\x1b[Ktwo\r\x1b[Kbar 50 %\nmore\n"
    clock(1)
    quiet = Live(quiet=True)
    quiet.say("nothing")
    assert "nothing" not in stream.getvalue()


def test_in_a_terminal_the_line_is_wiped_before_the_script_prints(terminal, clock):
    stream = terminal()
    live = Live()
    live.start()
    clock(0.9)
    assert not live.due
    clock(0.2)
    assert live.due
    live.show("one")
    live.show("two")
    print("mine")
    live.show("three")
    live.stop()
    print("last")
    wipe = "\r\x1b[K"
    assert stream.getvalue() == f"{wipe}one{wipe}two{wipe}mine\n{wipe}three{wipe}last\n"
    assert "write" not in vars(stream)


def test_beside_a_progress_bar_whole_lines_come_every_ten_seconds(terminal, clock):
    stream = terminal()
    live = Live()
    live.start()
    print("\r 10%", end="")
    clock(9.0)
    assert not live.due
    clock(1.0)
    assert live.due
    live.show("line")
    print("\r 20%", end="")
    live.stop()
    assert stream.getvalue() == "\r 10%\r\x1b[Kline\n\r 20%\n"


def test_elsewhere_whole_lines_come_every_ten_seconds(monkeypatch, clock):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    live = Live()
    live.start()
    clock(9.9)
    assert not live.due
    clock(0.2)
    assert live.due
    live.show("a line " * 30)
    live.stop()
    assert stream.getvalue() == "a line " * 30 + "\n"


def test_a_line_that_is_too_long_is_cut(terminal):
    stream = terminal()
    live = Live()
    live.start()
    live.show("x" * 200)
    live.stop()
    assert stream.getvalue().count("x") == 78
    assert "…" in stream.getvalue()


def test_quiet_says_nothing(clock):
    live = Live(quiet=True)
    live.start()
    clock(100)
    assert not live.due


def test_the_facts_of_a_step():
    rows = probe_rows(lambda layer, _: 10.0 ** (layer - 3), 3, [7])
    rows.append((0, 7, Site("batch", "loss", 0, 0), "", {"loss": 0.12345}))
    total = math.sqrt(1e-4 + 1e-2 + 1 + 3 * 9)  # and three biases of 3
    assert facts(table_of(rows)) == [
        "loss 0.123",
        "first/last gradient −2.00 decades",
        f"gradient {total:.1f}",
    ]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"dead_fraction": 1.0}, "ALL UNITS DEAD in blocks.1:relu"),
        ({"nonfinite_count": 3.0}, "NOT FINITE in blocks.1:relu (activation)"),
    ],
)
def test_the_worst_is_named(change, finding):
    rows = probe_rows(lambda *_: 1.0, 3, [0])
    place = next(place for place, row in enumerate(rows) if row[2] == activation(1))
    rows[place] = (*rows[place][:4], {**rows[place][4], **change})
    assert facts(table_of(rows))[-1] == finding


def test_a_gradient_of_zero_is_worse_than_dead_units():
    rows = probe_rows(lambda layer, _: float(layer == 3), 3, [0])
    assert rows[0][2] == weight(1)
    assert facts(table_of(rows))[-1] == "ZERO GRADIENT in blocks.1.fc and 1 layer more"
