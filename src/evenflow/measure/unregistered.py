"""Parameters that a model uses without knowing them: of modules in a plain list, tuple or mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn


def unregistered_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that ask for a gradient and that `model.parameters()` leaves out, under the names of their places.

    `nn.Module` registers what is assigned to its attributes, and does not look into a list: an optimiser that is made
    from `model.parameters()` then never gets these.

    >>> model = nn.Module()
    >>> model.layers = [nn.Linear(2, 3)]
    >>> [name for name, _ in unregistered_parameters(model)]
    ['layers[0].weight', 'layers[0].bias']
    """
    known = set(map(id, model.parameters()))
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute.startswith("_") or not isinstance(value, list | tuple | Mapping):
                continue
            name = f"{path}.{attribute}" if path else attribute
            for place, parameter in _held(name, value):
                if parameter.requires_grad and id(parameter) not in known:
                    known.add(id(parameter))
                    yield place, parameter


def _held(name: str, value: object) -> Iterator[tuple[str, nn.Parameter]]:
    if isinstance(value, nn.Parameter):
        yield name, value
    elif isinstance(value, nn.Module):
        for inner, parameter in value.named_parameters():
            yield f"{name}.{inner}", parameter
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _held(f"{name}[{key!r}]", one)
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _held(f"{name}[{place}]", one)
