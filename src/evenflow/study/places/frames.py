"""Messages one behind the other in a pipe or a file, each with its length and a checksum."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any
from zlib import crc32

_HEAD = struct.Struct(">QI")


def framed(content: bytes) -> bytes:
    """A message as it is written."""
    return _HEAD.pack(len(content), crc32(content)) + content


def unframed(written: bytes) -> tuple[list[bytes], int]:
    """The complete messages at the beginning, and how many bytes they take.

    A message of which the end is missing, or not yet what it will be, as on a network file system, is left for later.

    >>> unframed(framed(b"one") + framed(b"two")[:-1])
    ([b'one'], 15)
    """
    found: list[bytes] = []
    place = 0
    while place + _HEAD.size <= len(written):
        length, checksum = _HEAD.unpack_from(written, place)
        content = written[place + _HEAD.size : place + _HEAD.size + length]
        if len(content) < length or crc32(content) != checksum:
            break
        found.append(content)
        place += _HEAD.size + length
    return found, place


def send(pipe: IO[bytes], message: Any) -> None:
    """Write a message, pickled, into a pipe."""
    pipe.write(framed(pickle.dumps(message)))
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next message of a pipe.

    Raises:
        EOFError: the other end is closed.
    """
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    content = pipe.read(_HEAD.unpack(head)[0])
    if len(content) < _HEAD.unpack(head)[0]:
        raise EOFError
    return pickle.loads(content)
