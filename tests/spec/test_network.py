"""The specification of a network: settled fields, content hash, and every wrong value in one clear line."""

import msgspec
import pytest

from evenflow import Network, SpecError


def test_depth_follows_the_widths_when_left_out() -> None:
    assert Network(width=(8, 4)).widths == (8, 4)
    assert Network(width=8).widths == (8,) * 20


def test_a_list_of_activations_alternates() -> None:
    assert Network(depth=3, activation=("relu", "sigmoid")).activation_names == ("relu", "sigmoid", "relu")


def test_the_hash_is_of_the_content() -> None:
    assert Network(width=(8, 8)).hash == Network(depth=2, width=(8, 8)).hash
    assert Network(width=8).hash == Network(depth=20, width=8).hash
    assert Network(activation="relu").hash != Network(activation="tanh").hash


def test_the_hash_is_the_same_in_every_version() -> None:
    """A changed hash would make every stored result unreachable; change it only on purpose."""
    assert Network(depth=2, width=4).hash == "2244de19fcb5"


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Network().depth = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 0}, "depth = 0: a network has at least 1 hidden layer"),
        ({"width": -3}, "width = -3: a layer has at least 1 unit"),
        ({"width": ()}, "width = []: the list is empty; give one number a hidden layer"),
        (
            {"depth": 3, "width": (4, 4)},
            "width lists 2 layers but depth = 3; leave depth out, or give one number for width",
        ),
        ({"activation": ()}, "activation = []: the list is empty; name at least one activation"),
        (
            {"initialisation": "hee"},
            'initialisation "hee" is not known; did you mean "he"?; known: torch, xavier, he, lecun, '
            "orthogonal[:NUMBER], gain, normal:NUMBER, constant:NUMBER",
        ),
        (
            {"initialisation": "normal"},
            'initialisation "normal" needs a number after a colon, such as "normal:0.1"',
        ),
        ({"initialisation": "he:2"}, 'initialisation "he:2" takes no number; write "he"'),
        ({"initialisation": "normal:x"}, 'initialisation "normal:x": "x" is not a finite number'),
        (
            {"initialisation": "normal:-1"},
            'initialisation "normal:-1": a standard deviation is not negative',
        ),
        ({"clip": "norm:0"}, 'clip "norm:0": the bound is above 0'),
        ({"dropout": 1.0}, "dropout = 1: it is a share, at least 0 and below 1"),
        ({"residual_scale": float("nan")}, "residual_scale = nan: it is a finite number"),
        (
            {"width": (4, 8), "residual": "pre"},
            'residual = "pre" needs hidden layers of equal width, but width = [4, 8]; '
            'give one number, or residual = "none"',
        ),
    ],
)
def test_a_wrong_value_is_named(fields: dict, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Network(**fields)
    assert str(caught.value) == message


def test_an_unknown_activation_is_named_with_the_way_out() -> None:
    with pytest.raises(
        SpecError, match=r'activation "rellu" is not known.*did you mean "relu".*evenflow activations'
    ):
        Network(activation=("tanh", "rellu"))


def test_a_width_of_one_works() -> None:
    assert Network(depth=1, width=1).widths == (1,)


def test_json_there_and_back() -> None:
    network = Network(depth=2, width=(3, 4), activation=("relu", "tanh"), clip="norm:1.0")
    assert msgspec.json.decode(msgspec.json.encode(network), type=Network) == network
