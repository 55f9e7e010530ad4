"""What a diagnosis says of the training it is of."""

from __future__ import annotations

import pytest

from evenflow.diagnose.about import About, about, optimiser_words
from evenflow.diagnose.case import Case
from evenflow.record.axes import Run
from evenflow.record.table import Table
from evenflow.spec.setting import Optimiser, Setting


def told(**facts):
    run = Run("train", facts=facts)
    return about(Case(Table.from_rows([run], []), run))


def test_model_and_place_come_from_the_facts_of_the_run():
    setting = Setting(optimisers=(Optimiser(type="AdamW", learning_rate=3e-5, weight_decay=0.01),)).to_facts()
    known = {"model": "Net", "begun": "2026-01-31 12:00", "file": "model.py", "line": 7}
    assert told(about=known, script="train.py", **setting) == About(
        "Net", "AdamW at learning rate 3 × 10⁻⁵", "2026-01-31 12:00", "model.py", 7
    )


@pytest.mark.parametrize(
    ("script", "file"),
    [("train.py", "train.py"), ("../train.py", ""), ("/a/train.py", ""), ("package.train", "")],
)
def test_else_the_script_is_the_place_if_it_lies_in_the_folder(script, file):
    assert (told(script=script).file, told(script=script).line) == (file, 0)


def test_an_optimiser_that_the_doctor_chose_is_told():
    groups = tuple(Optimiser(type="SGD", learning_rate=rate, momentum=0.9) for rate in (0.1, 0.1, 0.01))
    assert optimiser_words(Setting(optimisers=groups)) == (
        "SGD at learning rate 0.1 and momentum 0.9 and SGD at learning rate 0.01 and momentum 0.9"
    )
    chosen = Setting(optimisers=(Optimiser(type="Adam", learning_rate=1e-3),), assumed=True)
    assert (
        optimiser_words(chosen)
        == "Adam at learning rate 0.001 (the doctor's own choice: no optimiser was given)"
    )
    assert optimiser_words(Setting()) == ""


@pytest.mark.parametrize(
    ("model", "optimiser", "words"),
    [
        ("", "", ""),
        ("Net", "", "Net"),
        ("", "Adam", "a model, trained with Adam"),
        ("Net", "Adam", "Net, trained with Adam"),
    ],
)
def test_in_words(model, optimiser, words):
    assert About(model, optimiser).words == words
