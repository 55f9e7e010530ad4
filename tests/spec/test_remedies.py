"""Remedies on a specification: each changes what it says and nothing else, or says why it cannot."""

import math

import pytest

from evenflow.errors import SpecError
from evenflow.spec.data import Data
from evenflow.spec.files import study_from_text, study_to_text
from evenflow.spec.initialisation import gain
from evenflow.spec.network import Network
from evenflow.spec.remedies import NEVER, USUAL, chosen, remedied, why_not
from evenflow.spec.specification import Specification
from evenflow.spec.study import Study
from evenflow.spec.training import Training

NETWORK = Network(depth=9, width=8, activation="sigmoid", bias_initialisation="constant:-1", dropout=0.5)
ORIGINAL = Specification(
    network=NETWORK,
    data=Data(name="digits", standardise=False),
    training=Training(optimiser="sgd", learning_rate=0.1, steps=200, weight_decay=0.5),
)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lower_learning_rate:0.1", {"learning_rate": 0.01}),
        ("raise_learning_rate:100", {"learning_rate": 10.0}),
        ("warm_up:linear", {"warm_up": 20}),
        ("change_optimiser:adamw 0.003", {"optimiser": "adamw", "learning_rate": 0.003}),
        ("clip_gradients:norm", {"clip": "norm:1"}),
        ("standardise_input:features", {"standardise": True}),
        ("lower_weight_decay:0.01", {"weight_decay": 0.005}),
        ("lower_dropout:0.1", {"dropout": 0.1}),
        ("change_activation:gelu", {"activation": "gelu"}),
        (
            "change_activation:relu+he",
            {"activation": "relu", "initialisation": "he", "bias_initialisation": "auto"},
        ),
        ("reinitialise:xavier", {"initialisation": "xavier", "bias_initialisation": "auto"}),
        ("zero_biases", {"bias_initialisation": "zero"}),
        ("add_normalisation:rms", {"normalisation": "rms"}),
        ("add_skip_connections:plain", {"residual": "pre"}),
        ("add_skip_connections:scaled", {"residual": "pre", "residual_scale": 0.25}),  # 1/√(2·8)
    ],
)
def test_a_remedy_changes_what_it_says_and_nothing_else(name, changes):
    before, after = ORIGINAL.fields, remedied(ORIGINAL, name).fields
    assert {key: after[key] for key in before if after[key] != before[key]} == changes


def test_orthogonal_matrices_have_the_gain_of_the_activation():
    changed = remedied(ORIGINAL, "reinitialise:orthogonal").network
    kind, _, factor = changed.initialisation.partition(":")
    assert kind == "orthogonal"
    assert float(factor) == pytest.approx(gain("sigmoid"), rel=1e-5)


def test_remedies_of_what_only_some_networks_have():
    joined = ORIGINAL.with_fields({"residual": "post", "normalisation": "layer", "clip": "norm:0.5"})
    assert remedied(joined, "pre_norm").network.residual == "pre"
    assert remedied(joined, "scale_residual_branches:scaled").network.residual_scale == 0.25
    assert remedied(joined, "raise_clip_norm:none").network.clip == "none"
    assert remedied(joined, "raise_clip_norm:3").network.clip == "norm:3"
    adaptive = Specification(training=Training(optimiser="adamw"))
    changed = remedied(adaptive, "change_optimiser:sgd 0.01").training
    assert (changed.optimiser, changed.learning_rate, changed.decay) == ("momentum", 0.01, 0.01)


