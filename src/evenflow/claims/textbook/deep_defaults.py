"""Twenty layers with framework defaults: PyTorch's, and Glorot's as Keras takes it."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import first_to_last
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figures, above, below, every, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_DEFAULTS = {"torch": "PyTorch's default", "xavier": "Glorot's, as in Keras"}
_VANISHING, _STABLE = ("sigmoid", "tanh"), ("relu", "gelu")


def experiment(
    settings: Settings, vanishing: tuple[str, str] = _VANISHING, stable: tuple[str, str] = _STABLE
) -> Figures:
    """Digits, 20 layers: gradient of the first weights over the last before training; accuracy after it."""
    width, figures = settings.choose(64, 128), {}
    roles = dict(zip((*_VANISHING, *_STABLE), (*vanishing, *stable), strict=True))
    for term, words in _DEFAULTS.items():
        for role, name in roles.items():
            network = Network(depth=20, width=width, activation=name, initialisation=term)
            decades = first_to_last(network, settings.seeds(8, 30))
            figures[f"{term} {role}"] = sampled(f"{name}, {words}: first over last", decades, "decades")
    study = Study(
        network=Network(depth=20, width=width),
        data=Data(name="digits"),
        training=Training(steps=settings.choose(150, 400), batch=64, learning_rate=0.003),
        grid={"initialisation": tuple(_DEFAULTS), "activation": stable},
        seeds=settings.seeds(3, 5),
        record_every=settings.choose(150, 400),
    )
    summary = trained(study)
    for term, words in _DEFAULTS.items():
        others, best = (
            per_seed(cell_of(summary, initialisation=term, activation=name), "test_accuracy")
            for name in stable
        )
        lead = [b - a for a, b in zip(others, best, strict=True)]
        for name, accuracies in zip(stable, (others, best), strict=True):
            figures[f"{term} {name} accuracy"] = sampled(f"{words}: accuracy of {name}", accuracies)
        figures[f"{term} lead"] = sampled(f"{words}: accuracy of {stable[1]} minus that of {stable[0]}", lead)
    return figures


def judge(figures: Figures) -> Verdict:
    """Vanishing: below a hundredth. Stable: within a factor of 10. The most accurate: better than ReLU."""
    texts = {
        "torch": "with PyTorch's default weights",
        "xavier": "with Glorot's weights, the default of Keras",
    }

    def whole(term: str, text: str):
        vanish = [figures[f"{term} {name}"] for name in _VANISHING]
        stable = [figures[f"{term} {name}"] for name in _STABLE]
        lead = figures[f"{term} lead"]
        answer = every(
            *(below(one, -2) for one in vanish), *(within(one, -1, 1) for one in stable), above(lead, 0)
        )
        return case(text, answer, *vanish, *stable, lead)

    return weigh(*(whole(term, text) for term, text in texts.items()))


CLAIM = Claim(
    name="deep_defaults",
    sentence="In a network of 20 layers with the framework's defaults the gradients of sigmoid and tanh vanish, those "
    "of ReLU and GELU stay stable, and GELU is the most accurate.",
    source="tutorials that compare activation functions",
    true_if="With sigmoid and tanh the first layer's gradient is below a hundredth of the last one's, with ReLU and "
    "GELU within a factor of 10 of it, and GELU is more accurate than ReLU.",
    false_if="Any of that is otherwise with that default.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
