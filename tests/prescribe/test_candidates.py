"""What is offered for a diagnosis, in which order, and what is not."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from functools import partial

import pytest
import torch
from changed_trainings import check, examined, run, training_of
from msgspec import structs
from torch import nn

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rules import RULES
from evenflow.errors import SpecError
from evenflow.prescribe.candidates import BEYOND, candidates, guesses, not_offered, pairs
from evenflow.prescribe.catalogue import REMEDIES, remedy_named
from evenflow.prescribe.effect import effect, graded
from evenflow.prescribe.flow import Flow, flow_of, predicted_ratio
from evenflow.prescribe.withheld import withheld
from evenflow.spec.setting import Input, Layer, Setting, Trial


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def blobs(count: int = 6, classes: int = 3, features: int = 8):
    centres = 2.0 * torch.randn(classes, features)
    found = []
    for _ in range(count):
        target = torch.randint(0, classes, (32,))
        found.append((centres[target] + torch.randn(32, features), target))
    return found


def stack(activation: type[nn.Module], depth: int = 3, width: int = 16) -> nn.Sequential:
    modules: list[nn.Module] = []
    entering = 8
    for _ in range(depth):
        modules += [nn.Linear(entering, width), activation()]
        entering = width
    return nn.Sequential(*modules, nn.Linear(width, 3))


def sgd(model: nn.Module, rate: float = 0.1):
    return torch.optim.SGD(model.parameters(), lr=rate)


def finding(rule: str, **more) -> Finding:
    chosen = RULES[rule]
    given = {"remedies": chosen.remedies, "evidence": {}, "first_step": 0, "severity": "fault", **more}
    return Finding(rule=rule, code=chosen.code, confidence=1.0, sites=("0",), message="", **given)


def test_the_rate_that_a_twin_has_tried_comes_first():
    model = stack(nn.ReLU)
    training = training_of(model, blobs(), optimizer=sgd(model, 30.0))
    found = guesses(examined(training))
    first = found[0]
    assert first.prescription.remedy == "lower_learning_rate"
    assert first.effect.grade == 4
    assert "points better" in first.prescription.why
    assert "lr_too_high" in first.prescription.why
    assert len({one.prescription.remedy for one in found[:4]}) >= 3
    assert run(check(first.prescription, training)).settled < 0.2


def test_for_a_deep_stack_of_sigmoids_no_draw_is_offered_and_no_clipping():
    model = stack(nn.Sigmoid, 12)
    training = training_of(model, blobs(), optimizer=torch.optim.Adam(model.parameters()), steps=60)
    view = examined(training)
    offered = candidates(view)
    names = {one.remedy for one in offered}
    assert offered[0].remedy == "change_activation"
    assert names.isdisjoint({"reinitialise", "clip_gradients", "lower_learning_rate", "change_optimiser"})
    told = not_offered(view, offered)
    assert told.keys().isdisjoint(names)
    assert "slope is 0.25 at most" in told["reinitialise"]
    assert "divides the size of the gradient out already" in told["change_optimiser"]
    (root,) = [one for one in view.diagnosis.roots if one.rule == "vanishing_gradient"]
    assert "12 layers of sigmoid, whose slope is 0.25 at most" in withheld(view, root, "reinitialise")
    assert "does not come back" in withheld(view, root, "clip_gradients")
    shallow = stack(nn.Sigmoid, 3)
    other = examined(training_of(shallow, blobs(), optimizer=sgd(shallow), steps=5))
    assert withheld(other, root, "reinitialise") == ""


def test_of_two_twins_the_better_one_goes_first():
    losses = tuple(1.0 - 0.01 * step for step in range(30))
    trial = partial(Trial, loss=losses, chance=0.3)
    twins = (
        trial(change="nothing", score=0.4),
        trial(change="learning_rate", factor=10.0, score=0.6),
        trial(change="unfrozen", score=0.98),
    )
    model = stack(nn.ReLU)
    model[:4].requires_grad_(False)
    view = examined(training_of(model, blobs(), optimizer=sgd(model), steps=5))
    root = finding("frozen_layers", evidence={"cause": "frozen but in the optimiser"})
    view = replace(view, diagnosis=Diagnosis((root,)), setting=structs.replace(view.setting, twins=twins))
    found = guesses(view)
    assert [one.prescription.remedy for one in found[:2]] == ["unfreeze", "raise_learning_rate"]
    assert [(one.effect.grade, one.effect.points) for one in found[:2]] == [(4, 6), (4, 2)]


def test_frozen_layers_are_answered_by_what_the_twin_has_unfrozen():
    model = stack(nn.ReLU, 3, 4)
    training = training_of(model, blobs(), optimizer=sgd(model[-1:]), steps=100)
    found = guesses(examined(training))
    assert found[0].prescription.remedy == "add_to_optimiser"
    assert {one.prescription.remedy for one in found}.isdisjoint({"add_normalisation", "change_activation"})


def test_without_a_finding_there_is_nothing_to_offer():
    model = stack(nn.ReLU, 1)
    view = examined(training_of(model, blobs(), optimizer=sgd(model)))
    for findings in ((), (finding("not_zero_centred", severity="information"),)):
        assert candidates(replace(view, diagnosis=Diagnosis(findings))) == ()


@pytest.mark.parametrize(
    ("root", "name", "word"),
    [
        (finding("symmetric_init"), "lower_learning_rate", "stay alike"),
        (finding("symmetric_init"), "add_normalisation", "stay alike"),
        (finding("frozen_layers", evidence={"cause": "cut off"}), "add_normalisation", "crosses the cut"),
        (
            finding("frozen_layers", evidence={"cause": "not in the optimiser"}),
            "reinitialise",
            "nothing to do",
        ),
        (finding("dead_units"), "lower_learning_rate", "before the first step"),
        (finding("lr_too_low"), "change_optimiser", ""),
    ],
    ids=lambda one: one if isinstance(one, str) else one.rule,
)
def test_what_is_known_not_to_help_is_withheld_with_its_reason(root, name, word):
    model = stack(nn.ReLU, 1)
    view = examined(training_of(model, blobs(), optimizer=sgd(model), steps=5))
    reason = withheld(view, root, name)
    assert (word in reason) if word else reason == ""
    assert (name in {one.remedy for one in candidates(replace(view, diagnosis=Diagnosis((root,))))}) == (
        not word
    )
    assert withheld(view, finding("dead_units", first_step=30), "lower_learning_rate") == ""


def test_holes_in_the_data_are_answered_by_nothing_but_themselves():
    model, data = stack(nn.ReLU, 1), blobs()
    data[1][0][3, 2] = math.nan
    view = examined(training_of(model, data, optimizer=sgd(model)))
    assert {one.remedy for one in candidates(view)} == {"check_inputs"}


def test_a_slip_that_is_seen_goes_before_what_could_help_besides():
    model = stack(nn.ReLU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=3.0)
    view = examined(training_of(model, blobs(), optimizer=optimizer, steps=10))
    found = candidates(replace(view, diagnosis=Diagnosis((finding("dead_units", first_step=30),))))
    assert "lower_weight_decay" in [one.remedy for one in found[:2]]


def test_two_go_together_unless_they_turn_the_same_screw():
    model = stack(nn.ReLU)
    scaled = [(1000.0 * inputs, target) for inputs, target in blobs()]
    training = training_of(model, scaled, optimizer=sgd(model, 0.5))
    view = examined(training)
    rate = REMEDIES["lower_learning_rate"].forms(view)
    inputs = REMEDIES["standardise_input"].forms(view)
    clip = REMEDIES["clip_gradients"].forms(view)
    optimiser = REMEDIES["change_optimiser"].forms(view)
    found = list(pairs(inputs[0], [*rate, *inputs, *clip[:1], *optimiser[:1]]))
    assert {one.remedy for one in found} == {
        "lower_learning_rate+standardise_input",
        "standardise_input+clip_gradients",
        "change_optimiser+standardise_input",
    }
    assert not list(pairs(rate[0], optimiser))
    assert not run(training).settled < 2.0
    for one in found:
        made = check(one, training)
        assert run(made).settled < 1.2
    asked = iter(pairs(inputs[0], rate))
    assert next(asked).size == inputs[0].size + 1
    (three,) = pairs(found[0], [*rate, *inputs, *optimiser, clip[0]])
    assert three.remedy == "lower_learning_rate+standardise_input+clip_gradients"
    assert [one.remedy for one in three.parts] == three.remedy.split("+")
    assert run(check(three, training)).settled < 1.2
    snippet = three.code().snippet
    assert all(one.code().snippet.strip() in snippet for one in three.parts)


def pull(layer: nn.Linear) -> torch.Tensor:
    assert layer.weight.grad is not None
    return (layer.weight.norm() * layer.weight.grad.norm()).detach()


def test_theory_says_what_a_hundred_draws_of_a_chain_show():
    gain, bias = 1.2, 0.1
    for name, function in (("sigmoid", nn.Sigmoid), ("gelu", nn.GELU)):
        layers = [nn.Linear(64 if not place else 128, 128) for place in range(7)]
        ratios = []
        for _ in range(25):
            for layer in layers:
                nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5)
                nn.init.normal_(layer.bias, std=bias)
                layer.zero_grad()
            values = torch.randn(1, 64)
            for layer in layers[:-1]:
                values = function()(layer(values))
            (layers[-1](values) * torch.randn(128)).sum().backward()
            sizes = [pull(layer) for layer in (layers[0], layers[-1])]
            ratios.append(float(torch.log10(sizes[0] / sizes[1])))
        read = tuple(
            Layer(
                name=str(place),
                type="Linear",
                depth=place + 1,
                fan_in=layer.in_features,
                fan_out=128,
                weight_mean=0.0,
                weight_std=gain / layer.in_features**0.5,
                bias_mean=0.0,
                bias_std=bias,
                activation=name if layer is not layers[-1] else "",
            )
            for place, layer in enumerate(layers)
        )
        entered = (Input(name="x", shape=(1, 64), mean=0.0, std=1.0),)
        predicted = predicted_ratio(Setting(layers=read, inputs=entered))
        # Four standard errors of 25 draws, and what a width of 128 is off by.
        assert predicted == pytest.approx(
            statistics.mean(ratios), abs=4 * statistics.stdev(ratios) / 5 + 0.05
        )
        odd = (replace_layer(read[0], normalisation="LayerNorm"), *read[1:])
        assert math.isnan(predicted_ratio(Setting(layers=odd, inputs=entered)))


def replace_layer(layer: Layer, **changes) -> Layer:
    return structs.replace(layer, **changes)


def test_a_first_batch_shows_what_a_change_takes_away():
    model = stack(nn.ReLU)
    with torch.no_grad():
        model.get_parameter("2.bias").fill_(-20.0)
    training = training_of(model, blobs(), optimizer=sgd(model), steps=20)
    before = flow_of(training.copied())
    assert before.dead == 1.0
    assert before.still == 0.75
    view = examined(training)
    (form,) = REMEDIES["zero_biases"].forms(view)
    told = effect(view, form, before)
    assert told.grade == 3
    assert "dead units from 100%" in told.words
    assert effect(view, form, before, look=False).grade == 1
    assert graded(Flow(), Flow(dead=1.0)).grade == -1
    assert graded(Flow(dead=0.6), Flow(dead=1.0)).grade == -1


def test_every_remedy_that_a_rule_names_is_there_or_known_to_be_none():
    assert remedy_named("Warm-Up") is REMEDIES["warm_up"]
    with pytest.raises(SpecError, match='did you mean "clip_gradients"'):
        remedy_named("clip_gradient")
    for name, remedy in REMEDIES.items():
        assert remedy.name == name
        assert remedy.explanation
        assert set(remedy.answers) <= set(RULES)
    named = {name for rule in RULES.values() for name in rule.remedies} - set(BEYOND)
    assert named <= set(REMEDIES)


def test_a_remedy_that_fails_takes_no_other_with_it(monkeypatch):
    model = stack(nn.ReLU)
    view = examined(training_of(model, blobs(), optimizer=sgd(model), steps=5))
    view = replace(view, diagnosis=Diagnosis((finding("lr_too_high"),)))

    def forms(_view):
        raise IndexError("nothing there")

    broken = replace(REMEDIES["warm_up"], forms=forms)
    monkeypatch.setattr("evenflow.prescribe.candidates.REMEDIES", {**REMEDIES, "warm_up": broken})
    with pytest.warns(
        RuntimeWarning, match="warm_up could not be offered, it failed with IndexError: nothing there"
    ):
        names = {one.remedy for one in candidates(view)}
    assert "lower_learning_rate" in names
    assert "warm_up" not in names
