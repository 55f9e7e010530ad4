"""The recorder behind a probe: what is heard, sorted into steps and phases.

A step is one step of the optimiser. Within it the gradient is read when a backward pass has ended, again when it was
unscaled, and once more before the optimiser uses it if anything has written to it since: that is clipping, whoever did
it. The weights are read before and after the optimiser's step.

Whatever goes wrong in here ends the recording, never the training.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.variable import Variable
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from evenflow.errors import SpecError
from evenflow.measure import clock
from evenflow.measure.bank import SILENT, Bank, Slot
from evenflow.measure.budget import Budget
from evenflow.measure.history import History, Layout
from evenflow.measure.kept_gradients import KeptGradients
from evenflow.measure.kernels import native
from evenflow.measure.nonfinite_tree import tensors_in
from evenflow.measure.onlooker import OF_INPUTS, Onlooker
from evenflow.measure.parameters import COLUMNS, Entry, Parameters, clipped
from evenflow.measure.ranks import Ranks
from evenflow.measure.replay import Replay
from evenflow.measure.sample import Sample
from evenflow.measure.sites import parameter_kind
from evenflow.measure.taps import FAULT, FLAGS, LIVE, READING, ROOTED, Taps, listen
from evenflow.measure.traced import Traced
from evenflow.measure.transforms import transformed, unreadable
from evenflow.record.schema import Run, Site
from evenflow.record.table import Table

if TYPE_CHECKING:
    from evenflow.measure.nonfinite import Origin


class ProbeWarning(UserWarning):
    """Something that the probe cannot measure, or that made it stop."""


@dataclass(slots=True, eq=False)
class _Likeness:
    """What a step has in common with the last one, while nothing but the numbers is new."""

    optimiser: Optimizer  # the only one that counts
    group: Parameters  # all that are recorded
    layout: Layout


class Recorder:
    """Records the gradient flow of one model while it trains.

    Args:
        model: without what wraps it.
        optimisers: those whose steps count; empty for every optimiser that steps a parameter of the model.
        every: record every so many steps.
        window: samples for which a unit has to be silent before it is called dead.
        chosen: whether a site of this name is recorded.
        updates: whether to measure what the optimiser adds, for which a copy of the weights is kept.
        time_steps: whether every time step of a recurrent module is a site.
        run: the run of the table.
        statistics: the columns of the table; all when left out.
        written: what writes the table away as it grows; called with new rows, about once a second.
        budget: the share of the time that recording may take; `every` is then chosen by measuring.
        rows: how many rows of each batch are read; all when left out.
        micro_batches: whether to read the gradient that each backward pass of a step brings, too.
        nonfinite: whether to look for the operation that made the first non-finite value.
        ranks: the talk with the recorders of other ranks; left out, the figures are of this process.

    Attributes:
        origin: the step and the operation of the first non-finite value, once there was one.
    """

    def __init__(
        self,
        model: nn.Module,
        optimisers: Sequence[Optimizer],
        *,
        every: int = 1,
        window: int = 1000,
        chosen: Callable[[str], bool] = lambda name: not name.startswith("="),
        updates: bool = True,
        time_steps: bool = False,
        run: Run | None = None,
        statistics: Collection[str] | None = None,
        written: Callable[[Table], None] | None = None,
        budget: float | None = None,
        rows: int | None = None,
        micro_batches: bool = False,
        nonfinite: bool = True,
        ranks: Ranks | None = None,
    ) -> None:
        self.model = model
        self.budget = None if budget is None else Budget(budget)
        self.origin: tuple[int, Origin] | None = None
        self._every = every
        self._micro_batches = micro_batches
        self._handles: list[RemovableHandle] = []
        self._replay = Replay(model) if nonfinite else None
        self.kept = KeptGradients(model)
        self._step_began = 0.0
        self.step = 0
        self.flags = np.zeros(FLAGS, dtype=np.int64)
        self._flags = self.flags.data  # a number of which is read in half the time
        self._arrivals: list[Callable[[Tensor], None]] = []  # hooks of the model's outputs
        self.on = self.backward = self.root_called = False
        self.live = 0
        self.passes = 0
        self.history = History(run or Run("probe"), statistics)
        self.failure: Exception | None = None
        self.chosen = chosen
        self._given = list(optimisers)
        self._optimisers: dict[int, Optimizer | None] = {id(one): one for one in optimisers}
        self._updates = updates
        self._bank = Bank(window, self.flags, None if rows is None else Sample(rows))
        self.plain = rows is None
        self._taps = Taps(model, self, time_steps=time_steps)  # pyright: ignore[reportArgumentType]
        self._traced = Traced(self._taps, self, self._bank)
        self.onlooker: Onlooker | None = None
        self._looks = False  # whether it has anything to look at in this step
        if ranks is None and not any(type(one).__name__ == "DTensor" for one in model.parameters()):
            wanted = frozenset(("cosine", *OF_INPUTS) if statistics is None else statistics)
            self.onlooker = Onlooker(
                model,
                self._taps,
                self._bank.slots,
                cosines="cosine" in wanted,
                signals=not wanted.isdisjoint(OF_INPUTS),
            )
        self._groups: dict[int, Parameters] = {}
        self._former: list[Parameters] = []
        self._sizes: dict[int, int] = {}  # numbers of parameters that the optimisers step
        self._layout: Layout | None = None
        self._likeness: _Likeness | None = None
        self._loss: Tensor | float | None = None
        self._scale = math.nan
        self._stepped: set[int] = set()
        self._heard = False  # whether this step has brought anything
        self._turned = False  # whether the last recorded step has left nothing behind, and its likeness holds
        self._checked = self._clips = False
        self._was_training = model.training
        self._written = written
        self._next_writing = 0.0
        self._ranks = ranks
        self.stopped: list[Callable[[], None]] = []
        """Called when the recording ends, by itself or because it was told to."""

    @property
    def every(self) -> int:
        """Every how many steps is recorded now."""
        return self._every if self.budget is None else self.budget.every

    @property
    def live(self) -> int:
        """The thread whose forward pass is being recorded; 0 for none."""
        return self._flags[LIVE]

    @live.setter
    def live(self, value: int) -> None:
        self._flags[LIVE] = value

    @property
    def root_called(self) -> bool:
        """Whether the model is called as a whole, and not only parts of it."""
        return self._flags[ROOTED] != 0

    @root_called.setter
    def root_called(self, value: bool) -> None:
        self._flags[ROOTED] = value

    @property
    def backward(self) -> bool:
        """Whether a backward pass is being recorded."""
        return self._flags[READING] != 0

    @backward.setter
    def backward(self, value: bool) -> None:
        self._flags[READING] = value

    def attach(self) -> None:
        """Begin to listen."""
        try:
            if self._ranks is not None:
                self._meet(self._ranks)
            self._taps.attach()
            self._traced.attach()
            clock.watch(self)
            if self._micro_batches:
                self._sort_again()
                self._parameters()
            if self.step in self.history.steps[-1:]:  # what was under way when the probe was detached
                self.step += 1
            self._begin_step()
        except Exception as error:
            self.fail(error)

    def detach(self) -> None:
        """Listen no more; what was recorded stays."""
        try:
            ended = bool(self._stepped) and not self._given
            # What no optimiser has ended is no step, but where none ever was.
            if self._ranks.last(ended) if self._ranks is not None else ended or not self.history.steps:
                self._flush()
            self.write()
        except Exception as error:
            self.fail(error)
        self.leave("was detached")
        try:
            self._stop()
        except Exception as error:
            self.fail(error)

    def _stop(self) -> None:
        self.on = self.backward = False
        self.live = 0
        with ExitStack() as stack:  # each is done, whatever another raises
            if self.onlooker is not None:
                stack.callback(self.onlooker.stop)
            stack.callback(self._traced.detach)
            stack.callback(self._forget_micro_batches)
            stack.callback(self._taps.detach)
            stack.callback(clock.unwatch, self)
            for call in self.stopped:
                stack.callback(call)
        for slot in self._bank.slots:
            slot.hook = None

    def leave(self, reason: str) -> None:
        """Talk with the other ranks no more."""
        if self._ranks is not None:
            self._ranks.leave(reason)

    def fail(self, error: Exception) -> None:
        """End the recording because of an error, and say so once; what fails inside torch.func is left out."""
        if self.failure is not None or transformed():
            return
        self.failure = error
        self.leave(f"has stopped ({type(error).__name__}: {error})")
        with suppress(Exception):
            self._stop()
        warnings.warn(
            f"the probe has stopped at step {self.step} and keeps what it had: {type(error).__name__}: {error}",
            ProbeWarning,
            stacklevel=2,
        )

    def _look(self, look: Callable[..., Any], *arguments: Any) -> Any:
        """Let the onlooker look; one that fails is left out from then on, and the recording goes on."""
        try:
            return look(*arguments)
        except Exception as error:
            if self.onlooker is not None:
                self.onlooker.stop()
            self.onlooker = None
            self.warn(
                f"step {self.step}: the setting of the training cannot be read: {type(error).__name__}: {error}"
            )
            return None

    def heard(self, loss: Tensor) -> None:
        """A gradient is about to go back from this loss, of this model or of another one."""
        if self.onlooker is not None:
            self._look(self.onlooker.heard, loss)

    def _known_optimisers(self) -> list[Optimizer]:
        return [one for one in self._optimisers.values() if one is not None]

    def include(self, optimiser: Optimizer) -> None:
        """Count the steps of one more optimiser: a step of the training is over when all of them have stepped."""
        if all(optimiser is not one for one in self._given):
            self._given.append(optimiser)
            self._optimisers[id(optimiser)] = optimiser
            self._groups.clear()
            self._layout = self._likeness = None

    def warn(self, message: str) -> None:
        """Say what cannot be measured."""
        warnings.warn(message, ProbeWarning, stacklevel=2)

    # What the taps tell.

    def add(self, slot: Slot) -> Slot:
        self._layout = self._likeness = None
        return self._bank.add(slot)

    def begin_pass(self, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
        """A forward pass of the model begins; whether it is one to record."""
        try:
            if self._flags[LIVE] or not self.wanted():
                return False
            self._flags[ROOTED], self._flags[LIVE] = 1, get_ident()
            self.passes += 1
            if self._replay is not None:
                self._replay.begin(arguments, options)
            if self._looks and self.onlooker is not None:
                self._look(self.onlooker.begin_pass, self.step, arguments, options)
            return True
        except Exception as error:
            self.fail(error)
            return False

    def wanted(self) -> bool:
        """Whether what runs forward now is to be recorded; a step that is over ends here."""
        if self._flags[READING] and torch._C._current_graph_task_id() < 0:  # one that an error has ended
            self._flags[READING] = 0
        if not self.on or self._flags[READING] or not _is_grad_enabled() or transformed():
            return False
        if self.model.training:
            self._was_training = True
        elif self._was_training:  # a validation that does without no_grad
            return False
        if self._stepped:
            return self.begin_part()
        self._heard = True
        return True

    def begin_part(self) -> bool:
        """Something of the model runs forward; without optimisers to count, that is when the next step begins."""
        try:
            if self._stepped and not self._given:
                self._end_step()
            self._heard = True
        except Exception as error:
            self.fail(error)
        return self.on

    def placed(self) -> None:
        """The order in which the modules run is known."""
        if self._groups:  # an optimiser that runs the forward pass within its step
            self._sort_again()

    def end_pass(self, output: object) -> None:
        self._flags[LIVE] = 0
        try:
            tensors = (output,) if isinstance(output, Tensor) else tensors_in(output)
            number = 0
            for tensor in tensors:
                if tensor.requires_grad:
                    if number == len(self._arrivals):
                        self._arrivals.append(functools.partial(self.arrived, place=number))
                    listen(tensor, self._arrivals[number], self._taps.leaf_hooks)
                    number += 1
            if self._replay is not None:
                self._replay.end(number)
                if self._flags[FAULT] and self.origin is None:
                    self._trace(backward=False)
            if self._looks and self.onlooker is not None:
                self._look(self.onlooker.end_pass, tensors, self._known_optimisers())
        except Exception as error:
            self.fail(error)

    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None:
        if self.onlooker is not None and self.onlooker.looking:
            self._look(self.onlooker.forward, slot, values)
        try:
            self._bank.forward(slot, values, inputs)
        except Exception as error:
            if not unreadable(values):
                self.fail(error)

    def attend(self, slot: Slot, weights: Tensor, logits: Tensor | None) -> None:
        try:
            self._bank.attend(slot, weights, logits)
        except Exception as error:
            self.fail(error)

    def reader(self, slot: Slot) -> Callable[[Tensor], None]:
        hook = functools.partial(self.backward_arrived, slot)
        if native is None or self._bank.sample is not None:
            return hook
        return native.reader(slot.ear, self.flags.ctypes.data, hook)

    def arrived(self, gradient: Tensor, place: int | None = None) -> None:
        """The loss has sent its gradient to an output of the model, or of a compiled part of it."""
        if not self.on:
            return
        try:
            if not self._flags[READING]:
                self._begin_backward()
            if self._replay is not None and place is not None:
                self._replay.arrived(place, gradient)
        except Exception as error:
            self.fail(error)

    def backward_arrived(self, slot: Slot, gradient: Tensor) -> None:
        """The gradient has reached a site."""
        if not self.on:
            return
        try:
            if not self._flags[READING]:
                self._begin_backward()
            self._bank.backward(slot, gradient)
        except Exception as error:
            if not unreadable(gradient):
                self.fail(error)

    def _trace(self, *, backward: bool) -> None:
        """Find where the first non-finite value came from, by running the pass again, and say so."""
        assert self._replay is not None
        on, self.on = self.on, False  # the replay is not to be recorded
        flags = self.flags.copy()
        self.flags[:] = 0
        try:
            origin = self._replay.trace(backward=backward)
        finally:
            self.on = on
            self.flags[:] = flags
        if origin is not None:
            self.origin = (self.step, origin)
            warnings.warn(f"step {self.step}: not finite: {origin}", ProbeWarning, stacklevel=2)

    def _begin_backward(self) -> None:
        if transformed():
            raise TypeError("a backward pass inside torch.func is none of the training")
        self._flags[READING] = self._heard = True
        if self.kept.open:
            self.kept.begin_backward(self.step)
        # A callback that is queued by a callback runs behind those of DistributedDataParallel and FSDP.
        _queue_callback(lambda: _queue_callback(self._end_backward))

    def _end_backward(self) -> None:
        self._flags[READING] = 0
        if not self.on:
            return
        try:
            if self.kept.open:
                self.kept.end_backward()
            if not self._groups:
                self._sort_parameters()
            for key, group in self._groups.items():
                if key not in self._stepped:  # what comes behind its step is none of this one
                    group.read_gradients("accumulated")
            if not self._checked:
                self._checked = True
                self._check()
        except Exception as error:
            self.fail(error)

    # What the clock tells.

    def before_step(self, optimiser: Optimizer, closure: bool) -> None:
        try:
            if not self.on:
                return
            like = self._likeness
            if (like is None or like.optimiser is not optimiser) and not self._concerns(optimiser):
                return
            if id(optimiser) in self._stepped:  # another step of the same optimiser: the last one is over
                self._end_step()
                if not self.on:
                    return
            size = sum([len(part["params"]) for part in optimiser.param_groups])
            if self._sizes.setdefault(id(optimiser), size) != size:  # parameters were added
                self._sizes[id(optimiser)] = size
                self._sort_again()
            like = self._likeness
            group = self._group(optimiser) if like is None else like.group
            if not closure and self._traced.waiting:
                self._traced.check(self.root_called or bool(self._bank.sums[:, 0].any()))
            if self.kept.open and not closure:
                self.kept.before_step(optimiser, self.step)
            ready = not closure and group.ready()
            if not closure and not ready and group.changed:
                group.read_gradients("clipped" if group.has_read else "accumulated")
            if self._flags[FAULT] and self._replay is not None and self.origin is None:
                self._trace(backward=not closure)
            if not ready:
                group.before()
            self._heard = True
        except Exception as error:
            self.fail(error)

    def after_step(self, optimiser: Optimizer, closure: bool) -> None:  # noqa: ARG002
        if not self.on and self.budget is None and self.failure is None and self._given == [optimiser]:
            self.step += 1  # one of many that are not recorded: nothing was kept, so nothing is over
            if self.step % self._every == 0:
                self._begin_step(self._turned)
            return
        try:
            like = self._likeness
            if like is not None and self.on and like.optimiser is optimiser and self._turn(like):
                return
            if self.failure is not None or not self._concerns(optimiser):
                return
            if self.on:
                self._group(optimiser).after()
            self._ends(optimiser)
        except Exception as error:
            self.fail(error)

    def skipped(self, optimiser: Optimizer) -> None:
        """An optimiser's step was left out, because gradients have overflowed: the weights stay as they are."""
        try:
            if self.failure is None and self._concerns(optimiser):
                self._ends(optimiser)
        except Exception as error:
            self.fail(error)

    def _ends(self, optimiser: Optimizer) -> None:
        """An optimiser is through with its step; when all are that count, the next one begins."""
        self._stepped.add(id(optimiser))
        known = (key for key, one in self._optimisers.items() if one is not None)
        # Where none was given another may follow: the step then ends with the next forward pass that is recorded.
        if (self._given or not self.on) and self._stepped.issuperset(known):
            self._end_step()

    def unscaled(self, optimiser: Optimizer, scale: float) -> None:
        try:
            if not self.on or not self._concerns(optimiser):
                return
            self._scale = scale
            self._group(optimiser).read_gradients("unscaled")
        except Exception as error:
            self.fail(error)

    def found_loss(self, value: Tensor) -> None:
        """The loss of this step, one number without its graph, which was found where the backward pass began."""
        self._loss = value

    def loss(self, value: Tensor | float) -> None:
        """The loss of this step.

        Raises:
            SpecError: it is not one number.
        """
        if not isinstance(value, Tensor | int | float | np.number) or (
            isinstance(value, Tensor) and value.numel() != 1
        ):
            shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise SpecError(f"the loss of a step is one number, not {shown}; take its mean first")
        self._loss = value.detach() if isinstance(value, Tensor) else value
        if self.onlooker is not None:
            self._look(self.onlooker.loss, value)

    def _meet(self, ranks: Ranks) -> None:
        """Agree with the recorders of the other ranks to record together, or find that there are none."""
        every = ranks.meet(self.every)
        if every is None:
            self._ranks = None
            warnings.warn(
                f"no probe was attached on some of the ranks {list(ranks.team)} within {ranks.patience:g} seconds: "
                "this one records its own rank, its share of the batch and its part of sharded parameters; attach a "
                "probe on every rank, or give ranks=False",
                ProbeWarning,
                stacklevel=4,
            )
        elif self.budget is None:
            self._every = every

    # Steps.

    def _concerns(self, optimiser: Optimizer) -> bool:
        """Whether an optimiser's steps count."""
        known = self._optimisers.get(id(optimiser), self)
        if known is not self:
            return known is not None
        mine = None
        if not self._given:
            own = set(map(id, self.model.parameters()))
            if any(id(one) in own for group in optimiser.param_groups for one in group["params"]):
                mine = optimiser
        self._optimisers[id(optimiser)] = mine  # pyright: ignore[reportArgumentType]
        if mine is not None:
            self._sort_again()
        return mine is not None

    def _sort_again(self) -> None:
        """Sort the parameters anew before they are read next, and keep what this step has brought."""
        self._former += self._groups.values()
        self._groups.clear()
        self._likeness = None

    def _parameters(self) -> Collection[Parameters]:
        if not self._groups:
            self._sort_parameters()
        return self._groups.values()

    def _group(self, optimiser: Optimizer) -> Parameters:
        if not self._groups:
            self._sort_parameters()
        return self._groups.get(id(optimiser), _NONE)

    def _sort_parameters(self) -> None:
        """The parameters by the optimiser that steps them; last those that none does."""
        owner: dict[int, int] = {}
        for key, optimiser in self._optimisers.items():
            if optimiser is not None:
                for group in optimiser.param_groups:
                    owner.update((id(parameter), key) for parameter in group["params"])
        entries: dict[int, list[Entry]] = {
            key: [] for key, one in self._optimisers.items() if one is not None
        }
        entries[0] = []
        depths = self._taps.depths
        known: set[int] = set()
        for path, module in self.model.named_modules():
            for name, parameter in module.named_parameters(prefix=path, recurse=False):
                if id(parameter) in known or not self.chosen(name):  # tied weights are one parameter
                    continue
                known.add(id(parameter))
                short = name.rpartition(".")[2]
                units = parameter.shape[0] if parameter.ndim else 1
                site = Site(name, parameter_kind(module, short, parameter), depths.get(module, 1), units)
                key = owner.get(id(parameter), 0)
                entry = Entry(site, parameter, key != 0)
                entries[key].append(entry)
        self._groups = {
            key: Parameters(found, self.flags, updates=self._updates)
            for key, found in entries.items()
            if found
        }
        for group in self._groups.values() if self._former else ():
            group.take_over(self._former)
        if self._micro_batches:
            self._forget_micro_batches()
            for group in self._groups.values():
                self._handles += group.hear_micro_batches(lambda: self.on)
        self._former = []
        self._layout = self._likeness = None

    def _forget_micro_batches(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin_step(self, clean: bool = False) -> None:
        """The next step begins; after `clean` the bank and the parameters stand at nothing already."""
        if self.budget is None:
            due = self.step % self._every == 0
        else:
            due = self.budget.next()
            self._step_began = time.perf_counter()
        self.on = self.failure is None and due
        self._stepped.clear()
        self._loss, self._scale = None, math.nan
        self._flags[FAULT] = 0
        if self.on:
            self._looks = self.onlooker is not None and self.onlooker.due(self.step)
            if not clean:
                self._bank.begin()
                for group in self._groups.values():
                    group.begin()
            if self._traced.graphs:
                self._traced.begin()
            if self._taps.learning:
                for slot, slopes in self._taps.learned():
                    self._bank.change(slot, slopes)

    def _end_step(self) -> None:
        clean = self._flush()
        self._turned = False
        if self.budget is not None:
            self.budget.took(time.perf_counter() - self._step_began)
            if self._ranks is None:
                self.budget.every = self.budget.proposal
        self.step += 1
        self._begin_step(clean)
        if self.budget is not None:
            return
        if clean and self._layout is not None and len(self._given) == len(self._known_optimisers()) == 1:
            (optimiser,) = self._given
            if [*self._groups] == [id(optimiser)]:
                self._likeness = _Likeness(optimiser, self._groups[id(optimiser)], self._layout)

    def _turn(self, like: _Likeness) -> bool:
        """What `after_step` does where a step is like the last one; False, and nothing is done, where more is new."""
        group, onlooker = like.group, self.onlooker
        if (
            self._looks
            or not self._heard
            or not self._bank.direct
            or self._taps.leaf_hooks
            or self._traced.graphs
        ):
            return False
        if self._stepped or self._taps.learning or not group.is_even:
            return False
        if self._written is not None and self._is_due():
            return False
        place = self.history.room(self.step, like.layout, like.layout.size)
        group.turn(
            place, (math.nan, 0.0, self._scale) if self._loss is None else self._rest(), self._bank.place
        )
        if self._replay is not None:
            self._replay.forget()
        self.step = step = self.step + 1
        self.on = step % self._every == 0
        self._heard = False
        self._turned = True
        self._loss, self._scale = None, math.nan
        self._flags[FAULT] = 0
        self._looks = self.on and onlooker is not None and onlooker.due(step)
        return True

    def _flush(self) -> bool:
        """Keep what this step has brought, if it brought anything; whether that has left nothing behind."""
        if self._taps.leaf_hooks:
            self._taps.release()
        if self._replay is not None:
            self._replay.forget()
        if not self.on:
            return False
        if not self._heard and self._ranks is None:
            return False
        self._heard = False
        groups = self._groups.values() or self._parameters()
        self._traced.merge()
        layout = self._layout
        if layout is None:
            layout = self._layout = Layout(
                tuple(self._bank.slots),
                tuple(entry for group in groups for entry in group.entries),
                tuple(slot.slopes is not None for slot in self._bank.slots),
                self._bank.sample is not None,
            )
        if self._looks and self.onlooker is not None:
            self.history.put_aside(self.step, self._look(self.onlooker.end_step, self._known_optimisers()))
        clean = self._ranks is None and not self._micro_batches and self._bank.direct and not layout.merges
        if clean:
            place = self.history.room(self.step, layout, layout.size)
            place = self._bank.move(place, *self._rest())
            for group in groups:
                place = group.move(place)
        else:
            self._gather(layout, groups)
        if self._written is not None and self._is_due():
            self.write()
        return clean

    def _gather(self, layout: Layout, groups: Collection[Parameters]) -> None:
        """Keep a step whose figures come from several places."""
        sums = self._bank.gather()
        for group in groups if self._micro_batches else ():
            group.finish()
        if self._ranks is not None:
            self._share(self._ranks, layout, groups, sums)
        self._bank.silence()
        parts = [sums, *(group.figures for group in groups)]
        if self._bank.sample is not None:
            parts.append(self._bank.sample.of(len(self._bank.slots)))
        self.history.add(self.step, layout, parts, self._rest())

    def _rest(self) -> tuple[float, float, float]:
        """The loss, whether it is known, and the loss scale."""
        if self._loss is None:
            return math.nan, 0.0, self._scale
        return float(self._loss), 1.0, self._scale

    def _share(
        self, ranks: Ranks, layout: Layout, groups: Collection[Parameters], sums: NDArray[np.float64]
    ) -> None:
        """Put the figures of all ranks in the place of this one's."""
        figures = np.concatenate([group.figures for group in groups] or [np.zeros((0, len(COLUMNS)))])
        loss = None if self._loss is None else float(self._loss)
        every = self.every if self.budget is None else self.budget.proposal
        merged, every = ranks.share(
            self.step, every, layout, self._bank, sums[:, :SILENT], figures, loss, self._scale
        )
        self._every = every
        if self.budget is not None:
            self.budget.every = every
        sums[:, :SILENT], self._loss = merged.sums, merged.loss
        if any(group.sharded for group in groups):
            self._clips = self._clips or clipped(merged.figures)
            if not self._clips:
                merged.figures[:, COLUMNS.index("clipped")] = np.nan
        start = 0
        for group in groups:
            group.figures[:] = merged.figures[start : start + len(group.entries)]
            start += len(group.entries)

    def _is_due(self) -> bool:
        return time.monotonic() >= self._next_writing

    def write(self) -> None:
        """Hand over what has not been written yet."""
        if self._written is not None and self.history.unwritten:
            self._written(self.history.take())
            self._next_writing = time.monotonic() + 1.0

    def _check(self) -> None:
        """Compare the first gradient norms with torch's own, in float64."""
        for group in self._parameters():
            for entry, figures in zip(group.entries, group.figures, strict=True):
                gradient = entry.parameter.grad
                if gradient is None or gradient.is_sparse:
                    continue
                wide = torch.complex128 if gradient.is_complex() else torch.float64
                expected = float(torch.nn.utils.get_total_norm([gradient.detach().to(wide)]))
                found = math.sqrt(figures[1])
                if not math.isclose(found, expected, rel_tol=1e-6) and math.isfinite(expected):
                    raise RuntimeError(
                        f'the gradient norm of "{entry.site.name}" was read as {found:.6g} and '
                        f"torch.nn.utils.get_total_norm says {expected:.6g}"
                    )


_is_grad_enabled = torch.is_grad_enabled
_queue_callback = Variable._execution_engine.queue_callback
_NONE = Parameters([], np.zeros(FLAGS, dtype=np.int64))
