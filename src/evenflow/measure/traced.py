"""A model under torch.compile: its compiled graphs measure themselves.

A compiled graph calls no module, so that nothing put around modules is heard in it, and hooks that are traced cannot
tell the functions a forward calls. Instead each graph of the model is compiled twice, as it is and with the sums of
its sites added to it, just behind the tracing, where every operation still says which module it belongs to. A call
that is to be recorded runs the second, any other the first: steps in between, validation, another model of the same
class, and everything after the probe has been detached cost nothing.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from evenflow.measure import taps as tapped
from evenflow.measure import traced_calls, traced_sums
from evenflow.measure.bank import Bank, Slot
from evenflow.measure.sites import is_activation, stacked_blocks
from evenflow.measure.slopes import Slopes
from evenflow.measure.taps import Site, Taps, listen
from evenflow.measure.traced_graph import Call, Walk, attention_weights, in_place
from evenflow.measure.traced_sums import Ledger

Compiled = Callable[..., Any]


class Listener(Protocol):
    """What the compiled graphs tell: the recorder."""

    def wanted(self) -> bool: ...
    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None: ...
    def backward_arrived(self, slot: Slot, gradient: Tensor) -> None: ...
    def arrived(self, gradient: Tensor) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def warn(self, message: str) -> None: ...


class Traced:
    """The compiled graphs of one model.

    Args:
        taps: those of the model, which know its sites.
        listener: the recorder.
        bank: where the sums go.
    """

    def __init__(self, taps: Taps, listener: Listener, bank: Bank) -> None:
        self.taps, self.listener, self.bank = taps, listener, bank
        self.graphs: list[Graph] = []
        self._blocks = stacked_blocks(taps.model)
        self._told: dict[str, bool] = {}
        self._unheard = 0  # steps without a forward pass; -1 once one was heard

    def attach(self) -> None:
        """Look at every graph that is compiled from now on."""
        _watch(self)

    def detach(self) -> None:
        """Look at no more graphs; those that measure let go of what they measured with."""
        _unwatch(self)
        for graph in self.graphs:
            graph.end()
        self.graphs.clear()

    def begin(self) -> None:
        """Start a step from nothing."""
        for graph in self.graphs:
            for ledger in graph.ledgers:
                ledger.begin()

    def merge(self) -> None:
        """Hand what the graphs have seen in this step to the bank."""
        for graph in self.graphs:
            for ledger in graph.ledgers:
                ledger.merge(self.bank)
        for message, told in self._told.items():
            if not told:
                self._told[message] = True
                self.listener.warn(message)

    @property
    def waiting(self) -> bool:
        """Whether `check` is to be asked."""
        return self._unheard >= 0

    def check(self, heard: bool) -> None:
        """Say once what is missing where two steps end of which no forward pass was heard, and something is compiled.

        One may be the step in the middle of which the probe was attached.
        """
        if heard or self.graphs or self.taps.model not in self.taps.tapped:  # or another probe hears it
            self._unheard = -1
            return
        self._unheard += 1
        from torch._dynamo.utils import counters

        if self._unheard == 2 and counters["stats"]["unique_graphs"]:
            self.listener.warn(
                f"no forward pass of {type(self.taps.model).__name__} is heard: torch.compile has compiled it before "
                "the probe was attached. Its parameters are recorded; its activations and their signals are missing. "
                "Attach the probe before the first compiled call, or call torch._dynamo.reset() beforehand"
            )

    def tell(self, message: str) -> None:
        """Warn of something once, when the step is over and nothing is being compiled."""
        self._told.setdefault(message, False)

    def add_to(self, output: Any, module: fx.GraphModule) -> Graph | None:
        """Add the sums of this model's sites to a graph; None where it has none of them."""
        if not torch.is_grad_enabled():
            return None
        graph = module.graph
        names, root = self.taps.names, self.taps.model
        base, reason = _base(output, names), output.compile_subgraph_reason
        broken = reason is not None and reason.graph_break
        walk = Walk(graph, names, base, None)
        if not walk.seen:
            return None
        whole = root in walk.seen and not broken and "resume" not in output.root_tx.f_code.co_name
        if not whole:
            walk = Walk(graph, names, base, self.taps.depths)
        elif not self.graphs:
            self.taps.depths = self.taps._placed(walk.seen)
        if broken:
            why = reason.reason.splitlines()[0] if reason else "torch does not say why"
            self.tell(
                f"torch.compile breaks the graph of {type(root).__name__} ({why}); modules are recorded on both sides, "
                "activation functions called in what is left to Python are not"
            )
        builder = _Builder(self, walk, graph)
        places = {node: place for place, node in enumerate(graph.nodes)}
        calls = [(self._kind(call, walk), call) for call in walk.calls()]
        for kind, call in sorted(
            ((kind, call) for kind, call in calls if kind),
            key=lambda found: places[found[1].nodes[0 if found[0] == "activation" else -1]],
        ):
            builder.place(kind, call)
        ledgers, heard = builder.finish()
        if not ledgers and not heard:
            return None
        self.graphs.append(found := Graph(self, ledgers, heard, _parameters(graph, self.taps.model)))
        return found

    def _kind(self, call: Call, walk: Walk) -> str:
        """The kind of the site that a call is; nothing where it is none."""
        if call.function is not None:
            inside = walk.within(call.nodes[0])
            quiet = any(is_activation(one) or isinstance(one, nn.Softmax) for one in inside)
            return "" if quiet else "function"
        module = call.module
        if module is self.taps.model:
            return ""
        if is_activation(module):
            return "activation"
        if isinstance(module, nn.MultiheadAttention):
            return "attention"
        if isinstance(module, nn.Softmax):
            return "softmax"
        recurrent = isinstance(module, nn.RNN | nn.LSTM | nn.GRU)
        chosen = module in self._blocks or self.taps.listener.chosen(f"={self.taps.names[module]}")
        return "output" if recurrent or chosen else ""


