"""Weights that should move and do not, and weights that stand still for a reason."""

from __future__ import annotations

import pytest
import torch
from examined_trainings import (
    adam,
    cnn,
    curve,
    digits,
    examined,
    mlp,
    noise,
    sgd,
    with_setting,
    without_twins,
)
from msgspec import structs
from torch import nn

from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.rules.frozen_layers import judge
from evenflow.spec.setting import Change, Trial

DEEP = (64, 16, 16, 16, 10)


def freeze(model: nn.Sequential, layers: int) -> nn.Sequential:
    for layer in [one for one in model if isinstance(one, nn.Linear | nn.Conv2d)][:layers]:
        layer.requires_grad_(False)
    return model


def last_only(model: nn.Module) -> torch.optim.Optimizer:
    assert isinstance(model, nn.Sequential)
    return torch.optim.Adam(model[-1].parameters(), 1e-2)


def trainable_only(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 1e-2)


def first_at_rate_0(model: nn.Module) -> torch.optim.Optimizer:
    first, *others = model.parameters()
    return torch.optim.Adam([{"params": [first], "lr": 0.0}, {"params": others}], 1e-2)


def of_another(_model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(mlp(64, 16, 10).parameters(), 1e-2)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 4), nn.Linear(4, 16), nn.Linear(16, 10)

    def forward(self, x):
        return self.last(torch.relu(self.second(torch.relu(self.first(x)).detach())))


class Featureless(nn.Module):
    """A model whose first layers run without gradients, in one of the ways that this is written."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body, self.head = mlp(64, 4, 4), nn.Linear(4, 10)
        self.how = how
        body = self.body
        self.call = lambda inputs: body(inputs)

    def forward(self, x):
        if self.how == "data":
            return self.head(self.body(x).data)
        with torch.no_grad():
            if self.how == "functions":
                x = torch.relu(nn.functional.linear(x, *self.body[0].parameters()))
                x = x @ self.body.get_parameter("2.weight").T
            else:
                x = self.call(x) if self.how == "a closure" else self.body(x)
        return self.head(x)


class OnlyAsked(nn.Module):
    """A model with weights whose type is all that it wants to know."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.body = nn.Linear(64, 64), mlp(64, 32, 10)

    def forward(self, x):
        return self.body(x.to(self.spare.weight.dtype).reshape(-1, self.spare.weight.shape[0]))


