"""An unchanged script, run as `python train.py` runs it, and watched.

The code of this package stays out of sight: `sys.argv`, `sys.path`, `__main__` and the exit code are what the script
would have by itself, its stdout is its own, and a traceback shows its frames only. torch is not imported before the
script imports it.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING

from evenflow.errors import SpecError, suggest
from evenflow.watch.arrival import Arrival

if TYPE_CHECKING:
    from evenflow.watch.session import Session
    from evenflow.watch.settings import Settings

INTERRUPTED = 130


@dataclass(frozen=True)
class Script:
    """What is run.

    Args:
        target: the path of a script, or the name of a module.
        arguments: what follows in `sys.argv`.
        module: whether the target is the name of a module, as after `python -m`.
    """

    target: str
    arguments: tuple[str, ...] = ()
    module: bool = False

    @property
    def name(self) -> str:
        """The stem of the script, or the last part of the module's name."""
        return self.target.rpartition(".")[2] if self.module else Path(self.target).stem

    def run(self) -> int:
        """Run it in this process, as `__main__`, and give its exit code; its traceback is printed.

        Raises:
            SpecError: there is no such script or module, or its syntax is wrong; nothing of it has run then.
        """
        code = None if self.module else self._compiled()
        try:
            with self._in_place():
                if code is None:
                    runpy.run_module(self.target, run_name="__main__", alter_sys=True)
                else:
                    exec(code, vars(sys.modules["__main__"]))
        except SystemExit as leaving:
            return _exit_code(leaving)
        except KeyboardInterrupt:
            return INTERRUPTED
        except BaseException as error:
            if isinstance(error, Exception) and users_frames(error.__traceback__) is None:
                raise SpecError(self._reason(error)) from None  # nothing of the user's has run
            for each in _chain(error):
                each.__traceback__ = users_frames(each.__traceback__)
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
        return 0

    def _compiled(self) -> CodeType:
        _check(self.target)
        path = os.path.abspath(self.target)
        try:
            with io.open_code(path) as file:
                return compile(file.read(), path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError) as error:  # ValueError: a zero byte, up to Python 3.11
            raise SpecError(self._reason(error)) from None

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """`sys.argv`, `sys.path` and `__main__` as the script expects them."""
        argv, path, main = sys.argv, sys.path[:], sys.modules["__main__"]
        sys.argv = [self.target, *self.arguments]
        if not sys.flags.safe_path:
            folder = os.getcwd() if self.module else os.path.dirname(os.path.realpath(self.target))
            sys.path[:1] = [folder]
        if not self.module:
            # Not by runpy.run_path, which would make one path of `__file__`, absolute, and `sys.argv[0]`, as given.
            sys.modules["__main__"] = module = ModuleType("__main__")
            module.__file__ = os.path.abspath(self.target)
            module.__loader__ = SourceFileLoader("__main__", module.__file__)
            vars(module).update(__builtins__=builtins, __cached__=None)
        try:
            yield
        finally:
            sys.argv, sys.path[:], sys.modules["__main__"] = argv, path, main

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, SyntaxError):
            return (
                f"{self.target}, line {error.lineno}: {error.msg} ({type(error).__name__}); nothing was run"
            )
        if isinstance(error, ImportError):
            return f"{error}; 'evenflow watch -m' takes the name of a module that Python finds from here"
        return f"{self.target} cannot be run: {error}"


def watch_script(script: Script, settings: Settings, out: Path, *, quiet: bool = False) -> int:
    """Run a script with a probe on every model that an optimiser steps, and give the script's exit code.

    Args:
        script: what is run.
        settings: how the probes are made.
        out: the store; made when the first step is recorded, and added to where it is there.
        quiet: no live line and no summary.

    Raises:
        SpecError: there is no such script or module, or its syntax is wrong.
        StoreError: what lies at `out` is no store.
    """
    from evenflow.watch.book import Shelf
    from evenflow.watch.live import Live

    begun = time.monotonic()
    live = Live(quiet)
    shelf = Shelf(out.absolute(), _say)  # the script may change the folder
    if out.exists():
        shelf.open()
    facts: dict[str, object] = {"script": script.target, "arguments": list(script.arguments)}
    session: list[Session] = []

    def arrived() -> None:
        try:
            from evenflow.watch.session import Session

            started = Session(settings, shelf, live, _say, facts)
            started.start()
            session.append(started)
        except Exception as error:  # whatever it is, the script is to run
            _say(f"the script is not watched: {type(error).__name__}: {error}")

    arrival = Arrival("torch", arrived)
    live.start()
    arrival.expect()
    status, message = "failed", "not ended"
    try:
        code = script.run()
        status = "failed" if code else "finished"
        message = {0: "", INTERRUPTED: "stopped by Ctrl-C"}.get(code, f"exit code {code}")
    finally:
        arrival.forget()
        live.stop()
        for started in session:
            started.stop(status, message)
        shelf.close()
    if code == INTERRUPTED:
        _say("stopped")
    if not quiet:
        _summarise(session, out, time.monotonic() - begun)
    return code


def _summarise(session: list[Session], out: Path, seconds: float) -> None:
    from rich.console import Console

    from evenflow.watch.summary import show

    for started in session:
        for name in started.strangers:
            _say(f"{name} stepped tensors that are in no module; these were not watched")
        if started.ended:
            show(started.ended, out, seconds, Console(stderr=True, highlight=False))
            return
    _say(
        "no optimiser stepped a model" if session else "no optimiser stepped a model: torch was not imported"
    )


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this package and of what starts a script; None if nothing is left."""
    kept = []
    while trace is not None:
        home = str(trace.tb_frame.f_globals.get("__name__", ""))
        ours = home == "evenflow" or home.startswith("evenflow.")
        if not ours and (kept or not home.startswith(("runpy", "importlib."))):
            kept.append(trace)
        trace = trace.tb_next
    found = None
    for each in reversed(kept):
        found = TracebackType(found, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return found


def _chain(error: BaseException) -> list[BaseException]:
    """An error and those it came from."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found


def _exit_code(leaving: SystemExit) -> int:
    """What Python makes of `sys.exit(...)`: nothing is 0, a number is itself, anything else is printed and 1."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    print(leaving.code, file=sys.stderr)
    return 1


def _check(target: str) -> None:
    path = Path(target)
    if path.is_dir():
        raise SpecError(f"{target} is a folder; give the script in it, or a module with -m")
    if not path.exists():
        there = sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise SpecError(f"{target}: no such script{suggest(path.name, there)}")


def _say(text: str) -> None:
    print(f"evenflow: {text}", file=sys.stderr, flush=True)
