"""The live line, on stderr, beside whatever the script itself prints.

It cannot own the screen: scripts print, and many draw a bar of their own. So nothing here runs in a thread, hides the
cursor or stands in for `sys.stdout`; the `write` of the two streams is listened to on the instance, to know where the
cursor is. In a terminal the line is redrawn in place as long as the cursor stands at the beginning of a line, and is
wiped before the script writes. Where the script has left the cursor inside a line, as a progress bar does, and where
stderr is no terminal, whole lines are written, one in ten seconds at most.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

_REDRAWN, _WHOLE = 1.0, 10.0  # seconds
_WIPE = "\r\x1b[K"


class Live:
    """Shows a line now and then, if it is time.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._process = os.getpid()
        self._shown = False
        self._inside = False  # the script's cursor is inside a line
        self._last = time.monotonic()
        self._streams: list[TextIO] = []
        self._terminal = False

    def start(self) -> None:
        """Begin to listen where the cursor is, if there is one."""
        self._terminal = _is_terminal(sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            if self._terminal and not self._quiet and _is_terminal(stream):
                with suppress(AttributeError):  # a stream that takes no attribute
                    stream.__dict__["write"] = self._listening(stream.write)
                    self._streams.append(stream)

    def stop(self) -> None:
        """Wipe the line and leave the streams as they were, and the cursor at the beginning of a line."""
        self._wipe()
        if self._inside:
            self._inside = False
            with suppress(OSError, ValueError):
                _plainly(sys.stderr, "\n")
        for stream in self._streams:
            stream.__dict__.pop("write", None)
        self._streams.clear()

    @property
    def due(self) -> bool:
        """Whether it is time for a line; asked at every step, so it costs next to nothing."""
        if self._quiet:
            return False
        wait = _REDRAWN if self._terminal and not self._inside else _WHOLE
        return time.monotonic() - self._last >= wait and os.getpid() == self._process

    @property
    def width(self) -> int:
        """Columns that a line may have; no end to them where stderr is no terminal."""
        if not self._terminal:
            return sys.maxsize
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        except (OSError, ValueError):
            columns = 80
        return (columns or 80) - 1  # a terminal that does not know its size says 0

    def show(self, line: str) -> None:
        """Show a line in place of the last one."""
        self._last = time.monotonic()
        with suppress(OSError, ValueError):  # a stream that is closed is no reason to stop
            if not self._terminal:
                print(line, file=sys.stderr, flush=True)
            elif self._inside:
                # A bar that draws itself again goes on below, as after tqdm.write.
                print(f"{_WIPE}{self._cut(line)}", file=sys.stderr, flush=True)
            else:
                text = f"{_WIPE}{self._cut(line)}"
                _plainly(sys.stderr, text)
                self._shown = True

    def say(self, line: str) -> None:
        """Write a line that stays."""
        if self._quiet or os.getpid() != self._process:
            return
        self._wipe()
        with suppress(OSError, ValueError):
            _plainly(sys.stderr, f"{chr(10) if self._inside else ''}{line}\n")
            self._inside = False

    def _listening(self, write: Callable[[str], int]) -> Callable[[str], int]:
        def listening(text: str, *rest: Any) -> int:
            if text and os.getpid() == self._process:
                self._wipe()
                self._inside = not text.endswith("\n")
            return write(text, *rest)

        return listening

    def _wipe(self) -> None:
        if self._shown:
            self._shown = False
            with suppress(OSError, ValueError):
                _plainly(sys.stderr, _WIPE)

    def _cut(self, line: str) -> str:
        width = self.width
        return line if len(line) <= width else f"{line[: max(width - 1, 1)]}…"


def _plainly(stream: TextIO, text: str) -> None:
    """Write without being listened to."""
    type(stream).write(stream, text)
    stream.flush()


def _is_terminal(stream: Any) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # no stream, or closed
        return False
