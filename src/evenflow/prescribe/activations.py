"""Where a model applies activation functions between its layers, in modules and in lines of code, and which.

Left out are those whose outputs are no features: what the model puts out, what is multiplied with another signal (the
gates of a recurrent cell or of a gated unit, the x σ(x) of SiLU written by hand), and attention's weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from evenflow.measure.sites import is_activation
from evenflow.measure.slopes import elementwise_activation, known_activation
from evenflow.prescribe.trace import Call, Trace
from evenflow.spec.activation import Activation

_PRODUCTS = frozenset(
    (
        *("mul", "multiply", "__mul__", "__rmul__", "__imul__", "matmul", "__matmul__", "bmm", "baddbmm"),
        *("einsum", "addcmul", "scaled_dot_product_attention"),
    )
)
TITLES = {
    "relu": "ReLU",
    "leaky_relu": "Leaky ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
}
CLASSES = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
}
"""Of torch.nn, by their catalogue names."""


@dataclass(frozen=True)
class Site:
    """A hidden activation.

    Args:
        name: dotted path of the activation module, or of the module whose forward pass calls the function.
        function: what is called there, such as "sigmoid"; "" where it is a module.
        activation: its name without a parameter, such as "leaky_relu".
        places: of the calls that compute it.
        ordinals: which calls of the function in one run of the module; empty for a module.
        every: whether these are all such calls of the module.
    """

    name: str
    function: str
    activation: str
    places: tuple[int, ...]
    ordinals: tuple[int, ...] = ()
    every: bool = True


def hidden_activations(trace: Trace, model: nn.Module) -> tuple[Site, ...]:
    """The hidden activations of a model in the order of execution."""
    modules = dict(model.named_modules())
    found: list[Site] = []
    inside: set[int] = set()
    for name in dict.fromkeys(one.name for one in trace.visits):
        runs = trace.runs_of(name)
        kind = _module_activation(modules[name]) if name in modules and name else ""
        if not kind or not all(one.plain and one.taken == one.given for one in runs):
            continue
        inside.update(place for one in runs for place in range(one.began, one.ended))
        places = tuple(one.result for one in runs)
        if all(_is_feature(trace, place) for place in places):
            found.append(Site(name, "", kind, places))
    found += _called(trace, inside)
    return tuple(sorted(found, key=lambda one: one.places[0]))


def counted(sites: Iterable[Site]) -> str:
    """Such as "sigmoid in 20 places", or "ReLU in 3 places and tanh in 1"."""
    counts: Counter[str] = Counter()
    for one in sites:
        counts[TITLES.get(one.activation, one.activation)] += max(len(one.ordinals), 1)
    shown = [f"{name} in {count} {'place' if count == 1 else 'places'}" for name, count in counts.items()]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _module_activation(module: nn.Module) -> str:
    """The name of what a module applies; "" where it is no activation, or one with weights."""
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmin):
        return "softmax"
    if is_activation(module):
        known = known_activation(module)
        return known.name.partition(":")[0] if known else type(module).__name__.lower()
    if next(module.children(), None) is not None or next(module.parameters(), None) is not None:
        return ""
    if type(module).__module__.startswith("torch.") or list(module.buffers()):
        return ""
    found = elementwise_activation(type(module).__name__, module)
    return type(module).__name__.lower() if found is not None and _bends(found) else ""


def _bends(function: Activation) -> bool:
    """Whether a function is no straight line: its slope is not the same everywhere."""
    slopes = [float(function.derivative(z)) for z in (-2.0, -0.7, 0.3, 0.9, 2.5)]
    return max(slopes) - min(slopes) > 1e-3 * max(map(abs, slopes))


def _called(trace: Trace, inside: set[int]) -> Iterator[Site]:
    calls: dict[tuple[str, str], dict[int, list[Call]]] = {}
    for one in trace.calls:
        if one.activation and one.place not in inside:
            calls.setdefault((one.module, one.name), {}).setdefault(one.ordinal, []).append(one)
    for (module, name), by_ordinal in calls.items():
        features = {
            ordinal: found
            for ordinal, found in by_ordinal.items()
            if all(_is_feature(trace, one.place) for one in found)
        }
        made = [one for found in features.values() for one in found]
        if made:
            yield Site(
                module,
                name,
                made[0].activation.partition(":")[0],
                tuple(one.place for one in made),
                tuple(features),
                _covers(trace, module, name, features),
            )


def _covers(trace: Trace, module: str, name: str, ordinals: Iterable[int]) -> bool:
    """Whether these are all the calls of a function that the forward pass of a module makes."""
    return {one.ordinal for one in trace.calls if (one.module, one.name) == (module, name)} == set(ordinals)


def _is_feature(trace: Trace, place: int) -> bool:
    """Whether what a call makes goes on to a layer, came from one, and is multiplied with no other signal."""
    if place < 0 or not trace.is_hidden(place) or not trace.is_computed(place):
        return False
    one = trace.calls[place]
    own = {trace.source(each) for each in (place, *one.takes)}
    return not any(_gates(trace, place, each, own) for each in trace.consumers(place))


def _gates(trace: Trace, place: int, consumer: Call, own: set[int]) -> bool:
    if consumer.name not in _PRODUCTS or consumer.has_weights:
        return False
    others = [each for each in consumer.takes if trace.source(each) != trace.source(place)]
    return any(trace.is_computed(each) or trace.source(each) in own for each in others)
