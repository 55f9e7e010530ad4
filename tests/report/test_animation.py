"""The tables behind the animation: against the theory that they come from, and against a plain simulation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from evenflow.errors import DataError, SpecError
from evenflow.report.animation import animation, maps, write_animation
from evenflow.spec.activation import activation, activation_names


def test_the_tables_are_the_second_moments_of_f_and_its_slope():
    draws = np.random.default_rng(0).standard_normal(400_000)
    for name in ("sigmoid", "relu", "gelu"):
        table, one = maps(name), activation(name)
        for place in (40, 48, 56):  # q = 0.01, 1, 100
            z = draws * np.exp(table.log_q[place] / 2)
            assert np.exp(table.value[place]) == pytest.approx(float(np.mean(one(z) ** 2)), rel=0.02)
            assert np.exp(table.slope[place]) == pytest.approx(
                float(np.mean(one.derivative(z) ** 2)), rel=0.02
            )


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "selu", "mish"])
def test_the_slopes_of_the_tables_are_their_differences(name):
    table = maps(name)
    middle = (table.log_q[1:] + table.log_q[:-1]) / 2
    for values, slopes in ((table.value, table.value_slope), (table.slope, table.slope_slope)):
        between = np.diff(values) / np.diff(table.log_q)
        assert np.interp(middle, table.log_q, slopes) == pytest.approx(between, abs=0.03)


def test_the_page_holds_what_was_asked_for():
    text = animation(["relu", "tanh"], depth=7, scale=1.5)
    data = json.loads(re.findall(r'<script id="data"[^>]*>(.*?)</script>', text)[0])
    assert (data["depth"], data["scale"]) == (7, 1.5)
    assert [one["name"] for one in data["activations"]] == ["relu", "tanh"]
    assert [one["name"] for one in data["activations"][0]["known"]] == [
        "PyTorch's weights: 0.577",
        "LeCun: 1.00",
        "He: 1.41",
        "its own gain: 1.41",
    ]
    assert "<option" in text
    assert "<option" not in animation(["relu"])
    assert not re.search(r"(?:src|href)=.https?:", text)


def test_every_activation_of_the_catalogue_can_be_shown():
    assert animation(activation_names()).count("<option") == len(activation_names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, "name at least one"),
        ({"names": ["rellu"]}, 'did you mean "relu"'),
        ({"names": ["relu"], "depth": 1}, "2 to 100 layers"),
        ({"names": ["relu"], "scale": 50.0}, "scale = 50"),
    ],
)
def test_what_cannot_be_shown_is_named(arguments, message):
    with pytest.raises(SpecError, match=message):
        animation(**arguments)


def test_a_page_has_a_place(tmp_path: Path):
    with pytest.raises(SpecError, match=r"must be \.html"):
        write_animation(["relu"], tmp_path / "page.png")
    with pytest.raises(DataError, match="cannot be written"):
        write_animation(["relu"], tmp_path / "missing" / "page.html")
    assert write_animation(["relu"], tmp_path / "page.html").stat().st_size < 100_000
