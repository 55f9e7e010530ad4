"""Fully connected networks with one fault each, and a sound one, as studies that try the textbooks' solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

SEEDS = 6
REMEDIES = (
    "change_activation:relu",
    "change_activation:relu+he",
    "change_activation:leaky_relu",
    "change_activation:leaky_relu+he",
    "reinitialise:he",
    "zero_biases",
    "add_normalisation:batch",
    "add_normalisation:layer",
    "add_skip_connections:plain",
    "add_skip_connections:scaled",
    "clip_gradients:norm",
    "lower_learning_rate:0.1",
    "standardise_input:features",
)
"""The solutions of the textbooks, and beside them what answers faults that these do not."""


@dataclass(frozen=True)
class Fault:
    """A network with something wrong.

    Args:
        name: of its store.
        title: a few words, for a row of a table.
        what: what is wrong, in a sentence.
        study: of the one network, with the remedies.
    """

    name: str
    title: str
    what: str
    study: Study


def _fault(
    name: str,
    title: str,
    what: str,
    network: dict[str, Any],
    training: dict[str, Any] | None = None,
    standardise: bool = True,
) -> Fault:
    study = Study(
        name=name,
        seeds=SEEDS,
        record_every=50,
        network=Network(width=32, **network),
        data=Data(name="digits", standardise=standardise),
        training=Training(batch=64, steps=200, **(training or {})),
        remedies=REMEDIES,
    )
    return Fault(name, title, what, study)


FAULTS = (
    _fault(
        "deep_sigmoid",
        "deep sigmoid",
        "20 layers of sigmoids with PyTorch's own weights: the gradient loses most of a decade a layer",
        {"depth": 20, "activation": "sigmoid"},
    ),
    _fault(
        "deep_gelu",
        "deep GELU with PyTorch's weights",
        "20 layers of GELUs with PyTorch's own weights, which are √6 times too small for them",
        {"depth": 20, "activation": "gelu"},
    ),
    _fault(
        "deep_relu",
        "deep ReLU with PyTorch's weights",
        "20 layers of ReLUs with PyTorch's own weights: signals fade and the biases take over",
        {"depth": 20, "activation": "relu"},
    ),
    _fault(
        "exploding_tanh",
        "exploding tanh",
        "20 layers of tanh with weights three times too large (standard deviation 3/√n): chaos, a gradient that grows "
        "backwards",
        {"depth": 20, "activation": "tanh", "initialisation": "normal:0.53"},
    ),
    _fault(
        "unnormalised_depth",
        "40 layers of ReLU with He's weights",
        "40 layers with weights as they should be, and nothing that keeps the signal in shape while they learn",
        {"depth": 40, "activation": "relu", "initialisation": "he"},
    ),
    _fault(
        "dead_relu",
        "dead ReLU (biases −10)",
        "4 layers of ReLUs whose biases keep every unit below 0 for every sample",
        {"depth": 4, "activation": "relu", "initialisation": "he", "bias_initialisation": "constant:-10"},
    ),
    _fault(
        "dying_relu",
        "dying ReLU by the rate",
        "6 layers of ReLUs that Adam with a learning rate of 0.1 throws below 0",
        {"depth": 6, "activation": "relu", "initialisation": "he"},
        {"learning_rate": 0.1},
    ),
    _fault(
        "rate_too_high",
        "gradient descent at rate 1",
        "6 layers of ReLUs under gradient descent with steps so long that the loss leaves the numbers",
        {"depth": 6, "activation": "relu", "initialisation": "he"},
        {"optimiser": "sgd", "learning_rate": 1.0},
    ),
    _fault(
        "small_weights",
        "weights far too small",
        "5 layers of ReLUs with weights of standard deviation 0.01, a twenty-fifth of He's",
        {"depth": 5, "activation": "relu", "initialisation": "normal:0.01"},
        {"optimiser": "sgd", "learning_rate": 0.05},
    ),
    _fault(
        "large_weights",
        "weights far too large",
        "5 layers of ReLUs with weights of standard deviation 1, four times He's",
        {"depth": 5, "activation": "relu", "initialisation": "normal:1"},
        {"optimiser": "sgd", "learning_rate": 0.05},
    ),
    _fault(
        "raw_input",
        "raw inputs (0 to 16)",
        "4 layers of ReLUs under gradient descent on pixels that nobody has standardised",
        {"depth": 4, "activation": "relu", "initialisation": "he"},
        {"optimiser": "sgd", "learning_rate": 0.2},
        standardise=False,
    ),
    _fault(
        "sound",
        "sound (4 layers of ReLU)",
        "nothing is wrong: 4 layers of ReLUs with He's weights, Adam and standardised inputs",
        {"depth": 4, "activation": "relu", "initialisation": "he"},
    ),
)
