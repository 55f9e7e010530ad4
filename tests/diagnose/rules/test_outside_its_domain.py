"""A NaN made of ordinary numbers is no matter of the learning rate; one made of numbers that had grown may be."""

from __future__ import annotations

import torch
from diagnosed_trainings import adam, chain, digits, sgd
from torch import Tensor, nn

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.engine import diagnose
from evenflow.doctor.examine import examine
from evenflow.spec.setting import Setting


def steep_logarithm(output: Tensor, target: Tensor) -> Tensor:
    """−log p of a softmax that underflows as soon as it is sure: a lower rate comes to that later, and does better."""
    chances = torch.softmax(60 * output, dim=-1)
    return -torch.log(chances)[torch.arange(len(target)), target].mean()


def examined(loss, optimizer) -> tuple[Diagnosis, Setting]:
    table = examine(chain(32, 3, nn.ReLU), digits(), loss, optimizer, steps=40)
    return diagnose(table), Setting.from_facts(dict(table.runs[0].facts))


def test_a_logarithm_that_a_lower_rate_would_spare_is_the_root():
    diagnosis, setting = examined(steep_logarithm, sgd(lr=0.1))
    first = diagnosis.findings[0]
    assert (first.rule, first.severity, first.root) == ("nonfinite_origin", "fault", "")
    assert first.remedies[0] == "guard_operation"
    assert "lr_too_high" not in [one.rule for one in diagnosis.findings]
    assert -88 < setting.origin_lowest < setting.origin_highest < 88
    own, *twins = [one for one in setting.twins if one.change in ("nothing", "learning_rate")]
    assert any(len(twin.loss) > len(own.loss) for twin in twins)  # which a comparison alone would call better


def test_numbers_that_have_grown_are_the_rates_matter():
    diagnosis, setting = examined(nn.functional.cross_entropy, sgd(lr=1e4))
    found = {one.rule: one for one in diagnosis.findings}
    assert setting.origin_highest > 1e10
    assert found["lr_too_high"].severity == "fault"
    assert found["nonfinite_origin"].root == "lr_too_high"
    assert found["nonfinite_origin"].remedies[0] != "check_inputs"


def test_where_all_is_finite_nothing_is_known_of_it():
    _, setting = examined(nn.functional.cross_entropy, adam(lr=1e-3))
    assert setting.origin == ""
    assert setting.origin_lowest != setting.origin_lowest
