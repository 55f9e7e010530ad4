"""What remedies build into models: plain PyTorch that stands alone, for its source is what a user is given to paste.

Every class and function here uses torch and the others of this file only. They are importable, so that a repaired
model can be copied and saved.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows it by
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = [
    "BatchNormOfLast",
    "Called",
    "Instead",
    "LSTMForRNN",
    "RawEnd",
    "Residual",
    "Scaled",
    "open_gates",
    "scale_layers",
]


class BatchNormOfLast(nn.BatchNorm1d):
    """Batch normalisation of signals whose features stand last, such as (batch, time, features)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2)).view(input.shape)


class Residual(nn.Module):
    """x + s f(x), where s is a number, or a parameter that begins there."""

    def __init__(self, branch: nn.Module, scale: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        self.branch = branch
        self.scale = nn.Parameter(torch.tensor(scale)) if learned else scale

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.scale * self.branch(inputs)


class Scaled(nn.Module):
    """s f(x), where s is a number, or a parameter that begins there."""

    def __init__(self, branch: nn.Module, scale: float, learned: bool = False) -> None:
        super().__init__()
        self.branch = branch
        self.scale = nn.Parameter(torch.tensor(scale)) if learned else scale

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.scale * self.branch(*inputs)


class LSTMForRNN(nn.LSTM):
    """An LSTM that is called as an RNN is: the state that it takes and gives is h alone, and c begins at 0."""

    def forward(self, input: Tensor, hx=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        outputs, (hidden, _) = super().forward(input, None if hx is None else (hx, torch.zeros_like(hx)))
        return outputs, hidden


class RawEnd(nn.Module):
    """Puts out what one layer of a model makes, in the shape of the model's output, and squashes it as asked."""

    def __init__(self, model: nn.Module, layer: str, squash: nn.Module) -> None:
        super().__init__()
        self.model, self.squash, self.made = model, squash, []
        model.get_submodule(layer).register_forward_hook(self.keep)

    def keep(self, _layer, _inputs, made: Tensor) -> None:
        self.made = [made]

    def forward(self, *inputs, **options) -> Tensor:
        output = self.model(*inputs, **options)
        return self.squash(self.made.pop().reshape(output.shape))


class Called(TorchFunctionMode):
    """While it is on, another function is called in place of one of torch's."""

    def __init__(self, owner) -> None:
        super().__init__()
        self.owner, self.count = owner, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if self.owner.away or name.rstrip("_") != self.owner.old:
            return func(*args, **(kwargs or {}))
        self.count += 1
        if self.owner.calls is not None and self.count - 1 not in self.owner.calls:
            return func(*args, **(kwargs or {}))
        options = kwargs or {}
        values = args[0] if args else options["input"]
        if name.endswith("_") or options.get("inplace") or args[1:] == (True,):
            return values.copy_(self.owner.function(values.clone()))
        return self.owner.function(values)


class Instead:
    """Makes a module call `new` where its own forward pass calls the function `old`, all or some of its calls.

    Without `new` the numbers go through as they are.
    """

    def __init__(self, module: nn.Module, old: str, new: str, calls: set[int] | None = None) -> None:
        self.old, self.new, self.calls = old, new, calls
        self.away, self.modes = 0, []
        module.register_forward_pre_hook(self.begin)
        module.register_forward_hook(self.end, always_call=True)
        for child in module.children():
            child.register_forward_pre_hook(self.leave)
            child.register_forward_hook(self.come_back, always_call=True)

    def function(self, values: Tensor) -> Tensor:
        if self.new == "log_softmax":
            return F.log_softmax(values, dim=1 if values.ndim > 1 else 0)
        return getattr(F, self.new)(values) if self.new else values

    def begin(self, *_) -> None:
        self.modes.append((Called(self), self.away))
        self.away = 0
        self.modes[-1][0].__enter__()

    def end(self, *_) -> None:
        mode, self.away = self.modes.pop()
        mode.__exit__(None, None, None)

    def leave(self, *_) -> None:
        self.away += 1

    def come_back(self, *_) -> None:
        self.away -= 1


def open_gates(model, steps=None):
    """Lets LSTMs and GRUs remember from the start: a bias of 1 for the gates that forget, or update.

    With `steps` the units remember for 1 to so many steps, evenly spread: the bias of a unit that is to remember for T
    steps is log T, and that of an LSTM's input gate the opposite (Tallec and Ollivier 2018, equation 16).
    """
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell)):
                size = layer.hidden_size
                times = torch.linspace(1.0, max(steps - 1, 1), size).log() if steps else torch.ones(size)
                for name, bias in layer.named_parameters():
                    if name.startswith("bias_ih"):
                        bias[size : 2 * size] = times
                        if steps and isinstance(layer, (nn.LSTM, nn.LSTMCell)):
                            bias[:size] = -times


def scale_layers(model, names, batch, rounds=10):
    """Scales the weights of one layer after the other until what it puts out has standard deviation 1 on a batch.

    Layer-sequential unit variance (Mishkin and Matas 2016, algorithm 1).
    """
    kept = {name: one.clone() for name, one in model.named_buffers()}
    training = {module: module.training for module in model.modules()}
    for module in model.modules():
        module.training = "Dropout" not in type(module).__name__
    with torch.no_grad():
        for name in names:
            layer, seen = model.get_submodule(name), []
            handle = layer.register_forward_hook(
                lambda _layer, _given, made, seen=seen: seen.append(made.std())
            )
            for _ in range(rounds):
                seen.clear()
                if isinstance(batch, dict):
                    model(**batch)
                else:
                    model(*batch) if isinstance(batch, (tuple, list)) else model(batch)
                if not 0 < seen[0] < float("inf") or abs(seen[0] - 1) < 0.05:
                    break
                layer.weight /= seen[0]
            handle.remove()
        for name, one in model.named_buffers():
            one.copy_(kept[name])
    for module, mode in training.items():
        module.training = mode
