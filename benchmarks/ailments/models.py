"""Models of six families in one form: stem, blocks, pool, head; and the losses that go with their ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from .data import Data
from .recipe import Recipe

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "softsign": nn.Softsign,
    "hardtanh": nn.Hardtanh,
    "exp": lambda: Exponential(),
    "softmax": lambda: nn.Softmax(dim=1),
}

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "summed_cross_entropy": nn.CrossEntropyLoss(reduction="sum"),
    "words_cross_entropy": lambda output, target: F.cross_entropy(output.flatten(0, 1), target.flatten()),
    "nll": nn.NLLLoss(),
    "mse": nn.MSELoss(),
    "l1": nn.L1Loss(),
    "huber": nn.SmoothL1Loss(),
    "bce": nn.BCELoss(),
    "bce_logits": nn.BCEWithLogitsLoss(),
}
REAL = ("mse", "l1", "huber")


class Exponential(nn.Module):
    """eˣ, as Keras has it among its activations."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape."""
        return inputs.exp()


class Layer(nn.Module):
    """A linear or convolutional map, a normalisation, an activation and dropout, perhaps beside a way around."""

    def __init__(self, recipe: Recipe, linear: nn.Module, norm: nn.Module | None) -> None:
        super().__init__()
        self.linear, self.norm = linear, norm
        self.activation = ACTIVATIONS[recipe.activation]()
        self.dropout = nn.Dropout(recipe.dropout) if recipe.dropout else None
        self.residual = recipe.residual

    def forward(self, inputs: Tensor) -> Tensor:
        """Of shape (batch, units or channels, ...)."""
        values = self.linear(inputs)
        values = self.activation(values if self.norm is None else self.norm(values))
        values = values if self.dropout is None else self.dropout(values)
        return inputs + values if self.residual and values.shape == inputs.shape else values


