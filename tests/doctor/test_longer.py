"""What is contested is trained on, as if it had never stopped; what is settled is not."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.diagnose.twins import compared
from evenflow.doctor import examine as examining
from evenflow.doctor.examine import examine
from evenflow.doctor.longer import contested
from evenflow.spec.setting import Setting, Trial

STEPS = 60


def make(*, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 3))


def batches(count: int = 7):
    torch.manual_seed(5)
    inputs = torch.randn(count, 32, 4)
    return [(one, (one[:, 0] > 0).long() + (one[:, 1] > 0).long()) for one in inputs]


def slow(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.15, momentum=0.5)


def by_hand(rate: float, steps: int) -> list[float]:
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
    losses = []
    for inputs, targets in itertools.islice(itertools.cycle(batches()), steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def setting_of(model: nn.Module, **options) -> Setting:
    table = examine(model, batches(), F.cross_entropy, slow(model), steps=STEPS, **options)
    return Setting.from_facts(dict(table.runs[0].facts))


def test_a_twin_that_is_ahead_and_the_training_itself_go_on_where_they_stopped():
    own, *twins = setting_of(make()).twins
    ahead = next(one for one in twins if one.factor == 10)
    assert 100 * (ahead.score - own.score) >= 10
    assert own.loss + own.later_loss == pytest.approx(by_hand(0.15, 2 * STEPS), rel=1e-4)
    assert ahead.loss + ahead.later_loss == pytest.approx(by_hand(1.5, 2 * STEPS), rel=1e-4)
    assert own.later_score > own.score
    behind = next(one for one in twins if one.factor == 0.1)
    assert behind.later_loss == ()


def test_both_have_the_same_random_numbers_when_they_go_on(monkeypatch):
    from evenflow.doctor import longer, trial

    states = []
    trained_on = trial.train

    def train(*arguments, **options):
        states.append(torch.get_rng_state())
        return trained_on(*arguments, **options)

    monkeypatch.setattr(longer, "train", train)
    setting_of(make(dropout=0.02))
    assert len(states) >= 2
    assert all(torch.equal(states[0], state) for state in states)


def test_a_twin_is_judged_at_the_end_of_the_longer_training():
    own, *twins = setting_of(make()).twins
    ahead = next(one for one in twins if one.factor == 10)
    found = next(
        one for one in compared(Setting(twins=(own, ahead)), "learning_rate") if one.trial.factor == 10
    )
    assert found.points == pytest.approx(100 * (ahead.later_score - own.later_score))
    assert found.steps == 2 * STEPS


def test_without_the_time_nothing_goes_on_and_it_is_said(monkeypatch):
    from evenflow.doctor import longer, twins

    asked = []

    def without_time(raised, *, seconds, **options):
        asked.append(seconds)
        return tried_longer(raised, seconds=0.0, **options)

    tried_longer = longer.tried_longer
    monkeypatch.setattr(twins, "tried_longer", without_time)
    model = make()
    table = examine(model, batches(), F.cross_entropy, slow(model), steps=STEPS)
    facts = dict(table.runs[0].facts)
    assert 0 < asked[0] < examining._TWIN_SECONDS
    assert all(one.later_loss == () for one in Setting.from_facts(facts).twins)
    trial = facts["trial"]
    assert isinstance(trial, dict)
    assert any(one.startswith("tried longer: it would take") for one in trial["skipped"])


def own(loss: list[float], score: float = 0.8) -> Trial:
    return Trial(change="nothing", loss=tuple(loss), score=score, chance=0.5)


FALLING = [2.0 * 0.99**step for step in range(100)]
FLAT = FALLING[:40] + 60 * FALLING[40:41]
JUMPED = FALLING[:90] + 10 * [5.0]


@pytest.mark.parametrize("trial", [own(FALLING), own(JUMPED), own([one - 9 for one in FALLING])])
def test_on_its_way(trial):
    assert contested(trial)


@pytest.mark.parametrize(
    "trial",
    [
        own(FLAT),
        own(FALLING, score=0.55),
        own(FALLING[:5]),
        own([*FALLING[:-1], math.nan]),
        Trial(change="nothing", loss=tuple(2.0 - one for one in FALLING)),
    ],
    ids=["settled", "little learned", "too few steps", "NaN", "rising, without a score"],
)
def test_not_on_its_way(trial):
    assert not contested(trial)


def test_a_sound_training_is_not_tried_longer():
    model = make()
    quick = torch.optim.Adam(model.parameters(), lr=0.1)
    table = examine(model, batches(), F.cross_entropy, quick, steps=STEPS)
    twins = Setting.from_facts(dict(table.runs[0].facts)).twins
    assert twins[0].score > 0.9
    assert all(one.later_loss == () for one in twins)
