"""Memory for copies."""

from __future__ import annotations

import pytest
from torch import nn

from evenflow.errors import SpecError
from evenflow.verify import room
from evenflow.verify.room import copies, free_bytes


def test_copies_are_counted_from_parameters_and_free_memory(monkeypatch):
    model = nn.Linear(100, 100, bias=False)  # 40,000 bytes
    monkeypatch.setattr(room, "free_bytes", lambda _: 1_000_000)
    assert copies(model) == (800_000 - 40_000) // 160_000
    monkeypatch.setattr(room, "free_bytes", lambda _: 200_000)
    with pytest.raises(SpecError, match=r"Linear has 40 kB of parameters.*takes 200 kB, and 160 kB are free"):
        copies(model)


def test_where_the_machine_does_not_say_there_is_room(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda _: None)
    assert copies(nn.Linear(2, 2)) > 1000


def test_this_machine_says():
    free = free_bytes(nn.Linear(2, 2))
    assert free is None or free > 2**20
