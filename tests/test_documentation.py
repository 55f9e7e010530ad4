"""What the README, the documentation and the examples show is run as it stands."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evenflow.spec.files import study_from_text
from evenflow.spec.specification import GRID_KEYS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = ("study.md-0", "study.md-3", "study.md-4", "measured.md-0", "fix.md-0")
"""Blocks that train more than a moment; the README shows the same in short."""


def blocks(language: str) -> list:
    """Every fenced block of a language, with its page as the name of the case."""
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)):
            name = f"{page.name}-{number}"
            found.append(pytest.param(text, id=name, marks=[pytest.mark.slow] if name in LONG else []))
    return found


def run(arguments: list, folder: Path) -> str:
    """Run Python in `folder`, as somebody would who pastes it, and return what it prints."""
    process = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("text", blocks("python"))
def test_a_block_of_python_runs(text: str, tmp_path: Path) -> None:
    if "runs/default" in text:
        small = (
            "import evenflow as ef\nstudy = ef.Study(name='default', training=ef.Training(steps=2), seeds=1, "
        )
        small += "network=ef.Network(depth=2, width=4, activation='sigmoid'), data=ef.Data(name='digits'))\n"
        run(["-c", small + "ef.run_study(study, 'runs/default/study.sqlite')"], tmp_path)
    run(["-c", text], tmp_path)


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_block_of_toml_is_a_study(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import evenflow as ef\nef.register_activation('bent', lambda z: z + 0.1 * z**3)\n"
    )
    assert study_from_text(text, "block", tmp_path).cells()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    assert run([str(example)], tmp_path).strip()


def test_every_key_is_documented() -> None:
    page = (ROOT / "docs" / "study.md").read_text()
    missing = [key for key in GRID_KEYS if f"| `{key}` |" not in page and key != "data"]
    assert missing == []


def test_the_changelog_and_the_version_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    import evenflow

    assert project["version"] == evenflow.__version__
