"""Gradient flow in a project's own tests."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.errors import SpecError
from evenflow.testing import assert_healthy

pytest_plugins = ["pytester"]


def training(rate=0.1):
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    return (
        model,
        (inputs, inputs[:, :3].argmax(1)),
        F.cross_entropy,
        torch.optim.SGD(model.parameters(), rate),
    )


def frozen():
    model, batch, loss, _ = training()
    return model, batch, loss, torch.optim.SGD([model.get_parameter("2.bias")], 0.1)


def test_a_healthy_training_passes_with_its_diagnosis():
    assert assert_healthy(*training(), steps=60).healthy


def test_a_fault_fails_with_the_finding_as_its_message():
    with pytest.raises(AssertionError, match=r"^EF403 frozen_layers \(fault\): .*0\.weight"):
        assert_healthy(*frozen(), steps=60)


def test_a_trial_too_short_to_judge_is_not_passed_in_silence():
    with pytest.raises(
        AssertionError, match=r"^only 9 of 16 rules could be judged in 3 steps, .* such as steps=100$"
    ):
        assert_healthy(*training(), steps=3)


def test_the_message_says_what_to_do_with_this_training():
    with pytest.raises(AssertionError, match=r'what to do: Give SGD "0.weight" and "2.weight" as well'):
        assert_healthy(*frozen(), steps=60)


def test_a_fault_that_is_known_is_let_pass():
    assert not assert_healthy(*frozen(), steps=60, allow=["EF403", "loss_plateau", "lr_too_low"]).healthy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allow": ["frozen_layer"]}, 'did you mean "frozen_layers"'),
        ({"allow": "frozen_layers"}, "give a list of names"),
        ({"fail_on": "faults"}, 'did you mean "fault"'),
    ],
)
def test_a_name_that_is_not_known_is_said(options, message):
    with pytest.raises(SpecError, match=message):
        assert_healthy(*training(), steps=2, **options)


TESTS = """
import torch
from torch import nn


def training(trained):
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(trained(model), 0.1)
    return model, (inputs, inputs[:, :3].argmax(1)), nn.functional.cross_entropy, optimizer


def test_sound(gradient_flow):
    gradient_flow(*training(lambda model: model.parameters()), steps=60)


def test_frozen(gradient_flow):
    gradient_flow(*training(lambda model: [model[2].bias]), steps=60)
"""


def test_the_fixture_of_the_plugin(pytester):
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")  # the package names its plugin to pytest
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *AssertionError: EF403 frozen_layers (fault): *"])


def imported(code):
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize("module", ["evenflow.pytest_plugin", "evenflow.testing"])
def test_neither_costs_anything_before_it_is_used(module):
    heavy = {"torch", "numpy", "scipy", "plotly"}
    shown = "import sys; print(*sys.modules)"
    assert not heavy & imported(f"import {module}; {shown}")
    assert heavy & imported(f"import {module}, numpy; {shown}")
