"""A call at the moment a module is imported, so that a script is watched without importing torch before it does.

What a script sets up before its own `import torch`, such as OMP_NUM_THREADS, then works as it does without a watcher.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class Arrival(MetaPathFinder):
    """Calls back once, after the module `name` was imported; at once where it is there already.

    The callback must not raise: it would look as if the import had failed.
    """

    def __init__(self, name: str, arrived: Callable[[], None]) -> None:
        self._name = name
        self._arrived = arrived

    def expect(self) -> None:
        """Begin to wait."""
        if self._name in sys.modules:
            self._arrived()
        else:
            sys.meta_path.insert(0, self)

    def forget(self) -> None:
        """Wait no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """The module as it is found without this finder; its loader calls back when it is done, this once."""
        if fullname != self._name:
            return None
        self.forget()
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader = spec.loader

            def exec_module(module: ModuleType) -> None:
                vars(loader).pop("exec_module")  # the own one of its class is behind it
                loader.exec_module(module)
                self._arrived()

            loader.exec_module = exec_module
        return spec
