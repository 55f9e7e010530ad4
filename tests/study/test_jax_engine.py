"""The fast engine against the torch engine, and against its own restart."""

import itertools
import math

import numpy as np
import pytest
import torch
from study.jax_engine import DIGITS, Figures, by_jax, by_torch, cell, distance, figures

from evenflow import activation_names, build, register_activation
from evenflow.spec.study import Cell
from evenflow.study.data import load
from evenflow.study.engines.compiled.state import fresh, sites
from evenflow.study.engines.readings import parameter_sites

FLOAT32, FLOAT64 = 1e-5, 1e-5
ROUNDING, DRAWS = 3.0, 6  # times the largest of so many draws of torch's own rounding
OPTIMISERS = {
    "sgd": {"optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 0.01},
    "momentum": {"optimiser": "momentum", "learning_rate": 0.01, "momentum": 0.8},
    "adam": {"optimiser": "adam", "learning_rate": 1e-3},
    "adamw": {"optimiser": "adamw", "learning_rate": 1e-3},
}
NORMALISATIONS = [("none", "before"), *itertools.product(("batch", "layer", "rms"), ("before", "after"))]
RESIDUALS = ("none", "pre", "post")
CATALOGUE = [name for name in activation_names() if not name.endswith("_example")]

# Every value of each of the four at least once, and every pair of normalisation and residual.
COVERING = [
    (CATALOGUE[number % len(CATALOGUE)], norm, residual, list(OPTIMISERS)[number % 4])
    for number, (norm, residual) in enumerate(itertools.product(NORMALISATIONS, RESIDUALS))
]


def quick(cases: list, every: int) -> list:
    """All cases, of which one in `every` is not among the slow tests: each has its own program to compile."""
    return [
        case if number % every == 1 else pytest.param(*case, marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]


def combination(
    name: str | tuple[str, ...], norm: tuple[str, str], residual: str, optimiser: str, **options
) -> Cell:
    network = {
        "activation": name,
        "normalisation": norm[0],
        "normalisation_position": norm[1],
        "residual": residual,
        "residual_scale": 0.5,
        "initialisation": "lecun",
        "bias_initialisation": "normal:0.1",
        "depth": 2 if isinstance(name, str) else len(name),
    }
    return cell(network, OPTIMISERS[optimiser], **options)


def within_rounding(which: Cell, ours: Figures) -> bool:
    """Whether figures of 10 steps in float32 are those of the torch engine, to 1e-5 or to what rounding alone makes.

    A gradient near 0 is rounded to another sign now and then, and Adam takes a full step after it. How far that goes is
    asked of torch itself: from float64 to float32, the samples inside of every batch in several orders.
    """
    if distance(which, ours, by_torch(which)) < FLOAT32:
        return True
    exact = by_torch(which, torch.float64)
    rounding = max(distance(which, by_torch(which, order=order), exact) for order in range(DRAWS))
    return distance(which, ours, exact) < ROUNDING * rounding


@pytest.mark.parametrize(("name", "norm", "residual", "optimiser"), quick(COVERING, 7))
def test_ten_steps_in_float32(name, norm, residual, optimiser) -> None:
    which = combination(name, norm, residual, optimiser)
    assert within_rounding(which, figures(by_jax([which])[0]))


@pytest.mark.parametrize(("name", "norm", "residual", "optimiser"), quick(COVERING, 20))
def test_a_hundred_steps_in_float64(name, norm, residual, optimiser) -> None:
    which = combination(name, norm, residual, optimiser, steps=100, every=50)
    assert distance(which, figures(by_jax([which], np.float64)[0]), by_torch(which, torch.float64)) < FLOAT64


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMALISATIONS, ids="-".join)
@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_combination(norm, residual, optimiser) -> None:
    """Every activation, as a layer of one of three networks: a program for each would take three times as long."""
    import jax

    for names in zip(*[iter(CATALOGUE)] * 5, strict=True):
        which = combination(names, norm, residual, optimiser)
        assert within_rounding(which, figures(by_jax([which])[0])), names
        which = combination(names, norm, residual, optimiser, steps=100, every=50)
        found = distance(which, figures(by_jax([which], np.float64)[0]), by_torch(which, torch.float64))
        assert found < FLOAT64, names
        jax.clear_caches()


@pytest.mark.parametrize("optimiser", ["sgd", pytest.param("adamw", marks=pytest.mark.slow)])
def test_networks_of_a_group_warm_up_on_their_own(optimiser: str) -> None:
    """Records at steps 0, 5 and 10; the rate of AdamW is in its decay too."""
    cells = [
        cell({}, {"optimiser": optimiser, "learning_rate": 0.02, "warm_up": steps, "weight_decay": 0.5})
        for steps in (0, 3, 20)
    ]
    found = [figures(moments) for moments in by_jax(cells)]
    for which, ours in zip(cells, found, strict=True):
        assert within_rounding(which, ours)
    assert distance(cells[0], found[1], found[0]) > 100 * FLOAT32


def test_networks_of_a_group_have_their_own_seeds_rates_draws_scales_and_bounds() -> None:
    cells = [
        cell(
            {"initialisation": draw, "residual": "pre", "residual_scale": scale, "clip": f"norm:{bound}"},
            {"optimiser": "adamw", "learning_rate": rate, "weight_decay": decay},
            seed=seed,
        )
        for seed, draw, scale, bound, rate, decay in (
            (1, "he", 1.0, 0.1, 1e-3, 0.01),
            (2, "orthogonal:0.9", 0.5, 10.0, 3e-4, 0.0),
            (2, "normal:0.2", 0.25, 1.0, 1e-3, 0.1),
        )
    ]
    for which, found in zip(cells, by_jax(cells), strict=True):
        assert distance(which, figures(found), by_torch(which)) < FLOAT32


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        {"depth": 4, "width": (16, 8, 8, 8), "activation": ("relu", "sigmoid"), "clip": "value:0.001"},
        {"depth": 1, "activation": "leaky_relu:0.2", "clip": "norm:0.01"},
    ],
)
def test_shapes_and_clipping(network: dict) -> None:
    which = cell(network)
    assert distance(which, figures(by_jax([which])[0]), by_torch(which)) < FLOAT32


