"""The same search in models of many kinds: nested, recurrent, checkpointed, parametrised, compiled."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from nonfinite_models import Apply, ones, traced
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.checkpoint import checkpoint

from evenflow.measure.nonfinite import tensors_in, trace_nonfinite


@dataclass
class Batch:
    tokens: Tensor
    weights: dict[str, list[Tensor]]


@dataclass
class Result:
    loss: Tensor
    parts: tuple[Tensor, ...]


def test_nested_arguments_and_results_are_searched() -> None:
    model = nn.Module()
    linear = nn.Linear(3, 3)

    def forward(given: Batch) -> dict[str, Result]:
        hidden = linear(given.tokens) * given.weights["a"][1]
        return {"all": Result(hidden.sum().abs().sqrt(), (hidden, hidden.detach()))}

    model.forward = forward
    good = Batch(torch.ones(2, 3), {"a": [torch.ones(1), torch.ones(3)]})
    assert len(tensors_in(model(good))) == 3
    assert trace_nonfinite(model, (good,), {}, gradients=[torch.ones(()), torch.ones(2, 3)]) is None
    bad = Batch(torch.ones(2, 3), {"a": [torch.ones(1), torch.tensor([1.0, 1.0, float("nan")])]})
    origin = trace_nonfinite(model, (), {"given": bad})
    assert origin is not None
    assert origin.operands[0].name == "given.weights['a'][1]"
    zero = Batch(torch.ones(2, 3), {"a": [torch.ones(1), torch.zeros(3)]})
    origin = traced(model, zero, gradients=[torch.ones(()), torch.ones(2, 3)])
    assert (origin.direction, origin.operation) == ("backward", "SqrtBackward0")


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_are_followed(kind: type[nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(3, 3), kind(3, 4), Apply(lambda pair: pair[0].cumsum(0)))
    values = torch.randn(5, 2, 3)
    gradients = ones(model, values)
    assert trace_nonfinite(model, (values,), {}, gradients=gradients) is None
    model.insert(1, Apply(lambda x: x / (x - x)))
    origin = traced(model, values, gradients=gradients)
    assert (origin.module, origin.operation) == ("1", "aten::div")
    assert origin.passed_on[0] == "2"


def test_a_checkpointed_segment_is_followed() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), Apply(lambda x: (x - x).sqrt()), nn.Linear(4, 4))

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, values: Tensor) -> Tensor:
            result = checkpoint(self.inner, values, use_reentrant=False)
            assert isinstance(result, Tensor)
            return result

    origin = traced(Checkpointed(), torch.ones(2, 4), gradients=[torch.ones(2, 4)])
    assert (origin.direction, origin.module, origin.operation) == ("backward", "inner.1", "SqrtBackward0")
    assert origin.passed_on == ("inner.0",)


def test_autocast_is_entered_again() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Apply(lambda x: x.to(torch.float16) * 1.0))
    with torch.no_grad():
        next(model.parameters()).fill_(1e4)
    values = torch.full((1, 2), 5.0)
    assert trace_nonfinite(model, (values,), {}, autocast=("cpu", torch.bfloat16, False)) is not None
    origin = traced(model, values, autocast=("cpu", torch.bfloat16, True))
    assert origin.operands[0].dtype == "bfloat16"


def test_a_module_that_returns_its_loss_in_float64() -> None:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True)).double()

        def forward(self, values: Tensor, *, target: Tensor) -> Tensor:
            distance = (self.body(values) - target).square().sum(1)
            return distance.sqrt().mean()

    model = WithLoss()
    values = torch.ones(2, 3, dtype=torch.float64)
    with torch.no_grad():
        dict(model.named_parameters())["body.0.bias"].fill_(5.0)
        target = model.body(values)
    gradients = [torch.ones((), dtype=torch.float64)]
    origin = trace_nonfinite(model, (values,), {"target": target}, gradients=gradients)
    assert origin is not None
    assert (origin.direction, origin.module, origin.operation) == ("backward", "", "SqrtBackward0")
    assert "SqrtBackward0 in the model's own forward produced 2 of 2" in str(origin)
    assert trace_nonfinite(model, (values,), {"target": target + 1}, gradients=gradients) is None


def root_of_zero(x: Tensor) -> Tensor:
    return (x - x).sqrt()


def test_packed_sequences_are_arguments_too() -> None:
    packed = pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    layer = nn.GRU(2, 3)

    def run(given: PackedSequence) -> Tensor:
        return layer(given)[0].data

    gradients = [torch.ones(5, 3)]
    assert trace_nonfinite(Apply(run), (packed,), {}, gradients=gradients) is None
    broken = pack_sequence([torch.full((3, 2), float("nan")), torch.ones(2, 2)])
    assert traced(Apply(run), broken).operands[0].nonfinite == 6


def test_parametrised_weights_are_computed_in_a_module() -> None:
    linear = parametrizations.weight_norm(nn.Linear(3, 3))
    with torch.no_grad():
        dict(linear.named_parameters())["parametrizations.weight.original1"].zero_()
    origin = traced(nn.Sequential(linear), torch.ones(1, 3))
    assert origin.module == "0.parametrizations.weight.0"
    assert origin.path == ("", "0", "0.parametrizations.weight", "0.parametrizations.weight.0")


def test_a_gradient_inside_the_forward_pass_is_followed() -> None:
    class Penalty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, values: Tensor) -> Tensor:
            values = values.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.linear(values).sum(), values, create_graph=True)
            return (slope * 0).square().sum().sqrt()

    origin = traced(Penalty(), torch.ones(2, 3), gradients=[torch.ones(())])
    assert (origin.direction, origin.module, origin.operation) == ("backward", "", "SqrtBackward0")


def test_a_state_that_is_carried_on_keeps_its_graph() -> None:
    class Carrying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(2, 2)
            self.state: Tensor | None = None

        def forward(self, values: Tensor) -> Tensor:
            state = self.state = self.cell(values, self.state)
            return state

    model, values = Carrying(), torch.ones(1, 2)
    model(values)
    state = model.state
    assert trace_nonfinite(model, (values,), {}, gradients=[torch.ones(1, 2)]) is None
    assert model.state is state
    assert state is not None
    state.sum().backward()  # its graph has not been freed
    assert model.cell.weight_ih.grad is not None


def test_an_argument_that_was_computed_may_be_changed_in_place() -> None:
    leaf = torch.ones(2, requires_grad=True)
    values = leaf * 0
    model = nn.Sequential(Apply(lambda x: x.add_(0)), Apply(torch.sqrt))
    origin = traced(model, values, gradients=[torch.ones(2)])
    assert (origin.direction, origin.module) == ("backward", "1")
    values.sum().backward()
    assert leaf.grad is not None


def test_wrappers_that_spread_a_model_are_looked_through() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), Apply(root_of_zero))
    origin = traced(nn.DataParallel(inner), torch.ones(1, 2), gradients=[torch.ones(1, 2)])
    assert (origin.module, origin.passed_on) == ("1", ("0",))


def test_a_shared_module_goes_by_its_first_name() -> None:
    shared = Apply(torch.log)
    model = nn.Sequential(shared, nn.Linear(2, 2), Apply(torch.relu), Apply(lambda x: x * 0), shared)
    origin = traced(model, torch.ones(1, 2))
    assert (origin.module, origin.operation) == ("0", "aten::log")
    assert origin.operands[0].zeros == 2


def test_what_cannot_be_seen_is_said() -> None:
    class Reentrant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, values: Tensor) -> Tensor:
            result = checkpoint(self.linear, values, use_reentrant=True)
            assert isinstance(result, Tensor)
            return result

    model = Reentrant()
    values = torch.ones(1, 2, requires_grad=True)
    origin = traced(model, values, gradients=[torch.ones(1, 2)])
    assert origin.direction == "unknown"
    assert "use_reentrant=True" in origin.note
    assert model.linear.weight.grad is None
