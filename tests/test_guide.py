"""The guide: what the build of the documentation does not check by executing it."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
CHAPTERS = [
    GUIDE / f"{name}.md" for name in re.findall(r"^(\w+)$", (GUIDE / "index.md").read_text(), re.MULTILINE)
]


def test_there_are_ten_chapters_in_order() -> None:
    assert len(CHAPTERS) == 10
    for number, chapter in enumerate(CHAPTERS, start=1):
        assert f"\n# {number} " in chapter.read_text()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_exercise_has_an_answer_that_is_computed(chapter: Path) -> None:
    exercises = chapter.read_text().partition("## Exercises")[2]
    asked = re.split(r"^\*\*\d\.\*\*", exercises, flags=re.MULTILINE)[1:]
    assert len(asked) >= 2
    for exercise in asked:
        answer = re.search(r"code_prompt_show: Answer.*?---\n(.*?)```", exercise, re.DOTALL)
        assert answer is not None
        assert "print(" in answer[1]


def test_no_number_stands_in_an_answer_of_its_own() -> None:
    """Text between code and code of a chapter takes its figures from `eval`, so it has none with many digits."""
    for chapter in CHAPTERS:
        text = re.sub(r"```.*?```", "", chapter.read_text(), flags=re.DOTALL)
        text = re.sub(r"\{eval\}`.*?`|\(.*?\)|\$.*?\$|`.*?`", "", text, flags=re.DOTALL)
        assert re.findall(r"\d\.\d{3,}|\d × 10", text) == [], chapter.name


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_code_that_is_only_shown_is_python(chapter: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", chapter.read_text(), re.DOTALL):
        ast.parse(block)


def test_the_first_chapter_needs_numpy_only_until_the_last_part() -> None:
    text = (GUIDE / "what_flows.md").read_text().partition("## With autograd")[0]
    modules = {
        name.name.partition(".")[0]
        for block in re.findall(r"```\{code-cell\} python\n(.*?)```", text, re.DOTALL)
        for node in ast.walk(ast.parse(re.sub(r"^:tags:.*$", "", block, flags=re.MULTILINE)))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules == {"numpy", "evenflow"}


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("docutils", reason="docutils is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import guide_figures  # pyright: ignore[reportMissingImports]

    yield guide_figures
    sys.modules.pop("guide_figures", None)


def test_numbers_stand_in_a_sentence_as_people_write_them(helpers) -> None:
    assert repr(helpers.say(1.234e-16)) == "1.2\u00a0×\u00a010⁻¹⁶"
    assert repr(helpers.say(64000)) == "64\u202f000"
    assert repr(helpers.share(0.256)) == "26\u00a0%"
    assert repr(helpers.power(-16.0)) == "1.0\u00a0×\u00a010⁻¹⁶"


def test_a_figure_holds_its_values_and_says_what_it_shows(helpers) -> None:
    text = helpers.lines(
        {"a < b": ([1, 2], [0.5, 0.0])}, x="step", y="loss", log=True, says="Two < three."
    ).text
    assert "Two &lt; three." in text
    assert '"y":[0.5,null]' in text  # a logarithmic axis has no 0
    assert "a < b" not in text


def test_formulas_become_mathml() -> None:
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from mathml import mathml  # pyright: ignore[reportMissingImports]
        from sphinx.errors import ExtensionError

        assert mathml(r"\chi_1", block=False).startswith("<math")
        assert 'display="block"' in mathml(r"\frac{1}{2}", block=True)
        with pytest.raises(ExtensionError, match="nosuchthing"):
            mathml(r"\nosuchthing", block=False)
    finally:
        sys.path.remove(str(ROOT / "docs"))
