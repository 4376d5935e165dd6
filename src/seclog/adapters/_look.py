"""What the looks of all frameworks share: decorators on a view, whose code it is, what the app's code calls.

In: the app's own objects, after it was imported. Out: parts of the doctor's facts. Framework-free. Calls no code
of the app: attributes of functions and classes are read, and source files.
"""

import ast
import functools
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import seclog
from seclog.api import MARK
from seclog.doctor.data import libraries

_MAX_WRAPS: Final = 32
_MAX_SOURCE: Final = 2_000_000
_WRAPPERS: Final = frozenset(
    [
        "wrapper",
        "_wrapper",
        "wrapped",
        "_wrapped",
        "inner",
        "_inner",
        "decorated",
        "decorated_function",
        "decorated_view",
    ]
)
"""What decorators call the function that they put in a view's place."""
_VERBS: Final = (
    "dispatch",
    "dispatch_request",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "list",
    "retrieve",
    "create",
    "update",
    "partial_update",
    "destroy",
    "__call__",
)
"""Methods of view classes that answer requests."""


# ── views ───────────────────────────────────────────────────────────────────────────────────────────────────


def name_of(view: Any) -> str:
    """Return the dotted name of a view: of the class behind it, if there is one."""
    view = _plain(view)
    cls = _class_of(view)
    found = cls or view
    name = getattr(found, "__qualname__", None) or type(found).__qualname__
    return f"{module_of(found)}.{name.replace('<locals>.', '')}"


def module_of(thing: Any) -> str:
    """Return the name of the module that a function, class or object comes from."""
    module = getattr(thing, "__module__", None)
    return module if isinstance(module, str) else type(thing).__module__


