"""Which layers count, and what their gradients are put in relation to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diagnosed_trainings import adam, chain, digits, norm_of_gradient, sgd, trained, without
from torch import nn

from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.layers import adaptive, hidden_activations, matrices, two_sided


@pytest.fixture(scope="module")
def tanh():
    return trained(chain(16, 3, nn.Tanh), sgd(lr=0.1), digits(), steps=12)


def test_the_pull_is_the_gradient_times_the_weight_over_the_loss(tanh):
    model = chain(16, 3, nn.Tanh)
    inputs, targets = digits()[0]
    loss = nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    expected = [
        float((norm_of_gradient(layer) * layer.weight.norm() / loss).detach())
        for layer in model
        if isinstance(layer, nn.Linear)
    ]
    found = matrices(tanh)
    assert found.names == ("0.weight", "2.weight", "4.weight")
    assert found.start(found.pull(float(loss.detach()))).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_bias_free_rectifier_network_is_pulled_alike_in_all_layers():
    # Σ W ∂L/∂W is the same in every layer there (Du, Hu and Lee 2018): the pull bounds it, within the angle.
    torch.manual_seed(0)
    model = nn.Sequential(
        *(part for _ in range(5) for part in (nn.Linear(64, 64, bias=False), nn.ReLU())),
        nn.Linear(64, 10, bias=False),
    )
    found = matrices(trained(model, sgd(lr=0.01), digits(), steps=10))
    pull = found.start(found.pull(2.3))
    assert pull.max() / pull.min() < 10
    assert found.gradient[0].max() / found.gradient[0].min() > 0


def test_embeddings_are_left_out():
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 8)
            self.head = nn.Linear(8, 3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(tokens).mean(1))

    torch.manual_seed(0)
    case = trained(
        Bag(), adam(lr=0.01), [(torch.randint(0, 20, (16, 5)), torch.randint(0, 3, (16,)))], steps=10
    )
    assert matrices(case).names == ("head.weight",)


def test_the_output_s_own_function_is_no_hidden_activation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    batch = torch.randn(32, 4), torch.randint(0, 2, (32, 1)).float()
    case = trained(model, adam(lr=0.01), [batch], nn.functional.binary_cross_entropy, steps=10)
    assert hidden_activations(case, "rms").names == ("1",)


@pytest.mark.parametrize(
    ("activation", "expected", "known"),
    [
        *((nn.Tanh, True, known) for known in (True, False)),
        *((nn.Sigmoid, True, known) for known in (True, False)),
        *((nn.ReLU, False, known) for known in (True, False)),
        *((other, False, True) for other in (nn.GELU, nn.LeakyReLU, nn.SiLU, nn.ELU)),
    ],
)
def test_what_is_bounded_on_both_sides(activation, expected, known):
    case = without(trained(chain(16, 3, activation), sgd(lr=0.1), digits(), steps=10), setting=known)
    assert two_sided(case, hidden_activations(case, "saturated_fraction")).tolist() == [expected, expected]


def test_which_optimisers_divide_by_the_gradient(tanh):
    assert adaptive(tanh) is False
    assert adaptive(without(tanh, setting=False)) is None
    assert adaptive(trained(chain(8, 2, nn.Tanh), torch.optim.AdamW, digits(), steps=3)) is True


def test_what_was_not_recorded_is_said(tanh):
    with pytest.raises(MissingError, match="grad_norm was not recorded"):
        matrices(without(tanh, "grad_norm"))
    assert np.isnan(matrices(without(tanh, "update_to_weight")).update).all()