class Graph:
    """One compiled graph that measures, and whose call it is."""

    def __init__(
        self,
        owner: Traced,
        ledgers: list[Ledger],
        heard: Sequence[int],
        parameters: Mapping[int, nn.Parameter],
    ) -> None:
        self.ledgers = ledgers
        self._heard = heard
        self._owner: Traced | None = owner
        # The model is known by one of its parameters, which every compiled graph is called with.
        self._place, self._parameter = -1, None
        for place, parameter in parameters.items():
            self._place, self._parameter = place, weakref.ref(parameter)

    def end(self) -> None:
        """Measure no more."""
        self._owner = None
        self.ledgers = []
        for number in self._heard:
            traced_calls.end(number)

    def wanted(self, arguments: Sequence[Any]) -> bool:
        """Whether this call is to be recorded."""
        owner = self._owner
        if owner is None or (self._parameter is not None and arguments[self._place] is not self._parameter()):
            return False
        return owner.listener.wanted()

    def listen(self, outputs: object) -> None:
        """Notice the backward pass when it reaches what the graph put out."""
        owner = self._owner
        if owner is None:
            return
        try:
            for tensor in outputs if isinstance(outputs, list | tuple) else (outputs,):
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    listen(tensor, owner.listener.arrived, owner.taps.leaf_hooks)
        except Exception as error:
            owner.listener.fail(error)


