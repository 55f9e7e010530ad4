"""Outputs that are compared with the targets of other samples, and losses that only look it."""

from __future__ import annotations

import pytest
import torch
from examined_trainings import adam, digits, examined, mlp, regression, without_twins
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.diagnose.rules.bad_output_layer import judge

COLUMNS = regression()
FLAT = [(inputs, targets[:, 0]) for inputs, targets in COLUMNS]


def square(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean()


def huber(output: Tensor, target: Tensor) -> Tensor:
    error = output - target
    return torch.where(error.abs() < 1, 0.5 * error**2, error.abs() - 0.5).mean()


SPREAD = {
    "mse_loss": F.mse_loss,
    "a square by hand": square,
    "an absolute value by hand": lambda output, target: (output - target).abs().mean(),
    "l1_loss": F.l1_loss,
    "huber_loss": F.huber_loss,
    "a Huber loss by hand": huber,
    "log cosh": lambda output, target: (output - target).cosh().log().mean(),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("loss", SPREAD.values(), ids=SPREAD)
def test_every_output_against_every_target(loss):
    case = examined(mlp(8, 16, 1), FLAT, adam(1e-2), loss)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert "(64, 1) are spread out against targets of shape (64,)" in verdict.message
    assert float(verdict.evidence["twin_points"]) > 50
    assert (alone := judge(without_twins(case))) is not None
    assert alone.severity == "fault"


def test_flat_outputs_against_columns():
    verdict = judge(examined(nn.Sequential(mlp(8, 16, 1), nn.Flatten(0)), COLUMNS, adam(1e-2), square))
    assert verdict is not None
    assert verdict.severity == "fault"


@pytest.mark.parametrize(
    ("units", "batches", "loss"),
    [
        (1, COLUMNS, square),
        (1, FLAT, lambda output, target: square(output.squeeze(1), target)),
        (1, FLAT, lambda output, target: square(output, target[:, None])),
        (1, FLAT, lambda output, target: square(output - output.T, target[:, None] - target)),
        (5, COLUMNS, square),
    ],
    ids=["columns", "squeezed", "unsqueezed", "pairs by their order", "an ensemble"],
)
def test_shapes_that_fit(units, batches, loss):
    assert judge_quietly(examined(mlp(8, 16, units), batches, adam(1e-2), loss, twins=False)) is None


def judge_quietly(case):
    """The verdict; None too where the loss is of a kind that is not known."""
    output = case.setting.output
    return judge(case) if output is not None and output.loss else None


ONE_HOT = [(inputs, F.one_hot(target, 10).float()) for inputs, target in digits()]
ALONG_THE_BATCH = {
    "softmax": (nn.Softmax(dim=0), digits(), F.cross_entropy),
    "log_softmax": (nn.LogSoftmax(dim=0), digits(), F.nll_loss),
    "softmax by a square": (nn.Softmax(dim=0), ONE_HOT, F.mse_loss),
    "within the loss": (nn.Identity(), digits(), lambda out, target: F.nll_loss(out.log_softmax(-2), target)),
}


@pytest.mark.parametrize(("end", "batches", "loss"), ALONG_THE_BATCH.values(), ids=ALONG_THE_BATCH)
def test_a_softmax_over_the_samples(end, batches, loss):
    case = examined(nn.Sequential(mlp(64, 16, 10), end), batches, adam(1e-3), loss, steps=12, twins=False)
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert "over the samples of the batch" in verdict.message
    assert verdict.remedies == ("mend_loss" if isinstance(end, nn.Identity) else "mend_output_layer",)


def test_a_softmax_over_the_samples_that_does_no_harm_beside_its_twin():
    verdict = judge(
        examined(nn.Sequential(mlp(64, 32, 10), nn.Softmax(dim=0)), digits(), adam(1e-2), steps=150)
    )
    assert verdict is not None
    assert verdict.severity == "risk"
    assert float(verdict.evidence["twin_points"]) < 10


def both_ways(output: Tensor, _target: Tensor) -> Tensor:
    """Each sample against all others, along rows and along columns."""
    near = 10 * F.normalize(output) @ F.normalize(output).T
    return -(near.log_softmax(0) + near.log_softmax(1)).diagonal().mean()


@pytest.mark.parametrize(
    "loss",
    [F.cross_entropy, lambda output, target: F.nll_loss(output.log_softmax(-1), target), both_ways],
    ids=["cross_entropy", "by hand", "contrastive"],
)
def test_a_softmax_along_the_classes(loss):
    assert judge_quietly(examined(mlp(64, 16, 10), digits(), adam(1e-2), loss, steps=12, twins=False)) is None