class Spare(nn.Module):
    """A model with a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(64, 64)
        self.body = mlp(64, 32, 10)

    def forward(self, x):
        return self.body(x)


class Sign(nn.Module):
    def forward(self, x):
        return x.sign()


def stepwise() -> nn.Sequential:
    """A function between whose derivative is 0 wherever it has one."""
    first, *others = mlp(64, 4, 16, 10)
    return nn.Sequential(first, Sign(), *others)


def silent() -> nn.Sequential:
    model = mlp(64, 16, 16, 10)
    with torch.no_grad():
        model.get_parameter("2.bias").fill_(-30.0)
    return model


FAULTS = {
    "not in the optimiser": (lambda: (mlp(*DEEP), digits(), last_only), ["0.weight", "2.weight", "4.weight"]),
    "frozen but in the optimiser": (
        lambda: (freeze(mlp(*DEEP), 3), digits(), adam(1e-2)),
        ["0.weight", "2.weight", "4.weight"],
    ),
    "cut off": (lambda: (Detached(), digits(), adam(1e-2)), ["first.weight"]),
    "learning rate 0": (lambda: (mlp(64, 4, 16, 10), digits(), first_at_rate_0), ["0.weight"]),
    "zero gradient": (lambda: (stepwise(), digits(), adam(1e-2)), ["0.weight"]),
}


@pytest.mark.parametrize(("cause", "training"), FAULTS.items(), ids=FAULTS)
def test_weights_that_should_move(cause: str, training):
    make, sites = training
    case = examined(*make(), twins="optimiser" in cause)  # only there the rule asks them
    for verdict in (judge(case), judge(without_twins(case))):
        assert verdict is not None
        assert verdict.severity == "fault"
        assert verdict.evidence["cause"] == cause
        assert list(verdict.sites) == sites


def test_zero_gradient_with_a_reason_is_a_symptom():
    verdict = judge(examined(silent(), digits(), adam(1e-2), twins=False))
    assert verdict is not None
    assert verdict.severity == "risk"
    assert verdict.evidence["cause"] == "zero gradient"


def test_gradient_too_small_to_change_anything_is_no_rate_of_zero():
    model = mlp(64, *[16] * 14, 10, activation=nn.Sigmoid)
    verdict = judge(examined(model, digits(), sgd(0.1), steps=40, twins=False))
    assert verdict is not None
    assert verdict.evidence["cause"] == "zero gradient"
    assert verdict.sites[0] == "0.weight"


def test_convolutions_that_no_optimiser_has():
    verdict = judge(examined(cnn(), digits(images=True), last_only, twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.sites == ("0.weight", "3.weight")


def test_optimiser_of_another_model():
    verdict = judge(examined(mlp(64, 16, 10), digits(), of_another, steps=40, twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.evidence["weights_still"] == 2


@pytest.mark.parametrize(("make", "rate"), [(torch.optim.SGD, 0.02), (torch.optim.Adam, 1e-3)])
def test_updates_that_are_rounded_away(make: type, rate: float):
    model = mlp(64, 16, 16, 10)
    with torch.no_grad():
        # A unit in the last place of 1 is 2⁻⁷ below 2.
        model.get_parameter("2.weight").copy_(torch.randn(16, 16).sign())
    batches = [(inputs.bfloat16(), targets) for inputs, targets in digits()]
    case = examined(model.bfloat16(), batches, lambda model: make(model.parameters(), lr=rate), twins=False)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.evidence["cause"] == "rounding"
    assert "2.weight" in verdict.sites


def test_bfloat16_whose_updates_arrive():
    batches = [(inputs.bfloat16(), targets) for inputs, targets in digits()]
    for make in (sgd(0.5), adam(1e-2)):
        assert judge(examined(mlp(64, 16, 10).bfloat16(), batches, make, twins=False)) is None


def test_frozen_before_the_optimiser_was_made_is_information():
    verdict = judge(examined(freeze(mlp(*DEEP), 2), digits(), trainable_only))
    assert verdict is not None
    assert verdict.severity == "information"
    assert verdict.sites == ("0.weight", "2.weight")


def test_frozen_features_that_do_no_harm():
    case = examined(freeze(mlp(64, 512, 10), 1), digits(), adam(3e-2))
    for verdict in (judge(case), judge(without_twins(case))):
        assert verdict is not None
        assert verdict.severity == "information"


def test_layer_that_is_not_used_is_information():
    verdict = judge(examined(Spare(), digits(), adam(1e-2), twins=False))
    assert verdict is not None
    assert verdict.severity == "information"
    assert verdict.sites == ("spare.weight",)


def test_head_that_begins_at_zero_and_a_rate_that_warms_up():
    model = mlp(64, 32, 10)
    nn.init.zeros_(model.get_parameter("2.weight"))

    def warm(optimiser: torch.optim.Optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, step / 20))

    assert judge(examined(model, digits(), adam(1e-2), twins=False, scheduler=warm)) is None


def test_nothing_known_of_the_parameters():
    with pytest.raises(MissingError, match="nothing is known of the parameters"):
        judge(curve([2.3] * 20))


class Logarithm(nn.Module):
    """Of numbers below 0, too: nothing is finite from the first step on."""

    def forward(self, x):
        return x.log()


class Halves(nn.Module):
    """A first layer of 16 bits, in which Adam's 1e-8 is 0, and an update without a gradient 0 / 0."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(64, 32).half(), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.first(x.half()).float().relu())


def test_nothing_is_said_of_weights_that_a_value_not_finite_spoiled_at_once():
    case = examined(Halves(), digits(), adam(1e-3))
    assert case.setting.origin_step == 1
    assert judge(case) is None


def test_what_was_left_out_of_a_training_that_ended_at_once_is_information():
    model = nn.Sequential(nn.Linear(64, 32), Logarithm(), nn.Linear(32, 10))
    verdict = judge(
        examined(model, digits(), lambda own: torch.optim.Adam(own.get_submodule("0").parameters(), 1e-3))
    )
    assert verdict is not None
    assert (verdict.severity, verdict.sites) == ("information", ("2.weight",))


