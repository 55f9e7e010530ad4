import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from evenflow.errors import StoreError
from evenflow.record import Store, lock

HOLD = """
import sys
from evenflow.record import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path):
    """Another process that holds the lock until it is killed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_another_driver_is_told_who_holds_the_store(tmp_path):
    path = tmp_path / "study.db"
    with holder(path) as process:
        line = (
            f"store {path} is in use by process {process.pid}; wait for it or end it, or choose another path"
        )
        for _ in range(2):  # a failed attempt must not take away what the next one reads
            with pytest.raises(StoreError, match=f"^{re.escape(line)}$"), lock(path):
                pass


def test_readers_and_workers_do_not_need_the_lock(tmp_path):
    path = tmp_path / "study.db"
    with holder(path):
        with Store.open(path, "a") as store:
            store.begin("a", 0, {})
        with Store.open(path) as store:
            assert len(store.runs()) == 1


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "study.db"
    with holder(path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "study.db.pid").exists()  # what it left behind stops nobody
        with lock(path):
            assert (tmp_path / "study.db.pid").read_text() == str(os.getpid())


def test_the_lock_is_given_back_after_an_error(tmp_path):
    path = tmp_path / "study.db"
    with pytest.raises(ZeroDivisionError), lock(path):
        raise ZeroDivisionError
    with lock(path):
        pass
    assert not (tmp_path / "study.db.pid").exists()
    assert not path.exists()


def test_one_process_cannot_hold_it_twice(tmp_path):
    with (
        lock(tmp_path / "a.db"),
        pytest.raises(StoreError, match="in use by this very process"),
        lock(tmp_path / "a.db"),
    ):
        pass


def test_two_stores_have_two_locks_and_directories_are_made(tmp_path):
    with lock(tmp_path / "runs" / "a.db"), lock(tmp_path / "runs" / "b.db"):
        assert (tmp_path / "runs").is_dir()


def test_a_place_without_a_lock_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    line = r"store .*file/study.db cannot be locked \((File exists|Not a directory)\); choose a path in a directory"
    with pytest.raises(StoreError, match=line), lock(tmp_path / "file" / "study.db"):
        pass
