"""Networks of other families as a plain PyTorch script would write and train them; imports nothing of the package."""

import numpy as np
import torch
from scipy.special import ndtri
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it


def uniform(seed, place, shape, bound):
    """Uniform on ±bound, from the generator of a place."""
    numbers = np.random.default_rng([seed, *place]).random(shape)
    return torch.tensor((2 * numbers - 1) * bound, dtype=torch.float32)


def normal(seed, place, shape, deviation):
    """Normal, by the quantiles of the same numbers."""
    numbers = np.random.default_rng([seed, *place]).random(shape)
    return torch.tensor(ndtri(numbers) * deviation, dtype=torch.float32)


def orthogonal(seed, place, size):
    """Q of a QR decomposition of normal numbers, signs fixed by the diagonal of R."""
    q, r = np.linalg.qr(ndtri(np.random.default_rng([seed, *place]).random((size, size))))
    return torch.tensor(q * np.sign(np.diag(r)), dtype=torch.float32)


class Convolutions(nn.Module):
    """Two convolutions of 3 × 3, batch normalisation in front of ReLU, one pooling, He's weights."""

    def __init__(self, seed):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.n1, self.n2 = nn.BatchNorm2d(6), nn.BatchNorm2d(5)
        self.out = nn.Linear(5, 10)
        for place, layer in enumerate((self.c1, self.c2, self.out), start=1):
            inputs = layer.weight[0].numel()
            weight = normal(seed, (1, place), (len(layer.weight), inputs), (2 / inputs) ** 0.5)
            layer.weight.data = weight.reshape(layer.weight.shape)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x.reshape(-1, 1, 8, 8)))), 2)
        return self.out(F.relu(self.n2(self.c2(x))).mean((2, 3)))


class Recurrent(nn.Module):
    """Two layers of LSTM or GRU written out, the state handed on by a loop; rows of the image are time steps."""

    def __init__(self, seed, gates, units=7):
        super().__init__()
        self.units, self.gates = units, gates
        bound = units**-0.5
        for layer, inputs in ((1, 8), (2, units)):
            make = [
                (
                    uniform(seed, (1, layer, 1 + 2 * g), (units, inputs), bound),
                    orthogonal(seed, (1, layer, 2 + 2 * g), units),
                )
                for g in range(gates)
            ]
            self.register_parameter(f"w{layer}", nn.Parameter(torch.cat([w for w, _ in make])))
            self.register_parameter(f"u{layer}", nn.Parameter(torch.cat([u for _, u in make])))
            first = uniform(seed, (2, layer), gates * units, bound)
            first[units : 2 * units] += 1.0
            self.register_parameter(f"b{layer}", nn.Parameter(first))
            self.register_parameter(
                f"d{layer}", nn.Parameter(uniform(seed, (2, layer, 1), gates * units, bound))
            )
        self.out = nn.Linear(units, 10)
        self.out.weight.data = uniform(seed, (1, 3), (10, units), bound)
        self.out.bias.data = uniform(seed, (2, 3), 10, bound)

    def forward(self, x):
        steps = list(x.reshape(-1, 8, 8).unbind(1))
        for layer in (1, 2):
            steps = self.layer(layer, steps)
        return self.out(steps[-1])

    def layer(self, layer, steps):
        w, u, b, d = (getattr(self, f"{name}{layer}") for name in "wubd")
        h = c = torch.zeros(len(steps[0]), self.units)
        states = []
        for x in steps:
            if self.gates == 4:
                i, f, g, o = (x @ w.T + b + h @ u.T + d).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            else:
                (r, z, n), (hr, hz, hn) = (x @ w.T + b).chunk(3, 1), (h @ u.T + d).chunk(3, 1)
                z = (z + hz).sigmoid()
                h = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * h
            states.append(h)
        return states


class Attention(nn.Module):
    """One Transformer block with two heads, softmax written out; pre-norm or post-norm; Xavier's weights."""

    def __init__(self, seed, post, width=6):
        super().__init__()
        self.post, self.width = post, width
        self.embed = nn.Linear(8, width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.n1, self.n2, self.n3 = (nn.LayerNorm(width) for _ in range(3))
        self.out = nn.Linear(width, 10)
        places = [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1), (5, 1), (6, 1)]
        layers = (self.embed, self.q, self.k, self.v, self.o, self.up, self.down, self.out)
        for place, layer in zip(places, layers, strict=True):
            bound = (6 / sum(layer.weight.shape)) ** 0.5
            layer.weight.data = uniform(seed, (1, *place), tuple(layer.weight.shape), bound)
            layer.bias.data.zero_()

    def forward(self, x):
        angle = torch.arange(8)[:, None] / 10_000 ** (torch.arange(0, self.width, 2) / self.width)
        sines = torch.stack([angle.sin(), angle.cos()], 2).flatten(1)
        x = self.embed(x.reshape(-1, 8, 8)) + sines
        for branch, norm in ((self.attend, self.n1), (self.feed, self.n2)):
            x = norm(x + branch(x)) if self.post else x + branch(norm(x))
        return self.out((x if self.post else self.n3(x)).mean(1))

    def attend(self, x):
        heads = [part.reshape(len(x), 8, 2, -1) for part in (self.q(x), self.k(x), self.v(x))]
        logits = torch.einsum("bthd,bshd->bhts", heads[0], heads[1]) / (self.width / 2) ** 0.5
        return self.o(torch.einsum("bhts,bshd->bthd", logits.softmax(-1), heads[2]).flatten(2))

    def feed(self, x):
        return self.down(F.gelu(self.up(x)))


def losses(model, x, y, seed, steps, batch=64, rate=0.01):
    """The loss of every batch under Adam, and of the first batch ‖∂L/∂w‖ of all weights together."""
    torch.set_num_threads(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    order = np.random.default_rng([seed, 3, 0]).permutation(len(y))
    found, first = [], None
    for step in range(steps):
        rows = order[step * batch : (step + 1) * batch]
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        if first is None:
            parts = [p.grad.double() for p in model.parameters() if p.grad is not None]
            first = float(sum((part**2).sum() for part in parts) ** 0.5)
        optimiser.step()
        found.append(loss.item())
    return found, first
