"""What a recorder looks at on a few steps only: the setting on the first, inputs and cosines on 0, 1, 2, 4, 8, ….

The mean pairwise cosine of the activations of a few samples says whether a layer still tells them apart:

    cosine = 2 / (n (n − 1)) Σ_{i<j} aᵢ·aⱼ / (‖aᵢ‖ ‖aⱼ‖)

with aᵢ all numbers that the layer puts out for sample i (Schoenholz et al., 2017, equation 5: the correlation map,
whose fixed point 1 is where all inputs become the same vector).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.optim import Optimizer

from evenflow.measure.autograd_graph import Graph
from evenflow.measure.bank import Slot
from evenflow.measure.data_facts import input_tensors
from evenflow.measure.setting import read_inputs, read_output, read_setting, with_optimisers
from evenflow.measure.sites import tensors_of
from evenflow.measure.transforms import plainly_readable
from evenflow.record.axes import Site
from evenflow.spec.setting import Input, Setting

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from evenflow.measure.taps import Taps

SAMPLES = 8
"""Samples of a batch whose activations are compared."""

OF_INPUTS = ("mean", "std", "rms", "max_abs")
"""Statistics of the model's inputs."""

Aside = dict[Site, dict[str, float]]
"""Figures of one step, by site, in phase ""."""


def is_looked_at(step: int) -> bool:
    """Whether a step is one on which more is looked at.

    >>> [step for step in range(200) if is_looked_at(step)]
    [0, 1, 2, 4, 8, 16, 32, 64, 128, 192]
    """
    return step % 64 == 0 or step & (step - 1) == 0


def mean_cosine(values: Tensor, samples: int = 0) -> Tensor | None:
    """The mean pairwise cosine of the first eight samples; None where there are fewer than two, or one is all 0.

    Args:
        values: what a layer puts out for a batch.
        samples: in the batch, so that a sequence that puts time first is read along its second dimension; 0 where that
            is not known.

    >>> float(mean_cosine(torch.tensor([[1.0, 0.0], [1.0, 1.0]])))  # cos 45°
    0.7071067811865475
    """
    if not plainly_readable(values) or values.ndim < 2 or not values.numel():
        return None
    if samples and values.shape[0] != samples and values.shape[1] == samples:
        values = values.transpose(0, 1)
    elif samples and values.shape[0] != samples:
        return None
    rows = values.detach()[:SAMPLES].reshape(min(values.shape[0], SAMPLES), -1).to(torch.float64)
    count = len(rows)
    if count < 2 or rows.shape[1] < 2:
        return None
    rows = rows / rows.abs().amax(dim=1, keepdim=True)  # norms neither overflow nor vanish
    rows = rows / rows.norm(dim=1, keepdim=True)
    return (rows.sum(0).square().sum() - rows.square().sum()) / (count * (count - 1))


