"""A third-party library as its hooks see it: named with its version, and allowed to have lost any name we hook.

In: where a hook belongs ("axes.signals.user_locked_out"). Out: the hook in place, or one warning that names library,
version and hook; the library's other hooks work all the same.
"""

import inspect
import logging
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any, Final

from seclog.adapters._hooks import wrap_method
from seclog.adapters.integrations._imports import when_imported

internal_log = logging.getLogger("seclog.internal")
_GONE: Final = object()


class Library:
    """A library by its name on the package index."""

    def __init__(self, distribution: str) -> None:
        self._distribution = distribution
        self._told: set[str] = set()

    def __str__(self) -> str:
        try:
            return f"{self._distribution} {version(self._distribution)}"
        except PackageNotFoundError:
            return self._distribution

    def find(self, path: str) -> Any:
        """Return what a dotted path names, or None, with one warning, if it is gone."""
        found = _resolve(path)
        if found is not _GONE:
            return found
        if path not in self._told:
            self._told.add(path)
            internal_log.warning("seclog: %s has no %s any more: that hook is skipped, the others work", self, path)
        return None

    def wrap(self, path: str, around: Callable[..., Any]) -> bool:
        """Wrap a method or class method, by the dotted path of its class and its name; tell whether it is in place."""
        owner_path, _, name = path.rpartition(".")
        owner = self.find(owner_path)
        if owner is None or self.find(path) is None:
            return False
        method = inspect.getattr_static(owner, name)
        if not isinstance(method, classmethod):
            return wrap_method(owner, name, around, library=str(self))
        holder = SimpleNamespace(**{name: method.__func__})
        done = wrap_method(holder, name, around, library=str(self))
        setattr(owner, name, classmethod(getattr(holder, name)))
        return done

    def wrap_when_imported(self, path: str, around: Callable[..., Any]) -> None:
        """Wrap a method of a class in a library that is no Django app: once the app imports the class's module."""
        when_imported(path.rsplit(".", 2)[0], path, lambda: self.wrap(path, around))

    def listen(self, path: str, receiver: Callable[..., Any], **narrowed: Any) -> bool:
        """Connect a receiver to a signal; tell whether it is in place."""
        signal = self.find(path)
        if signal is None:
            return False
        signal.connect(receiver, dispatch_uid=f"seclog.{receiver.__module__}.{receiver.__name__}", **narrowed)
        return True


def _resolve(path: str) -> Any:
    """Import as much of a path as is a module, and look the rest up."""
    module_path = path
    rest: list[str] = []
    while module_path:
        try:
            found: Any = import_module(module_path)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{path}.".startswith(f"{error.name}."):
                raise  # the library's own import fails: that is no lost name
            module_path, _, name = module_path.rpartition(".")
            rest.insert(0, name)
            continue
        for name in rest:
            found = getattr(found, name, _GONE)
            if found is _GONE:
                return _GONE
        return found
    return _GONE
