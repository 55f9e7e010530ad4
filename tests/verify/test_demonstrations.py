"""Scripts with a known fault, as people write them: what `evenflow fix` prints, put into them, keeps its promise."""

from __future__ import annotations

import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[2] / "examples" / "faults"
QUICK = ("softmax_before_loss",)
SCRIPTS = [
    pytest.param(path.stem, marks=[] if path.stem in QUICK else [pytest.mark.slow], id=path.stem)
    for path in sorted(FAULTS.glob("*.py"))
]
FINDINGS = {
    "dead_relu": "dead_units",
    "deep_gelu": "vanishing_gradient",
    "deep_sigmoid": "vanishing_gradient",
    "dying_relu": "lr_too_high",
    "exploding_tanh": "poor_init",
    "frozen_layers": "frozen_layers",
    "long_sequences": "vanishing_gradient",
    "softmax_before_loss": "bad_output_layer",
    "unnormalised_input": "unnormalised_input",
}
APART = 0.08
"""By which two trainings with other random numbers differ at the end of a trial."""


def accuracy(script: Path) -> float:
    """What a script prints when it is run from the start."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        runpy.run_path(str(script), run_name="__main__")
    return float(printed.getvalue().removeprefix("accuracy "))


def fixed(script: Path) -> dict:
    """What `evenflow fix` prints of it, in a process of its own."""
    command = [sys.executable, "-m", "evenflow", "fix", script.name, "--format", "json"]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pasted(text: str, code: str) -> str:
    """A script with printed lines where they are said to go: imports at its head, the others in `setup`."""
    imports, _, rest = code.partition("\n\n# ") if code.startswith("# at the head") else ("", "", code[2:])
    place, _, lines = rest.partition("\n")
    early = "before the optimiser" in place or "makes the model" in place
    (head, body), anchor = text.split("\nimport ", 1), r"^    optimizer = " if early else r"^    return "
    lines = "".join(f"    {line}\n" if line else "\n" for line in lines.splitlines())
    return f"{head}\n{imports}\nimport {re.sub(anchor, lambda found: lines + found[0], body, count=1, flags=re.M)}"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch on this machine")
def test_what_is_printed_mends_the_script(name, tmp_path):
    script = tmp_path / f"{name}.py"
    text = (FAULTS / script.name).read_text()
    script.write_text(text)
    before, found = accuracy(script), fixed(script)
    assert script.read_text() == text
    assert found["repaired"], found["reason"]
    faults = {one["rule"] for one in found["diagnosis"]["findings"] if one["severity"] == "fault"}
    assert FINDINGS[name] in faults
    promised = next(row for row in found["trials"] if row["chosen"])
    assert found["trials"][0]["value"] == pytest.approx(before, abs=APART)
    assert promised["reading"]["appeared"] is not False

    (tmp_path / "change.diff").write_text(found["diff"])
    subprocess.run(["patch", "-p1", "-i", "change.diff"], cwd=tmp_path, check=True, capture_output=True)
    after = accuracy(script)
    assert after > before + 0.25
    assert after == pytest.approx(promised["value"], abs=APART)
    assert after - before > found["paired"]["difference"]["low"] - APART

    script.write_text(pasted(text, found["code"]))
    assert accuracy(script) == pytest.approx(promised["value"], abs=APART)
