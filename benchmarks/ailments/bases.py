"""Sound recipes by kind, drawn from factors: depth, width, activation, start, normalisation, optimiser, data."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from .recipe import Recipe

Base = Callable[[random.Random], Recipe]

MLP_CLASSES = ("digits", "digits_unit", "blobs", "many_blobs", "moons", "circles")
SMOOTH = ("tanh", "gelu", "silu", "elu", "selu", "softplus", "leaky_relu", "relu")
ACTS_FOR = {"tanh": "xavier", "selu": "lecun", "sigmoid": "xavier", "softsign": "xavier"}
OPTIMISERS = (
    ("adam", 3e-3),
    ("adam", 1e-3),
    ("adamw", 3e-3),
    ("momentum", 0.03),
    ("sgd", 0.1),
    ("rmsprop", 1e-3),
)


def _start(activation: str, draw: random.Random) -> str:
    return draw.choice((ACTS_FOR.get(activation, "he"), "orthogonal", "default"))


def mlp(draw: random.Random) -> Recipe:
    """A perceptron of one to four hidden layers."""
    activation, (optimiser, rate) = draw.choice(SMOOTH), draw.choice(OPTIMISERS)
    return Recipe(
        "mlp",
        draw.choice(MLP_CLASSES),
        draw.randint(1, 4),
        draw.choice((16, 24, 32)),
        activation,
        _start(activation, draw) if activation != "softplus" else "default",
        draw.choice(("", "", "batch", "layer")),
        optimiser=optimiser,
        rate=rate,
        plain=draw.random() < 0.6,
    )


def relu_mlp(draw: random.Random) -> Recipe:
    """A ReLU perceptron of two to five hidden layers, without normalisation."""
    optimiser, rate = draw.choice(OPTIMISERS[:5])
    return Recipe(
        "mlp",
        draw.choice(("digits", "digits_unit", "many_blobs", "moons", "circles")),
        draw.randint(2, 5),
        draw.choice((16, 24, 32)),
        "relu",
        draw.choice(("he", "he_uniform")),
        optimiser=optimiser,
        rate=rate / (1 if optimiser != "sgd" else 2),
        plain=draw.random() < 0.6,
    )


def tanh_mlp(draw: random.Random) -> Recipe:
    """A perceptron of bounded activations, two to five hidden layers."""
    optimiser, rate = draw.choice(OPTIMISERS[:5])
    activation = draw.choice(("tanh", "tanh", "softsign", "hardtanh"))
    return Recipe(
        "mlp",
        draw.choice(("digits", "many_blobs", "moons", "circles")),
        draw.randint(2, 5),
        draw.choice((16, 24, 32)),
        activation,
        "xavier",
        optimiser=optimiser,
        rate=rate,
        plain=draw.random() < 0.6,
    )


def deep_mlp(draw: random.Random) -> Recipe:
    """A perceptron of 8 to 14 hidden layers that trains."""
    activation = draw.choice(("relu", "tanh", "leaky_relu"))
    return Recipe(
        "mlp",
        draw.choice(("digits", "many_blobs", "moons")),
        draw.randint(8, 14),
        draw.choice((16, 24, 32)),
        activation,
        "orthogonal" if activation == "tanh" else "he",
        optimiser="adam",
        rate=draw.choice((1e-3, 2e-3)),
        plain=draw.random() < 0.6,
    )


def very_deep_tanh(draw: random.Random) -> Recipe:
    """A perceptron of 20 to 30 hidden tanh layers that trains from an orthogonal start."""
    return Recipe(
        "mlp",
        draw.choice(("digits", "many_blobs")),
        draw.randint(20, 28),
        draw.choice((16, 24)),
        "tanh",
        "orthogonal",
        rate=1e-3,
    )


def normed_mlp(draw: random.Random) -> Recipe:
    """A ReLU perceptron with batch or layer normalisation."""
    return replace(relu_mlp(draw), normalisation=draw.choice(("batch", "layer")))


def residual_mlp(draw: random.Random) -> Recipe:
    """A perceptron of 5 to 10 layers with ways around them."""
    return Recipe(
        "mlp",
        draw.choice(("digits", "many_blobs")),
        draw.randint(5, 10),
        24,
        draw.choice(("relu", "gelu", "tanh")),
        "default",
        draw.choice(("", "layer", "batch")),
        residual=True,
        rate=1e-3,
    )


def bare_residual_mlp(draw: random.Random) -> Recipe:
    """The same without normalisation."""
    return replace(residual_mlp(draw), normalisation="", depth=draw.randint(8, 12))


def cnn(draw: random.Random) -> Recipe:
    """A convolutional network of two to four layers."""
    optimiser, rate = draw.choice(OPTIMISERS[:5])
    return Recipe(
        "cnn",
        draw.choice(("digit_images", "shapes")),
        draw.randint(2, 4),
        draw.choice((6, 8)),
        draw.choice(("relu", "leaky_relu", "gelu")),
        draw.choice(("he", "default")),
        draw.choice(("", "", "batch")),
        optimiser=optimiser,
        rate=rate,
        plain=draw.random() < 0.6,
    )


def relu_cnn(draw: random.Random) -> Recipe:
    """A convolutional network with ReLU and no normalisation."""
    return replace(cnn(draw), activation="relu", normalisation="", initialisation="he")


def resnet(draw: random.Random) -> Recipe:
    """A convolutional network of 6 to 10 layers with batch normalisation and ways around."""
    return Recipe(
        "cnn",
        draw.choice(("digit_images", "shapes")),
        draw.randint(6, 9),
        6,
        "relu",
        "he",
        "batch",
        True,
        rate=3e-3,
    )


def recurrent(draw: random.Random) -> Recipe:
    """An RNN, LSTM or GRU of one or two layers."""
    family = draw.choice(("rnn", "lstm", "gru"))
    data = draw.choice(("digit_rows", "waves", "first_sign", "majority"))
    return Recipe(
        family,
        data,
        draw.choice((1, 1, 2)),
        draw.choice((16, 24)),
        "tanh",
        draw.choice(("default", "orthogonal")),
        rate=draw.choice((5e-3, 1e-2)),
    )


def lstm(draw: random.Random) -> Recipe:
    """An LSTM."""
    return replace(recurrent(draw), family="lstm")


def long_rnn(draw: random.Random) -> Recipe:
    """A plain RNN that must remember for long."""
    return Recipe(
        "rnn",
        draw.choice(("long_first_sign", "first_sign")),
        1,
        24,
        draw.choice(("tanh", "relu")),
        "orthogonal",
        rate=draw.choice((2e-3, 3e-3)),
    )


def relu_rnn(draw: random.Random) -> Recipe:
    """The same with ReLU, which nothing bounds."""
    return replace(long_rnn(draw), activation="relu")


def transformer(draw: random.Random) -> Recipe:
    """A Transformer of one or two blocks."""
    data = draw.choice(("majority", "next_word", "digit_rows", "first_word"))
    return Recipe(
        "transformer",
        data,
        draw.choice((1, 1, 2)),
        16,
        draw.choice(("gelu", "relu")),
        draw.choice(("default", "xavier", "small")),
        rate=draw.choice((3e-3, 5e-3)),
        optimiser=draw.choice(("adam", "adamw")),
        loss="words_cross_entropy" if data == "next_word" else "cross_entropy",
    )


def deep_transformer(draw: random.Random) -> Recipe:
    """A Transformer of four blocks."""
    return replace(transformer(draw), depth=4, rate=2e-3)


def words(draw: random.Random) -> Recipe:
    """Any family that reads words."""
    family = draw.choice(("lstm", "gru", "transformer"))
    return Recipe(family, draw.choice(("majority", "first_word")), 1, 16, "gelu", rate=5e-3)


def regression(draw: random.Random) -> Recipe:
    """A perceptron for real numbers."""
    activation = draw.choice(("relu", "tanh", "gelu", "silu"))
    return Recipe(
        "mlp",
        draw.choice(("friedman", "sine")),
        draw.randint(1, 3),
        draw.choice((24, 32)),
        activation,
        ACTS_FOR.get(activation, "he"),
        optimiser=draw.choice(("adam", "adamw")),
        rate=draw.choice((3e-3, 1e-2)),
        loss=draw.choice(("mse", "mse", "huber", "l1")),
    )


def square_regression(draw: random.Random) -> Recipe:
    """The same with the mean square."""
    return replace(regression(draw), loss="mse")


def raw_regression(draw: random.Random) -> Recipe:
    """Real numbers as they are: about 14, give or take 5."""
    return replace(regression(draw), data="friedman_raw", rate=1e-2, loss="mse")


def copies(draw: random.Random) -> Recipe:
    """An auto-encoder of digits."""
    return Recipe(
        "mlp",
        "digit_copies",
        draw.randint(2, 3),
        draw.choice((24, 32)),
        draw.choice(("relu", "gelu", "tanh")),
        "default",
        rate=5e-3,
        loss="mse",
    )


def binary(draw: random.Random) -> Recipe:
    """A perceptron with one output for two classes."""
    return Recipe(
        "mlp",
        "binary_circles",
        draw.randint(1, 3),
        24,
        draw.choice(("relu", "tanh")),
        "default",
        rate=1e-2,
        loss="bce_logits",
    )


def shallow_sigmoid(draw: random.Random) -> Recipe:
    """One or two sigmoid layers, which learn."""
    return Recipe(
        "mlp",
        draw.choice(("digits", "many_blobs", "moons")),
        draw.randint(1, 2),
        32,
        draw.choice(("sigmoid", "softsign")),
        "xavier",
        rate=1e-2,
    )


def sgd_mlp(draw: random.Random) -> Recipe:
    """A ReLU or tanh perceptron under plain SGD."""
    return replace(
        draw.choice((relu_mlp, tanh_mlp))(draw), optimiser=draw.choice(("sgd", "momentum")), rate=0.03
    )


def narrow(draw: random.Random) -> Recipe:
    """A narrow perceptron on data that its first layers must unfold."""
    return Recipe(
        "mlp",
        draw.choice(("circles", "moons", "many_blobs")),
        draw.randint(2, 4),
        8,
        draw.choice(("relu", "tanh", "gelu")),
        "default",
        rate=1e-2,
    )


def anything(draw: random.Random) -> Recipe:
    """Any family that classifies, with equal chances."""
    return draw.choice((mlp, cnn, recurrent, transformer))(draw)


def memory(draw: random.Random) -> Recipe:
    """A model that is nothing without its first layers."""
    return draw.choice((narrow, recurrent, transformer, long_rnn))(draw)