def marks_of(view: Any, *, actions: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what seclog's decorators on a view say: on it, below other decorators, on its class or its methods."""
    found: list[str] = []
    for function in _below(view):
        found += getattr(function, MARK, ())
        cls = _class_of(function)
        for verb in () if cls is None else (*_VERBS, *actions):
            for method in _below(getattr(cls, verb, None)):
                found += getattr(method, MARK, ())
    return tuple(dict.fromkeys(mark for mark in found if isinstance(mark, str)))


def _plain(view: Any) -> Any:
    *_, last = _below(view)
    return last


def _below(view: Any) -> Iterator[Any]:
    for _ in range(_MAX_WRAPS):
        yield view
        below = getattr(view, "__wrapped__", None) or _partial(view) or _enclosed(view)
        if below is None or below is view:
            return
        view = below


def _partial(view: Any) -> Any:
    return view.func if isinstance(view, functools.partial | functools.partialmethod) else None


def _enclosed(view: Any) -> Any:
    """Return what a decorator without `functools.wraps` wraps: the one function that its wrapper encloses."""
    if not inspect.isfunction(view) or view.__name__ not in _WRAPPERS:
        return None
    functions = [found for found in inspect.getclosurevars(view).nonlocals.values() if inspect.isfunction(found)]
    return functions[0] if len(functions) == 1 else None


def _class_of(view: Any) -> type | None:
    if inspect.isclass(view):
        return view
    for name in ("view_class", "cls"):
        cls = getattr(view, name, None)
        if inspect.isclass(cls):
            return cls
    return None


# ── whose code ──────────────────────────────────────────────────────────────────────────────────────────────


class Ownership:
    """Tells the app's own code from that of libraries.

    Own is what is neither in the standard library nor installed, and of the installed packages those that the app
    itself belongs to (the doctor runs on apps from the package index, too).

    Args:
        modules: modules that are the app's for certain: where it is made, where its URLs are.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        files = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
        self._packages = {package for file in files if file and (package := _installed_package(file))}

    def owns(self, thing: Any) -> bool:
        """Tell whether a view, class or module is the app's own."""
        file = _file_of(_plain(thing))
        return file is not None and self.owns_file(file)

    def owns_file(self, file: str) -> bool:
        """Tell whether a source file is the app's own."""
        if file.startswith((_OURS, "<")) or _is_standard(file):
            return False
        package = _installed_package(file)
        return package is None or package in self._packages

    def modules(self) -> Iterator[ModuleType]:
        """Return the app's own modules that are loaded."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py") and self.owns_file(file):
                yield module


_OURS: Final = str(Path(seclog.__file__).parent) + os.sep


def _file_of(thing: Any) -> str | None:
    if isinstance(thing, ModuleType):
        return thing.__file__
    cls = _class_of(thing)
    if cls is not None:
        return getattr(sys.modules.get(cls.__module__), "__file__", None)
    code = getattr(thing, "__code__", None) or getattr(getattr(thing, "__func__", None), "__code__", None)
    if code is not None:
        return str(code.co_filename)
    return getattr(sys.modules.get(module_of(thing)), "__file__", None)


@cache
def _installed_package(file: str) -> str | None:
    """Return the folder or file right below site-packages that a file belongs to; None if it is not installed."""
    parts = Path(file).parts
    for index, part in enumerate(parts[:-1]):
        if part in {"site-packages", "dist-packages"}:
            return str(Path(*parts[: index + 2]))
    return None


@cache
def _is_standard(file: str) -> bool:
    return _installed_package(file) is None and file.startswith(sysconfig.get_paths()["stdlib"] + os.sep)


ROLE_FIELDS: Final = frozenset(
    {"role", "roles", "user_role", "user_type", "is_admin", "is_manager", "is_moderator", "is_owner", "is_superuser"}
    | {"admin", "permissions", "level", "access_level", "tier"}
)
"""Fields of a user that give power, by their names."""
_USERS: Final = frozenset({"user", "users", "account", "appuser"})
_CONFIGURATION: Final = ("config", "configuration", "setting", "settings", "preference", "preferences", "options")

# ── traits and calls ────────────────────────────────────────────────────────────────────────────────────────


_IMPORT: Final = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)


def library_traits(ownership: Ownership, mentioned: Iterable[str] = ()) -> set[str]:
    """Return "library:…" for each library of the tables that the app uses.

    That it is loaded says nothing: our own hooks load it, too. Used is what the app's own code imports, and what is
    named by `mentioned`: views, settings.

    Args:
        ownership: whose code is whose.
        mentioned: dotted names.
    """
    known = libraries()
    used = {*mentioned, *_imports(ownership)}
    return {
        f"library:{name}"
        for name in (*known.modules, *known.audit)
        if any(found == name or found.startswith(f"{name}.") for found in used)
    }


def _imports(ownership: Ownership) -> Iterator[str]:
    for module in ownership.modules():
        for match in _IMPORT.finditer(_source(module)):
            yield from (part.split()[0] for part in (match[1] or match[2]).split(",") if part.strip())


def tables(ownership: Ownership) -> dict[str, type]:
    """Return the app's own classes that SQLAlchemy maps to tables, by name."""
    return {
        cls.__name__: cls
        for module in ownership.modules()
        for cls in list(vars(module).values())
        if inspect.isclass(cls) and isinstance(getattr(cls, "__tablename__", None), str) and ownership.owns(cls)
    }


def table_traits(found: Mapping[str, type]) -> Iterator[str]:
    """Return "tables:users", which it is, and which of its columns sound like power, if there is a table of users."""
    for name in sorted(found, key=len):
        if name.lower().removeprefix("sql").removesuffix("table").removesuffix("model").removesuffix("_") in _USERS:
            yield "tables:users"
            yield f"user_model:{name}"
            yield from (f"user_role:{column}" for column in sorted(ROLE_FIELDS) if hasattr(found[name], column))
            return


def like_configuration(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that sound like configuration."""
    return tuple(name for name in sorted(names) if name.lower().endswith(_CONFIGURATION))


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution, or "" if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def trusting_environment() -> tuple[str, ...]:
    """Return the variables that make the server trust every peer."""
    if os.environ.get("FORWARDED_ALLOW_IPS", "").strip() != "*":
        return ()
    return ("FORWARDED_ALLOW_IPS (environment): every client can choose its address and scheme",)


def calls_of(ownership: Ownership) -> frozenset[str]:
    """Return which of seclog's functions the app's own code calls: "bind_user", "emit:authn_token_created" …"""
    found: set[str] = set()
    for module in ownership.modules():
        source = _source(module)
        if "seclog" in source:
            found |= _called(source)
    return frozenset(found)


@cache
def _source(module: ModuleType) -> str:
    try:
        file = Path(str(module.__file__))
        return file.read_text(encoding="utf-8") if file.stat().st_size < _MAX_SOURCE else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _called(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names: dict[str, str] = {}  # a name in this module -> what it is in seclog; "" for a module of seclog
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(item.asname or "seclog"): "" for item in node.names if item.name.partition(".")[0] == "seclog"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "seclog":
            names |= {(item.asname or item.name): "" if item.name == "api" else item.name for item in node.names}
    return {call for node in ast.walk(tree) if isinstance(node, ast.Call) for call in _ours(node, names)}


def _ours(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    function, root = node.func, node.func
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name) or root.id not in names:
        return
    name = function.attr if isinstance(function, ast.Attribute) else names[root.id]
    if name == "emit":
        name = f"emit:{_event_type(node)}"
    yield name


def _event_type(node: ast.Call) -> str:
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant):
        return str(first.value)
    return first.attr.lower() if isinstance(first, ast.Attribute) else "?"


def dotted(thing: Any) -> str:
    """Return the dotted name of a class, a function, or an object's class."""
    named: Callable[..., Any] | type = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
