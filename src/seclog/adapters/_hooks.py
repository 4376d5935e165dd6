"""What every hook must be: contained, idempotent, signature-keeping, and quiet when the hooked name is gone.

Framework-free; shared by the adapters. A hook runs in the request of somebody else's production: whatever goes wrong
in it is counted and logged (once a minute), and the wrapped call goes on as if we were not there.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from seclog import api
from seclog.errors import NotRecordedError
from seclog.events import Event

internal_log = logging.getLogger("seclog.internal")
_MARK: Final = "_seclog_wrapped"


@contextmanager
def contained(where: str) -> Iterator[None]:
    """Let no error of ours out of the block, except the one that `on_failure="block"` asks for."""
    try:
        yield
    except NotRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        complain(where, error)


def complain(where: str, error: BaseException) -> None:
    """Count and log an error of a hook."""
    installation = api.installed()
    if installation is not None:
        installation.recorder.complain(where, error)
    else:
        internal_log.error("seclog: %s failed, the app is not affected", where, exc_info=error)


def safely(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a signal receiver that never raises (an exception in a receiver breaks the login it listens to)."""

    @functools.wraps(function)
    def receiver(*args: Any, **kwargs: Any) -> None:
        with contained(function.__name__):
            function(*args, **kwargs)

    return receiver


def wrap_method(owner: Any, name: str, around: Callable[..., Any], *, library: str) -> bool:
    """Replace `owner.name` by a wrapper. Patch classes and instances, never functions that others import by name.

    Args:
        owner: a class, an instance, or a module whose function is looked up at call time.
        name: the attribute to wrap.
        around: called as `around(original, *args, **kwargs)`; returns what the wrapped call returns. Async originals
            want an async `around`.
        library: library and version, for the warning when the name is gone.

    Returns:
        Whether the hook is in place (now, or from an earlier call).
    """
    original = inspect.getattr_static(owner, name, None) if inspect.isclass(owner) else getattr(owner, name, None)
    if original is None or not callable(original):
        internal_log.warning(
            "seclog: %s has no %s.%s any more: that hook is skipped, the others work", library, _name(owner), name
        )
        return False
    already = getattr(original, _MARK, ())
    if around in already:
        return True
    wrapper: Any
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await around(original, *args, **kwargs)

    else:

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return around(original, *args, **kwargs)

    setattr(wrapper, _MARK, (*already, around))
    setattr(owner, name, wrapper)
    return True


def _name(owner: Any) -> str:
    return getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None) or type(owner).__qualname__


def tell(event: Event) -> str | None:
    """Record an event from a hook. Never raises, unless `on_failure="block"` asks for it."""
    return api.record(event)