@pytest.mark.parametrize("how", ["no_grad", "data", "functions", "a closure"])
def test_layers_that_run_without_gradients_are_cut_off_and_not_unused(how: str):
    verdict = judge(examined(Featureless(how), digits(), adam(1e-2), steps=40, twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.evidence["cause"] == "cut off"
    assert verdict.sites == ("body.0.weight", "body.2.weight")
    assert verdict.remedies == ("remove_detach",)


def test_weights_that_are_only_asked_for_their_type_are_unused():
    verdict = judge(examined(OnlyAsked(), digits(), adam(1e-2), steps=40, twins=False))
    assert verdict is not None
    assert (verdict.severity, verdict.evidence["cause"]) == ("information", "unused")
    assert verdict.sites == ("spare.weight",)


def test_a_slip_counts_where_nothing_was_learned_and_nothing_else_helps():
    """A trial too short to show what weights left out of the optimiser cost, since with them it learns no more."""
    case = examined(mlp(64, 32, 10), noise(), last_only)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    twins = case.setting.twins
    own = next(one for one in twins if one.change == "nothing")
    changes: tuple[tuple[Change, bool], ...] = (("inputs", True), ("unfrozen", False))
    for change, helps in changes:
        better = Trial(change=change, loss=own.loss, score=own.chance + 0.09 + helps, chance=own.chance)
        others = tuple(one for one in twins if one.change != change)
        setting = structs.replace(case.setting, twins=(*others, better))
        judged = judge(with_setting(case, setting))
        assert judged is not None
        assert judged.severity == ("risk" if helps else "fault")
    learned = structs.replace(own, score=own.chance + 0.5)
    others = tuple(one for one in twins if one.change == "unfrozen")
    judged = judge(with_setting(case, structs.replace(case.setting, twins=(learned, *others))))
    assert judged is not None
    assert judged.severity == "risk"


class Memory(nn.Module):
    """A narrow first layer that has to learn, for a head cannot make up for it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(64, 3), nn.Linear(3, 24), nn.Linear(24, 10)

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def groups(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    first, *others = model.children()
    slow = {"params": [*first.parameters()], "lr": rate}
    return torch.optim.Adam([slow, {"params": [one for each in others for one in each.parameters()]}], 2e-2)


def test_a_group_whose_rate_is_next_to_nothing_is_found_by_the_twin_at_one_rate():
    case = examined(Memory(), digits(), lambda model: groups(model, 1e-7), steps=200)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.sites == ("first.weight",)
    assert verdict.evidence["cause"] == "slow group"
    assert "hardly anything moves first.weight" in verdict.message
    assert judge(without_twins(case)) is None  # nothing says that it costs anything


def test_a_group_at_a_tenth_of_the_rate_is_left_alone():
    assert judge(examined(Memory(), digits(), lambda model: groups(model, 2e-3))) is None


class PutBack(Memory):
    """Two layers that are as they were drawn again before every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [one.detach().clone() for one in (self.first.weight, self.second.weight)]

    def forward(self, x):
        with torch.no_grad():
            for one, kept in zip((self.first.weight, self.second.weight), self.kept, strict=True):
                one.copy_(kept)
        return super().forward(x)


def test_weights_that_something_puts_back_after_every_step():
    verdict = judge(examined(PutBack(), digits(), adam(1e-2), twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.sites == ("first.weight", "second.weight")
    assert verdict.evidence["cause"] == "set back"


class EvaluatedOnly(nn.Module):
    """A layer that a slip leaves out of the forward pass in training."""

    def __init__(self, *, slip: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.slip, self.first, self.extra, self.head = (
            slip,
            nn.Linear(64, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 10),
        )

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        if not self.training:
            extra = torch.tanh(self.extra(hidden))
            hidden = 4 * extra if self.slip else hidden + 0 * extra
        return self.head(hidden)


def test_a_layer_that_evaluation_alone_uses_is_a_fault_where_the_answers_suffer():
    verdict = judge(examined(EvaluatedOnly(slip=True), digits(), adam(1e-2), twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.sites == ("extra.weight",)
    harmless = judge(examined(EvaluatedOnly(slip=False), digits(), adam(1e-2), twins=False))
    assert harmless is not None
    assert harmless.severity == "information"
    assert harmless.evidence["cause"] == "only evaluated"


def test_gradients_that_a_hook_throws_away_once_they_are_there():
    model = Memory()
    for one in (model.first.weight, model.second.weight):
        one.register_post_accumulate_grad_hook(lambda parameter: setattr(parameter, "grad", None))
    verdict = judge(examined(model, digits(), adam(1e-2), twins=False))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert set(verdict.sites) == {"first.weight", "second.weight"}


class Silenced(nn.Module):
    """Features times a mask of zeros, which no activation shows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 16), nn.Linear(16, 10)
        self.register_buffer("mask", torch.zeros(16))

    def forward(self, x):
        return self.head(self.first(x) * self.mask)


def test_a_gradient_of_zero_is_a_fault_where_no_other_fault_says_why():
    case = examined(Silenced(), digits(), adam(1e-2), twins=False)
    first = diagnose(case.table).findings[0]
    assert (first.rule, first.severity) == ("frozen_layers", "fault")
    assert first.evidence["cause"] == "zero gradient"
