"""What it takes to run the last forward pass again, should something in it turn out not to be finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from evenflow.measure.nonfinite import Origin


class Replay:
    """Keeps references to what the model was last called with, and the state of the random numbers.

    Nothing is copied but the 5 kB of that state, where the model has dropout, and nothing is kept beyond the step.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._device = next((parameter.device.type for parameter in model.parameters()), "cpu")
        self._draws = any("Drop" in type(module).__name__ for module in model.modules())
        self._call: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        self._random: dict[str, Tensor] = {}
        self._autocast: tuple[str, torch.dtype, bool] | None = None
        self._gradients: dict[int, Tensor] = {}
        self._outputs = 0

    def begin(self, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        """A forward pass begins."""
        self._call = (arguments, options)
        if self._draws:
            self._random = {"cpu": torch.get_rng_state()}
            if self._device == "cuda":
                self._random[f"cuda:{torch.cuda.current_device()}"] = torch.cuda.get_rng_state()
        on = torch._C._is_any_autocast_enabled() and torch.is_autocast_enabled(self._device)
        self._autocast = (self._device, torch.get_autocast_dtype(self._device), True) if on else None

    def end(self, outputs: int) -> None:
        """It has put out so many tensors that require a gradient."""
        self._outputs = outputs
        self._gradients.clear()

    def arrived(self, place: int, gradient: Tensor) -> None:
        """The gradient that the loss sends to an output."""
        self._gradients[place] = gradient

    def forget(self) -> None:
        """Keep nothing."""
        self._call = None
        self._gradients.clear()

    def trace(self, *, backward: bool) -> Origin | None:
        """Run the pass once more, and the backward pass where it has been, and find where the fault began."""
        from evenflow.measure.nonfinite import trace_nonfinite

        if self._call is None:
            return None
        arguments, options = self._call
        gradients = [self._gradients.get(place) for place in range(self._outputs)] if backward else None
        return trace_nonfinite(
            self._model,
            arguments,
            options,
            gradients=gradients,
            autocast=self._autocast,
            generator_state=self._random or None,
        )
