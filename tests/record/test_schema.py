import re

import pytest

from evenflow.errors import SpecError
from evenflow.record import (
    KINDS,
    MERGES,
    PHASES,
    SOURCES,
    STATISTICS,
    Run,
    Site,
    Statistic,
    register_statistic,
)

STANDARD = (
    *("mean", "std", "rms", "max_abs", "zero_fraction", "dead_fraction", "saturated_fraction"),
    *("nonfinite_count", "grad_norm", "grad_norm_log10", "grad_norm_log10_sd", "grad_rms", "signal_rms"),
    *("weight_norm", "update_norm", "update_to_weight", "loss", "accuracy", "recall"),
)


@pytest.fixture(autouse=True)
def _registry_as_it_was():
    before = dict(STATISTICS)
    yield
    STATISTICS.clear()
    STATISTICS.update(before)


def statistic(name="sharpness", **changes):
    words = {
        "meaning": "sharpness",
        "formula": "-Σ p log p",
        "unit": "nat",
        "merge": "sum",
        "over": "all entries",
    }
    return Statistic(name, **{**words, **changes})


def test_the_standard_set_is_complete():
    assert set(STANDARD) <= set(STATISTICS)


@pytest.mark.parametrize("name", STANDARD)
def test_every_statistic_says_what_it_is(name):
    words = STATISTICS[name]
    assert words.name == name
    assert all([words.meaning, words.formula, words.unit, words.over])
    assert words.merge in MERGES


def test_vocabularies():
    assert PHASES == ("", "micro", "accumulated", "unscaled", "clipped")
    assert SOURCES == ("predicted", "measured", "simulated")
    assert {"weight", "bias", "activation", "pre-activation", "loss", "class"} <= set(KINDS)


def test_merge_rules_say_the_truth():
    """The rules as written in MERGES, computed by hand on two halves against the whole."""
    import numpy as np

    whole = np.random.default_rng(0).normal(size=12)
    a, b = whole[:5], whole[5:]
    na, nb = len(a), len(b)
    mean = (na * a.mean() + nb * b.mean()) / (na + nb)
    spread = na * (a.var() + (a.mean() - mean) ** 2) + nb * (b.var() + (b.mean() - mean) ** 2)
    merged = {
        "sum": a.sum() + b.sum(),
        "maximum": max(abs(a).max(), abs(b).max()),
        "mean by count": mean,
        "root mean square by count": np.sqrt((na * (a**2).mean() + nb * (b**2).mean()) / (na + nb)),
        "root of sum of squares": np.sqrt((a**2).sum() + (b**2).sum()),
        "deviation by count and mean": np.sqrt(spread / (na + nb)),
    }
    direct = {
        "sum": whole.sum(),
        "maximum": abs(whole).max(),
        "mean by count": whole.mean(),
        "root mean square by count": np.sqrt((whole**2).mean()),
        "root of sum of squares": np.sqrt((whole**2).sum()),
        "deviation by count and mean": whole.std(),
    }
    assert merged == pytest.approx(direct, rel=1e-12)
    assert set(direct) | {"dead in both", "from merged parts"} == set(MERGES)


def test_orders_of_magnitude_merge_as_they_say():
    """Two batches of initialisations merge into the figures of all of them, by the rules that the schema names."""
    import numpy as np

    logs = np.log10(np.random.default_rng(1).lognormal(-40, 3, size=30))
    a, b = logs[:7], logs[7:]
    mean = (7 * a.mean() + 23 * b.mean()) / 30
    spread = 7 * (a.var() + (a.mean() - mean) ** 2) + 23 * (b.var() + (b.mean() - mean) ** 2)
    assert STATISTICS["grad_norm_log10"].merge == "mean by count"
    assert STATISTICS["grad_norm_log10_sd"].merge == "deviation by count and mean"
    assert (mean, np.sqrt(spread / 30)) == pytest.approx((logs.mean(), logs.std()), rel=1e-12)


def test_register_adds_a_statistic_once():
    register_statistic(statistic())
    assert STATISTICS["sharpness"].unit == "nat"
    register_statistic(statistic())
    with pytest.raises(
        SpecError, match='statistic "sharpness" is registered with another meaning; choose another'
    ):
        register_statistic(statistic(unit="bit"))
    assert register_statistic(statistic(unit="bit"), replace=True).unit == "bit"


@pytest.mark.parametrize("name", ["Entropy", "1st", "", "a b", 'x"; DROP TABLE run; --', "é", "a" * 61])
def test_a_name_that_is_no_column_is_refused(name):
    with pytest.raises(
        SpecError, match=re.escape(f'statistic "{name}" cannot name a column; use at most 60')
    ):
        statistic(name)


@pytest.mark.parametrize("name", ["step", "run", "seed", "moment", "place", "depth"])
def test_a_name_of_another_column_is_refused(name):
    with pytest.raises(SpecError, match=f'statistic "{name}": the table has another column of this name'):
        statistic(name)


def test_an_unknown_merge_rule_is_refused():
    with pytest.raises(SpecError, match=r'merge rule "maximun" of .*did you mean "maximum"'):
        statistic(merge="maximun")


def test_sites_sort_and_refuse_an_unknown_kind():
    assert sorted([Site("b", "bias", 1, 2), Site("a", "weight", 2, 2)])[0].name == "a"
    with pytest.raises(SpecError, match='kind "wieght" of site "a" is not known; did you mean "weight"'):
        Site("a", "wieght", 1, 2)


def test_a_run_starts_pending():
    assert (Run("a").status, Run("a").steps_done, Run("a").fields) == ("pending", 0, {})
