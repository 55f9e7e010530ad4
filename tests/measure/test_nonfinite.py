"""Planted faults, each with the operation that must be named, and look-alikes that must not be blamed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nonfinite_models import Apply, Framed, batch, ones, traced
from torch import Tensor, nn
from torch.nn import functional

from evenflow.measure.nonfinite import first_nonfinite_parameter, trace_nonfinite

INFINITE = float("inf")


def row_by_row(x: Tensor) -> Tensor:
    memory = torch.zeros(2, 4)
    memory[0] = x[0].sqrt()
    memory[1] = x[0].log()
    return memory


FORWARD = {
    "logarithm of 0": (lambda x: x.log(), [0.0, 0.5, 1.0, 0.9], "aten::log"),
    "0 divided by 0": (lambda x: x / x.sum(1, keepdim=True), [0.0, 0.0, 0.0, 0.0], "aten::div"),
    "exponential": (lambda x: x.exp(), [1.0, 100.0, 0.0, 0.0], "aten::exp"),
    "in place": (lambda x: (x * 1).exp_(), [1.0, 100.0, 0.0, 0.0], "aten::exp_"),
    "power": (lambda x: x**0.5, [-1.0, 1.0, 1.0, 1.0], "aten::pow"),
    "0 times infinity": (lambda x: x * torch.full((4,), INFINITE), [0.0, 1.0, 1.0, 1.0], "aten::mul"),
    "masked row": (
        lambda x: x.masked_fill(torch.ones(4, dtype=torch.bool), -INFINITE).softmax(1),
        [1.0, 2.0, 3.0, 4.0],
        "aten::_softmax",
    ),
    "first of two rows": (row_by_row, [-1.0, 1.0, 1.0, 1.0], "aten::sqrt"),
    "out": (lambda x: torch.log(x.detach(), out=torch.empty(1, 4)) * x, [0.0, 1.0, 1.0, 1.0], "aten::log"),
    "NaN of the user's": (
        lambda x: x.masked_fill(x > 0, float("nan")),
        [1.0, 0.0, 1.0, 1.0],
        "aten::masked_fill",
    ),
    "softmax by hand": (
        lambda x: (e := x.masked_fill(x < 0, -INFINITE).exp()) / e.sum(),
        [100.0, -1.0, 1.0, 1.0],
        "aten::exp",
    ),
}


@pytest.mark.parametrize("fault", FORWARD)
def test_a_fault_of_the_forward_pass_is_named(fault: str) -> None:
    function, row, operation = FORWARD[fault]
    origin = traced(Framed(function), batch(row))
    assert (origin.direction, origin.module, origin.operation) == ("forward", "block.fault", operation)
    assert origin.path[:3] == ("", "block", "block.fault")
    assert origin.path[3].startswith("test_nonfinite.py:")
    assert origin.passed_on == ("last",)


@pytest.mark.parametrize(("dtype", "value"), [(torch.float16, 12.0), (torch.bfloat16, 90.0)])
def test_an_overflow_of_short_floats_is_named_with_its_range(dtype: torch.dtype, value: float) -> None:
    values = batch([1.0, value, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]).to(dtype)
    origin = traced(Framed(lambda x: x.exp(), dtype=dtype), values)
    assert (origin.module, origin.operation) == ("block.fault", "aten::exp")
    (taken,) = origin.operands
    assert (taken.shape, taken.dtype) == ((2, 4), str(dtype).removeprefix("torch."))
    assert (taken.minimum, taken.maximum, taken.nonfinite, taken.zeros) == (0.0, value, 0, 2)
    assert origin.produced is not None
    assert (origin.produced.nonfinite, origin.produced.count) == (1, 8)


def test_a_conversion_that_overflows_is_named() -> None:
    origin = traced(Framed(lambda x: x.half().float()), batch([1e5, 0.0, 0.0, 0.0]))
    assert (origin.module, origin.operation) == ("block.fault", "aten::_to_copy")


class Poisoned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values * 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return gradients[0] * values / (values - values)


class Huge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.factor = 3e38
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.full_like(gradients[0], ctx.factor)


def twice_huge(x: Tensor) -> Tensor:
    return Huge.apply(x) + Huge.apply(x)  # type: ignore[operator]


BACKWARD = {
    "root of 0": (lambda x: x.sqrt(), [0.0, 1.0, 1.0, 1.0], "SqrtBackward0"),
    "arc cosine of 1": (lambda x: x.acos(), [1.0, 0.5, 0.5, 0.5], "AcosBackward0"),
    "power below 1": (lambda x: x**0.5, [0.0, 1.0, 1.0, 1.0], "PowBackward0"),
    "guarded logarithm": (
        lambda x: torch.where(x > 0, x.log(), torch.zeros(())),
        [0.0, 1.0, 1.0, 1.0],
        "LogBackward0",
    ),
    "Function of the user's": (Poisoned.apply, [0.0, 1.0, 1.0, 1.0], "PoisonedBackward"),
    "huge factor": (lambda x: x * 1e30 * 1e30, [0.0, 0.0, 0.0, 0.0], "MulBackward0"),
    "sum": (twice_huge, [0.0, 1.0, 1.0, 1.0], "sum of gradients"),
}


@pytest.mark.parametrize("fault", BACKWARD)
def test_a_fault_of_the_backward_pass_is_named(fault: str) -> None:
    function, row, operation = BACKWARD[fault]
    model = Framed(function)
    values = batch(row)
    model(values).sum().backward()
    gradient = model.first.weight.grad
    assert gradient is not None
    assert not gradient.isfinite().all()  # the fault is there
    assert model(values).isfinite().all()  # and not before the backward pass
    assert trace_nonfinite(model, (values,), {}) is None
    origin = traced(model, values, gradients=ones(model, values))
    assert (origin.direction, origin.operation) == ("backward", operation)
    if operation == "sum of gradients":  # two finite ones meet at the output of "first"
        assert origin.module == "first"
        assert "each of the 2 gradients, from HugeBackward, HugeBackward, was finite" in str(origin)
    else:
        assert origin.module == "block.fault"
        assert origin.passed_on == ("first",)
        assert origin.path[3].startswith("test_nonfinite.py:")


def test_the_backward_operands_are_the_gradient_and_what_was_saved() -> None:
    model = Framed(lambda x: x.sqrt())
    values = batch([0.0, 4.0, 9.0, 0.0])
    with torch.no_grad():
        model.last.weight.fill_(0.5)
    origin = traced(model, values, gradients=ones(model, values))
    gradient, result = origin.operands
    assert (gradient.name, gradient.minimum, gradient.maximum, gradient.zeros) == ("gradient", 1.0, 1.0, 0)
    assert (result.name, result.minimum, result.maximum, result.zeros) == ("result", 0.0, 3.0, 2)
    assert str(origin).startswith(
        'backward: SqrtBackward0 in "block.fault" produced 2 of 4 non-finite values from gradient of shape (1, 4) '
        "float32 in [1, 1] and result of shape (1, 4) float32 in [0, 3] (2 zeros); at test_nonfinite.py:"
    )
    assert str(origin).endswith('in <lambda>; passed on by "first"')


def test_a_sum_of_gradients_of_a_shared_parameter_is_named() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(1, 1, bias=False)

        def forward(self, values: Tensor) -> Tensor:
            return self.part(values) + self.part(values)

    model = Shared()
    values = torch.full((1, 1), 1.0)
    origin = traced(model, values, gradients=[torch.full((1, 1), 3e38)])
    assert (origin.direction, origin.module, origin.operation) == ("backward", "part", "sum of gradients")


def test_what_was_there_before_is_named() -> None:
    model = Framed(lambda x: x.tanh())
    origin = traced(model, batch([1.0, float("nan"), 0.0, INFINITE]))
    assert (origin.direction, origin.operands[0].name, origin.operands[0].nonfinite) == ("input", "values", 2)
    assert str(origin).startswith(
        "input: argument values of shape (1, 4) float32 in [0, 1] (1 zero, 2 non-finite)"
    )
    origin = traced(model, batch([1.0, INFINITE, 0.0, 0.0]))
    assert (origin.direction, origin.operands[0].name) == ("input", "values")
    values = batch([1.0, 1.0, 1.0, 1.0])
    origin = traced(model, values, gradients=[batch([1.0, float("nan")])])
    assert (origin.direction, origin.operands[0].nonfinite) == ("loss", 1)
    with torch.no_grad():
        model.first.weight[0, 1] = float("nan")
        model.last.bias[:] = INFINITE
    origin = traced(model, values)
    assert (origin.direction, origin.module) == ("parameter", "first")
    assert [(o.name, o.nonfinite) for o in origin.operands] == [("first.weight", 1), ("last.bias", 2)]
    assert first_nonfinite_parameter(model) == "first.weight"


def test_a_buffer_is_blamed_if_it_is_used() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    values = torch.randn(8, 4)
    assert isinstance(model[1].running_mean, Tensor)
    model[1].running_mean[2] = float("nan")
    origin = traced(model.eval(), values)
    assert (origin.direction, origin.module, origin.operands[0].name) == ("parameter", "1", "1.running_mean")
    assert first_nonfinite_parameter(model) == "1.running_mean"
    # In training mode it is not read; the logarithm in front is to blame.
    broken = nn.Sequential(Apply(torch.log), model.train())
    origin = traced(broken, torch.zeros(8, 4))
    assert (origin.direction, origin.module, origin.operation) == ("forward", "0", "aten::log")


class Attention(nn.Module):
    """One head; `mask` is added to the scores."""

    def __init__(self, mask: Tensor | None = None) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("held", mask)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = self.query(values) @ self.key(values).transpose(-1, -2)
        mask = dict(self.named_buffers()).get("held") if mask is None else mask
        if mask is None:
            causal = torch.ones(3, 3, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(causal, -INFINITE)
        else:
            scores = scores + mask
        return scores.softmax(-1) @ values


CAUSAL = torch.full((3, 3), -INFINITE).triu(1)
TOKENS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


def made_in_the_middle(x: Tensor) -> Tensor:
    memory = torch.empty(3, 4)
    memory[0] = x[0]
    return x + memory[:1]


def partly_written(x: Tensor) -> Tensor:
    torch.use_deterministic_algorithms(True)  # memory without values is filled with NaN
    try:
        memory = torch.empty(3, 4)
    finally:
        torch.use_deterministic_algorithms(False)
    memory[0] = x[0]
    return memory


HEALTHY = {
    "causal mask": (Attention(), (TOKENS,)),
    "mask in a buffer": (Attention(CAUSAL), (TOKENS,)),
    "mask in an argument": (Attention(), (TOKENS, CAUSAL)),
    "logarithm of a mask": (Attention(), (TOKENS, torch.ones(3, 3).tril().log())),
    "fused": (
        Apply(lambda x: functional.scaled_dot_product_attention(x, x, x, attn_mask=CAUSAL)),
        (TOKENS,),
    ),
    "multi-head": (
        Apply(nn.MultiheadAttention(4, 2, batch_first=True)),
        (TOKENS, TOKENS, TOKENS, torch.tensor([[False, False, True]] * 2)),
    ),
    "memory without values": (Framed(made_in_the_middle), (torch.ones(1, 4),)),
    "memory that leaves its module": (
        nn.Sequential(Apply(partly_written), Apply(lambda x: x[0])),
        (torch.ones(1, 4),),
    ),
    "maximum from -inf": (
        Framed(lambda x: torch.maximum(x, torch.full_like(x, -INFINITE))),
        (torch.ones(1, 4),),
    ),
    "masked output": (Apply(lambda x: x.masked_fill(x < 0, -INFINITE)), (-torch.ones(2).requires_grad_(),)),
    "infinite gradient behind relu": (
        Apply(lambda x: (x.relu() + 0).sqrt()),
        (torch.tensor([-1.0, 1.0]).requires_grad_(),),
    ),
    "doubly guarded": (
        Framed(lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), 0.0)),
        (torch.zeros(1, 4),),
    ),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_the_healthy_are_not_blamed(case: str) -> None:
    model, args = HEALTHY[case]
    assert trace_nonfinite(model, args, {}) is None
    assert trace_nonfinite(model, args, {}, gradients=ones(model, *args)) is None


def test_a_row_that_an_argument_masks_is_the_fault_of_softmax() -> None:
    mask = CAUSAL.clone()
    mask[1] = -INFINITE
    origin = traced(Attention(), TOKENS, mask)
    assert (origin.direction, origin.operation) == ("forward", "aten::_softmax")
    with torch.no_grad():
        model = Attention()
        model.query.weight.fill_(1e38)
    origin = traced(model, TOKENS, CAUSAL)
    assert (origin.direction, origin.module, origin.operation) == ("forward", "query", "aten::addmm")
    assert origin.path == ("", "query", origin.path[2])


def test_a_value_that_dies_out_behind_a_module_is_told_with_that() -> None:
    origin = traced(nn.Sequential(Apply(torch.log), Apply(torch.nan_to_num)), torch.zeros(2))
    assert (origin.direction, origin.module) == ("forward", "0")
    assert str(origin).endswith("it does not reach the model's output")


def test_a_check_of_the_users_own_does_not_hide_the_origin() -> None:
    def checked(x: Tensor) -> Tensor:
        if x.isnan().any():
            raise ValueError("NaN!")
        return x

    origin = traced(nn.Sequential(Apply(torch.sqrt), Apply(checked)), -torch.ones(2))
    assert (origin.module, origin.operation) == ("0", "aten::sqrt")
    assert str(origin).endswith("the pass ended with ValueError: NaN!")
    origin = traced(nn.Linear(3, 3), torch.ones(2))
    assert origin.direction == "unknown"
    assert str(origin).startswith("unknown: the step cannot be run again: RuntimeError: ")
    origin = traced(nn.Linear(3, 3), torch.ones(1, 3), gradients=[])
    assert "0 gradients were given, but 1 tensors of the output require one" in str(origin)


def test_a_constant_infinity_that_reaches_the_output_is_told_with_that() -> None:
    forbidden = torch.tensor([True, False, False, False])

    def loss(scores: Tensor) -> Tensor:
        return functional.cross_entropy(scores.masked_fill(forbidden, -INFINITE), torch.tensor([0]))

    assert loss(torch.ones(1, 4)).isposinf()
    origin = traced(nn.Sequential(Apply(loss)), torch.ones(1, 4))
    assert (origin.direction, origin.module, origin.operation) == ("forward", "0", "aten::nll_loss_forward")
    origin = traced(nn.Sequential(Apply(lambda x: x.masked_fill(x > 0, INFINITE))), torch.ones(1, 4))
    assert (origin.module, origin.operation) == ("0", "aten::masked_fill")
    assert str(origin).endswith("an infinite constant, which is not masked away")


def test_what_is_written_over_is_not_to_blame() -> None:
    class Scratch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scratch: Tensor
            self.register_buffer("scratch", torch.full((4,), float("nan")))

        def forward(self, values: Tensor) -> Tensor:
            return self.scratch.copy_(values.sqrt()) + 1

    origin = traced(Scratch(), -torch.ones(4))
    assert (origin.direction, origin.operation) == ("forward", "aten::sqrt")
    assert traced(Scratch(), torch.ones(4)).direction == "parameter"


def test_a_hook_that_spoils_a_gradient_is_told() -> None:
    class Spoiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, values: Tensor) -> Tensor:
            hidden = self.linear(values)
            hidden.register_hook(lambda gradient: gradient / 0)
            return hidden.tanh()

    origin = traced(Spoiled(), torch.ones(1, 2), gradients=[torch.ones(1, 2)])
    assert (origin.direction, origin.module, origin.operation) == ("backward", "linear", "hook of a tensor")


def test_gradients_may_be_left_out() -> None:
    model = Apply(lambda x: (x.sqrt(), x * 2))
    values = torch.zeros(2).requires_grad_()
    assert trace_nonfinite(model, (values,), {}, gradients=[None, torch.ones(2)]) is None
    assert traced(model, values, gradients=[torch.ones(2), None]).operation == "SqrtBackward0"
    assert values.grad is None
