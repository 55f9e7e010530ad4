"""What runs on another machine: pieces of work, trained into a relay whose messages are yielded on the way."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from evenflow.errors import EvenflowError, UnavailableError
from evenflow.spec.data import Data
from evenflow.study import alone
from evenflow.study.engines.grouping import Piece
from evenflow.study.machine import machine, versions
from evenflow.study.places.relay import Known, Message, Relay


def packed(pieces: Sequence[Piece], data: Mapping[Data, str], known: Mapping[str, Known]) -> bytes:
    """The payload of a task.

    The custom activations travel by value and in front of the rest, whose cells need their names: unpickling them
    makes these known.

    Args:
        pieces: of work.
        data: the name under which each data set is shared.
        known: of every cell what the store knows.
    """
    custom = list(dict.fromkeys(one for piece in pieces for one in alone.custom_activations(piece.cells[0])))
    return pickle.dumps((pickle.dumps(custom), pickle.dumps((list(pieces), dict(data), dict(known)))))


def work(payload: bytes, content: Callable[[str], bytes], seconds: float) -> Generator[bytes]:
    """Train what `packed` has packed, and yield what happens: pickled lists of messages, the first of them `hello`.

    Args:
        payload: as `packed` returns it.
        content: a shared data set by its name, pickled.
        seconds: at least so long lies between two yields.
    """
    hello = {"host": socket.gethostname(), "pid": os.getpid(), "versions": versions(), "machine": machine()}
    yield pickle.dumps([("hello", (hello,), {})])
    try:
        custom, rest = pickle.loads(payload)
        custom = pickle.loads(custom)
        pieces, data, states = pickle.loads(rest)
    except Exception as error:  # whatever a function of the user's needs and does not find here
        yield _stop(UnavailableError(f"it cannot read its task ({type(error).__name__}: {error})"))
        return
    relay = Relay(states)
    for piece in pieces:
        try:
            samples = pickle.loads(content(data[piece.cells[0].data]))
            for _ in _training(piece, samples, relay):
                if messages := relay.taken(seconds):
                    yield pickle.dumps(messages)
        except EvenflowError as error:
            yield pickle.dumps(relay.taken())
            yield _stop(error)
            return
        except Exception as error:  # cells that cannot be trained are a result, and the others go on
            keys = tuple(cell.key for cell in piece.cells)
            relay.messages.append(("failed", (keys, f"{type(error).__name__}: {error}"), {}))
        yield pickle.dumps(relay.taken())


def stream(payload: bytes, names: Sequence[str], seconds: float, *contents: bytes) -> Iterator[bytes]:
    """`work`, with the data sets as further arguments in the order of their names."""
    yield from work(payload, dict(zip(names, contents, strict=True)).__getitem__, seconds)


def _training(piece: Piece, samples: Any, relay: Relay) -> Iterator[None]:
    if not piece.size:
        return alone.training(piece.cells[0], samples, relay, 1)
    if find_spec("jax") is None:
        raise UnavailableError("jax is not installed there: pip install 'evenflow[fast]', or --engine torch")
    from evenflow.study.together import training_of_piece

    return training_of_piece(piece, samples, relay, 1)


def _stop(error: EvenflowError) -> bytes:
    message: Message = ("stop", (type(error), f"worker on {socket.gethostname()}: {error}"), {})
    return pickle.dumps([message])
