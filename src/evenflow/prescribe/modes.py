"""Operations done otherwise while a model, or a loss, is computed: in whatever code they are written.

A `TorchFunctionMode` sees every operation on tensors, of modules and of plain lines. The wrappers hold no state of it,
so that a model in one can be copied, saved and trained. They are plain PyTorch without a name of this package, since
their source is what a user can paste; the better change is that of the line itself, to which the advice points.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Undetached(TorchFunctionMode):
    """While it is on, detach(), .data and no_grad let the gradient through."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("detach", "detach_") or func == torch.Tensor.data.__get__:  # pyright: ignore[reportAttributeAccessIssue]
            return args[0]
        if name in ("new_tensor", "tensor", "as_tensor") and isinstance(
            args[name == "new_tensor"], torch.Tensor
        ):
            return args[name == "new_tensor"].clone()
        if name == "_set_grad_enabled" and not args[0]:
            return None
        return func(*args, **(kwargs or {}))


class StraightThrough(TorchFunctionMode):
    """While it is on, sign, rounding and x > y pass the gradient of x on, sign and x > y within 1 of 0."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        found = func(*args, **(kwargs or {}))
        if name in ("gt", "ge", "lt", "le") and isinstance(args[0], torch.Tensor) and args[0].requires_grad:
            found._way = (args[0] - args[1]).clamp(-1.0, 1.0) * (1.0 if name[0] == "g" else -1.0)
        if (
            name in ("float", "to", "type", "type_as")
            and found.is_floating_point()
            and "_way" in vars(args[0])
        ):
            way = vars(args[0])["_way"]
            return way.to(found.dtype) + (found - way).detach()
        if name not in ("sign", "sgn", "round", "floor", "ceil", "trunc") or not args[0].requires_grad:
            return found
        way = args[0].clamp(-1.0, 1.0) if name in ("sign", "sgn") else args[0]
        return way + (found - way).detach()


class Guarded(TorchFunctionMode):
    """While it is on, logarithms, roots, quotients and softmaxes stay where they are defined, `eps` from the edge."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        first = args[0] if args else None
        if not isinstance(first, Tensor) or not first.is_floating_point():
            return func(*args, **kwargs)
        eps = max(self.eps, 4.0 * torch.finfo(first.dtype).tiny)
        if name == "log" and "_logarithm" in vars(first):
            return vars(first)["_logarithm"]()  # a softmax or a sigmoid knows it better
        if name in ("log", "log2", "log10", "sqrt", "rsqrt"):
            return func(first.clamp_min(0.0) + eps, *args[1:], **kwargs)
        if name == "pow" and len(args) > 1 and isinstance(args[1], float) and args[1] % 1.0:
            return func(first.clamp_min(0.0) + (eps if args[1] < 1.0 else 0.0), *args[1:], **kwargs)
        if name == "pow" and len(args) > 1 and isinstance(args[1], int | float) and args[1] < 0:
            return func(self.away(first, eps), *args[1:], **kwargs)
        if name in ("acos", "asin", "atanh", "erfinv", "logit"):
            near = max(eps, torch.finfo(first.dtype).eps)  # 1 less than that is 1
            return func(first.clamp(near - (name != "logit"), 1.0 - near), *args[1:], **kwargs)
        if name == "exp":
            largest = 10.0 if first.dtype is torch.float16 else 80.0
            return func(first.clamp_max(largest), *args[1:], **kwargs)
        if name in ("div", "true_divide", "divide") and len(args) > 1 and isinstance(args[1], Tensor):
            return func(first, self.away(args[1], eps), *args[2:], **kwargs)
        if name in ("reciprocal", "__rdiv__", "__rtruediv__"):
            return func(self.away(first, eps), *args[1:], **kwargs)
        if name in ("softmax", "log_softmax"):
            lowest = torch.finfo(first.dtype).min
            kept = first.masked_fill(first == -torch.inf, lowest)
            found = func(kept, *args[1:], **kwargs)
            place = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            if name == "softmax" and place is not None:
                found._logarithm = lambda: torch.log_softmax(kept, place)
            return found
        found = func(*args, **kwargs)
        if name == "sigmoid":
            found._logarithm = lambda: nn.functional.logsigmoid(first)
        return found.nan_to_num() if name == "scaled_dot_product_attention" else found

    def away(self, values: Any, eps: float) -> Any:
        """Values that are eps from 0 at least."""
        if not values.is_floating_point():
            return values
        return torch.where(values.abs() < eps, torch.where(values < 0, -eps, eps).to(values.dtype), values)


class GradientKept(nn.Module):
    """A model whose detach(), .data and no_grad let the gradient through."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.model(*inputs, **named)
        with Undetached():
            return self.model(*inputs, **named)


class SlopeKept(nn.Module):
    """A model whose signs and roundings pass the gradient on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        with StraightThrough():
            return self.model(*inputs, **named)


class ModelGuarded(nn.Module):
    """A model whose operations stay where they are defined."""

    def __init__(self, model: nn.Module, eps: float) -> None:
        super().__init__()
        self.model, self.eps = model, eps

    def forward(self, *inputs: Any, **named: Any) -> Any:
        with Guarded(self.eps):
            return self.model(*inputs, **named)


class LossGuarded(nn.Module):
    """A loss whose operations stay where they are defined."""

    def __init__(self, loss: Any, eps: float) -> None:
        super().__init__()
        self.loss, self.eps = loss, eps

    def forward(self, output: Any, target: Any) -> Any:
        with Guarded(self.eps):
            return self.loss(output, target)
