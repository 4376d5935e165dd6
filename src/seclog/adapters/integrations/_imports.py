"""Waits until the app imports a module. A library that is installed but unused is never imported by us, and one that
is used is hooked the moment it is there, before anybody could copy a name out of it.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from seclog.adapters._hooks import contained

_waiting: dict[str, dict[str, Callable[[], object]]] = {}
_searched: set[str] = set()


def when_imported(module: str, key: str, function: Callable[[], object]) -> None:
    """Call a function once a module is imported; now, if it is already.

    Args:
        module: the module's full name.
        key: what the function is for; the same key waits once, however often it is asked for.
        function: called without arguments, by the thread that imports; its errors are contained.
    """
    if module in sys.modules:
        function()
        return
    _waiting.setdefault(module, {})[key] = function
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds nothing itself: lets the others find, and listens to what they load."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the others' spec of a module that is waited for."""
        if name not in _waiting or name in _searched:
            return None
        _searched.add(name)  # the import system holds the module's lock: no other thread looks for it now
        try:
            spec = find_spec(name)
        finally:
            _searched.discard(name)
        if spec is not None and spec.loader is not None:
            with contained(f"waiting for {name}"):
                _listen(name, spec.loader)
        return spec


def _listen(name: str, loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        for function in _waiting.pop(name, {}).values():
            with contained(f"connecting to {name}"):
                function()

    loader.exec_module = exec_module