class _Builder:
    """Puts the sums of sites into one graph, call by call."""

    def __init__(self, owner: Traced, walk: Walk, graph: fx.Graph) -> None:
        self._owner, self._walk, self._graph = owner, walk, graph
        self._fresh: set[Site] = set()
        self._found: dict[torch.device, dict[Slot, list[fx.Node]]] = {}
        self._gradients: list[tuple[torch.device, Slot, fx.Node, fx.Node]] = []
        self._edges: dict[Slot, bool] = {}
        self._tokens = 0
        self._direct: dict[
            Slot, int
        ] = {}  # those that the native kernel hears, and the numbers they are known by

    def place(self, kind: str, call: Call) -> None:
        """Measure one call."""
        taps = self._owner.taps
        name = taps.names[call.module]
        if kind == "function":
            self._function(call)
        elif kind == "activation":
            site = taps._sites[call.module]
            if not site.known:
                site.slopes, site.known = taps._module_slopes(call.module, name), True
            self._activation(site, call)
        elif kind == "attention":
            weights = attention_weights(self._graph, call.nodes)
            if weights is not None:
                self._attention(
                    self._site((call.module, "attention"), call, name, "attention"), call, weights, None
                )
        elif kind == "softmax":
            (output,), inputs = call.outputs, call.inputs
            value = output.meta["example_value"]
            if value.ndim > 2 and call.module.dim in (-1, value.ndim - 1):
                site = self._site((call.module, "attention"), call, name, "attention")
                self._attention(site, call, output, inputs[0] if len(inputs) == 1 else None)
        else:
            self._output(call, name)

    def finish(self) -> tuple[list[Ledger], list[int]]:
        """Add what was found to the sums at the end of the graph; these, and the numbers of what is heard directly."""
        end = next(node for node in reversed(self._graph.nodes) if node.op == "output")
        ledgers: list[Ledger] = []
        for device, found in self._found.items():
            slots = list(found)
            marked = [slot.units if self._edges[slot] else 0 for slot in slots]
            ledger = Ledger(slots, device, marked)
            name = f"sums_{len(ledgers)}"
            sums = self._held(f"{name}_forward", ledger.forward), self._held(f"{name}_marks", ledger.marks)
            with self._graph.inserting_before(end):
                self._graph.call_function(traced_sums.keep, (*sums, [found[slot] for slot in slots]))
            rows = {slot: row for row, slot in enumerate(slots)}
            kept: dict[int, fx.Node] = {}
            for where, slot, tensor, position in self._gradients:
                if where == device and slot in rows:
                    row = rows[slot]
                    if row not in kept:
                        kept[row] = self._held(f"{name}_backward_{row}", ledger.backward[row])
                    with self._graph.inserting_before(position):
                        self._graph.call_function(traced_sums.listen, (tensor, kept[row]))
            ledgers.append(ledger)
        for _, slot, tensor, position in self._gradients:
            if slot in self._direct:
                token = self._token()
                with self._graph.inserting_before(position):
                    self._graph.call_function(traced_calls.listen, (tensor, token, self._direct[slot]))
        return ledgers, list(self._direct.values())

    def _held(self, word: str, tensor: Tensor) -> fx.Node:
        """A tensor of ours that the graph reads and writes."""
        root = self._graph.owning_module
        assert root is not None
        name = f"evenflow_{id(self._owner)}_{len(self._owner.graphs)}_{word}"
        root.register_buffer(name, tensor, persistent=False)
        with self._graph.inserting_before(next(iter(self._graph.nodes))):
            return self._graph.get_attr(name)

    def _token(self) -> fx.Node:
        self._tokens += 1
        return self._held(f"token_{self._tokens}", torch.zeros(1))

    def _hears(self, slot: Slot) -> int:
        """The number by which the bank knows a slot of this graph."""
        if slot not in self._direct:
            self._direct[slot] = traced_calls.begin(traced_calls.Hearing(self._owner.listener, slot))
        return self._direct[slot]

    def _function(self, call: Call) -> None:
        taps, node = self._owner.taps, call.nodes[0]
        arguments = map_arg(node.args, lambda one: one.meta.get("example_value"))
        options = map_arg(node.kwargs, lambda one: one.meta.get("example_value"))
        stack, taps._stack = taps._stack, self._walk.within(node)
        callers = set(taps._callers)
        try:
            site = taps._called_site(call.function, arguments, options)
        finally:
            taps._stack, taps._callers = stack, callers
        if site is None:
            return
        if site._kind == "attention":
            self._attention(site, call, node, call.inputs[0] if call.inputs else None)
        else:
            self._activation(site, call)

    def _activation(self, site: Site, call: Call) -> None:
        outputs, inputs = call.outputs, call.inputs
        slot = self._slot(site, call.before)
        if slot is None or not outputs:
            return
        output, given = outputs[-1], inputs[0] if len(inputs) == 1 else None
        if given is not None:
            self._gradients.append((_device(output), slot, given, call.nodes[0]))
        tested = None
        if slot.slopes is not None and not slot.slopes.of_outputs:
            tested = given
            gone = any(map(in_place, call.nodes))
            if tested is None or gone or _shape(tested) != _shape(output):
                self._owner.bank._forget(slot)
        self._measure(slot, call, output, tested)

    def _output(self, call: Call, name: str) -> None:
        outputs = call.outputs
        if len(outputs) > 1:
            self._owner.tell(
                f'the outputs of "{name}" are not recorded under torch.compile, which does not say which is which: '
                f"it puts out {len(outputs)} tensors; its activations and parameters are recorded"
            )
            return
        for output in outputs:
            slot = self._slot(self._site((call.module, "output"), call, name, "output"), call.after)
            if slot is not None:
                after = call.nodes[-1].next
                self._gradients.append((_device(output), slot, output, after))
                self._measure(slot, call, output, None)

    def _attention(self, site: Site, call: Call, weights: fx.Node, logits: fx.Node | None) -> None:
        slot = self._slot(site, call.after)
        if slot is None:
            return
        self._edges[slot] = False
        last = weights if weights not in call.nodes else call.nodes[-1]
        with self._graph.inserting_before(last.next):
            found = self._graph.call_function(traced_sums.attention, (weights, logits))
        self._found.setdefault(_device(weights), {}).setdefault(slot, []).append(found)

    def _measure(self, slot: Slot, call: Call, output: fx.Node, tested: fx.Node | None) -> None:
        value: Tensor = output.meta["example_value"]
        shape = [size if isinstance(size, int) else size.node.hint for size in value.shape]
        units_dim = 1 if slot.channels_first and len(shape) > 2 else max(len(shape) - 1, 0)
        self._owner.bank._prepare(slot, torch.empty(shape, dtype=value.dtype, device="meta"))
        if len(shape) > 1 and not isinstance(value.shape[units_dim], int):
            self._owner.bank._forget(slot)
        slopes: Slopes | None = slot.slopes
        edges = None if slopes is None else (slopes.flat, slopes.dead)
        if slot in self._direct or (slot not in self._edges and traced_calls.readable(value)):
            number = self._hears(slot)
            token = self._token()
            with self._graph.inserting_before(call.nodes[-1].next):
                self._graph.call_function(
                    traced_calls.hear, (token, output, tested if edges is not None else None, number)
                )
            return
        marked = edges is not None
        self._edges[slot] = marked or self._edges.get(slot, False)
        with self._graph.inserting_before(call.nodes[-1].next):
            arguments = (output, tested if edges is not None else None, edges, units_dim, marked)
            found = self._graph.call_function(traced_sums.figures, arguments)
        self._found.setdefault(_device(output), {}).setdefault(slot, []).append(found)

    def _site(self, key: object, call: Call, name: str, kind: str) -> Site:
        sites = self._owner.taps._sites
        if key not in sites:
            sites[key] = Site(self._owner.taps, call.module, name, kind, None)
        return sites[key]

    def _slot(self, site: Site, place: tuple[int, bool]) -> Slot | None:
        """The slot of a call: the taps number them and give them their depth, as in the first pass they see."""
        taps = self._owner.taps
        if site not in self._fresh:
            self._fresh.add(site)
            site._pass = -1
        depth, convolved, discovering = taps._depth, taps._convolved, taps.discovering
        taps.discovering = True
        taps._depth, taps._convolved = place
        try:
            return site.slot()
        finally:
            taps._depth, taps._convolved, taps.discovering = depth, convolved, discovering


