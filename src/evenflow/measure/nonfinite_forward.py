"""The forward pass under the microscope: every operation is judged by what it takes and gives.

Beside it is written down which modules were running when a node was added to the graph, and at which line of
the user's, so that the backward pass can be told in the same terms.
"""

from __future__ import annotations

import os
import sys
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C._autograd import _get_sequence_nr as node_number  # of the next node of this thread
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from evenflow.measure.nonfinite_operations import is_uninitialised, readings
from evenflow.measure.nonfinite_origin import kinds
from evenflow.measure.nonfinite_sources import Call, Held, Ledger, described
from evenflow.measure.nonfinite_state import Guard
from evenflow.measure.nonfinite_tree import tensors_in

_HERE = os.path.dirname(os.path.abspath(__file__))
_TORCH = os.path.dirname(os.path.abspath(torch.__file__))


class Leaving(NamedTuple):
    """What a module gave when it had run."""

    module: str
    held: Held


class ForwardWatch(TorchDispatchMode):
    """To be entered around one call of a model, with the hooks of `following`."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.leavings: list[Leaving] = []
        self.lines: dict[int, str] = {}  # by the number of the node that the operation leaves in the graph
        self.timeline: list[tuple[int, tuple[str, ...]]] = []  # from which node on which modules were running
        self._guard = guard
        self._stack: tuple[str, ...] = ()
        self._quiet = False

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Keep count of which module is running."""
        names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
        handles = []
        try:
            for module, name in names.items():
                enter, leave = self._hooks(name)
                handles.append(module.register_forward_pre_hook(enter, prepend=True))
                handles.append(module.register_forward_hook(leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def module_of(self, number: int) -> tuple[str, ...]:
        """The modules that were running when the node of this number was added to the graph."""
        following = bisect_right(self.timeline, number, key=lambda entry: entry[0])
        return (self.timeline[following - 1][1] if following else ()) or ("",)

    def _hooks(self, name: str):
        def enter(*_: object) -> None:
            self._move((*self._stack, name))

        def leave(_module: nn.Module, _arguments: object, outputs: object) -> None:
            self._quiet = True
            try:
                with torch.no_grad():
                    held = self.ledger.held(tensors_in(outputs))
            finally:
                self._quiet = False
            if held.every:
                self.leavings.append(Leaving(name, held))
            self._move(self._stack[:-1])

        return enter, leave

    def _move(self, stack: tuple[str, ...]) -> None:
        self._stack = stack
        self.timeline.append((node_number(), stack))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._quiet:
            return func(*args, **kwargs)
        # The node of an operation is numbered before the operation runs.
        number = node_number() - 1
        line = _user_line()
        self.lines.setdefault(number, line)
        taken = readings(func, args, kwargs)
        read = [reading for reading in taken if reading.read]
        before = [kinds(reading.tensor) for reading in read]
        numbers = None
        for reading in taken:
            if reading.written:
                self._guard.before_write(reading.tensor)
                numbers = numbers or described(read)
        result = func(*args, **kwargs)
        made = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if is_uninitialised(func):
            for tensor in made:
                if tensor.is_floating_point() or tensor.is_complex():
                    tensor.zero_()  # what was in the memory before is nobody's fault
            return result
        known = {id(tensor) for tensor in made}
        made += [r.tensor for r in taken if r.written and id(r.tensor) not in known]
        after = [kinds(tensor) for tensor in made]
        if any(found.nan or found.infinite for found in after):
            call = Call(func, args, kwargs, line, read, before, numbers, made, after)
            self.ledger.judge(call, self._stack or ("",))
        return result


def _user_line() -> str:
    """ "model.py:41 in forward", of the innermost frame that is neither PyTorch nor this package's measuring."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE + os.sep):
            return ""  # back where the model was called: no frame of the user's between
        if not file.startswith(_TORCH + os.sep) and not file.startswith("<"):
            return f"{os.path.basename(file)}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
