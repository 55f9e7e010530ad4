"""The public surface: what is promised is there, sorted, documented, and resolves."""

import subprocess
import sys

import evenflow


def test_all_is_the_sorted_list_of_public_names() -> None:
    assert evenflow.__all__ == sorted(evenflow._HOMES)


def test_every_public_name_resolves_and_says_what_it_is() -> None:
    for name in evenflow.__all__:
        assert getattr(evenflow, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(evenflow, "nothing_of_this_name")


def test_the_module_runs_as_a_program() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "evenflow", "--version"], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == evenflow.__version__
