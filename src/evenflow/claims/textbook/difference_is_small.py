"""Newer activations against ReLU: accuracy in shallow and in deep networks, with and without a fitting start."""

from __future__ import annotations

from dataclasses import dataclass

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figures, every, sampled, within
from evenflow.claims.verdict import Statement, Verdict, case, weigh
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_OTHERS = ("silu", "elu", "prelu", "gelu")


@dataclass(frozen=True)
class _Place:
    """Networks in which the functions are compared, and which of them in the quick form."""

    text: str
    depth: int
    initialisation: str
    rate: float
    seeds: tuple[int, int]
    quick: tuple[str, ...] = _OTHERS


_PLACES = {
    "shallow": _Place("3 layers with PyTorch's default weights", 3, "torch", 0.001, (4, 8)),
    "deep": _Place("8 layers with the gain that fits each activation", 8, "gain", 0.003, (4, 8)),
    "fast": _Place(
        "5 layers, Adam at 0.05, fifty times its usual rate", 5, "torch", 0.05, (10, 12), ("prelu",)
    ),
    "default": _Place("24 layers with PyTorch's default weights", 24, "torch", 0.005, (6, 8), ("elu",)),
}
_SMALL = 0.05


def experiment(settings: Settings, base: str = "relu", others: tuple[str, ...] = _OTHERS) -> Figures:
    """Digits: accuracy of each function minus that of the base, from equal starts on equal batches."""
    steps, figures = settings.choose(180, 400), {}
    given: dict[str, str] = dict(zip(_OTHERS, others, strict=True))
    for key, place in _PLACES.items():
        roles = settings.choose(place.quick, _OTHERS)
        study = Study(
            network=Network(
                depth=place.depth, width=settings.choose(32, 64), initialisation=place.initialisation
            ),
            data=Data(name="digits"),
            training=Training(steps=steps, batch=64, learning_rate=place.rate),
            grid={"activation": (base, *(given[role] for role in roles))},
            seeds=settings.seeds(*place.seeds),
            record_every=steps,
        )
        summary = trained(study)
        reference = per_seed(cell_of(summary, activation=base), "test_accuracy")
        for role in roles:
            accuracies = per_seed(cell_of(summary, activation=given[role]), "test_accuracy")
            differences = [b - a for a, b in zip(reference, accuracies, strict=True)]
            figures[f"{key} {role}"] = sampled(f"{place.text}: {given[role]} minus {base}", differences)
    return figures


def judge(figures: Figures) -> Verdict:
    """Small: within five points of accuracy, for every one of them that was tried."""
    tried = {
        key: place for key, place in _PLACES.items() if any(name.startswith(f"{key} ") for name in figures)
    }
    return weigh(*(_in(key, place, figures) for key, place in tried.items()))


def _in(key: str, place: _Place, figures: Figures) -> Statement:
    shown = [figures[f"{key} {name}"] for name in _OTHERS if f"{key} {name}" in figures]
    return case(f"in {place.text}", every(*(within(one, -_SMALL, _SMALL) for one in shown)), *shown)


CLAIM = Claim(
    name="difference_is_small",
    sentence="Between SiLU (Swish), ELU, PReLU or GELU and ReLU the difference is usually small.",
    source="lecture notes and tutorials",
    true_if="Their accuracy is within five points of ReLU's.",
    false_if="It is further off, as where the one trains and the other does not.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