def _base(output: Any, names: Mapping[nn.Module, str]) -> nn.Module | None:
    """The module whose own forward was traced, or whose call; None where it was a function of the user's."""
    traced = output.root_tx
    for value in traced.f_locals.values():
        owner = getattr(value, "__self__", value)
        if isinstance(owner, nn.Module) and owner in names:
            codes = [getattr(one, "__code__", None) for one in (type(owner).forward, value)]
            inside = traced.f_code.co_filename == tapped.__file__
            if inside or any(code is not None and _same(code, traced.f_code) for code in codes):
                return owner
    return None


def _same(one: Any, other: Any) -> bool:
    """Whether code comes from the same lines: what goes on behind a graph break is code of its own, made of them."""
    last = max(line for _, _, line in one.co_lines() if line is not None)
    return one.co_filename == other.co_filename and one.co_firstlineno <= other.co_firstlineno <= last


def _parameters(graph: fx.Graph, model: nn.Module) -> dict[int, nn.Parameter]:
    """The places of the model's parameters among the arguments of a graph."""
    own = {id(parameter): parameter for parameter in model.parameters()}
    found: dict[int, nn.Parameter] = {}
    for place, node in enumerate(node for node in graph.nodes if node.op == "placeholder"):
        given = id(getattr(node.meta.get("grapharg"), "example", None))
        if given in own:
            found[place] = own[given]
    return found


def _device(node: fx.Node) -> torch.device:
    return node.meta["example_value"].device


def _shape(node: fx.Node) -> torch.Size:
    return node.meta["example_value"].shape


# Where torch.compile hands a traced graph to its backend.

