"""Every rule has its page and its picture, and the trainings that are drawn are what their legends say."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
import torch

import evenflow as ef
from evenflow.diagnose.causes import UPSTREAM_FIRST
from evenflow.diagnose.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))
from rule_figures import figure, headed  # noqa: E402  # pyright: ignore[reportMissingImports]
from rule_trainings import PICTURES, Training  # noqa: E402  # pyright: ignore[reportMissingImports]

sys.path.remove(str(DOCS))


def examined(training: Training) -> ef.Diagnosis:
    """What the doctor says of it."""
    model, batches, optimiser = training.begin()
    scheduler = None
    if training.warm_up:
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, training.warmed)
    return ef.doctor(
        model,
        itertools.cycle(batches),
        training.loss,
        optimiser,
        steps=150,
        clip_norm=training.clip or None,
        scheduler=scheduler,
    )


def test_every_rule_has_a_page_a_picture_and_a_place_in_the_story():
    for name, rule in RULES.items():
        title = (DOCS / "rules" / f"{name}.md").read_text(encoding="utf-8").splitlines()[0]
        assert title == f"# {rule.code} {name}"
    pages = {page.stem for page in (DOCS / "rules").glob("*.md")} - {"index"}
    assert pages == set(RULES)
    assert set(PICTURES) == set(RULES)
    assert set(UPSTREAM_FIRST) == set(RULES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_the_rule_finds_the_specimen_and_passes_the_look_alike(name):
    found = {one.rule: one for one in examined(PICTURES[name].specimen)}
    assert name in found
    assert found[name].severity == "fault" or "says so" in PICTURES[name].specimen.name
    passed = examined(PICTURES[name].look_alike)
    assert all(one.severity == "information" for one in passed if one.rule == name)
    if name != "frozen_layers":  # there the look-alike has a fault of its own
        assert not passed.faults


def test_a_picture_shows_both_trainings():
    svg = figure(PICTURES["symmetric_init"])
    assert svg.count("<polyline") == 2
    assert PICTURES["symmetric_init"].specimen.name in svg
    assert (
        len(svg.partition('points="')[2].partition('"')[0].split())
        == PICTURES["symmetric_init"].specimen.steps
    )


def test_a_curve_that_ends_says_why():
    assert "not finite" in figure(PICTURES["nonfinite_origin"])
    assert "not finite" not in figure(PICTURES["lr_too_low"])


def test_a_page_is_headed_by_its_picture_and_ends_with_roots_and_remedies():
    page = headed("dead_units", "# Dead units\n\nText.\n")
    rule = RULES["dead_units"]
    assert page.startswith("# Dead units\n\n![A training")
    assert "](figures/dead_units.svg)" in page
    assert page.index("figures/dead_units.svg") < page.index("Text.") < page.index("It can follow from [")
    assert all(f"[{root}]({root}.md)" in page for root in rule.follows_from)
    assert all(f"`{one}`" in page for one in rule.remedies)
