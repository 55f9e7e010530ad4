"""Energy from the processor's own counter (RAPL, as Linux shows it under /sys), where the machine gives it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules that the processor packages used inside a `with` block; None where no counter can be read.

    The counter belongs to the whole machine. `shared_by` processes at work are each given an equal part, which
    is right only when nothing else runs and all are equally busy; a report has to say so.
    """

    def __init__(self, shared_by: int = 1, root: Path = _POWERCAP) -> None:
        self.shared_by = shared_by
        self.packages = sorted(root.glob("intel-rapl:?")) if root.is_dir() else []
        self._start: list[int] | None = None
        self._stop: list[int] | None = None

    def __enter__(self) -> EnergyMeter:
        self._start = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = self._read()

    @property
    def joules(self) -> float | None:
        """Energy since the block began, up to its end or up to now."""
        stop = self._stop or self._read()
        if not self._start or not stop:
            return None
        used = 0
        for package, before, after in zip(self.packages, self._start, stop, strict=True):
            wraps_at = int((package / "max_energy_range_uj").read_text())
            used += (after - before) % (wraps_at + 1)
        return used * 1e-6 / self.shared_by

    def _read(self) -> list[int] | None:
        try:
            return [int((package / "energy_uj").read_text()) for package in self.packages]
        except OSError:  # since 2020 the counters are readable by root only
            return None
