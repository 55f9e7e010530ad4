"""A diagnosis as text, in colour, as HTML, as data and for GitHub: everything is there, nothing is read as markup."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from diagnosis_tables import DIAGNOSIS
from rich.console import Console

import evenflow as ef
from evenflow.diagnose.about import About
from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import Unjudged
from evenflow.diagnose.html import page
from evenflow.diagnose.text import one_line, text

HEALTHY = Diagnosis(judged=("dead_units", "lr_too_high"), steps=200, first_step=0, last_step=199)


def test_the_text_tells_root_evidence_consequence_remedy_and_what_is_missing():
    assert str(DIAGNOSIS).splitlines() == [
        "train-2: 2 faults and 1 information in 3 steps; 4 rules judged, 3 not; the loss is not known: hand",
        "  it over with probe.loss(loss)",
        'FAULT EF301 unnormalised_input in "input"',
        '  the inputs go up to 255: 50 % of "x", <script>alert(1)</script>',
        "  Evidence: largest = 255, ratio = ∞, features = 64, why = pixels, [bold]raw[/bold] <i>",
        "  → fault EF105 saturated_activations in tanh_1, tanh_2, tanh_3 and 1 more from step 3: [red]nearly",
        "    all[/red] units are flat",
        "    since unnormalised_input: inputs this large push the first pre-activations into the flat parts",
        "  What to do: Divide <x> by 255. (normalise_inputs)",
        "    or: batch_norm",
        "INFORMATION EF107 not_zero_centred from step 1,200",
        "  the mean is 0.5",
        "Not judged: correlation_collapse (cosine was not recorded)",
        "Not judged: loss_plateau and lr_too_high (the loss was not recorded)",
    ]


def test_lines_are_as_wide_as_they_may_be():
    lines = text(DIAGNOSIS, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "".join(" ".join(lines).split()) == "".join(str(DIAGNOSIS).split())


def test_nothing_found_is_one_line():
    assert str(HEALTHY) == "Nothing found in 200 steps; 2 rules judged"
    assert (HEALTHY.healthy, bool(HEALTHY)) == (True, False)


def test_nothing_judged_is_not_healthy():
    assert str(Diagnosis(run="a")) == "a: nothing could be judged in a run without recorded steps"
    assert not Diagnosis(run="a").healthy


def test_rich_shows_the_same_words_with_colours():
    plain = StringIO()
    Console(file=plain, width=100, color_system=None).print(DIAGNOSIS)
    assert plain.getvalue().replace("-\n", "-").split() == str(DIAGNOSIS).replace("-\n", "-").split()
    assert all(line == line.rstrip() and len(line) <= 100 for line in plain.getvalue().splitlines())
    coloured = StringIO()
    Console(file=coloured, width=100, force_terminal=True, color_system="standard").print(DIAGNOSIS)
    assert "\x1b[1;31mFAULT\x1b[0m" in coloured.getvalue()
    assert "[red]nearly" in coloured.getvalue()


class Reader(HTMLParser):
    """The tags and the words of a page; fails where they do not match."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - the parser gives it
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data


def read(source):
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == []
    return reader


def test_html_holds_every_word_and_no_foreign_tag():
    found = read(DIAGNOSIS.to_html())
    assert set(found.tags) <= {
        "div",
        "style",
        "p",
        "article",
        "span",
        "b",
        "ol",
        "li",
        "code",
        "details",
        "summary",
    }
    for words in (
        DIAGNOSIS.findings[0].message,
        DIAGNOSIS.findings[1].message,
        DIAGNOSIS.findings[1].story,
        "why = pixels, [bold]raw[/bold] <i>",
        "Divide <x> by 255. normalise_inputs",
        "batch_norm",
        "loss_plateau and lr_too_high (the loss was not recorded)",
        "tanh_1, tanh_2, tanh_3 and 1 more from step 3",
    ):
        assert words in found.words
    assert DIAGNOSIS._repr_html_() == DIAGNOSIS.to_html()


def test_a_page_of_several():
    found = read(page([DIAGNOSIS, HEALTHY], "of <b>me</b>"))
    assert "of <b>me</b>" in found.words
    assert found.tags.count("article") == 3
    assert "Nothing found in 200 steps" in found.words


