"""The chapter on remedies: its figures belong to the faults as they are defined, and its verdicts follow from them."""

import copy
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats
from textbook.faults import FAULTS, REMEDIES
from textbook.results import definition, read, written
from textbook.sequences import CHANGES, SEQUENCES, Recurrent, drawn, original, ratio

from evenflow.spec.remedies import chosen

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "remedies").glob("*.md"))


def extension() -> ModuleType:
    specification = importlib.util.spec_from_file_location("remedy_tables", DOCS / "remedy_tables.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["remedy_tables"] = module  # its dataclass looks itself up
    specification.loader.exec_module(module)
    return module


TABLES = extension()
DATA = json.loads((DOCS / "remedies" / "measured.json").read_text(encoding="utf-8"))


def test_the_figures_are_those_of_the_faults_as_they_are_defined() -> None:
    """Where this fails, run the command that stands in the file."""
    assert DATA["definition"] == definition()
    asked = {(fault.name, name) for fault in FAULTS for name in REMEDIES}
    asked |= {(one.name, name) for one in SEQUENCES for name in CHANGES}
    assert {(one["fault"], one["remedy"]) for one in DATA["trials"]} == asked
    assert chosen(REMEDIES) == REMEDIES


def test_every_page_is_filled_and_has_its_verdicts_from_the_figures() -> None:
    assert len(PAGES) == 8
    for page in PAGES:
        text = TABLES.filled(page.read_text(encoding="utf-8"), DATA)
        assert "measured:" not in text
        assert DATA["date"] in text


def test_a_mean_an_interval_and_a_verdict_against_scipy() -> None:
    rows = {(row.fault, row.remedy): row for row in TABLES.weighed(DATA["trials"])}
    tried = [one for one in DATA["trials"] if "why_not" not in one]
    values = []
    for one in tried:
        gains = np.subtract(one["after"], one["before"])
        row = rows[one["fault"], one["remedy"]]
        assert row.gain.mean == pytest.approx(gains.mean())
        if gains.std() > 1e-9:
            low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), stats.sem(gains))
            assert (row.gain.low, row.gain.high) == pytest.approx((low, high))
            values.append((float(np.asarray(stats.ttest_1samp(gains, 0))[1]), row))
    # Holm's step-down by hand: the least p value times the number of tests, and so on
    least = min(values, key=lambda one: one[0])
    if least[0] * len(tried) < 0.05 and abs(least[1].gain.mean) > 0.05:
        assert least[1].verdict in ("helps", "harms")


@pytest.mark.parametrize(("gain", "verdict"), [(0.5, "helps"), (-0.5, "harms"), (0.0, "no effect")])
def test_other_figures_give_another_verdict(gain: float, verdict: str) -> None:
    trials = copy.deepcopy(DATA["trials"])
    one = next(one for one in trials if one["remedy"] == "add_normalisation:batch" and "why_not" not in one)
    one["before"] = [0.4 + place / 1000 for place in range(8)]
    one["after"] = [value + gain + (-1) ** place / 1000 for place, value in enumerate(one["before"])]
    row = next(
        row for row in TABLES.weighed(trials) if (row.fault, row.remedy) == (one["fault"], one["remedy"])
    )
    assert row.verdict == verdict
    text = "\n".join(TABLES.table([row], DATA["titles"], row.remedy))
    assert f"**{verdict}**" in text or (verdict == "no effect" and "| no\u00a0effect |" in text)
    assert ("helps with none" in text) == (verdict != "helps")


def test_an_unknown_remedy_in_a_page_is_said() -> None:
    with pytest.raises(ValueError, match="remedies: add_magic was not measured"):
        TABLES.filled("<!-- measured: add_magic -->", DATA)


def test_numbers_come_through_the_file() -> None:
    for value in (0.5, -1.25, float("inf"), float("-inf")):
        assert read(written(value)) == value
    assert np.isnan(read(written(float("nan"))))


def test_the_ratio_of_a_recurrent_network_is_that_of_its_jacobians() -> None:
    """Of the gradient at the first step over that at the last, with the product of Jacobians written out."""
    import torch

    one = next(one for one in SEQUENCES if one.name == "short_sequences")
    training = original(one, seed=3)
    model = training.patient.model
    assert isinstance(model, Recurrent)
    batch = training.plan.batches[0]
    weight, state = model.cells.get_parameter("weight_hh_l0").detach(), None
    with torch.no_grad():
        states = model.cells(batch.inputs)[0]
        logits = model.head(states[:, -1])
        error = torch.softmax(logits, 1)
        error[range(len(error)), batch.target] -= 1
        state = error @ model.head.weight / len(error)  # gradient of the last state
        into = model.cells.get_parameter("weight_ih_l0")
        norms = []
        for step in reversed(range(one.length)):
            state = state * (1 - states[:, step] ** 2)
            norms.append(float((state @ into).double().norm()))
            state = state @ weight
    assert ratio(training) == pytest.approx(np.log10(norms[-1] / norms[0]), abs=1e-4)


def test_sequences_show_their_symbol_first_and_noise_behind() -> None:
    import torch

    batch = drawn(6, 500, torch.Generator().manual_seed(0))
    assert batch.inputs[:, 0, :4].argmax(1).equal(batch.target)
    assert float(batch.inputs[:, 1:, :4].abs().max()) == 0
    assert float(batch.inputs[:, 1:, 4].std()) == pytest.approx(1, abs=0.05)
    assert set(batch.target.tolist()) == {0, 1, 2, 3}


def test_no_page_has_a_verdict_typed_in() -> None:
    """Numbers of accuracy, and words of the verdicts, come from the figures alone."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"[+−-]0\.\d\d|\d+ points better|no effect on", text), page.name
