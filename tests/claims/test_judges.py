"""No verdict is fixed: every judge is handed figures that say the opposite, and says something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evenflow.claims.figure import Figures, computed, sampled
from evenflow.claims.textbook import CLAIMS, claims_named
from evenflow.errors import SpecError

OPPOSITES: dict[str, dict[str, float]] = {
    "sigmoid_products": {"slope": 0.5},
    "five_layers_of_ten": {"chain kept": -1.0},
    "small_weight_chain": {"3 times": 63.0},
    "half_after_he": {"fan-in 64": 0.5, "fan-in 128": 0.5, "fan-in 512": 0.5, "chain": 0.95},
    "unit_stays_dead": {"sgd moved": 0.1},
    "leaky_revives": {"more": float("inf"), "adam": 0.0, "sgd": 0.0},
    "dying_by_numbers": {"adam 0.01": 0.1, "adam 0.1": 0.4},
    "high_rate_kills": {"adam": 0.0, "deep": 0.0, "narrow": 0.0, "sgd": 0.0, "sgd high": 0.0},
    "networks_with_dead_units": {"shallow count": 0.0, "deep count": 0.0, "default count": 0.0},
    "half_are_zero": {"first": 0.5, "twentieth": 0.5, "slow": 0.5, "fast": 0.5},
    "inputs_use_other_units": {f"{term} {layer}": 0.9 for term in ("he", "torch") for layer in (1, 5, 20)},
    "zeros_are_fast": {"dense": 0.5, "sparse": 0.5, "sparse most": 0.5},
    "relu_is_cheap": {
        f"{name} {part}": 2.0
        for name in ("sigmoid", "tanh", "gelu")
        for part in ("forward", "backward", "large", "step")
    },
    "slope_at_zero": {"zero 0.5": 0.0, "zero 1": 0.0},
    "uncentred_outputs": {"slow": 0.9},
    "elu_centres": {"trained": 0.1},
    "relu_explodes": {"torch": 5.0, "xavier": 5.0},
    "he_prevents_explosion": {"none": 3.0},
    "deep_defaults": {
        "torch sigmoid": -5.0,
        "torch tanh": -5.0,
        "torch relu": 0.0,
        "torch gelu": 0.0,
        "torch lead": 0.1,
    },
    "tanh_saturates": {"torch start": 0.5},
    "alternating_vanishes": {"he": 0.0},
    "difference_is_small": {"fast prelu": 0.0, "default elu": 0.0},
    "batch_norm_stable": {"20": 0.0, "50": 0.0, "100": 0.0},
    "residual_connections": {"more": 0.0},
    "gates_in_time": {"GRU five": 0.5, "LSTM five": 0.5, "LSTM closed": 0.5},
    "clipping_lifts": {"norm": 2.0, "value": 2.0},
    "stable_is_reproducible": {"half": 3.0},
    "majority_only": {"sigmoid rare": 0.9},
    "faster_saves_energy": {"step": 0.5},
}


def altered(figures: Figures, values: dict[str, float]) -> Figures:
    """The same figures with some values replaced, without any doubt about them."""
    unknown = set(values) - set(figures)
    assert not unknown, unknown
    return {**figures, **{key: computed(figures[key].text, value) for key, value in values.items()}}


def test_every_claim_has_an_opposite() -> None:
    assert list(OPPOSITES) == list(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_figures_that_say_the_opposite_change_the_verdict(name, ledger_results) -> None:
    judge, figures = CLAIMS[name].judge, ledger_results[name].figures
    assert judge(altered(figures, {})).kind == judge(figures).kind
    assert judge(altered(figures, OPPOSITES[name])).kind != judge(figures).kind


@pytest.mark.parametrize("name", CLAIMS)
def test_figures_without_intervals_decide_nothing(name, ledger_results) -> None:
    figures = {key: sampled(one.text, [one.value]) for key, one in ledger_results[name].figures.items()}
    assert CLAIMS[name].judge(figures).kind == "not decided"


@pytest.mark.parametrize("name", CLAIMS)
def test_a_judge_answers_with_the_figures_it_was_given(name, ledger_results) -> None:
    figures = ledger_results[name].figures
    verdict = CLAIMS[name].judge(figures)
    shown = [figure for one in verdict.statements for figure in one.figures]
    assert shown
    assert all(any(figure is given for given in figures.values()) for figure in shown)
    assert all(one.figures for one in verdict.statements)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_is(name) -> None:
    claim = CLAIMS[name]
    assert claim.name == name == claim.home.rpartition(".")[2]
    for text in (claim.sentence, claim.true_if, claim.false_if):
        assert text.endswith(".")
    assert claim.source
    assert claim.experiment.__doc__
    assert claim.judge.__doc__


def test_the_hash_tells_a_changed_claim(monkeypatch) -> None:
    claim = CLAIMS["half_are_zero"]
    assert claim.hash == replace(claim).hash != CLAIMS["clipping_lifts"].hash
    before, read = claim.hash, _sources()
    monkeypatch.setattr("evenflow.claims.claim.getsource", lambda module: read(module).replace("0.4", "0.3"))
    assert claim.hash != before


def test_the_hash_counts_the_helpers_of_the_experiment(monkeypatch) -> None:
    with_trainings, without = CLAIMS["half_are_zero"], CLAIMS["unit_stays_dead"]
    before, read = (with_trainings.hash, without.hash), _sources()

    def changed(module):
        return read(module) + ("# changed" if module.__name__.endswith("experiments.trainings") else "")

    monkeypatch.setattr("evenflow.claims.claim.getsource", changed)
    assert with_trainings.hash != before[0]
    assert without.hash == before[1]


def _sources() -> Callable:
    from inspect import getsource

    return getsource


def test_an_unknown_name_is_an_error_that_suggests_one() -> None:
    with pytest.raises(SpecError) as caught:
        claims_named(["half_are_zeros"])
    assert str(caught.value) == (
        'claim "half_are_zeros" is not known; did you mean "half_are_zero"?; '
        f"'evenflow claims' lists all {len(CLAIMS)}"
    )


def test_names_may_be_written_with_hyphens_and_none_means_all() -> None:
    assert [one.name for one in claims_named(["Half-are-zero", "half_are_zero"])] == ["half_are_zero"]
    assert len(claims_named([])) == len(CLAIMS)