def test_json_holds_every_figure_and_comes_back():
    plain = json.loads(DIAGNOSIS.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert plain == DIAGNOSIS.to_dict()
    assert plain["healthy"] is False
    assert plain["findings"][0]["evidence"]["ratio"] == "inf"
    again = Diagnosis.from_json(DIAGNOSIS.to_json())
    assert repr(again.findings) == repr(DIAGNOSIS.findings)  # NaN equals nothing
    assert (again.unjudged, again.judged, again.last_step) == (DIAGNOSIS.unjudged, DIAGNOSIS.judged, 1200)
    assert Diagnosis.from_dict(HEALTHY.to_dict()) == HEALTHY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this text is no diagnosis: Expecting property name"),
        ("[]", "this text is no diagnosis but a list"),
        ("{}", "these data are no diagnosis: their format is None, not 1"),
        (
            '{"format": 1, "findings": [{"rule": 3}]}',
            "these data are no diagnosis: Expected `str`, got `int`",
        ),
        ('{"format": 1, "findings": 3}', "these data are no diagnosis: "),
        ('{"format": 1, "findings": [3]}', "these data are no diagnosis: "),
    ],
)
def test_other_data_are_no_diagnosis(text, message):
    with pytest.raises(ef.SpecError) as caught:
        Diagnosis.from_json(text)
    assert str(caught.value).startswith(message)


def test_annotations_for_github():
    first, second, third = DIAGNOSIS.annotations()
    assert first == (
        '::error title=EF301 unnormalised_input in train-2::the inputs go up to 255: 50 %25 of "x", '
        "<script>alert(1)</script> What to do: Divide <x> by 255."
    )
    assert second.startswith("::error title=EF105")
    assert "What to do: normalise_inputs." in second
    assert "Follows from unnormalised_input: inputs this large" in second
    assert third == "::notice title=EF107 not_zero_centred in train-2::the mean is 0.5"


def test_line_ends_and_signs_of_github_are_escaped():
    risk = replace(DIAGNOSIS.findings[2], severity="risk", message="50 %\r\n::error::x")
    (line,) = Diagnosis((risk,), run="a:b,c").annotations()
    assert line == "::warning title=EF107 not_zero_centred in a%3Ab%2Cc::50 %25%0D%0A::error::x"


def test_a_finding_in_one_line():
    assert one_line(DIAGNOSIS.findings[2]) == (
        "information EF107 not_zero_centred from step 1,200: the mean is 0.5"
    )


def test_what_is_asked_of_a_diagnosis():
    assert [one.rule for one in DIAGNOSIS] == [one.rule for one in DIAGNOSIS.findings]
    assert len(DIAGNOSIS) == 3
    assert [one.rule for one in DIAGNOSIS.roots] == ["unnormalised_input", "not_zero_centred"]
    assert [one.rule for one in DIAGNOSIS.consequences(DIAGNOSIS.roots[0])] == ["saturated_activations"]
    assert len(DIAGNOSIS.at_least("fault")) == len(DIAGNOSIS.at_least("risk")) == 2
    assert len(DIAGNOSIS.at_least("information")) == 3
    assert repr(DIAGNOSIS).startswith("Diagnosis('train-2', 3 steps: fault unnormalised_input, fault satur")


ABOUT = About("Net", "SGD at learning rate 0.3", "2026-01-31 12:00", "src/a,b.py", 12)


def test_what_was_trained_stands_below_the_head_line_and_in_the_page():
    known = replace(HEALTHY, about=ABOUT)
    assert str(known).splitlines()[1] == "  Net, trained with SGD at learning rate 0.3"
    words = read(known.to_html()).words
    for one in ("Net", "SGD at learning rate 0.3", "0 to 199", "2026-01-31 12:00", "src/a,b.py, line 12"):
        assert one in words
    assert Diagnosis.from_json(known.to_json()) == known


def test_annotations_stand_beside_the_source():
    known = replace(DIAGNOSIS, about=ABOUT)
    assert known.annotations()[0].startswith("::error file=src/a%2Cb.py,line=12,title=EF301 ")
    without = replace(DIAGNOSIS, about=replace(ABOUT, line=0))
    assert without.annotations()[0].startswith("::error file=src/a%2Cb.py,title=EF301 ")


def test_what_does_not_apply_is_not_missing():
    known = replace(HEALTHY, unjudged=(Unjudged("dead_units", "EF104", "no activation", applies=False),))
    assert str(known).splitlines() == [
        "Nothing found in 200 steps; 2 rules judged",
        "Does not apply: dead_units (no activation)",
    ]
    assert Diagnosis.from_json(known.to_json()) == known


def test_the_page_explains_the_rule_of_each_root():
    words = read(DIAGNOSIS.to_html()).words
    assert words.count("What unnormalised_input is, and why it matters") == 1
    assert "What saturated_activations is" not in words
