"""One forward pass of a copy, written down: which function was called on what, in which module, in which order.

Modules say what a model is made of, not what it does with them. A remedy that puts something between two layers, or
another function in the place of one, has to know what comes behind what, whether modules or lines of code do it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import call
from evenflow.measure.autograd_graph import VIEWS
from evenflow.measure.functional import FUNCTIONS, SOFTMAXES, called_activation
from evenflow.prescribe.prescription import View

PASSING = VIEWS | frozenset(
    (
        *(
            "flatten",
            "unflatten",
            "dropout",
            "dropout1d",
            "dropout2d",
            "dropout3d",
            "alpha_dropout",
            "T",
            "mT",
        ),
        *(
            "swapaxes",
            "swapdims",
            "to",
            "float",
            "concat",
            "concatenate",
            "identity",
            "__get__",
            "__getitem__",
        ),
        *("view_as", "reshape_as", "expand_as", "ravel", "tile", "repeat_interleave", "hstack", "vstack"),
    )
)
"""Functions that move numbers about, or leave some out, and change none."""
MATRIX = frozenset(
    (
        *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"),
        *("conv_transpose3d", "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu"),
        *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "multi_head_attention_forward"),
    )
)
"""Functions that multiply with weights, whatever the weights were computed from."""
_BENT = ("exp", "sin", "cos", "square", "rrelu", "log_softmax", "softmin")
"""What is no activation by name, and put where activations are."""


@dataclass(frozen=True)
class Call:
    """One call of a function of torch's.

    Args:
        place: in the order of execution, from 0.
        module: dotted path of the innermost module that was running; "" for the model itself.
        ordinal: how many calls of a function of this name the same run of the module had made before.
        name: of the function, without the underscore of those that work in place.
        takes: places of the calls that made its tensor arguments; −1 for inputs of the model, −2 for others.
        weights: names of the parameters among its arguments that have two dimensions or more.
        shape: of its result, or of the first one; () where there is none.
        activation: catalogue name of the activation that it applies, or what torch calls it; "" for none.
    """

    place: int
    module: str
    ordinal: int
    name: str
    takes: tuple[int, ...]
    weights: tuple[str, ...]
    shape: tuple[int, ...]
    activation: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether it multiplies with weights of the model."""
        return bool(self.weights) or self.name in MATRIX


@dataclass(frozen=True)
class Visit:
    """One run of a module.

    Args:
        name: its dotted path, the first where it has several.
        module: of the model that was traced, not of the copy.
        began, ended: places of the first call in it and of the first one behind it.
        source: place of the call that made its first argument; −1 for an input of the model, −2 for others.
        result: place of the call that made what it returns, or the first tensor of that.
        taken, given: shapes of the two.
        plain: whether it takes one tensor and returns one.
    """

    name: str
    module: nn.Module = field(repr=False, compare=False)
    began: int
    ended: int
    source: int
    result: int
    taken: tuple[int, ...]
    given: tuple[int, ...]
    plain: bool


@dataclass(frozen=True)
class Trace:
    """A forward pass.

    Args:
        calls: in order.
        visits: of modules, in the order in which they began.
        outputs: places of the calls that made what the model returns.
        shape: of the first tensor that it returns.
        names: of every module all its dotted paths, by the first.
    """

    calls: tuple[Call, ...]
    visits: tuple[Visit, ...]
    outputs: tuple[int, ...]
    shape: tuple[int, ...]
    names: Mapping[str, tuple[str, ...]]

    @cached_property
    def _consumers(self) -> Mapping[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        for one in self.calls:
            for place in dict.fromkeys(one.takes):
                found.setdefault(place, []).append(one.place)
        return {place: tuple(places) for place, places in found.items()}

    def consumers(self, place: int) -> Iterator[Call]:
        """The calls that take a result, looked at through those that only move numbers about."""
        for each in self._consumers.get(place, ()):
            one = self.calls[each]
            if one.name in PASSING:
                yield from self.consumers(each)
            else:
                yield one

    def source(self, place: int) -> int:
        """The call that made a result, looked at through those that only move numbers about."""
        while place >= 0 and self.calls[place].name in PASSING and self.calls[place].takes:
            place = self.calls[place].takes[0]
        return place

    @cached_property
    def _deep(self) -> frozenset[int]:
        """Places whose results go on to weights."""
        found: set[int] = set()
        for one in reversed(self.calls):
            if one.has_weights or one.place in found:
                found.update(place for place in one.takes if place >= 0)
        return frozenset(found)

    def is_hidden(self, place: int) -> bool:
        """Whether a layer with weights comes behind a result."""
        return place in self._deep

    @cached_property
    def _fed(self) -> frozenset[int]:
        found: set[int] = set()
        for one in self.calls:
            if one.has_weights or any(place in found for place in one.takes):
                found.add(one.place)
        return frozenset(found)

    def is_computed(self, place: int) -> bool:
        """Whether a layer with weights, or an embedding, comes before a result."""
        return place in self._fed

    def runs_of(self, name: str) -> tuple[Visit, ...]:
        """The runs of a module."""
        return self._runs.get(name, ())

    @cached_property
    def _runs(self) -> Mapping[str, tuple[Visit, ...]]:
        found: dict[str, list[Visit]] = {}
        for one in self.visits:
            found.setdefault(one.name, []).append(one)
        return {name: tuple(runs) for name, runs in found.items()}


_KEPT: weakref.WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], Trace]] = weakref.WeakKeyDictionary()


