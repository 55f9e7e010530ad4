"""What `evenflow doctor` is asked about: a function in a module or a script that gives model, data and loss."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from evenflow.doctor.failures import place_of_error
from evenflow.errors import SpecError, suggest
from evenflow.watch.source import place_of

NAMES = ("doctor", "setup")
"""Functions that are looked for where none is named."""

LINES = """\
def doctor():
    model, batches, loss_fn, optimizer = ...  # as the training makes them
    return model, batches, loss_fn, optimizer
"""
"""What is to be added to a script that has no such function."""
_RETURNED = "(model, batches, loss_fn[, optimizer[, scheduler]])"


class NoFunctionError(SpecError):
    """A module or a script has no function that the doctor could call; `LINES` say what to add."""


@dataclass(frozen=True)
class Subject:
    """What a function has given.

    Args:
        name: of the function, for people.
        model, data, loss_fn, optimizer, scheduler: as `ef.doctor` takes them.
        file, line: of the function, relative to the working folder; "" and 0 where it lies elsewhere.
        function: itself.
    """

    name: str
    model: Any
    data: Any
    loss_fn: Any
    optimizer: Any = None
    scheduler: Any = None
    file: str = ""
    line: int = 0
    function: Callable[[], Any] | None = None


@contextmanager
def subject_of(target: str) -> Iterator[Subject]:
    """Import what is named, call its function, and give what it returned; `sys.path` and `sys.argv` are put back.

    Args:
        target: "module:function" or "script.py:function"; without a function, `doctor` or `setup` is called.

    Raises:
        SpecError: there is no such module, script or function, it raises, or returns something else.
    """
    path, _, function = target.rpartition(":") if _names_a_function(target) else (target, "", "")
    with _importing(path):
        with redirect_stdout(sys.stderr):  # what a script prints is no part of the diagnosis
            module = _imported(path)
            name, call = _function(module, path, function)
            subject = _subject(f"{path}:{name}", _called(f"{path}:{name}", call))
            file, line = place_of(call)
            subject = replace(subject, file=file, line=line, function=call)
        yield subject


def function_of(target: str) -> Callable[..., Any]:
    """The function that "module:function" or "script.py:function" names; a script that runs already is not run anew.

    Raises:
        SpecError: there is no such module, script or function, or it raises when it is imported.
    """
    path, _, function = target.rpartition(":")
    with _importing(path), redirect_stdout(sys.stderr):
        known = sys.modules.get(Path(path).stem) if _is_script(path) else None
        file = getattr(known, "__file__", None)
        runs = known is not None and file is not None and Path(file).resolve() == Path(path).resolve()
        return _function(known if runs and known is not None else _imported(path), path, function)[1]


@contextmanager
def _importing(path: str) -> Iterator[None]:
    """Where Python looks for modules, and what a script finds as its arguments."""
    arguments, places = sys.argv, sys.path[:]
    try:
        sys.argv = [path]
        sys.path.insert(0, str(Path(path).resolve().parent) if _is_script(path) else os.getcwd())
        yield
    finally:
        sys.argv, sys.path[:] = arguments, places


def _is_script(path: str) -> bool:
    return path.endswith(".py") or os.sep in path


def _imported(path: str) -> ModuleType:
    return _script(path) if _is_script(path) else _module(path)


def _names_a_function(target: str) -> bool:
    head, separator, tail = target.rpartition(":")
    return bool(separator and head and tail.isidentifier())


def _script(path: str) -> ModuleType:
    file = Path(path)
    if not file.is_file():
        near = [str(one) for one in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise SpecError(f"there is no script {path}{suggest(path, near)}")
    name = file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path} is no Python script; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if before is not None:
            sys.modules[name] = before
        raise SpecError(f"{path} raises {_first_line(error)} when it is imported") from error
    return module


def _module(path: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name or path
        if path == missing or path.startswith(f"{missing}."):
            raise SpecError(
                f"there is no module {missing} that Python finds from here; a script is given with its .py, such as "
                "train.py:setup"
            ) from None
        raise SpecError(f"module {path} needs {missing}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise SpecError(f"module {path} raises {_first_line(error)} when it is imported") from error


def _function(module: ModuleType, path: str, name: str) -> tuple[str, Callable[[], Any]]:
    chosen = [name] if name else [one for one in NAMES if callable(getattr(module, one, None))]
    if not chosen:
        raise NoFunctionError(
            f"{path} has no function doctor or setup that returns {_RETURNED}; add one, or "
            f"name another, such as {path}:make"
        )
    found = getattr(module, chosen[0], None)
    if not callable(found):
        known = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise SpecError(f'{path} has no function "{name}"{suggest(name, known)}')
    return chosen[0], found


def _called(name: str, call: Callable[[], Any]) -> Any:
    try:
        inspect.signature(call).bind()
    except TypeError as error:
        function = name.rpartition(":")[2]
        raise SpecError(
            f"{name} takes arguments, and is called without any; give each a default, or add a function that calls it, "
            f"such as def setup(): return {function}(...)"
        ) from error
    except ValueError:  # of a callable without a signature
        pass
    try:
        return call()
    except (Exception, SystemExit) as error:
        raise SpecError(f"{name} raises {_first_line(error)}") from error


def _subject(name: str, found: Any) -> Subject:
    if not isinstance(found, list | tuple) or len(found) not in (3, 4, 5):
        shown = f"{len(found)} things" if isinstance(found, list | tuple) else type(found).__name__
        raise SpecError(f"{name} returns {shown}; the doctor needs {_RETURNED}")
    return Subject(name, *found)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__) + place_of_error(error)
