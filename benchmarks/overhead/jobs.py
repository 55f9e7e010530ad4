"""Every group of contenders in a fresh process: nothing that one imports, patches or leaves behind slows another."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

from .contenders import BARE, BARE_AGAIN, BY_HAND, COMPILED_BARE, COMPILED_BARE_AGAIN, OWN, Contender
from .memory import Held, held
from .peers import PEERS
from .timing import Times, interleave, reason
from .workloads import WORKLOADS

SELECTABLE = {one.name: one for one in (*OWN, *BY_HAND, *PEERS)}
_ALL = SELECTABLE | {one.name: one for one in (BARE, BARE_AGAIN, COMPILED_BARE, COMPILED_BARE_AGAIN)}

Result = TypeVar("Result")
Tell = Callable[[], object]


@dataclass(frozen=True)
class Options:
    """What the command line says of every job."""

    rounds: int
    warm_up: int
    base_width: int
    core: int


@dataclass(frozen=True)
class Job:
    """What a process is to do; contenders by name, as their functions do not travel."""

    workload: str
    contenders: tuple[str, ...]
    options: Options


class JobError(Exception):
    """A process gave no result; the message says why."""


def times_of(job: Job, tell: Tell) -> Times:
    """Interleaved times of a job's contenders; `tell` is called at every round."""
    chosen = [_ALL[name] for name in job.contenders]
    for one in chosen:
        os.environ.update(one.environment)
    options = job.options
    return interleave(
        WORKLOADS[job.workload], chosen, options.rounds, options.warm_up, options.base_width, tell
    )


def memory_of(job: Job, _tell: Tell) -> Held:
    """What the one contender of a job holds."""
    (name,) = job.contenders
    os.environ.update(_ALL[name].environment)
    return held(WORKLOADS[job.workload], _ALL[name], job.options.base_width)


def job_of(workload: str, contenders: tuple[Contender, ...], options: Options) -> Job:
    """A job about contenders."""
    return Job(workload, tuple(one.name for one in contenders), options)


def apart(function: Callable[[Job, Tell], Result], job: Job, tell: Tell) -> Result:
    """What a function makes of a job in a process of its own, on one thread and one core.

    `tell` is called here whenever the function calls its own. Raises JobError if the function did, or if the
    process died.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(function, job, there), daemon=False)
    process.start()
    there.close()
    try:
        while True:
            kind, content = here.recv()
            if kind == "result":
                process.join(30)  # a peer may still be writing
                return content
            if kind == "error":
                raise JobError(content)
            tell()
    except EOFError:
        process.join()
        raise JobError(f"the process ended with exit code {process.exitcode}") from None
    finally:
        process.join(5)
        process.kill()


def pin(core: int) -> None:
    """One thread on one core, where the system knows how."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _work(function: Callable[[Job, Tell], object], job: Job, connection: Connection) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # peers print, which would break the progress bar
        os.dup2(silence, stream.fileno())
    pin(job.options.core)
    try:
        connection.send(("result", function(job, lambda: connection.send(("told", None)))))
    except Exception as error:
        connection.send(("error", reason(error)))
