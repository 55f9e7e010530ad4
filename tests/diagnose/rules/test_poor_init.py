"""Weights of a wrong scale, and scales that are a matter of choice."""

from __future__ import annotations

import math

import pytest
import torch
from diagnosed_trainings import (
    Recurrent,
    Residual,
    Transformer,
    adam,
    chain,
    digits,
    known,
    normal,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
    without,
)
from examined_trainings import examined
from torch import Tensor, nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import MissingError

RULE = "poor_init"


def test_how_far_off_the_weights_are_is_told():
    found = verdict(RULE, known("tiny weights"))
    assert found is not None
    assert found.severity == "fault"
    assert found.evidence["expected_std"] == pytest.approx(math.sqrt(2 / 64))
    assert found.evidence["weight_std"] == pytest.approx(0.01, rel=0.1)
    # Of PyTorch's default, √(1 / 3n), which is the smallest that is called a choice, in five hidden layers.
    assert found.evidence["decades_off_over_depth"] == pytest.approx(
        5 * math.log10(0.01 * math.sqrt(3 * 64)), abs=0.2
    )
    assert "smaller" in found.message


@pytest.mark.parametrize(
    "model",
    [
        lambda: redrawn(chain(64, 6, nn.ReLU), normal(1.0)),
        lambda: redrawn(chain(16, 10, nn.ReLU), lambda w: nn.init.uniform_(w, -0.05, 0.05)),
        lambda: redrawn(chain(64, 20, nn.ReLU), normal(1.6 * math.sqrt(2 / 64))),
        lambda: redrawn(chain(64, 5, nn.Tanh), lambda w: nn.init.uniform_(w, 0.0, 0.3)),
    ],
    ids=["large", "small and narrow", "a little, at every one of 20 layers", "one sign"],
)
def test_scales_that_stop_a_training(model):
    assert severity(RULE, trained(model(), sgd(lr=0.01), digits(), steps=60)) == "fault"


@pytest.mark.parametrize("name", ["large weights for tanh", "large weights of convolutions"])
def test_scales_that_stop_other_networks(name):
    assert severity(RULE, known(name)) == "fault"


def test_a_recurrent_layer_is_multiplied_up_at_every_time_step():
    model = Recurrent("RNN")
    model.rows.mode, model.rows.nonlinearity = "RNN_RELU", "relu"
    nn.init.orthogonal_(model.rows.weight_hh_l0, 4.0)
    found = verdict(RULE, trained(model, sgd(lr=0.1), digits(8, 8)))
    assert found is not None
    assert found.sites == ("rows",)
    assert found.evidence["decades_off_over_depth"] == pytest.approx(8 * math.log10(4.0), rel=0.02)


def test_a_recurrent_layer_with_large_weights():
    found = verdict(RULE, known("large recurrent weights"))
    assert found is not None
    assert found.sites == ("rows",)


@pytest.mark.parametrize(
    ("model", "optimizer", "batches"),
    [
        (lambda: redrawn(chain(64, 4, nn.Tanh), nn.init.kaiming_normal_), sgd(lr=0.1), digits),
        (lambda: redrawn(Transformer(), normal(0.02)), adam(lr=2e-3), lambda: digits(8, 8)),
        (lambda: redrawn(Residual(8, norm=False), normal(0.02)), adam(lr=2e-3), digits),
    ],
    ids=["He for tanh", "0.02 in a Transformer", "small residual branches"],
)
def test_what_is_a_choice(model, optimizer, batches):
    assert severity(RULE, trained(model(), optimizer, batches(), steps=60)) == ""


# The first two are as torch draws them; the second is stuck all the same.
@pytest.mark.parametrize(
    "name",
    ["deep ReLU that Adam trains", "sigmoids", "He", "tanh with large weights that learns", "rate too low"],
)
def test_what_is_a_choice_that_other_rules_see_too(name):
    assert severity(RULE, known(name)) == ""


def test_weights_in_front_of_a_normalisation_have_no_scale():
    model = nn.Sequential(
        *(part for _ in range(6) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())),
        nn.Linear(64, 10),
    )
    redrawn(model, normal(1.0))
    nn.init.xavier_uniform_(model.get_parameter("18.weight"))
    case = trained(model, sgd(lr=1e-4), digits(), steps=40)
    assert verdict(RULE, case) is None


def test_without_the_weights_at_the_start_nothing_is_said():
    case = trained(chain(8, 2, nn.ReLU), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="spread of the weights at the start is not known"):
        verdict(RULE, without(case, setting=False))


class Spelt(nn.Module):
    """Four words of a vocabulary of 100, looked up and read."""

    def __init__(self, std: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(100, 8)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 4)
        )
        with torch.no_grad():
            self.table.weight.mul_(std)

    def forward(self, words: Tensor) -> Tensor:
        return self.body(self.table(words))


def words() -> list[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(0)
    drawn = [torch.randint(100, (64, 4), generator=source) for _ in range(12)]
    return [(one, one[:, 0] % 4) for one in drawn]


def spelt(std: float) -> Case:
    return examined(Spelt(std), words(), lambda model: torch.optim.Adam(model.parameters(), 3e-3), steps=150)


def test_embeddings_larger_than_any_in_use_are_named_and_drawn_anew():
    case = spelt(100.0)
    found = verdict(RULE, case)
    assert found is not None
    assert found.severity == "fault"
    assert found.sites[0] == "table"
    assert "than any table of embeddings is drawn" in found.message
    assert float(found.evidence["redrawn_twin_points"]) >= 10
    (first, *_) = diagnose(case.table).findings
    assert first.rule == RULE
    assert first.advice[0].startswith('Draw "table" anew with torch.nn.init.normal_')
    assert severity(RULE, spelt(1.0)) == ""
