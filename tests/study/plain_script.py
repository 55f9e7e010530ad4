"""One cell of a study as a plain PyTorch script would train and measure it; imports nothing of the package."""

from itertools import pairwise

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.datasets import load_digits
from torch import nn


def run(make_activation, gain, depth, width, steps, every, seed, batch=128, rate=1e-3):
    """(step, site, kind, phase) -> figures. gain None: PyTorch's default, else a gain for the weights."""
    torch.set_num_threads(1)
    pixels, digits = (np.asarray(part) for part in load_digits(return_X_y=True))
    rng = np.random.default_rng(39)
    of_class = [rng.permutation(np.flatnonzero(digits == c)) for c in range(10)]
    train = rng.permutation(np.concatenate([rows[round(0.2 * len(rows)) :] for rows in of_class]))
    test = rng.permutation(np.concatenate([rows[: round(0.2 * len(rows))] for rows in of_class]))
    mean, std = pixels[train].mean(0), pixels[train].std(0)
    std[std == 0] = np.inf
    x, xt = (torch.tensor((pixels[rows] - mean) / std, dtype=torch.float32) for rows in (train, test))
    y, yt = torch.tensor(digits[train]), torch.tensor(digits[test])

    sizes = [x.shape[1], *[width] * depth, 10]
    linears = [nn.Linear(m, n) for m, n in pairwise(sizes)]
    for k, layer in enumerate(linears, start=1):
        n, m = layer.weight.shape
        u, v = (
            np.random.default_rng([seed, 1, k]).random((n, m)),
            np.random.default_rng([seed, 2, k]).random(n),
        )
        default, scale = m**-0.5, (1 if k == 1 else gain or 0) * m**-0.5
        weight = (2 * u - 1) * default if gain is None else ndtri(u) * scale
        layer.weight.data = torch.tensor(weight, dtype=torch.float32)
        layer.bias.data = torch.tensor((2 * v - 1) * default if gain is None else 0 * v, dtype=torch.float32)
    functions = [make_activation() for _ in range(depth)]
    names = [f"hidden_{k}" for k in range(1, depth + 1)] + ["output"]
    optimiser = torch.optim.Adam([p for layer in linears for p in layer.parameters()], lr=rate)

    def forward(inputs):
        signals = []
        for linear, function in zip(linears, functions):  # noqa: B905
            z = linear(inputs)
            inputs = function(z)
            signals.append((z, inputs))
        return linears[-1](inputs), signals

    def slopes(z, function):
        z = z.detach().requires_grad_()
        return torch.autograd.grad(function(z).sum(), z)[0].double().numpy()

    def size(tensor):
        return float(np.sqrt((tensor.detach().double().numpy() ** 2).sum()))

    figures, live, per_epoch = {}, [], len(y) // batch
    for step in range(steps + 1):
        record = step % every == 0 or step == steps
        if record:
            for part, inputs, labels in (("train", x, y), ("test", xt, yt)):
                logits, signals = forward(inputs)
                loss = nn.functional.cross_entropy(logits.double(), labels).item()
                right = (logits.argmax(1) == labels).double()
                figures[step, part, "loss", ""] = {"loss": loss, "accuracy": right.mean().item()}
                if part == "train":
                    live = [(slopes(z, f) != 0).any(0) for (z, _), f in zip(signals, functions)]  # noqa: B905
            for c in range(10):
                figures[step, f"test class {c}", "class", ""] = {"recall": right[yt == c].mean().item()}
        order = np.random.default_rng([seed, 3, step // per_epoch]).permutation(len(y))
        rows = order[step % per_epoch * batch :][:batch]
        logits, signals = forward(x[rows])
        for z, _ in signals:
            z.retain_grad()
        loss = nn.functional.cross_entropy(logits, y[rows])
        optimiser.zero_grad()
        loss.backward()
        old = [[p.detach().clone() for p in layer.parameters()] for layer in linears]
        if step < steps:
            optimiser.step()
        if not record:
            continue
        figures[step, "batch", "loss", ""] = {"loss": loss.item()}
        for name, layer, before in zip(names, linears, old):  # noqa: B905
            for kind, p, w in zip(("weight", "bias"), layer.parameters(), before):  # noqa: B905
                figures[step, f"{name}.{kind}", kind, "accumulated"] = row = {"weight_norm": size(w)}
                row |= {"grad_norm": size(p.grad), "grad_rms": size(p.grad) / p.numel() ** 0.5}
                if step < steps:
                    moved = size(p.double() - w.double())
                    row |= {"update_norm": moved}
                    row |= {"update_to_weight": moved / size(w) if size(w) else float("nan")}
        for k, ((z, a), f) in enumerate(zip(signals, functions)):  # noqa: B905
            values, slope = a.detach().double().numpy(), np.abs(slopes(z, f))
            grid = torch.linspace(-12, 12, 240001, dtype=torch.float64)
            steepest = np.abs(slopes(grid, f)).max()
            figures[step, f"activation_{k + 1}", "activation", ""] = {
                "mean": values.mean(),
                "std": values.std(),
                "rms": np.sqrt((values**2).mean()),
                "max_abs": np.abs(values).max(),
                "zero_fraction": (values == 0).mean(),
                "saturated_fraction": (slope < 0.01 * steepest).mean(),
                "dead_fraction": 1 - live[k].mean(),
                "nonfinite_count": (~np.isfinite(values)).sum(),
            }
            rms = size(z.grad) / z.numel() ** 0.5
            figures[step, f"activation_{k + 1}", "pre-activation", "accumulated"] = {"signal_rms": rms}
    return figures
