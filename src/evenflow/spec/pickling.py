"""Carry a user's function to another process, whatever module it was written in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evenflow.spec.custom import CustomFunction


def by_value(custom: CustomFunction) -> bytes:
    """A pickle of `custom` that any process with the same packages reads.

    Functions of a module that another process cannot import, such as a file that a study names under
    `modules`, travel with their code; those of an installed package travel by name.
    """
    import cloudpickle

    derivative = custom.derivative and custom.derivative.function
    with _registered({getattr(function, "__module__", None) for function in (custom.function, derivative)}):
        return cloudpickle.dumps(custom)


@contextmanager
def _registered(names: set[str | None]) -> Iterator[None]:
    import cloudpickle

    modules = [sys.modules[name] for name in names if name in sys.modules and not _importable(name)]
    modules = [
        module for module in modules if module.__name__ not in cloudpickle.list_registry_pickle_by_value()
    ]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _importable(name: str) -> bool:
    # importlib.util.find_spec would answer from sys.modules, which another process does not share
    root = name.partition(".")[0]
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return any(finder.find_spec(root, None) is not None for finder in finders)