class Onlooker:
    """Looks at a model in training on a few steps; the recorder tells it when.

    Args:
        model: without what wraps it.
        taps: of the recorder, which know the order and the names.
        slots: of the recorder; grows while the first pass runs.
        cosines: whether the activations of samples are compared.
        signals: whether the inputs are measured.
    """

    def __init__(
        self,
        model: nn.Module,
        taps: Taps,
        slots: list[Slot],
        *,
        cosines: bool = True,
        signals: bool = True,
    ) -> None:
        self.setting: Setting | None = None
        self.looking = False
        """Whether a forward pass is under way in which signals are to be handed over."""
        self._model, self._taps, self._slots = model, taps, slots
        self._cosines, self._signals = cosines, signals
        self._step = -1
        self._seen: dict[str, Tensor] = {}
        self._aside: Aside = {}
        self._calls: dict[nn.Module, int] = {}
        self._ran: set[nn.Module] = set()
        self._samples = 0
        self._inputs: list[tuple[str, Tensor]] = []
        self._facts: tuple[Input, ...] = ()
        self._outputs: list[Tensor] = []
        self._hook: RemovableHandle | None = None

    def due(self, step: int) -> bool:
        """Whether there is anything to look at in this step."""
        return self.setting is None or is_looked_at(step)

    def begin_pass(self, step: int, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        """A forward pass begins; only the first of a step is looked at."""
        if step == self._step:
            return
        due = is_looked_at(step)
        if self.setting is not None and not (due and (self._cosines or self._signals)):
            return
        self._step = step
        self._inputs = [pair for pair in input_tensors(arguments, options) if plainly_readable(pair[1])]
        self._samples = next((len(tensor) for _, tensor in self._inputs if tensor.ndim), 0)
        self._aside = self._of_inputs() if due and self._signals else {}  # now: the model may write to them
        if self.setting is None:
            self._facts = read_inputs(self._inputs)
        if self.setting is None or (due and self._cosines):
            self._seen.clear()
            self._calls.clear()
            self._hook = module_hooks.register_module_forward_hook(self._heard)
            self.looking = due and self._cosines

    def forward(self, slot: Slot, values: Tensor) -> None:
        """A function that is a site has put something out."""
        if slot.kind != "attention":
            self._compare(slot.name, values)

    def end_pass(self, outputs: Sequence[Tensor], optimisers: Sequence[Optimizer]) -> None:
        """The forward pass has ended: with it everything before the first step is known but the loss."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            self._aside |= self._collected()
        self.looking = False
        outputs = [tensor for tensor in outputs if plainly_readable(tensor)]
        if self.setting is None and outputs:
            self._outputs = list(outputs)
            setting = read_setting(
                self._model,
                optimisers,
                outputs=outputs,
                depths=self._taps.depths,
                slots=self._slots,
                ran=self._in_use() or None,
            )
            self.setting = replace(setting, inputs=self._facts, batch=self._samples)
        self._ran = set()
        self._inputs = []

    def loss(self, value: object) -> None:
        """The loss of the step: with its graph the first one says how the outputs become it."""
        outputs, self._outputs = self._outputs, []
        if not outputs or self.setting is None or not isinstance(value, Tensor) or value.grad_fn is None:
            return
        graph = Graph([value])
        known = dict(self._model.named_parameters())
        self.setting = replace(
            self.setting,
            output=read_output(self._model, outputs, value, graph),
            parameters=tuple(
                replace(one, reached=one.name in known and graph.reaches(known[one.name]))
                for one in self.setting.parameters
            ),
        )

    def heard(self, value: Tensor) -> None:
        """A gradient is about to go back from this: the loss of this model if it was computed from its parameters."""
        if self._outputs and value.grad_fn is not None:
            graph = Graph([value])
            if any(graph.reaches(one) for one in self._model.parameters()):
                self.loss(value)

    def end_step(self, optimisers: Sequence[Optimizer]) -> Aside:
        """The step has ended; what was looked at in it."""
        if (
            self.setting is None
        ):  # the model was called in parts, or is compiled: only what stands still is known
            self.setting = read_setting(self._model, optimisers, depths=self._taps.depths, slots=self._slots)
        elif not self.setting.optimisers and optimisers:
            self.setting = with_optimisers(self.setting, self._model, optimisers)
        self._outputs = []
        found, self._aside = self._aside, {}
        return found

    def stop(self) -> None:
        """Look no more, and leave nothing behind."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = None
        self.looking = False
        self._outputs, self._inputs = [], []

    def _heard(self, module: nn.Module, _arguments: object, output: object) -> None:
        self._ran.add(module)
        name = self._taps.names.get(module)
        if not self.looking or name is None or module not in self._taps.tapped or module is self._model:
            return
        self._calls[module] = call = self._calls.get(module, 0) + 1
        if isinstance(module, nn.RNNBase) and isinstance(output, tuple):
            output = output[0]
        for where, tensor in tensors_of(output):
            self._compare(f"{name}{where}" if call == 1 else f"{name}{where}#{call}", tensor)

    def _in_use(self) -> set[nn.Module]:
        """The modules that were called, or whose weights a function took, with or without gradients."""
        taken = self._taps.taken
        return self._ran | {
            module
            for module in (self._model.modules() if taken else ())
            if any(id(one) in taken for one in module.parameters(recurse=False))
        }

    def _compare(self, name: str, values: Tensor) -> None:
        if name not in self._seen:
            with torch.no_grad():
                cosine = mean_cosine(values, self._samples)
            if cosine is not None:
                self._seen[name] = cosine

    def _collected(self) -> Aside:
        found: Aside = {}
        known = {slot.name: slot for slot in self._slots if slot.kind in ("activation", "output")}
        names = [name for name in self._seen if name in known and known[name].merged_into is None]
        if names:
            values = torch.stack([self._seen[name].to("cpu") for name in names]).tolist()
            for name, value in zip(names, values, strict=True):
                slot = known[name]
                found[Site(slot.name, slot.kind, slot.depth, slot.units)] = {"cosine": value}
        self._seen.clear()
        return found

    def _of_inputs(self) -> Aside:
        found: Aside = {}
        for name, tensor in self._inputs:
            if tensor.is_floating_point() and tensor.numel() and self._taps.listener.chosen(name):
                values = tensor.detach().double()
                figures = {
                    "mean": float(values.mean()),
                    "std": float(values.std(correction=0)),
                    "rms": float(values.square().mean().sqrt()),
                    "max_abs": float(values.abs().max()),
                }
                found[Site(name, "input", 0, tensor.shape[-1])] = figures
        return found