_watching: list[Traced] = []
_measured: set[CodeType] = set()  # code of which a compiled graph measures
_plain: Callable[..., Any] | None = None


def _watch(one: Traced) -> None:
    global _plain
    from torch._dynamo.output_graph import OutputGraph

    if _plain is None:
        _leave_alone()
    _forget_compiled(one.taps.model)
    if not _watching:
        _plain = OutputGraph.call_user_compiler
        OutputGraph.call_user_compiler = _compile  # pyright: ignore[reportAttributeAccessIssue]
    _watching.append(one)


def _forget_compiled(model: nn.Module) -> None:
    """Drop what is compiled of this model's classes: another model of the class may have left it, without sums.

    Compiled code is kept by the code that was traced and takes the parameters as arguments, so that a new model is
    served by the graphs of an old one.
    """
    from torch._dynamo import external_utils
    from torch._dynamo.eval_frame import reset_code  # pyright: ignore[reportPrivateImportUsage]

    plain = (module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule))
    codes = {getattr(type(module).forward, "__code__", None) for module in plain}
    codes.update(one for one in external_utils.wrap_inline.__code__.co_consts if isinstance(one, CodeType))
    for code in codes | _measured:
        if code is not None:
            reset_code(code)
    _measured.clear()


def _leave_alone() -> None:
    """Keep Dynamo from compiling what the probe does between two graphs; it may still look through the taps."""
    from torch._dynamo.decorators import skip_code  # pyright: ignore[reportPrivateImportUsage]

    package = __name__.rpartition(".")[0]
    reference = f"{package}.kernels.reference"  # what users of torch.compile may call
    modules = [
        one for name, one in sys.modules.items() if name.startswith(f"{package}.") and name != reference
    ]
    found: list[Any] = [value for module in modules for value in vars(module).values()]
    seen: set[Any] = set()
    while found:
        value = found.pop()
        if isinstance(value, type) and (value.__module__ or "").startswith(package):
            found.extend(vars(value).values())
        elif isinstance(value, property):
            found.append(value.fget)
        elif isinstance(value, FunctionType) and (value.__module__ or "").startswith(package):
            found.append(value.__code__)
        elif isinstance(value, CodeType) and value not in seen:
            seen.add(value)
            skip_code(value)
            found.extend(value.co_consts)


def _unwatch(one: Traced) -> None:
    if one in _watching:
        _watching.remove(one)
        if not _watching:
            from torch._dynamo.output_graph import OutputGraph

            assert _plain is not None
            OutputGraph.call_user_compiler = _plain


def _compile(output: Any, module: fx.GraphModule, *arguments: Any, **options: Any) -> Compiled:
    """Compile a traced graph, and where it is of a model that is watched, compile it once more with its sums."""
    assert _plain is not None
    copied = None
    graphs: list[Graph] = []
    for one in tuple(_watching):
        try:
            copied = copied or _copied(module)
            found = one.add_to(output, copied)
            if found is not None:
                graphs.append(found)
        except Exception as error:
            one.listener.fail(error)
            graphs, copied = [], None
            break
    plain = _plain(output, module, *arguments, **options)
    if not graphs or copied is None:
        return plain
    _measured.add(output.root_tx.f_code)
    _declare(output, copied)
    copied.recompile()
    measured = _plain(output, copied, *arguments, **options)

    def run(*given: Any) -> Any:
        wanted = [graph for graph in graphs if graph.wanted(given)]
        if not wanted:
            return plain(*given)
        outputs = measured(*given)
        for graph in wanted:
            graph.listen(outputs)
        return outputs

    return run


def _copied(module: fx.GraphModule) -> fx.GraphModule:
    """The same graph once more; what it reads is shared."""
    graph = fx.Graph()
    places: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(module.graph, places))
    copied = fx.GraphModule(module, graph)
    copied.meta.update(module.meta)
    for name in ("compile_subgraph_reason", "_backend_id"):
        if hasattr(module, name):
            setattr(copied, name, getattr(module, name))
    return copied


def _declare(output: Any, module: fx.GraphModule) -> None:
    """Tell Dynamo of the tensors that were added: it wants to know where each comes from."""
    from torch._dynamo.source import ConstantSource

    sources = getattr(output, "param_name_to_source", None)
    if sources is not None:
        for name, _ in module.named_buffers():
            if name.startswith("evenflow_"):
                sources[name] = ConstantSource(source_name=name)
