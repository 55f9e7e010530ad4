"""What max(0, z) costs beside functions with an exponential: alone, with its slope, and inside a training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.timing import ratio, ratios, training_step
from evenflow.claims.figure import Figures, above
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.activation import activation
from evenflow.spec.network import Network

_OTHERS = ("sigmoid", "tanh", "gelu")
_PARTS = {
    "forward": "forward alone",
    "backward": "forward and backward alone",
    "large": "forward and backward alone on 16 MiB of numbers",
    "step": "in a whole training step",
}
_MUCH = 1.5


def experiment(settings: Settings, cheap: str = "relu", others: tuple[str, ...] = _OTHERS) -> Figures:
    """Time of each function over the cheap one's: on 1 MiB and on 16 MiB of numbers, and in steps of 5 × 256 units."""
    actions = {
        "forward": _forward,
        "backward": partial(_backward, rows=1024),
        "large": partial(_backward, rows=16384),
    }
    rounds, figures = settings.choose(24, 150), {}
    for part, make in (actions | {"step": _step}).items():
        found = ratios({name: make(name, settings.seed) for name in (cheap, *others)}, cheap, rounds)
        for place, name in enumerate(others):
            figures[f"{_OTHERS[place]} {part}"] = ratio(f"{name}, {_PARTS[part]}", found[name])
    return figures


def _forward(name: str, seed: int) -> Callable[[], object]:
    import torch

    from evenflow.study.elementwise import activation_module

    inputs = torch.randn(1024, 256, generator=torch.Generator().manual_seed(seed))
    module = activation_module(activation(name), 256)

    def run() -> None:
        with torch.no_grad():
            module(inputs)

    return run


def _backward(name: str, seed: int, rows: int) -> Callable[[], object]:
    import torch

    from evenflow.study.elementwise import activation_module

    inputs = torch.randn(rows, 256, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    module, gradient = activation_module(activation(name), 256), torch.ones(rows, 256)

    def run() -> None:
        torch.autograd.grad(module(inputs), inputs, gradient)

    return run


def _step(name: str, seed: int) -> Callable[[], object]:
    return training_step(Network(depth=5, width=256, activation=name, initialisation="gain"), 128, seed)


def judge(figures: Figures) -> Verdict:
    """Much cheaper: the other takes at least one and a half times as long."""
    return weigh(
        *(
            case(
                f"{words}, against {name}", above(figures[f"{name} {part}"], _MUCH), figures[f"{name} {part}"]
            )
            for part, words in _PARTS.items()
            for name in _OTHERS
        )
    )


CLAIM = Claim(
    name="relu_is_cheap",
    sentence="max(0, z) is much cheaper than the exponential of sigmoid, tanh and GELU.",
    source="tutorials and lecture notes on activation functions",
    true_if="The others take at least 1.5 times as long.",
    false_if="They take about as long, alone or where it counts, in a training step.",
    experiment=experiment,
    judge=judge,
    home=__name__,
    alone=True,
)
