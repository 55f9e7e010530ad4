"""Remedies in sentences, with the training's own values: what a twin tried, what is known, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.remedies import LINES, sentence, tried
from evenflow.diagnose.rules import RULES
from evenflow.spec.setting import Input, Layer, Optimiser, Output, Parameter, Setting, Target, Trial

FINDING = Finding("lr_too_high", "EF401", "fault", 0.9, (), 0, {}, "Too high.", ("lower_learning_rate",))
OWN = Trial(change="nothing", loss=(2.3,) * 20, score=0.2, chance=0.1)


def setting(*twins, rates=(0.3,), kind="SGD", **more):
    return Setting(
        optimisers=tuple(Optimiser(type=kind, learning_rate=rate) for rate in rates),
        twins=(OWN, *twins) if twins else (),
        **more,
    )


def twin(change, score, factor=1.0):
    return Trial(change=change, factor=factor, loss=(2.3,) * 10 + (0.1,) * 10, score=score, chance=0.1)


def test_every_remedy_that_a_rule_names_has_a_sentence():
    named = {one for rule in RULES.values() for one in rule.remedies}
    assert named <= set(LINES)
    for one in named:
        said = sentence(one, FINDING, Setting())
        assert said.endswith(".")
        assert said[0].isupper()
        assert "nan" not in said


def test_a_twin_says_how_far_the_rate_is_to_be_lowered_and_what_came_of_it():
    found = setting(twin("learning_rate", 0.81, 0.1), twin("learning_rate", 0.5, 0.01))
    assert sentence("lower_learning_rate", FINDING, found) == (
        "Lower the learning rate from 0.3 to 0.03: with that the same training was 61 points better."
    )
    assert [one.trial.factor for one in tried("lower_learning_rate", found)] == [0.1, 0.01]
    assert tried("raise_learning_rate", found) == ()


def test_twins_that_are_no_better_are_told_as_tried():
    found = setting(twin("learning_rate", 0.2, 0.1), twin("learning_rate", 0.2, 0.01))
    assert sentence("lower_learning_rate", FINDING, found) == (
        "Lower the learning rate from 0.3, further than to 0.03 and 0.003, which did not help yet."
    )


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ((), "Raise the learning rate tenfold to begin with."),
        ((1e-6,), "Raise the learning rate from 1 × 10⁻⁶ to 1 × 10⁻⁵ to begin with."),
        (
            (0.1, 0.01),
            "Raise the learning rate from 0.1 to 1 (of the fastest group, and the others with it) to begin with.",
        ),
    ],
)
def test_without_twins_a_power_of_ten_is_proposed(rates, said):
    assert sentence("raise_learning_rate", FINDING, setting(rates=rates)) == said


def test_a_rate_of_0_is_not_multiplied():
    still = replace(FINDING, evidence={"cause": "learning rate 0"})
    assert sentence("raise_learning_rate", still, setting(rates=(0.0,))) == (
        "Give the optimiser a learning rate above 0."
    )


@pytest.mark.parametrize(
    ("remedy", "change", "begin", "end"),
    [
        (
            "standardise_input",
            "inputs",
            "Standardise the inputs",
            "(over all of it 33.0 and 78.0): with that",
        ),
        (
            "mend_output_layer",
            "output",
            "Leave out the softmax behind head",
            "probabilities are read: with that",
        ),
        ("add_to_optimiser", "unfrozen", 'Give SGD "0.weight" as well', "with all weights trained"),
    ],
)
def test_other_twins_are_told_too(remedy, change, begin, end):
    known_of = {
        "inputs": (Input(name="input", shape=(8, 2), mean=33.0, std=78.0),),
        "output": Output(layer="head1", activation="softmax", loss="cross_entropy", units=3),
    }
    finding = replace(FINDING, sites=("0.weight",))
    said = sentence(remedy, finding, setting(twin(change, 0.9), **known_of))
    assert said.startswith(begin.replace("head", "head1"))
    assert end in said
    assert said.endswith("the same training was 70 points better.")
    assert "points" not in sentence(remedy, finding, setting(twin(change, 0.21), **known_of))


def test_the_layer_that_the_finding_names_is_the_one_whose_spread_is_told():
    layers = tuple(
        Layer(
            name=name,
            type="Linear",
            depth=place,
            fan_in=8,
            fan_out=8,
            weight_std=std,
            expected_std=0.5,
            activation=of,
        )
        for place, (name, std, of) in enumerate((("0", 5.0, "relu"), ("2", 2.0, "relu"), ("4", 0.5, "")))
    )
    finding = replace(FINDING, sites=("2.weight",))
    assert sentence("reinitialise", finding, Setting(layers=layers)) == (
        'Draw the weights anew, torch.nn.init.kaiming_normal_: those of "2" have standard deviation 2.0, where 0.50 '
        "fits."
    )
    assert 'those of "0" have' in sentence("reinitialise", FINDING, Setting(layers=layers))
    sound = Setting(layers=layers[2:])
    assert sentence("reinitialise", FINDING, sound) == (
        "Draw the weights anew at random: torch.nn.init.xavier_uniform_."
    )


def test_shapes_of_outputs_and_targets_are_told():
    found = Setting(
        output=Output(loss="mse", shape=(8, 1), operations=("expand",)),
        target=Target(kind="real", shape=(8,)),
    )
    assert sentence("mend_loss", FINDING, found) == (
        "Give outputs (8, 1) and targets (8,) one shape, such as with output.squeeze(-1)."
    )
    nll = Setting(output=Output(loss="nll", activation="softmax"))
    assert (
        sentence("mend_loss", FINDING, nll)
        == "In place of nll take cross_entropy on the last layer's numbers."
    )


def test_the_operation_that_made_a_nan_is_guarded_by_its_kind():
    def said(origin):
        return sentence("guard_operation", replace(FINDING, evidence={"origin": origin}), Setting())

    assert "clamp_min" in said("forward: aten::log in the model's own forward")
    assert "divisor" in said("forward: aten::div in the model's own forward")
    assert "under the root" in said("backward: SqrtBackward0")
    assert "slope is not" in said("loss: gradient of output 0 arrived non-finite from the loss")
    assert "loss function" in said("not traced")


def test_weights_of_16_bits_are_named():
    parameters = (Parameter(name="a.weight", layer="a", kind="weight", size=4, dtype="bfloat16"),)
    said = sentence("raise_precision", replace(FINDING, sites=("a.weight",)), Setting(parameters=parameters))
    assert "not bfloat16" in said


def test_a_name_that_is_not_known_has_no_sentence():
    assert sentence("turn_it_off", FINDING, Setting()) == ""