def trace_of(view: View) -> Trace:
    """The trace of a view's model on its first batch; the same model is traced once."""
    model = view.training.patient.model
    parts = tuple(id(one) for one in model.modules())
    known = _KEPT.get(model)
    if known is None or known[0] != parts:
        known = parts, traced(view.training.patient, view.training.plan.batches[0])
        _KEPT[model] = known
    return known[1]


def traced(patient: Patient, batch: Batch) -> Trace:
    """One forward pass of a copy in training mode."""
    copied = patient.copied().model.train()
    names: dict[nn.Module, list[str]] = {}
    for name, module in copied.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    own = dict(patient.model.named_modules())
    writer = _Writer(
        {id(one): name for name, one in copied.named_parameters() if one.ndim > 1},
        {module: found[0] for module, found in names.items()},
        own,
    )
    handles = []
    for module in names:
        if isinstance(module, torch.jit.ScriptModule):
            continue
        handles.append(module.register_forward_pre_hook(writer.enter, with_kwargs=True, prepend=True))
        handles.append(module.register_forward_hook(writer.leave))
    inputs = batch.copied().inputs
    compiled = any("_orig_mod" in one.__dict__.get("_modules", {}) for one in names)
    with (
        torch.compiler.set_stance("force_eager") if compiled else nullcontext(),
        untouched_randomness(),
        torch.enable_grad(),
        writer,
    ):
        output = call(copied, inputs)
    found = list(_tensors(output))
    return Trace(
        tuple(writer.calls),
        tuple(one for one in writer.visits if one is not None),
        tuple(writer.made.get(id(one), -2) for one in found),
        tuple(found[0].shape) if found else (),
        {found[0]: tuple(found) for found in names.values()},
    )


@dataclass
class _Open:
    """A run of a module that has not ended."""

    name: str
    place: int
    began: int
    source: int
    taken: tuple[int, ...]
    single: bool
    counts: dict[str, int] = field(default_factory=dict)


class _Writer(TorchFunctionMode):
    """Writes down every call; keeps the tensors, so that no identity is given to two of them."""

    def __init__(
        self, weights: dict[int, str], names: dict[nn.Module, str], own: dict[str, nn.Module]
    ) -> None:
        super().__init__()
        self.weights, self.names, self.own = weights, names, own
        self.calls: list[Call] = []
        self.visits: list[Visit | None] = []
        self.made: dict[int, int] = {}
        self.kept: list[Tensor] = []
        self.open: list[_Open] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = [*_tensors(args), *_tensors(tuple((kwargs or {}).values()))]
        takes = [(self.made.get(id(one), -2), self.weights.get(id(one))) for one in given]
        result = func(*args, **(kwargs or {}))
        made = list(_tensors(result))
        if made:
            name = getattr(func, "__name__", type(func).__name__)
            name = name if name.startswith("__") else name.rstrip("_")
            self._write(_activation(func, name, args, kwargs or {}), name, takes, made)
        return result

    def _write(
        self, activation: str, name: str, takes: list[tuple[int, str | None]], made: list[Tensor]
    ) -> None:
        inside = self.open[-1] if self.open else None
        counts = inside.counts if inside else {}
        place = len(self.calls)
        self.calls.append(
            Call(
                place,
                inside.name if inside else "",
                counts.get(name, 0),
                name,
                tuple(one for one, weight in takes if weight is None),
                tuple(weight for _, weight in takes if weight is not None),
                tuple(made[0].shape),
                activation,
            )
        )
        counts[name] = counts.get(name, 0) + 1
        turned = [weight for _, weight in takes if weight is not None] if name in PASSING else []
        for one in made:
            self.kept.append(one)
            if turned and len(takes) == 1:  # a weight, transposed perhaps
                self.weights[id(one)] = turned[0]
            elif id(one) not in self.weights:
                self.made[id(one)] = place

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Before a module runs."""
        given = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        self.kept += given
        if not self.open:
            self.made.update((id(one), -1) for one in given)
        source = self.made.get(id(given[0]), -2) if given else -2
        shape = tuple(given[0].shape) if given else ()
        self.open.append(
            _Open(self.names[module], len(self.visits), len(self.calls), source, shape, len(given) == 1)
        )
        self.visits.append(None)

    def leave(self, _module: nn.Module, _args: Any, output: Any) -> None:
        """Behind it."""
        one = self.open.pop()
        made = list(_tensors(output))
        self.kept += made
        self.visits[one.place] = Visit(
            one.name,
            self.own[one.name],
            one.began,
            len(self.calls),
            one.source,
            self.made.get(id(made[0]), -2) if made else -2,
            one.taken,
            tuple(made[0].shape) if made else (),
            one.single and isinstance(output, Tensor),
        )


def _activation(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    if func in FUNCTIONS:
        known = called_activation(func, args, kwargs)
        return known.name if known else "" if name.startswith(("clamp", "prelu")) else name
    return "softmax" if func in SOFTMAXES else name if name in _BENT else ""


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors of any kind inside nested arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
