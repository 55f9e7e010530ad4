"""The command line as a whole: help with examples, one line for every error, the right exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from evenflow.cli import app, main


def evenflow(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    import os

    return subprocess.run(
        [sys.executable, "-m", "evenflow", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        encoding=settings.get("PYTHONIOENCODING", "utf-8"),
    )


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    "command", ["study", "predict", "activations", "report", "watch", "diagnose", "rules"]
)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(command, "--help") == 0
    assert f"evenflow {command}" in capsys.readouterr().out.partition("Example")[2]


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--help") == 0
    text = capsys.readouterr().out
    assert all(command in text for command in app if not command.startswith("-"))
    assert "Example" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("studdy",), 'evenflow: Unknown command "studdy". Did you mean "study"?'),
        (("study", "--jobs", "0"), "evenflow: --jobs 0: at least 1 process is needed"),
        (
            ("study", "--quick", "x.toml"),
            "evenflow: --quick is a study of its own; leave it out, or leave out the file",
        ),
        (
            ("study", "none.toml"),
            "evenflow: none.toml: no such file; 'evenflow study --show > none.toml' writes one",
        ),
        (("report", "none"), "evenflow: store none/study.sqlite does not exist"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_specification_that_is_shown_can_be_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evenflow import read_study

    assert code_of("study", "--quick", "--show") == 0
    path = tmp_path / "quick.toml"
    path.write_text(capsys.readouterr().out)
    assert read_study(path).name == "quick"


def test_a_terminal_without_greek_letters_is_no_reason_to_stop() -> None:
    process = evenflow("activations", "sigmoid", PYTHONIOENCODING="ascii")
    assert process.returncode == 0, process.stderr
    assert "0.25" in process.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m evenflow activations | head -1"
    process = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert process.stderr == ""


def test_a_report_of_a_store_that_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.sqlite").write_text("hello")
    assert code_of("report", str(tmp_path)) == 2
    assert "is not a store of Evenflow" in capsys.readouterr().err
    assert (tmp_path / "study.sqlite").read_text() == "hello"


def test_a_store_without_a_study_cannot_be_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evenflow import Store

    with Store.open(tmp_path / "s.sqlite", "a"):
        pass
    assert code_of("report", str(tmp_path / "s.sqlite")) == 2
    assert "holds no study" in capsys.readouterr().err


def test_a_study_with_remedies_says_its_plan_and_ends_with_what_they_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'seeds = 2\nremedies = ["add_normalisation:batch", "lower_dropout"]\n[network]\ndepth = 2\nwidth = 4\n'
    path = tmp_path / "mine.toml"
    path.write_text(
        f'{text}[data]\nname = "digits"\n[training]\nsteps = 2\n[grid]\nactivation = ["relu", "tanh"]\n'
    )
    assert code_of("study", str(path), "--out", str(tmp_path / "out"), "--jobs", "1") == 0
    captured = capsys.readouterr()
    assert "study: 4 networks (2 × activation, 2 seeds), 2 steps each" in captured.err
    assert "remedies: 2 of 4 can be carried out, 4 networks more; 8 trainings in all" in captured.err
    assert "add_normalisation:" in captured.out
    assert "lower_dropout (its dropout is 0 already)" in " ".join(captured.out.split())
    path.write_text('remedies = ["add_normalization"]\n')
    assert code_of("study", str(path)) == 2
    assert 'mine.toml: remedies: "add_normalization" is not known; did you mean "add_normalisation"?' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "text", "line"),
    [
        (
            ("study",),
            '[network]\nfamily = "convolutional"\npooling = 1\n[data]\nname = "digits"',
            'evenflow: data set "digits": pooling = 1 halves samples of 8 × 8 5 times, which leaves nothing; pool '
            "after more layers",
        ),
        (
            ("study",),
            '[network]\nfamily = "recurent"',
            'evenflow: my.toml, [network]: family = "recurent" is not known; did you mean "recurrent"?',
        ),
        (
            ("predict", "--network"),
            '[network]\nfamily = "recurrent"',
            "evenflow: theory predicts fully connected networks layer by layer, and no recurrent one; evenflow.theory.",
        ),
    ],
)
def test_a_family_that_does_not_fit_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text(text)
    assert code_of(*arguments, str(tmp_path / "my.toml")) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1