@pytest.mark.slow
def test_shares_are_those_of_torch() -> None:
    """Accuracy, recall, dead, zero and saturated shares: at most an entry in a thousand on the other side."""
    which = cell({"activation": "relu", "bias_initialisation": "normal:1", "depth": 5})
    ours, theirs = figures(by_jax([which])[0]), by_torch(which)
    names = ("accuracy", "recall", "dead_fraction", "zero_fraction", "saturated_fraction", "nonfinite_count")
    compared = [
        (ours[place][name], value)
        for place, row in theirs.items()
        for name, value in row.items()
        if name in names
    ]
    assert len(compared) > 50
    assert max(abs(a - b) for a, b in compared) < 0.03
    assert sum(abs(a - b) > 1e-9 for a, b in compared) <= 0.05 * len(compared)
    assert any(row.get("dead_fraction", 0) > 0 for row in theirs.values())


@pytest.mark.slow
def test_a_function_over_the_array_namespace() -> None:
    register_activation("bump_of_jax", lambda z, xp: z * xp.exp(-0.5 * z * z))
    which = cell({"activation": "bump_of_jax"})
    assert distance(which, figures(by_jax([which])[0]), by_torch(which)) < FLOAT32


def test_a_figure_does_not_depend_on_the_others_of_the_group() -> None:
    cells = [cell({}, {"learning_rate": rate}, seed=seed) for seed, rate in ((1, 1e-3), (2, 1e-2), (3, 1e-4))]
    first = [figures(moments) for moments in by_jax(cells)]
    turned = [figures(moments) for moments in by_jax([cells[2], cells[0], cells[0]])]
    assert turned[0] == first[2]
    assert turned[1] == turned[2] == first[0]


def test_a_training_that_goes_on_from_a_snapshot_is_the_same_to_the_bit() -> None:
    from evenflow.study.engines.jax import train
    from evenflow.study.engines.moment import Stopwatch

    cells = [cell({"normalisation": "batch", "activation": "prelu"}, steps=13, seed=seed) for seed in (1, 2)]
    whole: list[list] = [[], []]
    kept: list[bytes | None] = [None, None]
    for moments in train(cells, load(DIGITS), Stopwatch()):
        for place, moment in moments.items():
            whole[place].append(moment)
            if moment.step == 5:
                kept[place] = moment.snapshot()
    again = by_jax(cells, resume=kept)
    for place in (0, 1):
        assert [moment.step for moment in again[place]] == [10, 13]
        expected = {key: row for key, row in figures(whole[place]).items() if key[0] > 5}
        assert figures(again[place]) == expected


@pytest.mark.parametrize(("every", "evaluate"), [(10, None), pytest.param(1, 4, marks=pytest.mark.slow)])
def test_a_diverged_training_is_recorded_and_ends_while_the_others_go_on(every, evaluate) -> None:
    """In a record that is not evaluated, too: its end is."""
    settings = ({"learning_rate": 1e30}, {"learning_rate": 0.01})
    cells = [
        cell({}, {"optimiser": "sgd"} | one, steps=20, every=every, evaluate=evaluate) for one in settings
    ]
    ended, other = by_jax(cells)
    assert distance(cells[1], figures(other), by_torch(cells[1])) < FLOAT32
    assert ended[-1].diverged
    assert not other[-1].diverged
    assert other[-1].step == 20
    ours, theirs = figures(ended), by_torch(cells[0])
    assert {(place, *sorted(row)) for place, row in ours.items()} == {
        (place, *sorted(row)) for place, row in theirs.items()
    }
    assert 0 < ended[-1].step < 10
    assert not math.isfinite(ours[ended[-1].step, "batch", "loss", ""]["loss"])


@pytest.mark.parametrize(
    "network", [{"normalisation": "rms", "activation": "prelu", "normalisation_position": "after"}, {}]
)
def test_initial_parameters_are_those_that_torch_builds(network: dict) -> None:
    which = cell(network | {"normalisation": network.get("normalisation", "batch")}, seed=4)
    model = build(which.network, 64, 10, 4)
    state = fresh(which, 64, 10)
    assert list(state.parameters) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        assert np.array_equal(state.parameters[name], parameter.detach().numpy()), name
    assert sites(state.parameters) == [site for site, _ in parameter_sites(model)]


def test_a_difference_of_one_step_would_be_seen() -> None:
    """The tolerance is far below what one step changes."""
    which = cell({}, steps=10)
    later = cell({}, {"learning_rate": 1.01e-3}, steps=10)
    assert distance(which, by_torch(later), by_torch(which)) > 100 * FLOAT32


@pytest.mark.slow
def test_later_the_distribution_is_that_of_torch() -> None:
    """150 steps, chaotic: losses of seeds differ between engines no more than float32 and float64 of torch do."""
    cells = [
        cell({"depth": 6}, {"learning_rate": 3e-3}, steps=150, every=150, seed=seed) for seed in range(3)
    ]
    last = (150, "train", "loss", "")
    ours = np.array([figures(moments)[last]["loss"] for moments in by_jax(cells)])
    narrow = np.array([by_torch(which)[last]["loss"] for which in cells])
    wide = np.array([by_torch(which, torch.float64)[last]["loss"] for which in cells])
    assert np.abs(ours - narrow).max() < 0.02 + 5 * np.abs(narrow - wide).max()
