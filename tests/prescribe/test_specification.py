"""A remedy on a specification and on a copy of its model: the same names, and the same network where both are built."""

import copy

import pytest
import torch
from prescribed_trainings import classes, named, view_of
from torch import nn

from evenflow.errors import SpecError
from evenflow.prescribe.catalogue import REMEDIES
from evenflow.prescribe.combine import combined
from evenflow.spec.network import Network
from evenflow.spec.remedies import NEVER, USUAL
from evenflow.spec.specification import Specification
from evenflow.study.build import build

NETWORK = Network(depth=4, width=8, activation="tanh", bias_initialisation="constant:2", initialisation="he")
ORIGINAL = Specification(network=NETWORK)


def test_every_remedy_has_a_counterpart_or_a_reason():
    assert {*USUAL, *NEVER} == set(REMEDIES)
    assert not set(USUAL) & set(NEVER)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("change_activation:relu", "vanishing_gradient"),
        ("change_activation:elu", "vanishing_gradient"),
        ("add_normalisation:batch", "vanishing_gradient"),
        ("add_normalisation:layer", "vanishing_gradient"),
        ("zero_biases", "saturated_activations"),
    ],
)
def test_the_changed_model_is_the_model_of_the_changed_specification(name, rule):
    """Equal seeds draw equal weights, so equal outputs mean equal networks."""
    batches = classes()
    view = view_of(build(NETWORK, 8, 3, seed=1), batches, rule)
    remedy, _, choice = name.partition(":")
    one = named(REMEDIES[remedy].forms(view), choice)
    model = one.change(view.training.copied()).patient.model
    expected = build(one.specification(ORIGINAL).network, 8, 3, seed=1)
    with torch.no_grad():
        found, wanted, before = (
            each.train()(batches[0].inputs)
            for each in (model, expected, copy.deepcopy(view.training.patient.model))
        )
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, before)


def test_weights_drawn_anew_have_the_same_spread():
    """He's rule asks for √(2/n) in both."""
    network = Network(depth=3, width=256, activation="relu")
    view = view_of(build(network, 256, 3), classes(256), "poor_init")
    one = named(REMEDIES["reinitialise"].forms(view), "he")
    model = one.change(view.training.copied()).patient.model
    expected = build(one.specification(Specification(network=network)).network, 256, 3)
    for each in (model, expected):
        layer = each.get_submodule("hidden_2")
        assert isinstance(layer, nn.Linear)
        assert float(layer.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.02)
        assert float(layer.bias.detach().abs().max()) == 0


def test_figures_of_the_training_are_taken_over():
    view = view_of(build(NETWORK, 8, 3), None, "exploding_gradient")
    one = named(REMEDIES["clip_gradients"].forms(view), "norm")
    bound = one.measured["bound"]
    assert one.specification(ORIGINAL).network.clip == f"norm:{bound:g}"
    assert repr(bound) in one.code().snippet


def test_a_combination_makes_both_changes_and_a_reason_comes_through():
    view = view_of(build(NETWORK, 8, 3), None, "vanishing_gradient")
    first = named(REMEDIES["add_normalisation"].forms(view), "layer")
    second = named(REMEDIES["lower_learning_rate"].forms(view), "0.1")
    both = combined(first, second).specification(ORIGINAL)
    assert (both.network.normalisation, both.training.learning_rate) == ("layer", 0.0001)
    zero = named(REMEDIES["add_skip_connections"].forms(view), "zero")
    with pytest.raises(SpecError, match="residual_scale is a number and not learned"):
        combined(zero, second).specification(ORIGINAL)
