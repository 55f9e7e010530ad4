"""Scores against their textbook definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score

from evenflow.doctor.score import score

LOGITS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(1))


def majority(target):
    return np.unique(target.numpy(), return_counts=True)[1].max() / target.numel()


def test_classes():
    found = score([(LOGITS[:30], CLASSES[:30]), (LOGITS[30:], CLASSES[30:])], "classes", "cross_entropy")
    assert found == pytest.approx((accuracy_score(CLASSES, LOGITS.argmax(1)), majority(CLASSES)))


def test_classes_of_pixels_and_of_tokens():
    expected = accuracy_score(CLASSES, LOGITS.argmax(1))
    pixels = LOGITS.reshape(4, 10, 3).movedim(2, 1), CLASSES.reshape(4, 10)
    tokens = LOGITS.reshape(4, 10, 3), CLASSES.reshape(4, 10)
    for pair in (pixels, tokens):
        assert score([pair], "classes", "cross_entropy")[0] == pytest.approx(expected)


def test_what_the_loss_leaves_out_does_not_count():
    target = CLASSES.clone()
    target[:20] = -100
    found = score([(LOGITS, target)], "classes", "cross_entropy")
    assert found[0] == pytest.approx(accuracy_score(CLASSES[20:], LOGITS[20:].argmax(1)))


@pytest.mark.parametrize(
    ("loss", "edge"), [("binary_cross_entropy_with_logits", 0.0), ("binary_cross_entropy", 0.5)]
)
def test_two_classes_in_one_number(loss, edge):
    target = (CLASSES > 0).float()[:, None]
    output = torch.rand(40, 1) if edge else LOGITS[:, :1]
    found = score([(output, target)], "binary", loss)
    assert found[0] == pytest.approx(accuracy_score(target[:, 0], output[:, 0] > edge))
    assert found[1] == pytest.approx(majority(target))


def test_one_hot_rows():
    target = torch.nn.functional.one_hot(CLASSES, 3).float()
    expected = (accuracy_score(CLASSES, LOGITS.argmax(1)), majority(CLASSES))
    assert score([(LOGITS, target)], "one_hot", "mse") == pytest.approx(expected)


def test_explained_variance():
    target = LOGITS * 3 + 5
    found = score([(LOGITS, target)], "real", "mse")
    assert found == pytest.approx((r2_score(target, LOGITS, multioutput="variance_weighted"), 0.0))


def test_a_column_against_a_row():
    target = LOGITS[:, 0]
    assert score([(target[:, None], target)], "real", "mse")[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("output", "target", "kind"),
    [
        (LOGITS, torch.zeros(40, 5), "real"),
        (LOGITS, None, "real"),
        (None, CLASSES, "classes"),
        (LOGITS, CLASSES[:7], "classes"),
        (LOGITS, CLASSES, "other"),
    ],
)
def test_what_has_no_score(output, target, kind):
    assert all(map(math.isnan, score([(output, target)], kind, "")))


def test_complex_outputs_have_no_score():
    found = score([(LOGITS.to(torch.complex64), CLASSES)], "classes", "cross_entropy")
    assert all(math.isnan(one) for one in found)
