"""The energy meter on a made-up /sys: this is what Linux shows, not a measurement."""

from pathlib import Path

import pytest

from evenflow.study.energy import EnergyMeter


def package(root: Path, number: int, microjoules: int, wraps_at: int = 10**9) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir()
    (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    return folder / "energy_uj"


def test_packages_are_added_and_shared(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 1_000_000), package(tmp_path, 1, 0)
    with EnergyMeter(shared_by=2, root=tmp_path) as meter:
        first.write_text("4000000")
        second.write_text("500000")
    first.write_text("9000000")  # after the block: counts no more
    assert meter.joules == pytest.approx((3.0 + 0.5) / 2)


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    counter = package(tmp_path, 0, 999, wraps_at=999)
    with EnergyMeter(root=tmp_path) as meter:
        counter.write_text("4")
    assert meter.joules == pytest.approx(5e-6)


def test_no_counter_is_none_and_not_zero(tmp_path: Path) -> None:
    with EnergyMeter(root=tmp_path / "none") as meter:
        pass
    assert meter.joules is None
