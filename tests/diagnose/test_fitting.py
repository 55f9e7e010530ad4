"""Of all that can answer a finding, what fits this one: what helped comes first, what was tried in vain not at all."""

from __future__ import annotations

from dataclasses import replace

from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import Finding
from evenflow.diagnose.fitting import advised, fitting
from evenflow.diagnose.rules import RULES
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.setting import Input, Layer, Optimiser, Setting, Trial


def finding(rule, step=0, **evidence):
    found = RULES[rule]
    return Finding(rule, found.code, "fault", 0.9, ("2",), step, evidence, "So it is.", found.remedies)


def layer(name, **more):
    usual = {"type": "Linear", "depth": 1, "fan_in": 8, "fan_out": 8, "activation": "relu"}
    return Layer(name=name, **{**usual, **more})


def twins(*others):
    own = Trial(change="nothing", loss=(2.3,) * 10, score=0.2, chance=0.1)
    return (
        own,
        *(Trial(change=change, factor=factor, score=score, chance=0.1) for change, factor, score in others),
    )


def test_units_born_dead_were_killed_by_no_step():
    born = fitting(finding("dead_units", 0), Setting(layers=(layer("0", bias_mean=-10.0), layer("2"))), 0)
    assert "lower_learning_rate" not in born
    assert born[0] == "zero_biases"
    killed = fitting(finding("dead_units", 40), Setting(layers=(layer("0", bias_mean=0.01), layer("2"))), 0)
    assert killed[0] == "lower_learning_rate"
    assert not {"zero_biases", "reinitialise"} & set(killed)


def test_biases_that_are_small_are_not_to_be_zeroed():
    assert "zero_biases" not in fitting(
        finding("dead_units", 0), Setting(layers=(layer("0", bias_mean=0.01),)), 0
    )


def test_what_a_twin_showed_to_help_is_first_and_what_was_tried_in_vain_is_left_out():
    helped = Setting(twins=twins(("inputs", 1.0, 0.9), ("learning_rate", 0.1, 0.2)))
    found = fitting(finding("saturated_activations", 40), helped, 0)
    assert found[0] == "standardise_input"
    assert "lower_learning_rate" not in found


def test_a_rate_that_is_too_high_may_be_so_by_more_than_was_tried():
    in_vain = Setting(twins=twins(("learning_rate", 0.1, 0.2)))
    assert fitting(finding("lr_too_high"), in_vain, 0)[0] == "lower_learning_rate"


def test_inputs_that_are_standardised_are_left_alone():
    def inputs(mean, std):
        return Setting(inputs=(Input(name="input", shape=(8, 2), mean=mean, std=std),))

    assert "standardise_input" not in fitting(finding("saturated_activations"), inputs(0.1, 1.1), 0)
    assert "standardise_input" in fitting(finding("saturated_activations"), inputs(33.0, 78.0), 0)
    assert fitting(finding("unnormalised_input"), inputs(0.1, 1.1), 0)[0] == "standardise_input"


def test_a_network_gets_what_it_does_not_have():
    plain = Setting(layers=(layer("0"), layer("2")))
    residual = Setting(layers=(layer("0", residual=True, normalisation="LayerNorm"), layer("2")))
    without, within = (fitting(finding("exploding_gradient"), one, 0) for one in (plain, residual))
    assert {"add_skip_connections", "add_normalisation"} <= set(without)
    assert not {"add_skip_connections", "add_normalisation"} & set(within)
    assert "scale_residual_branches" not in fitting(finding("exploding_activations"), plain, 0)
    assert "scale_residual_branches" in fitting(finding("exploding_activations"), residual, 0)


def test_an_activation_that_does_not_squash_is_not_to_be_changed():
    rectified, squashed = (Setting(layers=(layer("0", activation=one),)) for one in ("relu", "sigmoid"))
    assert "change_activation" not in fitting(finding("vanishing_gradient"), rectified, 0)
    assert fitting(finding("vanishing_gradient"), squashed, 0)[0] == "change_activation"


def test_weights_drawn_by_theory_are_drawn_anew_last():
    sound = Setting(layers=(layer("0", weight_std=0.5, expected_std=0.5, activation="tanh"),))
    assert fitting(finding("correlation_collapse"), sound, 0)[-1] == "reinitialise"
    off = Setting(layers=(layer("0", weight_std=0.1, expected_std=0.5, activation="tanh"),))
    assert fitting(finding("correlation_collapse"), off, 0)[0] == "reinitialise"


def test_a_nan_is_answered_where_it_was_made():
    def answers(origin):
        return fitting(finding("nonfinite_origin", origin=origin), Setting(), 0)

    assert answers("input: argument input of shape (4, 4) float32 in [0, 1]") == ("check_inputs",)
    assert answers("forward: aten::log from self of shape (4,) float32 in [-0.1, 1]") == ("guard_operation",)
    assert answers("forward: aten::mm from self of shape (4,) float32 in [0, 6.1e+27]") == (
        "lower_learning_rate",
        "clip_gradients",
    )
    assert answers("not traced") == RULES["nonfinite_origin"].remedies


def test_something_is_always_left():
    one = replace(finding("symmetric_init"), remedies=("reinitialise",))
    assert fitting(one, Setting(twins=twins(("weights", 1.0, 0.2))), 0) == ("reinitialise",)


def test_a_cause_that_a_twin_has_found_has_a_name():
    found = Setting(
        optimisers=(Optimiser(type="SGD", learning_rate=0.03),),
        twins=twins(("learning_rate", 10.0, 0.9), ("learning_rate", 0.1, 0.1)),
    )
    advice = advised(finding("loss_plateau"), found, 0)
    assert advice.remedies == ("raise_learning_rate",)
    assert advice.advice == (
        "Raise the learning rate from 0.03 to 0.3: with that the same training was 70 points better.",
    )


def test_a_diagnosis_has_a_sentence_for_each_remedy():
    sites = [Site("a", "weight", 1, 4), Site("", "loss", 0, 1)]
    rows = [
        (0, step, sites[0], "accumulated", {"grad_norm": 1.0, "weight_norm": float("nan")})
        for step in range(9)
    ]
    rows += [(0, step, sites[1], "", {"loss": float("nan"), "nonfinite_count": 1.0}) for step in range(9)]
    diagnosis = diagnose(Table.from_rows([Run("a")], rows))
    assert diagnosis.findings
    for one in diagnosis:
        assert len(one.advice) == len(one.remedies) > 0
