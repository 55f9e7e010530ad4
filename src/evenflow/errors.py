"""The one family of exceptions: catch `EvenflowError` and you have caught everything that is ours.

A message is one line that names the thing, the place and the way out; the command line prints it as it
stands and ends with exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EvenflowError(Exception):
    """Base of every error that Evenflow raises on purpose."""


class SpecError(EvenflowError):
    """A specification or an argument is wrong: a misspelt key, an unknown name, a value out of range."""


class DataError(EvenflowError):
    """A data set cannot be used: a missing file, the wrong shape, NaN."""


class StoreError(EvenflowError):
    """A store cannot be read or written: not a store, another version, in use, disk full, read-only."""


class UnavailableError(EvenflowError):
    """Something that is not installed on this machine is needed; the message says how to install it."""


def suggest(word: str, known: Iterable[str]) -> str:
    """The tail of an error message about a misspelt `word`.

    >>> suggest("rellu", ["relu", "tanh"])
    '; did you mean "relu"?'
    >>> suggest("zzz", ["relu", "tanh"])
    ''
    """
    close = get_close_matches(word.lower(), list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
