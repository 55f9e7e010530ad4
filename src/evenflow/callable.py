"""Packages that can be called: `ef.diagnose(table)` is a function, `evenflow.diagnose.rules` is found in it.

Python makes an imported package an attribute of its parent. A public function of the same name would be there or hidden
by the package, as it happens to be imported; so the package itself answers the call.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, home: str) -> None:
    """Let the package answer a call with the function of its own last name in the module `home`.

    The module is imported by the first call. The signature is that of the function.

    >>> import evenflow
    >>> make_callable("evenflow.diagnose", "evenflow.diagnose.engine")
    >>> evenflow.diagnose.__name__, list(inspect.signature(evenflow.diagnose).parameters)
    ('evenflow.diagnose', ['what', 'run', 'rules'])
    """

    def function() -> Any:
        return getattr(import_module(home), package.rpartition(".")[2])

    class Callable(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return function()(*arguments, **options)

        @property
        def __signature__(self) -> inspect.Signature:
            return inspect.signature(function())

    sys.modules[package].__class__ = Callable
