"""Three trainings, small enough for one core and common enough to stand for others.

W1 is the deep and narrow network in which hooks cost most beside the arithmetic; W2 and W3 are a convolutional
network and a transformer in the forms that people train. Inputs are drawn, not read: nothing here depends on
what is learnt, only on the shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

BATCHES = 8  # as many different ones, in turn
CLASSES = 10


class Training:
    """A model with its optimiser and its data, and one step of them.

    A contender watches by `after_backward` and `after_step`, both called with the loss, or by hooks of its own;
    it may also put another callable in the place of `forward`.
    """

    def __init__(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, batches: list[tuple[Tensor, Tensor]]
    ) -> None:
        self.model, self.optimiser, self.batches = model, optimiser, batches
        self.forward: Callable[[Tensor], Tensor] = model
        self.after_backward: Callable[[Tensor], object] = _nothing
        self.after_step: Callable[[Tensor], object] = _nothing
        self.steps = 0

    def loss(self) -> Tensor:
        """Cross entropy of the next batch, with its graph."""
        inputs, targets = self.batches[self.steps % len(self.batches)]
        scores = self.forward(inputs)
        return F.cross_entropy(scores.flatten(0, -2), targets.flatten())

    def learn(self, loss: Tensor) -> None:
        """Backward pass and update."""
        self.optimiser.zero_grad()
        loss.backward()
        self.after_backward(loss)
        self.optimiser.step()
        self.after_step(loss)
        self.steps += 1

    def step(self) -> None:
        """The whole of a training step."""
        self.learn(self.loss())

    def own_tensors(self) -> Iterator[Tensor]:
        """What the training holds at any time, watched or not: parameters, gradients, optimiser, data."""
        for parameter in self.model.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        yield from self.model.buffers()
        for kept in self.optimiser.state.values():
            yield from (value for value in kept.values() if isinstance(value, Tensor))
        for batch in self.batches:
            yield from batch


@dataclass(frozen=True)
class Workload:
    """A training that can be made again and again, each time the same."""

    name: str
    words: str
    inner: int  # steps in one round: short steps are timed several at once
    make: Callable[[int], Training]

    def training(self, base_width: int = 16) -> Training:
        """A fresh copy: same parameters, same batches. `base_width` is the width of W2's first stage."""
        torch.manual_seed(0)
        return self.make(base_width)


def _nothing(_loss: Tensor) -> None:
    pass


def _classified(shape: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(shape), torch.randint(CLASSES, shape[:1])) for _ in range(BATCHES)]


def perceptron(_base_width: int) -> Training:
    """W1: twenty weight layers, ReLU between, He's initialisation so that signals pass all of them."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((784, *[128] * 19, CLASSES)):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    return Training(model, torch.optim.Adam(model.parameters()), _classified((128, 784)))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a way around them; each ReLU is a module of its own, for hooks to find."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.around: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.around = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """Images of shape `(batch, channels, height, width)`."""
        inner = self.relu1(self.norm1(self.conv1(inputs)))
        return self.relu2(self.norm2(self.conv2(inner)) + self.around(inputs))


def residual(base_width: int) -> Training:
    """W2: the form of ResNet-18 for images of 32×32 pixels."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, base_width, 3, padding=1, bias=False),
        nn.BatchNorm2d(base_width),
        nn.ReLU(),
    ]
    before = base_width
    for stage in range(4):
        channels = base_width << stage
        layers += [BasicBlock(before, channels, 2 if stage else 1), BasicBlock(channels, channels, 1)]
        before = channels
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return Training(model, optimiser, _classified((32, 3, 32, 32)))


class TransformerBlock(nn.Module):
    """Attention, then two linear layers, each after a layer normalisation and beside a way around."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences of shape `(batch, context, width)`."""
        query, key, value = self.mix(self.norm1(inputs)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        seen = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=True
        )
        inputs = inputs + self.project(seen.transpose(1, 2).flatten(2))
        return inputs + self.down(self.gelu(self.up(self.norm2(inputs))))


class Transformer(nn.Module):
    """A decoder with learnt positions."""

    def __init__(self, layers: int, width: int, heads: int, context: int, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        """Words of shape `(batch, context)` to scores of shape `(batch, context, vocabulary)`."""
        return self.head(self.norm(self.blocks(self.words(words) + self.places)))


def transformer(_base_width: int) -> Training:
    """W3: a small GPT."""
    context, vocabulary = 128, 512
    model = Transformer(layers=4, width=256, heads=4, context=context, vocabulary=vocabulary)
    drawn = [torch.randint(vocabulary, (8, context + 1)) for _ in range(BATCHES)]
    batches = [(words[:, :-1].contiguous(), words[:, 1:].contiguous()) for words in drawn]
    return Training(model, torch.optim.AdamW(model.parameters(), lr=3e-4), batches)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("W1", "MLP, 20 weight layers, width 128, batch 128, Adam", 5, perceptron),
        Workload("W2", "ResNet-18 form, 32×32, batch 32, SGD with momentum", 1, residual),
        Workload("W3", "GPT, 4 layers, width 256, context 128, batch 8, AdamW", 1, transformer),
    )
}
