"""Initial draws: their distribution, their pairing over seeds, and the order of the data."""

import math

import numpy as np
import pytest
import torch

from evenflow import Network
from evenflow.spec.initialisation import Draw
from evenflow.study.draws import batch_indices, draw, generator, initial_parameters

SHAPE = (400, 500)


def source() -> np.random.Generator:
    return generator(0, 1, 1)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_mean_and_standard_deviation_are_as_asked(distribution: str) -> None:
    values = draw(Draw(distribution, 0.3), SHAPE, source()).astype(float)  # type: ignore[arg-type]
    standard_error = 0.3 / math.sqrt(values.size)
    assert abs(values.mean()) < 5 * standard_error
    assert abs(values.std() - 0.3) < 5 * standard_error


def test_a_normal_draw_is_normal_and_a_uniform_one_is_bounded() -> None:
    from scipy import stats

    normal = draw(Draw("normal", 1.0), SHAPE, source()).ravel()
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    uniform = draw(Draw("uniform", 1.0), SHAPE, source())
    assert 1.7 < np.abs(uniform).max() <= math.sqrt(3) + 1e-6


def test_draws_from_two_distributions_are_paired() -> None:
    normal, uniform = (draw(Draw(name, 1.0), SHAPE, source()).ravel() for name in ("normal", "uniform"))
    assert (np.argsort(normal[:1000]) == np.argsort(uniform[:1000])).all()


@pytest.mark.parametrize("shape", [(6, 6), (6, 4), (4, 6)])
def test_orthogonal_rows_or_columns(shape: tuple[int, int]) -> None:
    matrix = draw(Draw("orthogonal", 2.0), shape, source()).astype(float)
    product = matrix @ matrix.T if shape[0] <= shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(min(shape)), atol=1e-5)


def test_torch_default_is_the_distribution_of_a_linear_layer() -> None:
    ours = initial_parameters(Network(depth=1, width=300, initialisation="torch"), 200, 10, seed=0)
    torch.manual_seed(0)
    theirs = torch.nn.Linear(200, 300)
    for mine, other in (("hidden_1.weight", theirs.weight), ("hidden_1.bias", theirs.bias)):
        reference = other.detach().numpy()
        assert np.abs(ours[mine]).max() <= 1 / math.sqrt(200)
        assert ours[mine].std() == pytest.approx(reference.std(), rel=0.1)


@pytest.mark.parametrize(
    ("initialisation", "expected"),
    [
        ("he", math.sqrt(2 / 100)),
        ("lecun", 0.1),
        ("xavier", math.sqrt(2 / 400)),
        ("gain", math.sqrt(2 / 100)),
        ("normal:0.05", 0.05),
    ],
)
def test_standard_deviation_of_a_rule(initialisation: str, expected: float) -> None:
    network = Network(width=(100, 300), activation="relu", initialisation=initialisation)
    weights = initial_parameters(network, 50, 10, seed=1)["hidden_2.weight"]
    assert weights.shape == (300, 100)
    assert weights.std() == pytest.approx(expected, rel=0.03)


def test_the_gain_of_the_first_layer_is_one_because_its_input_is_standardised() -> None:
    network = Network(width=(200, 200), activation="sigmoid", initialisation="gain")
    values = initial_parameters(network, 200, 10, seed=1)
    assert values["hidden_1.weight"].std() == pytest.approx(1 / math.sqrt(200), rel=0.03)
    assert values["hidden_2.weight"].std() > 1.5 / math.sqrt(200)


def test_equal_seeds_share_draws_wherever_shapes_agree() -> None:
    shallow = initial_parameters(Network(depth=2, width=8, activation="relu"), 5, 3, seed=4)
    deep = initial_parameters(Network(depth=6, width=8, activation="tanh"), 5, 3, seed=4)
    np.testing.assert_array_equal(shallow["hidden_2.weight"], deep["hidden_2.weight"])
    other = initial_parameters(Network(depth=2, width=8), 5, 3, seed=5)
    assert not np.array_equal(shallow["hidden_2.weight"], other["hidden_2.weight"])


def test_an_epoch_shows_every_sample_at_most_once() -> None:
    batches = [batch_indices(step, 103, 10, seed=0) for step in range(10)]
    assert len(set(np.concatenate(batches))) == 100
    assert set(batch_indices(10, 103, 10, seed=0)) != set(batches[0])


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    assert sorted(batch_indices(3, 7, 100, seed=0)) == list(range(7))
