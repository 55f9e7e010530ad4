"""Where the probe listens: what it puts around modules, and how it takes that away again.

A module is called through `_compiled_call_impl` where its instance has one: the place that torch itself keeps for a
module that was compiled in place, and leaves out when a module is copied or pickled. A call through it costs a tenth
of a forward hook. The gradient of a pre-activation is read by a hook on that tensor, set before the activation runs,
so that an activation in place is read like any other; module backward hooks cost ten times as much and fail on them.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._C._dynamo.eval_frame import get_eval_frame_callback as under_compile
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode

from evenflow.measure.bank import Slot
from evenflow.measure.copies import Dropped, forget_replicas, free_replicas, says_what_is_copied
from evenflow.measure.functional import CONVOLUTIONS as CALLED_CONVOLUTIONS
from evenflow.measure.functional import FUNCTIONS, SOFTMAXES, called_activation
from evenflow.measure.kernels import native
from evenflow.measure.sites import (
    CONVOLUTIONS,
    is_activation,
    is_weight_layer,
    registered_depths,
    stacked_blocks,
    tensors_of,
    weight_layers,
)
from evenflow.measure.slopes import (
    Slopes,
    elementwise_activation,
    known_activation,
    learned_slopes,
    slopes_of,
)
from evenflow.measure.transforms import transformed

Call = Callable[..., Any]
# Places in the recorder's flags, which the native taps see; ears.c has the same.
LIVE, READING, QUIET, ROOTED, FAULT = range(5)
FLAGS = 5
_SEPARATE = 8  # calls of one module in a forward pass that stay sites of their own; more are one site
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


class Listener(Protocol):
    """What takes in what the taps hear."""

    on: bool  # this step is recorded
    live: int  # the thread in which a forward pass of it is under way, or 0
    plain: bool  # whether native taps may hear by themselves
    flags: NDArray[np.int64]  # at `LIVE` and so on, where the native taps see them
    backward: bool  # so is a backward pass
    root_called: bool
    passes: int

    def chosen(self, name: str) -> bool: ...
    def add(self, slot: Slot) -> Slot: ...
    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None: ...
    def attend(self, slot: Slot, weights: Tensor, logits: Tensor | None) -> None: ...
    def reader(self, slot: Slot) -> Callable[[Tensor], None]: ...
    def begin_pass(self, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool: ...
    def begin_part(self) -> bool: ...
    def placed(self) -> None: ...
    def end_pass(self, output: object) -> None: ...
    def fail(self, error: Exception) -> None: ...


def listen(tensor: Tensor, hook: Callable[[Tensor], None], leaves: list[Any]) -> None:
    """Call `hook` with the gradient of a tensor; handles of hooks that would outlive the graph go into `leaves`."""
    if native is not None and native.listen(tensor, hook):
        return
    function = tensor.grad_fn
    if function is None:
        leaves.append(tensor.register_hook(hook))
    elif tensor._backward_hooks is not None:
        tensor.register_hook(hook)
    else:
        # What register_hook does, without the handle, whose weak references cost more than the rest.
        tensor._backward_hooks = OrderedDict(((-1, hook),))
        function._register_hook_dict(tensor)


class Site:
    """One place in the code, and its slots: one for each call of a forward pass, while these are few."""

    def __init__(self, taps: Taps, module: nn.Module, name: str, kind: str, slopes: Slopes | None) -> None:
        self.slots: list[Slot | None] = []  # None for a call that the user has not chosen
        self._taps = taps
        self._module = module
        self._name, self._kind, self.slopes = name, kind, slopes
        self._pass, self._calls, self._merged = -1, 0, False
        self.only: Slot | None = None
        """The slot, where there is one and no more can come."""
        self.tap: Call | None = None
        """The native tap, while it does not hear by itself."""
        self.known = kind != "activation" or slopes is not None

    def slot(self) -> Slot | None:
        """The slot of the call that is under way; None where the user has not chosen it."""
        taps = self._taps
        if self._pass != taps.listener.passes:
            self._pass, self._calls = taps.listener.passes, 0
        call = self._calls
        self._calls += 1
        slots = self.slots
        if call < len(slots) and not self._merged:
            if len(slots) == 1 and not taps.discovering:
                self.only = slots[0]
            return slots[call]
        if slots and (self._merged or not taps.discovering):
            return slots[0] if self._merged else slots[-1]
        if call >= _SEPARATE and slots[0] is not None:
            self._merged = True
            for slot in slots[1:]:
                if slot is not None:
                    slot.merged_into = slots[0]
            return slots[0]
        name = self._name if call == 0 else f"{self._name}#{call + 1}"
        if not taps.listener.chosen(name):
            slots.append(None)
            return None
        slot = Slot(
            name, self._kind, taps.depth(self._module), self.slopes, taps.channels_first(self._module)
        )
        slots.append(taps.listener.add(slot))
        return slot


class Taps:
    """All taps of one model.

    Args:
        model: the model itself, without what wraps it.
        listener: the recorder.
        time_steps: whether every time step of a recurrent module is a site of its own.
    """

    def __init__(self, model: nn.Module, listener: Listener, *, time_steps: bool = False) -> None:
        self.model = model
        self.listener = listener
        self.discovering = False
        self.names = {module: name for name, module in model.named_modules()}
        self.depths = registered_depths(model)
        self.closed_off: list[str] = []
        """Modules that were compiled or scripted before: their inside is not heard."""
        self.taken: set[int] = set()
        """Ids of the parameters that functions were called with in the first pass, whether autograd saw it or not."""
        self._time_steps = time_steps
        self._first: dict[nn.Module, bool] = {}
        self._sites: dict[object, Site] = {}
        self._outputs: dict[nn.Module, dict[str, Site]] = {}
        self.tapped: dict[nn.Module, Call] = {}
        self.learning: list[nn.PReLU] = []  # activations whose slopes move
        self._callers: set[nn.Module] = set()  # modules whose own forward calls activation functions
        self._stack: list[nn.Module] = [model]
        self._flags = listener.flags
        self._mode = _Functions(self)
        self._mode_on = False
        self._discovered = False
        self._depth = 0
        self._convolved = False
        self.leaf_hooks: list[Any] = []

    def attach(self) -> None:
        """Put a tap around the model and around every module that is a site."""
        convolved = False
        blocks = stacked_blocks(self.model)
        for module, name in self.names.items():
            if isinstance(module, CONVOLUTIONS):
                convolved = True
            elif is_weight_layer(module):
                convolved = False
            self._first[module] = convolved
            if module is self.model:
                continue
            if is_activation(module):
                self._tap(module, self._activation(module, name))
            elif isinstance(module, _RECURRENT):
                self._tap(module, self._output(module, name, "output"))
            elif isinstance(module, nn.MultiheadAttention):
                self._tap(module, self._attention(module, name))
            elif isinstance(module, nn.Softmax):
                self._tap(module, self._softmax(module, name))
            elif module in blocks or self.listener.chosen(f"={name}"):
                self._tap(module, self._output(module, name, "output"))
        for module in self._callers - {self.model}:
            if module not in self.tapped:
                self._tap(module, self._caller(module))
        self._tap(self.model, self._root())
        free_replicas(self)

    def detach(self) -> None:
        """Take every tap away."""
        for module, call in self.tapped.items():
            if (
                module.__dict__.get("_compiled_call_impl") is call
            ):  # and not what `module.compile()` has put there
                del module.__dict__["_compiled_call_impl"]
        self.tapped.clear()
        forget_replicas(self)
        self.release()

    def release(self) -> None:
        """Take away hooks on tensors that outlive a step: inputs of the user's that require a gradient."""
        for handle in self.leaf_hooks:
            handle.remove()
        self.leaf_hooks.clear()

    def depth(self, module: nn.Module) -> int:
        """How many weight layers have run."""
        return max(self._depth, 1) if self.discovering else self.depths.get(module, 1)

    def channels_first(self, module: nn.Module) -> bool:
        """Whether a convolution ran last."""
        return self._convolved if self.discovering else self._first.get(module, False)

    def learned(self) -> list[tuple[Slot, Slopes]]:
        """Slots of activations whose slopes have changed since they were last asked for, with the new ones."""
        changed = []
        for module in self.learning:
            site = self._sites[module]
            slopes = learned_slopes(module) if site.slots else None
            if slopes is not None and slopes != site.slopes:
                site.slopes = slopes
                changed += [(slot, slopes) for slot in site.slots if slot is not None]
        return changed

    def listen(self, tensor: Tensor, slot: Slot) -> None:
        """Read the gradient of a tensor when it comes."""
        if slot.hook is None:
            slot.hook = self.listener.reader(slot)
        listen(tensor, slot.hook, self.leaf_hooks)

    def _tap(self, module: nn.Module, call: Call) -> None:
        if module._compiled_call_impl is not None or isinstance(module, torch.jit.ScriptModule):
            self.closed_off.append(self.names[module] or type(module).__name__)
            return
        call = Dropped(call) if says_what_is_copied(module) else call
        module.__dict__["_compiled_call_impl"] = call
        self.tapped[module] = call

    def _root(self) -> Call:
        model, listener = self.model, self.listener
        implementation = model._call_impl

        def call(*arguments: Any, **options: Any) -> Any:
            if (
                torch.compiler.is_compiling()
                or under_compile()
                or not listener.on
                or not listener.begin_pass(arguments, options)
            ):
                return implementation(*arguments, **options)
            output = None
            try:
                if self._discovered:
                    output = self._run(model, implementation, arguments, options)
                else:
                    output = self._discover(implementation, arguments, options)
            finally:
                listener.end_pass(output)
            return output

        return call

    def _discover(self, implementation: Call, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """The first forward pass, in which every module is followed: it shows the order and the functions called."""
        self.discovering = True
        self._depth = 0
        seen: dict[nn.Module, int] = {}
        stack = self._stack

        thread = get_ident()

        def enter(module: nn.Module, _arguments: object) -> None:
            if module not in self.names or thread != get_ident():
                return
            stack.append(module)
            if module not in seen:
                layers = weight_layers(module)
                if layers:
                    self._depth += layers
                    self._convolved = isinstance(module, CONVOLUTIONS)
                seen[module] = max(self._depth, 1)

        def leave(module: nn.Module, _arguments: object, _output: object) -> None:
            if module in self.names and len(stack) > 1 and thread == get_ident():
                stack.pop()

        handles = [
            module_hooks.register_module_forward_pre_hook(enter),
            module_hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            self._mode_on = True
            with self._mode:
                output = implementation(*arguments, **options)
        finally:
            for handle in handles:
                handle.remove()
            del stack[1:]
            self._mode_on = self.discovering = False
        try:
            self.depths = self._placed(seen)
            for module in self._callers - {self.model}:
                if module not in self.tapped:
                    self._tap(module, self._caller(module))
            self._discovered = True
            self.listener.placed()
        except Exception as error:
            self.listener.fail(error)
        return output

    def _placed(self, seen: Mapping[nn.Module, int]) -> dict[nn.Module, int]:
        """Depths as seen; a module that never ran by itself has that of the module it is in."""
        depths: dict[nn.Module, int] = {}
        by_name = {name: module for module, name in self.names.items()}
        for module, name in self.names.items():
            above = name
            while module not in seen and above and by_name[above] not in seen:
                above = above.rpartition(".")[0]
            depths[module] = seen.get(module) or seen.get(by_name[above], 1)
        return depths

    def _run(
        self,
        module: nn.Module,
        implementation: Call,
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Any:
        """Run a module; where its own forward calls activation functions, listen to these."""
        if module not in self._callers:
            return implementation(*arguments, **options)
        self._stack.append(module)
        quiet, self._flags[QUIET] = int(self._flags[QUIET]), 0
        try:
            if self._mode_on:
                return implementation(*arguments, **options)
            self._mode_on = True
            try:
                with self._mode:
                    return implementation(*arguments, **options)
            finally:
                self._mode_on = False
        finally:
            self._flags[QUIET] = quiet
            self._stack.pop()

    def _caller(self, module: nn.Module) -> Call:
        listener = self.listener
        implementation: Call = module._call_impl

        def call(*arguments: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling():
                return implementation(*arguments, **options)
            if listener.live != get_ident():
                return implementation(*arguments, **options)
            return self._run(module, implementation, arguments, options)

        return call

    def _activation(self, module: nn.Module, name: str) -> Call:
        listener = self.listener
        implementation: Call = module._call_impl
        site = self._site(module, module, name, "activation")
        if isinstance(module, nn.PReLU) and module not in self.learning:
            self.learning.append(module)

        def call(*arguments: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling():
                return implementation(*arguments, **options)
            if listener.live != get_ident() and not (listener.on and self._unrooted(module)):
                if listener.backward and listener.on:
                    self._again(site, arguments)
                return implementation(*arguments, **options)
            slot = inputs = None
            try:
                if not site.known:
                    site.slopes, site.known = self._module_slopes(module, name), True
                inputs = arguments[0] if arguments else options["input"]
                slot = site.only or site.slot()
                if slot is not None and inputs.requires_grad:
                    self.listen(inputs, slot)
                    if site.tap is not None and site.only is not None and slot.hook is not None:
                        native.settle(
                            site.tap, slot.ear, slot.hook, functools.partial(listener.forward, slot)
                        )
                        site.tap = None
            except Exception as error:
                listener.fail(error)
            output = self._quietly(implementation, arguments, options)
            if slot is not None:
                listener.forward(slot, output, inputs)
            return output

        if native is None or not listener.plain:
            return call
        site.tap = native.tap(self._flags.ctypes.data, implementation, call)
        return site.tap

    def _module_slopes(self, module: nn.Module, name: str) -> Slopes | None:
        if isinstance(module, nn.PReLU):
            return learned_slopes(module)
        if isinstance(module, nn.RReLU):
            return None  # its slopes are drawn
        self._flags[QUIET] += 1  # the module is tried out, with numbers that are none of the training
        try:
            function = known_activation(module)
            if function is None:
                function = elementwise_activation(name or type(module).__name__, module)
            return None if function is None else slopes_of(function)
        finally:
            self._flags[QUIET] -= 1

    def _unrooted(self, module: nn.Module) -> bool:
        """Whether parts of the model are called by the user, never the model itself."""
        listener = self.listener
        return (
            not listener.root_called
            and not listener.live
            and not listener.backward
            and module.training
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not transformed()
            and listener.begin_part()
        )

    def _site(self, key: object, module: nn.Module, name: str, kind: str) -> Site:
        """The site that an earlier attachment has made, or a new one."""
        return self._sites.setdefault(key, Site(self, module, name, kind, None))

    def _again(self, site: Site, arguments: tuple[Any, ...]) -> None:
        """A forward pass inside the backward pass is a checkpointed part: its values are known, its gradient not."""
        try:
            slot = site.slots[0] if site.slots else None
            if slot is not None and arguments and arguments[0].requires_grad:
                self.listen(arguments[0], slot)
        except Exception as error:
            self.listener.fail(error)

    def _output(self, module: nn.Module, name: str, kind: str) -> Call:
        listener = self.listener
        implementation: Call = module._call_impl
        sites = self._outputs.setdefault(module, {})
        steps: list[Site] = []

        def call(*arguments: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling():
                return implementation(*arguments, **options)
            if listener.live != get_ident() and not (listener.on and self._unrooted(module)):
                return implementation(*arguments, **options)
            output = self._run(module, implementation, arguments, options)
            try:
                if self._time_steps and isinstance(module, _RECURRENT) and isinstance(output[0], Tensor):
                    self._hear_steps(module, name, steps, output[0])
                    return output
                for where, tensor in self._parts(module, output):
                    site = sites.get(where)
                    if site is None:
                        site = sites[where] = Site(self, module, name + where, kind, None)
                    slot = site.slot()
                    if slot is not None:
                        if tensor.requires_grad:
                            self.listen(tensor, slot)
                        listener.forward(slot, tensor, None)
            except Exception as error:
                listener.fail(error)
            return output

        return call

    def _hear_steps(self, module: nn.Module, name: str, sites: list[Site], output: Tensor) -> None:
        """Every time step of a recurrent module's output as a site of its own."""
        time = 1 if output.ndim == 3 and module.batch_first else 0
        while len(sites) < output.shape[time]:
            sites.append(Site(self, module, f"{name}[{len(sites)}]", "output", None))
        slots = [site.slot() for site in sites[: output.shape[time]]]
        for slot, part in zip(slots, output.detach().unbind(time), strict=True):
            if slot is not None:
                self.listener.forward(slot, part, None)
        if output.requires_grad:
            readers = [None if slot is None else self.listener.reader(slot) for slot in slots]

            def hook(gradient: Tensor) -> None:  # views of single steps get no gradient: it is cut out here
                for read, part in zip(readers, gradient.unbind(time), strict=True):
                    if read is not None:
                        read(part)

            listen(output, hook, self.leaf_hooks)

    def _parts(self, module: nn.Module, output: object) -> list[tuple[str, Tensor]]:
        if isinstance(module, _RECURRENT) and isinstance(output, tuple):
            output = output[0]
        return list(tensors_of(output))

    def _attention(self, module: nn.MultiheadAttention, name: str) -> Call:
        def run(implementation: Call, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
            return self._run(module, implementation, arguments, options)

        def weights(output: Any, _arguments: object, _options: object) -> tuple[Tensor | None, Tensor | None]:
            return output[1], None

        return self._attending(module, name, run, weights)

    def _softmax(self, module: nn.Softmax, name: str) -> Call:
        def weights(
            output: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]
        ) -> tuple[Tensor | None, Tensor | None]:
            if output.ndim < 3 or module.dim not in (-1, output.ndim - 1):
                return None, None
            return output, arguments[0] if arguments else options["input"]

        return self._attending(module, name, self._quietly, weights)

    def _attending(
        self,
        module: nn.Module,
        name: str,
        run: Call,
        weights_of: Callable[..., tuple[Tensor | None, Tensor | None]],
    ) -> Call:
        """A tap around a module in whose outputs there are attention weights, and perhaps their logits."""
        listener = self.listener
        implementation: Call = module._call_impl
        site = self._site(module, module, name, "attention")

        def call(*arguments: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling() or listener.live != get_ident():
                return implementation(*arguments, **options)
            output = run(implementation, arguments, options)
            if listener.on:
                try:
                    weights, logits = weights_of(output, arguments, options)
                    slot = None if weights is None else site.slot()
                    if slot is not None and weights is not None:
                        listener.attend(slot, weights, logits)
                except Exception as error:
                    listener.fail(error)
            return output

        return call

    def _quietly(self, implementation: Call, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Run a module that is a site itself, so that the functions it calls are none."""
        self._flags[QUIET] += 1
        try:
            return implementation(*arguments, **options)
        finally:
            self._flags[QUIET] -= 1

    def function_called(self, function: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Run a torch function that a forward calls by itself, and listen to it if it is a site."""
        if self._flags[QUIET] or not (function in FUNCTIONS or function in SOFTMAXES):
            if not self.discovering:
                return function(*arguments, **options)
            if function in CALLED_CONVOLUTIONS:
                self._convolved = True
            output = function(*arguments, **options)
            if isinstance(output, Tensor):  # and no shape or type that was asked for
                self.taken.update(id(one) for one in arguments if isinstance(one, nn.Parameter))
            return output
        slot: Slot | None = None
        inputs: Any = None
        try:
            inputs = arguments[0] if arguments else options.get("input")
            site = self._called_site(function, arguments, options)
            slot = site.slot() if site is not None else None
            if slot is not None and slot.kind == "activation" and inputs.requires_grad:
                self.listen(inputs, slot)
        except Exception as error:
            self.listener.fail(error)
        output = function(*arguments, **options)
        if slot is not None and inputs is not None:
            if slot.kind == "attention":
                self.listener.attend(slot, output, inputs)
            else:
                self.listener.forward(slot, output, inputs)
        return output

    def _called_site(
        self, function: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Site | None:
        module = self._stack[-1]
        name = FUNCTIONS.get(function, "softmax")
        key = (module, name)
        if key in self._sites:
            return self._sites[key]
        if function in SOFTMAXES:
            tensor = arguments[0] if arguments else options["input"]
            dimension = arguments[1] if len(arguments) > 1 else options.get("dim")
            if tensor.ndim < 3 or dimension not in (-1, tensor.ndim - 1):
                return None
            kind, slopes = "attention", None
        else:
            applied = called_activation(function, arguments, options)
            if applied is None:
                return None
            kind, slopes = "activation", slopes_of(applied)
        self._callers.add(module)
        path = self.names[module]
        site = self._sites[key] = Site(self, module, f"{path}:{name}", kind, slopes)
        return site


class _Functions(TorchFunctionMode):
    """Hears the torch functions that a forward calls; on only inside modules that call some."""

    def __init__(self, taps: Taps) -> None:
        super().__init__()
        self._taps = taps

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._taps.function_called(func, args, kwargs or {})
