from __future__ import annotations

from typing import Any

import pytest
import torch
from prescribed_trainings import adam, check, classes, course, view_of
from torch import Tensor, nn
from torch.nn import functional

from evenflow.doctor.batches import Batch
from evenflow.measure.data_facts import target_facts
from evenflow.measure.setting import read_setting
from evenflow.prescribe.mend_output_layer import REMEDY


def body(outputs: int = 3) -> list[nn.Module]:
    return [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs)]


class Code(nn.Module):
    """Its end is a line of code, and the same function stands in the middle."""

    def __init__(self, end) -> None:
        super().__init__()
        self.first, self.last, self.end = nn.Linear(8, 16), nn.Linear(16, 3), end

    def forward(self, x):
        return self.end(self.last(self.end(self.first(x))))


def viewed(model: nn.Module, loss=functional.cross_entropy, batches=None):
    from msgspec import structs

    batches = batches or classes()
    output = model(batches[0].inputs)
    setting = read_setting(model, outputs=[output], loss=loss(output, batches[0].target))
    setting = structs.replace(setting, target=target_facts([one.target for one in batches]))
    return view_of(model, batches, "bad_output_layer", loss=loss, setting=setting)


def real() -> list[Batch]:
    return [Batch(one.inputs, one.inputs[:, :1] * 2 - 1) for one in classes()]


def binary() -> list[Batch]:
    return [Batch(one.inputs, (one.target > 0).float()[:, None]) for one in classes()]


CASES = {
    "softmax twice": (lambda: nn.Sequential(*body(), nn.Softmax(1)), functional.cross_entropy, classes, "raw"),
    "sigmoid on logits": (lambda: nn.Sequential(*body(), nn.Sigmoid()), functional.cross_entropy, classes, "raw"),
    "softmax in code": (lambda: Code(lambda x: x.softmax(-1)), functional.cross_entropy, classes, "raw"),
    "relu in code": (lambda: Code(torch.relu), functional.cross_entropy, classes, "raw"),
    "tanh on a regression": (lambda: nn.Sequential(*body(1), nn.Tanh()), functional.mse_loss, real, "raw"),
    "nll of softmax": (lambda: nn.Sequential(*body(), nn.Softmax(1)), functional.nll_loss, classes, "log_softmax"),
    "nll of numbers": (lambda: nn.Sequential(*body()), functional.nll_loss, classes, "log_softmax"),
    "softmax over one": (
        lambda: nn.Sequential(*body(1), nn.Softmax(1)), functional.binary_cross_entropy, binary, "sigmoid",
    ),
    "one unit": (lambda: nn.Sequential(*body(1)), None, classes, "units"),
}  # fmt: skip


def one_unit(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy that lets classes be that one unit has no name for, as hand-written ones do."""
    return -functional.log_softmax(output, 1).gather(1, target[:, None].clamp(max=output.shape[1] - 1)).mean()


@pytest.mark.parametrize("case", CASES)
def test_the_end_is_as_the_loss_takes_it(case):
    make, loss, batches, choice = CASES[case]
    view = viewed(make(), loss or one_unit, batches())
    (one,) = REMEDY.forms(view)
    assert one.choice == choice
    changed = check(one, view)
    output = changed.patient.model(batches()[0].inputs)
    assert output.requires_grad
    if choice == "raw":
        assert output.min() < 0
        assert course(changed, 150)[-1] < course(view.training, 150)[-1] - 0.02
    elif choice == "log_softmax":
        assert torch.allclose(output.exp().sum(1), torch.ones(len(output)))
    elif choice == "sigmoid":
        assert 0 < output.min() < output.max() < 1
    else:
        assert output.shape == (32, 3)


def test_the_same_function_in_the_middle_stays():
    view = viewed(Code(torch.relu))
    model: Any = REMEDY.forms(view)[0].change(view.training.copied()).patient.model
    x = classes()[0].inputs
    assert torch.equal(model(x), model.last(torch.relu(model.first(x))))


def test_a_softmax_written_by_hand_is_got_around():
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(*body())

        def forward(self, x):
            e = self.body(x).exp()
            return e / e.sum(1, keepdim=True)

    from msgspec import structs

    view = viewed(ByHand())
    assert view.setting.output is not None
    output = structs.replace(view.setting.output, activation="softmax")
    view = view_of(
        view.training.patient.model,
        None,
        "bad_output_layer",
        setting=structs.replace(view.setting, output=output),
    )
    (one,) = REMEDY.forms(view)
    assert "RawEnd" in one.code().snippet
    changed = check(one, view, adam)
    x = classes()[0].inputs
    assert torch.equal(changed.patient.model(x), changed.patient.model.model.body(x))


def test_an_end_that_fits_stays():
    view = viewed(nn.Sequential(*body()))
    assert not REMEDY.forms(view)
    assert REMEDY.why_not(view) == "what the model puts out is what the loss takes"
    asked = viewed(nn.Sequential(*body(), nn.LogSoftmax(1)), functional.nll_loss)
    assert not REMEDY.forms(asked)
    assert "nothing is known" in REMEDY.why_not(view_of(nn.Sequential(*body())))
