"""An exception in words that may be written: its class and its place, never its text, which may hold anything."""

import hashlib
import sysconfig
from collections.abc import Iterator
from types import TracebackType
from typing import Final

_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def class_name(exception: BaseException) -> str:
    """Return an exception's class as OpenTelemetry writes it: with the module, unless it is a built-in."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def fingerprint(exception: BaseException) -> str:
    """Return 16 hex digits that are the same for the same error: its class and place, never its text."""
    place = f"{class_name(exception)}|{raised_at(exception)}"
    return hashlib.sha256(place.encode("utf-8", "replace")).hexdigest()[:16]


def raised_at(exception: BaseException) -> str | None:
    """Return `module:function:line` of the innermost frame of the app itself, else of the innermost one."""
    place = own = None
    for module, name, line, file in _frames(exception.__traceback__):
        place = f"{module}:{name}:{line}"
        if _is_app(module, file):
            own = place
    return own or place


def _is_app(module: str, file: str) -> bool:
    if file.startswith(("<", *_LIBRARIES)) or module.startswith("seclog."):
        return False
    return "site-packages" not in file and "dist-packages" not in file


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, str, int, str]]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = str(traceback.tb_frame.f_globals.get("__name__", "?"))
        yield module, code.co_qualname, traceback.tb_lineno, code.co_filename
        traceback = traceback.tb_next