class Recurrent(nn.Module):
    """A stack of recurrent layers; gives every step's output."""

    def __init__(self, recipe: Recipe, units: int) -> None:
        super().__init__()
        if recipe.family == "rnn":
            kind = recipe.activation if recipe.activation in ("tanh", "relu") else "tanh"
            self.cells: nn.RNNBase = nn.RNN(
                units, recipe.width, recipe.depth, nonlinearity=kind, batch_first=True
            )
        else:
            cells = nn.LSTM if recipe.family == "lstm" else nn.GRU
            self.cells = cells(units, recipe.width, recipe.depth, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (batch, time, units) to (batch, time, width)."""
        return self.cells(inputs)[0]


class Attention(nn.Module):
    """One block of a Transformer; normalisations before what they serve, behind it, or none."""

    def __init__(self, recipe: Recipe, causal: bool) -> None:
        super().__init__()
        width = recipe.width
        self.mix, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = ACTIVATIONS[recipe.activation]()
        self.dropout, self.causal = nn.Dropout(recipe.dropout), causal

    def attend(self, inputs: Tensor) -> Tensor:
        """Two heads."""
        query, key, value = (
            part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.mix(inputs).chunk(3, dim=-1)
        )
        found = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.dropout(self.project(found.transpose(1, 2).flatten(2)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Of shape (batch, time, width)."""
        inputs = inputs + self.attend(self.norm1(inputs))
        return inputs + self.dropout(self.down(self.activation(self.up(self.norm2(inputs)))))


class Words(nn.Module):
    """Words or signals to vectors, with learnt places where the blocks have none of their own."""

    def __init__(self, data: Data, width: int, places: bool) -> None:
        super().__init__()
        length = data.inputs.shape[1]
        self.words = (
            nn.Embedding(data.vocabulary, width)
            if data.vocabulary
            else nn.Linear(data.inputs.shape[2], width)
        )
        self.places = nn.Parameter(0.02 * torch.randn(length, width)) if places else None

    def forward(self, inputs: Tensor) -> Tensor:
        """To (batch, time, width)."""
        values = self.words(inputs)
        return values if self.places is None else values + self.places


class Pool(nn.Module):
    """The last step, the mean of all steps, or nothing."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, inputs: Tensor) -> Tensor:
        """Of shape (batch, time, width)."""
        return inputs[:, -1] if self.way == "last" else inputs.mean(1) if self.way == "mean" else inputs


class Network(nn.Module):
    """Stem, blocks, pool, head."""

    def __init__(
        self, stem: nn.Module | None, blocks: nn.Sequential, pool: nn.Module | None, head: nn.Module
    ) -> None:
        super().__init__()
        self.stem, self.blocks, self.pool, self.head = stem, blocks, pool, head

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores of a batch."""
        values = inputs if self.stem is None else self.stem(inputs)
        values = self.blocks(values)
        return self.head(values if self.pool is None else self.pool(values))


def network(recipe: Recipe, data: Data) -> Network:
    """A fresh model; draws from torch's generator."""
    width = recipe.width
    if recipe.family == "mlp":
        sizes = [data.inputs[0].numel(), *[width] * recipe.depth]
        layers = [Layer(recipe, nn.Linear(one, two), _norm(recipe, two)) for one, two in pairwise(sizes)]
        stem = nn.Flatten() if data.inputs.dim() > 2 else None
        found = Network(stem, nn.Sequential(*layers), None, nn.Linear(width, data.outputs))
    elif recipe.family == "cnn":
        sizes = [data.inputs.shape[1], *[width] * recipe.depth]
        layers = [
            Layer(
                recipe, nn.Conv2d(one, two, 3, padding=1, stride=2 if place == 1 else 1), _norm(recipe, two)
            )
            for place, (one, two) in enumerate(pairwise(sizes))
        ]
        side = (data.inputs.shape[2] + 1) // 2 if recipe.depth > 1 else data.inputs.shape[2]
        head = nn.Linear(width * side * side, data.outputs)
        found = Network(None, nn.Sequential(*layers), nn.Flatten(), head)
    elif recipe.family == "transformer":
        everywhere = data.targets.dim() > 1
        blocks = nn.Sequential(
            *(Attention(recipe, everywhere) for _ in range(recipe.depth)), nn.LayerNorm(width)
        )
        pool = None if everywhere else Pool("mean")
        found = Network(Words(data, width, True), blocks, pool, nn.Linear(width, data.outputs))
    else:
        stem = Words(data, width, False) if data.vocabulary else None
        units = width if data.vocabulary else data.inputs.shape[2]
        pool = None if data.targets.dim() > 1 else Pool("last")
        found = Network(stem, nn.Sequential(Recurrent(recipe, units)), pool, nn.Linear(width, data.outputs))
    initialise(found, recipe.initialisation)
    return found


def _norm(recipe: Recipe, width: int) -> nn.Module | None:
    if not recipe.normalisation:
        return None
    if recipe.normalisation == "batch":
        return nn.BatchNorm2d(width) if recipe.family == "cnn" else nn.BatchNorm1d(width)
    return nn.GroupNorm(1, width) if recipe.family == "cnn" else nn.LayerNorm(width)


def weights(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Weight matrices and kernels in the order in which they were made, embeddings left out."""
    tables = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    return [
        (name, one)
        for name, one in model.named_parameters()
        if one.dim() > 1 and "weight" in name and id(one) not in tables
    ]


def initialise(model: nn.Module, name: str) -> None:
    """Draw the weights anew; biases become 0."""
    draw = {
        "he": lambda one: nn.init.kaiming_normal_(one, nonlinearity="relu"),
        "he_uniform": lambda one: nn.init.kaiming_uniform_(one, nonlinearity="relu"),
        "lecun": lambda one: nn.init.kaiming_normal_(one, nonlinearity="linear"),
        "xavier": nn.init.xavier_uniform_,
        "orthogonal": nn.init.orthogonal_,
        "small": lambda one: nn.init.trunc_normal_(one, std=0.05),
    }.get(name)
    if draw is None:
        return
    for _, weight in weights(model):
        draw(weight)
    for name, one in model.named_parameters():
        if one.dim() == 1 and "bias" in name:
            nn.init.zeros_(one)


def chain(model: Network) -> nn.Module:
    """The same as one `nn.Sequential` of PyTorch's own modules, where it is nothing but a chain."""
    parts: list[nn.Module] = [] if model.stem is None else [model.stem]
    for block in model.blocks:
        if not isinstance(block, Layer):
            parts.append(block)
        elif block.residual:
            return model
        else:
            parts += [
                one for one in (block.linear, block.norm, block.activation, block.dropout) if one is not None
            ]
    return nn.Sequential(*parts, *([] if model.pool is None else [model.pool]), model.head)