def test_what_a_training_has_measured_is_taken_over():
    assert remedied(ORIGINAL, "clip_gradients:value", {"bound": 0.03}).network.clip == "value:0.03"
    scaled = remedied(ORIGINAL, "add_skip_connections:scaled", {"scale": 0.5}).network
    assert scaled.residual_scale == 0.5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *NEVER.items(),
        ("change_activation:sigmoid", "the activation is sigmoid already"),
        ("reinitialise:critical", "no initialisation of a specification has a gain that is handed over"),
        ("reinitialise:data", "a specification draws its weights without looking at data"),
        ("change_optimiser:sgd 0.1", "its optimiser is sgd already"),
        ("scale_residual_branches:scaled", "it has no residual branches"),
        ("add_skip_connections:zero", "residual_scale is a number and not learned"),
        ("clip_gradients:adaptive", "bounds no unit by its own weights"),
        ("clip_gradients:value", "the bound of an entry is measured on gradients"),
        ("raise_clip_norm:none", "it does not clip the norm of its gradients"),
        ("pre_norm", "it has no normalisation behind the sum of branch and skip"),
        ("standardise_input:whole", "feature by feature"),
    ],
)
def test_what_cannot_be_carried_out_says_why(name, reason):
    assert reason in why_not(ORIGINAL, name)
    with pytest.raises(SpecError, match=f'remedy "{name}" cannot be carried out on this specification: '):
        remedied(ORIGINAL, name)


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        (
            {"normalisation": "layer"},
            "add_normalisation:batch",
            "its layers have a normalisation already, layer",
        ),
        ({"batch": 1}, "add_normalisation:batch", "at least 2 samples"),
        ({"residual": "pre"}, "add_skip_connections:plain", "it has skip connections already"),
        ({"width": [8, 4], "depth": None}, "add_skip_connections:plain", "equal width"),
        ({"depth": 1}, "add_skip_connections:plain", "no hidden layer behind another"),
        ({"bias_initialisation": "zero"}, "zero_biases", "its biases are 0 already"),
        ({"initialisation": "he", "bias_initialisation": "zero"}, "reinitialise:he", "drawn so already"),
        ({"activation": ["relu", "tanh"]}, "reinitialise:orthogonal", "several gains"),
        ({"clip": "norm:0.5"}, "clip_gradients:norm", "its gradients are clipped already, norm:0.5"),
        ({"clip": "norm:2"}, "raise_clip_norm:1", "no more than the bound that it has, 2"),
        ({"warm_up": 10}, "warm_up:linear", "it warms up already, over 10 steps"),
        ({"standardise": True}, "standardise_input:features", "standardised already"),
        ({"weight_decay": 0.0}, "lower_weight_decay:0", "its weight decay is 0 already"),
        ({"dropout": 0.1}, "lower_dropout:0.1", "its dropout is 0.1 already"),
        (
            {"residual": "pre", "residual_scale": 0.5},
            "scale_residual_branches:scaled",
            "scaled already, by 0.5",
        ),
    ],
)
def test_what_is_there_already_is_said(fields, name, reason):
    assert reason in why_not(ORIGINAL.with_fields(fields), name)


def test_words_stand_for_forms():
    every = chosen(["all"])
    assert len(every) == sum(map(len, USUAL.values())) == len(set(every))
    assert chosen(["add_normalisation", "add_normalisation:rms", "warm_up"]) == (
        "add_normalisation:batch",
        "add_normalisation:layer",
        "add_normalisation:rms",
        "warm_up:linear",
    )
    assert chosen([]) == ()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("add_normalization", 'is not known; did you mean "add_normalisation"?; known: all, lower_'),
        (
            "unfreeze",
            '"unfreeze" cannot be carried out in a study: no parameter of a specification is frozen',
        ),
        ("add_normalisation:batsh", '"add_normalisation:batsh" is not known; did you mean "batch"?'),
        ("change_activation:rellu", 'activation "rellu" is not known; did you mean "relu"?'),
        ("change_activation:relu+hee", 'initialisation "hee" is not known; did you mean "he"?'),
        ("lower_learning_rate:x", 'a number is needed, such as "lower_learning_rate:0.1"'),
        ("raise_clip_norm:high", 'a number is needed, such as "raise_clip_norm:10"'),
        ("change_optimiser:adam", 'a number is needed, such as "change_optimiser:adam 0.001"'),
        ("zero_biases:1", "it has one form only, without a colon"),
    ],
)
def test_a_misspelt_remedy_is_named_before_anything_runs(word, message, tmp_path):
    text = f'remedies = ["{word}"]'
    with pytest.raises(SpecError) as caught:
        study_from_text(text, "mine.toml", tmp_path)
    assert str(caught.value).startswith("mine.toml: remedies: ")
    assert message in str(caught.value)


def test_a_study_trains_every_changed_network_once():
    study = Study(
        network=Network(depth=3, width=8),
        grid={"activation": ("sigmoid", "relu")},
        seeds=2,
        remedies=("change_activation:relu", "add_normalisation:batch", "scale_residual_branches"),
    )
    trials = list(study.trials())
    assert len(trials) == 6
    reasons = [changed for _, _, changed in trials if isinstance(changed, str)]
    assert reasons == [
        "it has no residual branches",
        "the activation is relu already",
        "it has no residual branches",
    ]
    # sigmoid with relu is the grid's own relu: two normalised networks are new, with two seeds each
    added = study.remedied_cells()
    assert [(cell.network.activation, cell.network.normalisation, cell.seed) for cell in added] == [
        ("sigmoid", "batch", 0),
        ("sigmoid", "batch", 1),
        ("relu", "batch", 0),
        ("relu", "batch", 1),
    ]
    assert not {cell.key for cell in added} & {cell.key for cell in study.cells()}


def test_remedies_are_read_and_written(tmp_path):
    study = Study(remedies=("all",), grid={"activation": ("tanh",)})
    assert study_from_text(study_to_text(study), "again", tmp_path) == study


def test_a_warm_up_grows_linearly():
    training = Training(learning_rate=0.5, warm_up=10)
    rates = [training.rate_at(step) for step in range(12)]
    assert rates[0] == pytest.approx(0.005)
    assert math.isclose(rates[5], 0.5 * (0.01 + 0.99 * 0.5))
    assert rates[10:] == [0.5, 0.5]
    with pytest.raises(SpecError, match="warm_up = -1: it is a number of steps, at least 0"):
        Training(warm_up=-1)
