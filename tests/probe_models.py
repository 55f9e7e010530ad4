"""Models and trainings of every odd kind, for the tests of the probe.

A case is a function that makes a training: a model, its optimisers, and what one step does. Called twice with the same
seed it makes twins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, rnn

WIDTH = 6


@dataclass
class Training:
    model: nn.Module
    step: Callable[[int], object]
    optimisers: list[torch.optim.Optimizer] = field(default_factory=list)
    others: list[nn.Module] = field(default_factory=list)  # trained beside it
    same_parameters: bool = True  # none is added on the way
    heard: list[str] = field(default_factory=list)  # by hooks of the model's own


CASES: dict[str, tuple[Callable[[], Training], dict[str, int]]] = {}
"""A training by its name, and the depth of every site of a forward signal that it has."""


def sites(depths: dict[str, int]):
    def keep(make: Callable[[], Training]) -> Callable[[], Training]:
        CASES[make.__name__] = (make, depths)
        return make

    return keep


def batch(rows: int = 8, columns: int = WIDTH) -> Tensor:
    return torch.randn(rows, columns)


def supervised(
    model: nn.Module,
    draw: Callable[[int], object] = lambda _step: batch(),
    loss: Callable[..., Tensor] = lambda output: output.square().mean(),
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = lambda p: torch.optim.Adam(
        p, 1e-2
    ),
    **options,
) -> Training:
    """The plain loop: draw, forward, backward, step."""
    stepper = optimiser([p for p in model.parameters() if p.requires_grad])

    def step(number: int) -> None:
        stepper.zero_grad()
        drawn = draw(number)
        output = model(*drawn) if isinstance(drawn, tuple) else model(drawn)
        loss(output).backward()
        stepper.step()

    return Training(model, step, [stepper], **options)


def mlp(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, 2)
    )


class Calls(nn.Module):
    """A forward given as a function of the module."""

    def __init__(self, function: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function_ = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs: object) -> object:
        return self.function_(self, *inputs)


@sites({"1": 1, "3": 2})
def plain() -> Training:
    return supervised(mlp())


@sites({"1": 1, "3": 2})
def in_place() -> Training:
    return supervised(mlp(lambda: nn.ReLU(inplace=True)))


def _thrice(self, x):
    for _ in range(3):
        x = self.act(self.layer(x))
    return x


@sites({"act": 1, "act#2": 1, "act#3": 1})
def shared_three_times() -> Training:
    return supervised(Calls(_thrice, layer=nn.Linear(WIDTH, WIDTH), act=nn.Tanh()))


def _fifty(self, x):
    for _ in range(50):
        x = self.act(self.layer(x))
    return x


@sites({"act": 1})
def shared_fifty_times() -> Training:
    return supervised(Calls(_fifty, layer=nn.Linear(WIDTH, WIDTH), act=nn.Tanh()))


@sites({"act": 1})
def tied_weights() -> Training:
    def forward(self, tokens):
        return self.out(self.act(self.embedding(tokens)))

    model = Calls(forward, embedding=nn.Embedding(9, WIDTH), act=nn.Tanh(), out=nn.Linear(WIDTH, 9))
    setattr(model.out, "weight", model.get_parameter("embedding.weight"))  # noqa: B010
    return supervised(model, lambda _: torch.randint(0, 9, (4, 3)))


@sites({"act": 1})
def unused_parameters() -> Training:
    def forward(self, x):
        return self.out(self.act(self.first(x)))

    return supervised(
        Calls(
            forward,
            never=nn.Linear(WIDTH, 3),
            first=nn.Linear(WIDTH, WIDTH),
            act=nn.ReLU(),
            silent=nn.ReLU(),
            out=nn.Linear(WIDTH, 1),
        )
    )


@sites({"1": 1, "3": 2})
def frozen_layers() -> Training:
    model = mlp()
    model[0].requires_grad_(False)
    return supervised(model)


@dataclass
class Answer:
    logits: Tensor
    hidden: dict[str, object]
    nothing: None = None


@sites(
    {
        "blocks.0[0]": 1,
        "blocks.0[1].h": 1,
        "blocks.1[0]": 2,
        "blocks.1[1].h": 2,
        "blocks.0.act": 1,
        "blocks.1.act": 2,
    }
)
def nested_outputs() -> Training:
    def block(self, x):
        h = self.act(self.layer(x))
        return self.norm(h), {"h": h, "none": None}, None

    def forward(self, x):
        found = {}
        for one in self.blocks:
            x, found, _ = one(x)
        return Answer(self.out(x), {"deep": [found["h"], None, 3]})

    def made():
        return Calls(block, layer=nn.Linear(WIDTH, WIDTH), act=nn.GELU(), norm=nn.LayerNorm(WIDTH))

    model = Calls(forward, blocks=nn.ModuleList([made(), made()]), out=nn.Linear(WIDTH, 2))
    return supervised(model, loss=lambda a: a.logits.square().mean() + a.hidden["deep"][0].square().mean())


@sites({":relu": 1, ":sigmoid": 2, ":tanh": 3, ":sigmoid#2": 4, ":clamp": 5})
def functional_activations() -> Training:
    def forward(self, x):
        x = functional.relu(self.a(x))
        x = torch.sigmoid(self.b(x))
        x = self.c(x).tanh()
        x = self.d(x)
        x = x * torch.sigmoid(x)
        return self.f(self.e(x).clamp(min=0))

    return supervised(Calls(forward, **{name: nn.Linear(WIDTH, WIDTH) for name in "fabcde"}))


def _helper(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.1)


@sites({"inner:leaky_relu": 1, "inner.deep:relu": 2})
def functional_in_a_helper() -> Training:
    def deep(self, x):
        return functional.relu(self.layer(x), inplace=True)

    def inner(self, x):
        return self.deep(_helper(self.layer(x)))

    def forward(self, x):
        return self.out(self.inner(x))

    return supervised(
        Calls(
            forward,
            out=nn.Linear(WIDTH, 1),
            inner=Calls(
                inner, deep=Calls(deep, layer=nn.Linear(WIDTH, WIDTH)), layer=nn.Linear(WIDTH, WIDTH)
            ),
        )
    )


@sites({"0": 1, "1": 1, "2:tanh": 1})
def parameterless_layers() -> Training:
    def forward(_self, x):
        return x.tanh()

    model = nn.Sequential(nn.ReLU(), nn.Sigmoid(), Calls(forward), nn.Flatten(), nn.Linear(WIDTH, 1))
    return supervised(model)


@sites({"act": 1, "act#2": 1, "act#3": 1})
def recursion() -> Training:
    def forward(self, x, depth=2):
        x = self.act(self.layer(x))
        return self(x, depth - 1) if depth else x

    return supervised(Calls(forward, layer=nn.Linear(WIDTH, WIDTH), act=nn.ReLU()))


@sites({"encoder.1": 1, "decoder.1": 2})
def called_by_the_user() -> Training:
    model = nn.ModuleDict(
        {
            "encoder": nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
            "decoder": nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()),
        }
    )
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_number: int) -> None:
        stepper.zero_grad()
        model["decoder"](model["encoder"](batch())).square().mean().backward()
        stepper.step()

    return Training(model, step, [stepper])


@sites({"acts.last": 2, "acts.first": 1})
def lists_and_dictionaries() -> Training:
    def forward(self, x):
        x = self.acts["first"](self.layers[1](x))
        return self.acts["last"](self.layers[0](x))

    return supervised(
        Calls(
            forward,
            layers=nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)]),
            acts=nn.ModuleDict({"last": nn.ReLU(), "first": nn.Sigmoid()}),
        )
    )


@sites({"1": 1})
def lazy() -> Training:
    model = nn.Sequential(nn.LazyLinear(WIDTH), nn.ReLU(), nn.LazyLinear(1))
    return supervised(model, optimiser=lambda p: torch.optim.SGD(p, 0.1))


@sites({"attention": 1, "act": 2})
def attention() -> Training:
    def forward(self, x):
        return self.act(self.out(self.attention(x, x, x)[0]))

    return supervised(
        Calls(forward, attention=nn.MultiheadAttention(WIDTH, 2), out=nn.Linear(WIDTH, 2), act=nn.Tanh()),
        lambda _: torch.randn(5, 3, WIDTH),
    )


@sites({"layers.0": 3, "layers.1": 6, "layers.0:relu": 2, "layers.1:relu": 5})
def transformer() -> Training:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 12, dropout=0.1, batch_first=True)
    return supervised(nn.TransformerEncoder(layer, 2), lambda _: torch.randn(3, 5, WIDTH))


def _packed(self, x, lengths):
    packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    return self.out(self.lstm(packed)[0].data)


@sites({"lstm": 1})
def packed_lstm() -> Training:
    return supervised(
        Calls(_packed, lstm=nn.LSTM(WIDTH, 5, num_layers=2), out=nn.Linear(5, 1)),
        lambda _: (torch.randn(7, 3, WIDTH), torch.tensor([4, 7, 2])),
    )


@sites({"1": 1})
def sparse_embedding() -> Training:
    model = nn.Sequential(nn.Embedding(20, WIDTH, sparse=True), nn.Tanh())
    return supervised(
        model, lambda _: torch.randint(0, 20, (5,)), optimiser=lambda p: torch.optim.SparseAdam(list(p), 1e-2)
    )


@sites({"act": 1})
def complex_parameters() -> Training:
    def forward(self, x):
        return self.act(self.layer(x)).abs()

    model = Calls(forward, layer=nn.Linear(WIDTH, WIDTH, dtype=torch.complex64), act=nn.Tanh())
    return supervised(model, lambda _: torch.randn(4, WIDTH, dtype=torch.complex64))


@sites({"1": 1, "3": 2})
def half_precision() -> Training:
    return supervised(mlp().half(), lambda _: batch().half(), optimiser=lambda p: torch.optim.SGD(p, 0.1))


@sites({"1": 1, "3": 2})
def two_optimisers() -> Training:
    model = mlp()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9)
    second = torch.optim.AdamW(list(model[2].parameters()) + list(model[4].parameters()), lr=0.01)

    def step(_number: int) -> None:
        first.zero_grad()
        second.zero_grad()
        model(batch()).square().mean().backward()
        first.step()
        second.step()

    return Training(model, step, [first, second])


@sites({"1": 1, "3": 2})
def adversarial() -> Training:
    generator, critic = mlp(), nn.Sequential(nn.Linear(2, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, 1))
    makes = torch.optim.Adam(generator.parameters(), 1e-3)
    judges = torch.optim.Adam(critic.parameters(), 1e-3)

    def step(_number: int) -> None:
        for _ in range(2):
            judges.zero_grad()
            loss = functional.softplus(-critic(torch.randn(4, 2))) + functional.softplus(
                critic(generator(batch(4)).detach())
            )
            loss.mean().backward()
            judges.step()
        makes.zero_grad()
        functional.softplus(-critic(generator(batch(4)))).mean().backward()
        makes.step()

    return Training(generator, step, [makes], [critic])


@sites({"1": 1, "3": 2})
def closures() -> Training:
    model = mlp(nn.Tanh)
    stepper = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)

    def step(_number: int) -> None:
        inputs = batch()

        def closure() -> Tensor:
            stepper.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            return loss

        stepper.step(closure)

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def gradient_penalty() -> Training:
    model = mlp(nn.Softplus)
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_number: int) -> None:
        stepper.zero_grad()
        inputs = batch().requires_grad_()
        loss = model(inputs).square().sum()
        (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
        (loss + slope.square().sum()).backward()
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def retained_graph() -> Training:
    model = mlp()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_number: int) -> None:
        stepper.zero_grad(set_to_none=False)
        output = model(batch())
        output.square().mean().backward(retain_graph=True)
        output.abs().mean().backward()
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def accumulated() -> Training:
    model = mlp()
    stepper = torch.optim.AdamW(model.parameters(), 1e-2)

    def step(_number: int) -> None:
        stepper.zero_grad(set_to_none=False)
        for _ in range(4):
            (model(batch(3)).square().mean() / 4).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def parameter_replaced() -> Training:
    model = mlp()
    training = Training(model, lambda _: None, [], same_parameters=False)
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(number: int) -> None:
        if number == 5:
            model[2].weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
            stepper.add_param_group({"params": [model[2].weight]})
        if number == 10:
            model.register_parameter("gain", nn.Parameter(torch.ones(())))
            stepper.add_param_group({"params": [model.gain]})
        stepper.zero_grad()
        output = model(batch()) * (model.gain if number >= 10 else 1)
        output.square().mean().backward()
        stepper.step()

    training.step, training.optimisers = step, [stepper]
    return training


@sites({"1": 1, "3": 2})
def to_double() -> Training:
    model = mlp()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(number: int) -> None:
        if number == 5:
            model.double()
        stepper.zero_grad()
        inputs = batch()
        model(inputs.double() if number >= 5 else inputs).square().mean().backward()
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def validated() -> Training:
    model = mlp()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(number: int) -> None:
        stepper.zero_grad()
        model(batch()).square().mean().backward()
        stepper.step()
        model.eval()
        if number % 2:
            model(1e6 * batch())
        else:
            with torch.no_grad():
                model(1e6 * batch())
        model.train()
        with torch.no_grad():
            model(1e6 * batch())

    return Training(model, step, [stepper])


@sites({"3": 2})
def scripted_part() -> Training:
    model = mlp()
    model[1] = torch.jit.script(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()))
    model[0] = nn.Identity()
    return supervised(model)


@sites({"1": 1, "3": 2})
def functional_call() -> Training:
    model = mlp(nn.Tanh)
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_number: int) -> None:
        stepper.zero_grad()
        own: dict[str, Tensor] = dict(model.named_parameters())
        inputs = batch()

        def loss(weights, sample):
            return torch.func.functional_call(model, weights, (sample,)).square().mean()

        torch.func.functional_call(model, own, (inputs,)).square().mean().backward()
        detached = {name: p.detach() for name, p in own.items()}
        each = torch.func.vmap(torch.func.grad(loss), (None, 0))(detached, inputs)
        torch.func.vmap(model)(inputs.unsqueeze(1))
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            parameter.grad.add_(each[name].mean(0))
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def hooks_of_the_users_own() -> Training:
    model = mlp()
    heard: list[str] = []
    model[1].register_forward_pre_hook(lambda *_: heard.append("pre"))
    model[1].register_forward_hook(lambda *_: heard.append("forward"))
    model[3].register_full_backward_hook(lambda _m, given, _o: (given[0] * 0.5,))

    def doubled(_module, _inputs, output):
        output.register_hook(lambda gradient: heard.append("tensor") or gradient * 2)

    model[0].register_forward_hook(doubled)
    return supervised(model, heard=heard)


@sites({"1": 1, "3": 2})
def batches_of_every_size() -> Training:
    return supervised(mlp(), lambda number: batch(1 + 3 * number % 7))


@sites({"1": 1, "3": 2})
def empty_batches() -> Training:
    return supervised(mlp(), lambda number: batch(number % 2 * 3), lambda output: output.square().sum())


@sites({"1": 1, "3": 2})
def not_finite() -> Training:
    def draw(number: int) -> Tensor:
        inputs = batch()
        if number == 18:
            inputs[0, 0] = float("inf")
        if number == 19:
            inputs[1, 1] = float("nan")
        return inputs

    return supervised(mlp(), draw)


@sites({"first": 1, "act": 1, "last": 2})
def raises_once() -> Training:
    def forward(self, x, broken=False):
        x = self.first(self.a(x))
        x = self.act(x)
        if broken:
            raise ValueError("the data of this batch cannot be used")
        return self.last(self.b(x))

    model = Calls(
        forward,
        b=nn.Linear(WIDTH, WIDTH),
        a=nn.Linear(WIDTH, WIDTH),
        first=nn.ReLU(),
        act=nn.Sigmoid(),
        last=nn.Tanh(),
    )
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(number: int) -> None:
        stepper.zero_grad()
        if number in (0, 5):
            with suppress(ValueError):
                model(batch(), True)
        model(batch()).square().mean().backward()
        stepper.step()

    return Training(model, step, [stepper])


@sites({"1": 1, "3": 2})
def parametrised() -> Training:
    model = mlp()
    model[0] = parametrizations.spectral_norm(model[0])
    model[2] = parametrizations.weight_norm(model[2])
    return supervised(model)


@sites({"1": 1, "3": 2})
def data_parallel() -> Training:
    model = mlp()
    wrapped = nn.DataParallel(model)
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_number: int) -> None:
        stepper.zero_grad()
        wrapped(batch()).square().mean().backward()
        stepper.step()

    return Training(wrapped, step, [stepper])


@sites({"1": 1, "4": 2})
def convolutional() -> Training:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(5, 2),
    )
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return supervised(model, lambda _: torch.randn(3, 3, 8, 8).to(memory_format=torch.channels_last))
