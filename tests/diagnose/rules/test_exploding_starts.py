"""Signals that are absurd before the first step: they overflow, or a few layers multiply them."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import chain, digits, normal, redrawn, severity, sgd, trained, verdict
from examined_trainings import adam, examined, with_setting
from msgspec import structs
from torch import Tensor, nn

from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.rules import RULES

RULE = "exploding_activations"


class Exponential(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.exp()


class Times(nn.Module):
    """The ReLU of the values, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.activation = nn.ReLU()

    def forward(self, values: Tensor) -> Tensor:
        return self.factor * self.activation(values)


class Divided(nn.Module):
    """The ReLU of the values over its largest entry, which is 0 where all are silent."""

    def forward(self, values: Tensor) -> Tensor:
        top = values.clamp(min=0).amax(1, keepdim=True) * 0
        return values / top


class Masked(nn.Module):
    """A mask that takes all entries away, as a softmax of minus infinities does; kept ones lie at -1e9."""

    def forward(self, values: Tensor) -> Tensor:
        low = values.masked_fill(values > 0, -1e9)
        return low.log()


def test_exponentials_of_exponentials_overflow_and_are_the_root():
    case = trained(redrawn(chain(64, 6, Exponential), nn.init.kaiming_uniform_), sgd(lr=0.01), digits())
    found = verdict(RULE, case)
    assert found is not None
    assert found.severity == "fault"
    assert found.first_step == 0
    assert float(found.evidence["largest_operand"]) > 1e3 * float(found.evidence["largest_input"])
    diagnosis = diagnose(case.table)
    assert diagnosis.findings[0].rule == RULE
    assert next(one for one in diagnosis.findings if one.rule == "nonfinite_origin").root == RULE


@pytest.mark.parametrize("activation", [Divided, Masked], ids=["division by 0", "logarithm below 0"])
def test_an_operation_outside_its_domain_is_no_growth(activation):
    case = trained(chain(64, 4, activation), sgd(lr=0.01), digits())
    assert severity("nonfinite_origin", case) == "fault"
    assert RULE not in [one.rule for one in diagnose(case.table).findings]


def test_inputs_that_are_large_themselves_have_not_grown():
    images = [(1e30 * inputs, classes) for inputs, classes in digits()]
    case = trained(chain(64, 3, Exponential), sgd(lr=0.01), images)
    assert severity("nonfinite_origin", case) == "fault"
    assert RULE not in [one.rule for one in diagnose(case.table).findings]


def test_two_layers_with_a_factor_are_named_and_not_the_steps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), Times(20), nn.Linear(32, 32), Times(20), nn.Linear(32, 10))
    case = trained(redrawn(model, nn.init.kaiming_uniform_), sgd(lr=0.03), digits())
    found = verdict(RULE, case)
    assert found is not None
    assert found.severity == "fault"
    assert found.sites == ("3.activation",)
    assert found.evidence["growth_decades"] == pytest.approx(
        1.3, abs=0.2
    )  # log10(20): the first is behind the site
    assert diagnose(case.table).findings[0].rule == RULE


def test_two_layers_whose_steps_are_too_large_do_not_grow_at_the_start():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    case = trained(redrawn(model, nn.init.kaiming_uniform_), sgd(lr=100.0), digits(), steps=40)
    found = verdict(RULE, case)
    assert found is None or found.first_step


def test_a_large_last_layer_is_no_growth():
    model = chain(64, 3, nn.ReLU)
    redrawn(model[-1:], normal(20.0))
    case = trained(model, sgd(lr=1e-5), digits(), steps=40)
    found = verdict(RULE, case)
    assert found is None or found.first_step


def grown(gain: float) -> nn.Sequential:
    """Eight linear layers without anything between them, each a rotation times a gain."""
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64, bias=False) for _ in range(8)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain)
    return nn.Sequential(*layers)


def test_signals_that_no_activation_shows_are_known_by_the_twin_of_unit_size():
    images = [(inputs, inputs) for inputs, _ in digits()]
    case = examined(grown(1.8), images, adam(1e-3), nn.functional.mse_loss, steps=100)
    found = verdict(RULE, case)
    assert found is not None
    assert found.severity == "fault"
    assert float(found.evidence["unit_signals_twin_points"]) > 50
    assert float(found.evidence["loss_at_start_over_chance"]) > 100
    others = tuple(
        structs.replace(one, change="weights") if one.change == "signals" else one
        for one in case.setting.twins
    )
    both = structs.replace(case.setting, twins=(*case.setting.twins, *others))
    with pytest.raises(MissingError):  # what weights drawn anew mend as well is their matter
        verdict(RULE, with_setting(case, both))


class Multiplied(nn.Module):
    """Layers whose outputs are multiplied by their own size, in a way that no activation shows."""

    def __init__(self, factor: float, depth: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.factor = factor
        self.layers = nn.ModuleList(nn.Linear(64 if place == 0 else 24, 24) for place in range(depth))
        self.head = nn.Linear(24, 10)
        for one in self.parameters():
            if one.ndim > 1:
                nn.init.kaiming_normal_(one)

    def forward(self, values: Tensor) -> Tensor:
        for layer in self.layers:
            values = layer(values)
            values = self.factor * values * values.abs() if self.factor > 1 else values
        return self.head(values)


def test_growth_between_layers_is_seen_by_what_they_put_out():
    case = examined(Multiplied(1.2, depth=3), [(4 * x - 2, y) for x, y in digits()], adam(1e-3), steps=100)
    assert not [layer for layer in case.setting.layers if layer.activation_site]
    found = RULES[RULE].judge(case)
    assert found is not None
    assert (found.severity, found.first_step) == ("fault", 0)
    assert float(found.evidence["loss_at_start_over_chance"]) > 1e3
    assert found.sites[0] in ("head", "layers.2")
    with pytest.raises(MissingError, match="has no activation"):
        RULES[RULE].judge(examined(Multiplied(1.0), digits(), adam(1e-3)))


class OwnGates(nn.Module):
    """A recurrence whose gates are exponentials, in the model's own forward pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.head = nn.Linear(24, 32), nn.Linear(16, 10)

    def forward(self, values: Tensor) -> Tensor:
        state = values.new_zeros(len(values), 16)
        for part in values.reshape(len(values), 8, 8).unbind(1):
            keep, add = self.gate(torch.cat([part, state], 1)).chunk(2, 1)
            state = (keep + 2).exp() * state + add.exp()
        return self.head(state)


def test_an_overflow_in_the_models_own_forward_pass_is_found_without_a_module():
    diagnosis = diagnose(examined(OwnGates(), digits(), adam(1e-3), twins=False).table)
    assert diagnosis.findings[0].rule == RULE
    assert "an operation of the model's own forward" in diagnosis.findings[0].message
    assert next(one for one in diagnosis.findings if one.rule == "nonfinite_origin").root == RULE
