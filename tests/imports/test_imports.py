"""What importing the package, and asking it for help, must not load: each promise with a proof that it can fail."""

import subprocess
import sys

import pytest

FRAMEWORKS = ("torch", "jax", "scipy.stats", "plotly", "sklearn", "pandas")


def loaded_after(code: str) -> set[str]:
    """Names of the frameworks that a fresh interpreter has loaded after `code`."""
    report = f"import sys\n{code}\nprint([name for name in {FRAMEWORKS!r} if name in sys.modules], file=sys.stderr)"
    process = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(eval(process.stderr.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import evenflow",
        "import evenflow; evenflow.Network; evenflow.Study; evenflow.activation('gelu')",
        "import evenflow; evenflow.Table; evenflow.Store; evenflow.summarise",
        "from evenflow import theory; theory.phase('tanh', 2.0); theory.dead_fractions('relu', [[1.0]], 2, 2.0)",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['--help'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['study', '--help'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['predict', '--help'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['predict', '--chain'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['study', '--show'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['watch', '--help'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['diagnose', '--help'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['claims'])\nexcept SystemExit:\n    pass",
        "import evenflow.cli\ntry:\n    evenflow.cli.main(['rules'])\nexcept SystemExit:\n    pass",
        "import evenflow; evenflow.diagnose(evenflow.Table.from_rows([evenflow.record.Run('a')], [])).to_html()",
    ],
)
def test_no_framework_is_loaded(code: str) -> None:
    assert loaded_after(code) == set()


def test_the_test_can_fail() -> None:
    assert "torch" in loaded_after("import evenflow; evenflow.build")
    assert "plotly" in loaded_after("import plotly")
