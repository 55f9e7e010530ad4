"""`evenflow watch` as it is typed: which words are ours and which are the script's."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from evenflow.cli import main
from evenflow.cli.watch import WITH_VALUE, separated, watch
from evenflow.watch import script as scripts


@pytest.fixture
def asked(monkeypatch):
    """Stands in for the run; remembers what it was asked."""
    calls: list = []

    def watch_script(script, settings, out, *, quiet):
        calls.append((script, settings, out, quiet))
        return 7

    monkeypatch.setattr(scripts, "watch_script", watch_script)
    return calls


def code_of(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["watch", *arguments])
    return caught.value.code


def test_what_stands_behind_the_script_is_the_scripts(asked):
    rest = ["--every", "9", "--help", "-h", "--version", "--", "-m", "x", "--quiet"]
    assert code_of("--every", "2", "--quiet", "sub/train.py", *rest) == 7
    ((script, settings, out, quiet),) = asked
    assert (script.target, list(script.arguments), script.module, script.name) == (
        "sub/train.py",
        rest,
        False,
        "train",
    )
    assert (settings.name, settings.every, settings.budget, quiet) == ("train", 2, None, True)
    assert out == Path("runs/train/flow.sqlite")


def test_a_module_and_the_other_options(asked):
    options = ("--budget=0.1", "-o", "x.sqlite", "--sites", "a.*", "--sites", "b", "--window", "5")
    assert code_of(*options, "-m", "package.train", "--lr", "1") == 7
    ((script, settings, out, quiet),) = asked
    assert (script.target, script.arguments, script.module) == ("package.train", ("--lr", "1"), True)
    assert (settings.name, settings.every, settings.budget) == ("train", 1, 0.1)
    assert (settings.sites, settings.window, out, quiet) == (["a.*", "b"], 5, Path("x.sqlite"), False)


def test_a_budget_of_three_per_cent_goes_without_saying(asked):
    code_of("train.py")
    assert (asked[0][1].every, asked[0][1].budget) == (1, 0.03)


def test_every_option_with_a_value_is_known_where_arguments_are_separated():
    values = inspect.signature(watch, eval_str=True).parameters.values()
    names = {f"--{each.name}" for each in values if each.kind is each.KEYWORD_ONLY} - {"--quiet", "--module"}
    assert names == {name for name in WITH_VALUE if name.startswith("--")}
    for name in WITH_VALUE:
        assert separated(["watch", name, "1", "t.py", "-x"]) == ["watch", name, "1", "--", "t.py", "-x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a script is needed, such as: evenflow watch train.py"),
        (("--quiet",), "a script is needed, such as: evenflow watch train.py"),
        (("--every", "0", "t.py"), "--every 0: give a whole number, 1 or more"),
        (("--window", "0", "t.py"), "--window 0: give a whole number, 1 or more"),
        (("--budget", "2", "t.py"), "--budget 2.0: give a share of the time between 0 and 1, such as 0.03"),
        (
            ("--every", "2", "--budget", "0.1", "t.py"),
            "--every and --budget both say how often to record; give one",
        ),
        (("--evry", "2", "t.py"), "Unknown option: --evry. Did you mean --every?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_line_and_code_2(asked, capsys, arguments, message):
    assert code_of(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"evenflow: {message}")
    assert (captured.err.count("\n"), captured.out, asked) == (1, "", [])
