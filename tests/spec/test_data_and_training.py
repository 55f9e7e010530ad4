"""Specifications of data and training: every wrong value in one clear line, and what is settled by itself."""

import pytest

from evenflow import Data, SpecError, Training


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "idx"},
            'data set "idx" needs a path: MNIST or Fashion-MNIST, IDX files in the folder `path`',
        ),
        ({"path": "x"}, 'path = "x": data set "digits28" reads no file; leave path out'),
        ({"imbalance": 0.5}, "imbalance = 0.5: it is largest class over smallest class, at least 1"),
        ({"noise": 0.1}, 'noise = 0.1: data set "digits28" is not generated; leave noise out'),
        ({"classes": 3}, 'classes = 3: data set "digits28" is not generated; leave classes out'),
        ({"name": "blobs", "classes": 1}, "classes = 1: at least 2 classes are needed"),
        ({"name": "blobs", "noise": -1.0}, "noise = -1: it is a standard deviation, at least 0"),
        ({"name": "blobs", "samples": 0}, "samples = 0: at least 1 sample is needed"),
        ({"test_fraction": 1.0}, "test_fraction = 1: it is a share between 0 and 1"),
    ],
)
def test_a_wrong_data_field_is_named(fields: dict, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Data(**fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate = 0: it is a finite number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate = inf: it is a finite number above 0"),
        ({"batch": 0}, "batch = 0: a batch has at least 1 sample"),
        ({"steps": 0}, "steps = 0: a training has at least 1 step"),
        ({"momentum": 1.0}, "momentum = 1: it is at least 0 and below 1"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1: it is a finite number, at least 0"),
    ],
)
def test_a_wrong_training_field_is_named(fields: dict, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Training(**fields)
    assert str(caught.value) == message


def test_the_weight_decay_is_the_optimisers_own_when_left_out() -> None:
    import inspect

    from torch import optim

    classes = {"sgd": optim.SGD, "momentum": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}
    for name, kind in classes.items():
        default = inspect.signature(kind).parameters["weight_decay"].default
        assert Training(optimiser=name).decay == default  # type: ignore[arg-type]
