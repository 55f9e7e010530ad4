"""Memory for copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from evenflow.doctor import memory
from evenflow.doctor.memory import free_bytes
from evenflow.errors import SpecError
from evenflow.verify.room import copies


def test_copies_are_counted_from_parameters_and_free_memory(monkeypatch):
    model = nn.Linear(100, 100, bias=False)  # 40,000 bytes
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1_000_000)
    assert copies(model) == (800_000 - 40_000) // 200_000
    monkeypatch.setattr(memory, "free_bytes", lambda _: 200_000)
    with pytest.raises(SpecError, match=r"Linear has 40 kB of parameters.*takes 240 kB, and 160 kB are free"):
        copies(model)


def test_where_the_machine_does_not_say_there_is_room(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _: None)
    assert copies(nn.Linear(2, 2)) > 1000


def test_this_machine_says():
    free = free_bytes(nn.Linear(2, 2))
    assert free is None or free > 2**20


def test_the_least_of_machine_container_and_process_counts(monkeypatch, tmp_path):
    limit, used = tmp_path / "limit", tmp_path / "used"
    limit.write_text("700000\n")
    used.write_text("300000\n")
    monkeypatch.setattr(memory, "_GROUPS", ((str(tmp_path / "none"), str(used)), (str(limit), str(used))))
    assert free_bytes(nn.Linear(2, 2)) == 400_000
    limit.write_text("max\n")
    assert memory._container() is None


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the machine does not say what a process has"
)
def test_a_limit_of_the_process_counts():
    code = (
        "import resource; from torch import nn; from evenflow.doctor.memory import free_bytes;"
        "free = free_bytes(nn.Linear(2, 2)); size = 1024 * int(open('/proc/self/status').read()"
        ".partition('VmSize:')[2].split()[0]);"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 50_000_000,) * 2);"
        "print(free_bytes(nn.Linear(2, 2)) <= 50_000_000 < free)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
