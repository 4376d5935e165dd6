"""`--app module:app`: finds the app that was named, tells what framework it is of, and has it looked at.

The app's own code runs here, as a server would run it: its import, and a factory if one is named. Whatever it
raises becomes one line. What it prints goes to standard error; ours is kept clean for JSON.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import seclog
from seclog import api
from seclog.doctor.data import coverage, libraries
from seclog.doctor.examine import INTEGRATIONS
from seclog.doctor.facts import App, Surroundings
from seclog.errors import ConfigurationError, SeclogError
from seclog.settings import Settings

LOOKS: Final = {
    "django": "seclog.adapters.django.look",
    "flask": "seclog.adapters.flask_look",
    "fastapi": "seclog.adapters.asgi_look",
    "starlette": "seclog.adapters.asgi_look",
}
"""Framework -> the module that looks at its apps; imported only when there is one."""

_DJANGO: Final = ("django.core.handlers.", "django.contrib.staticfiles.handlers")
_INNER: Final = ("app", "wsgi_app", "application", "wsgi_application", "asgi_app", "_app", "other_asgi_app")
_PROXIES: Final = (".ProxyFix", ".ProxyHeadersMiddleware")
_MAX_LAYERS: Final = 16
_NAMES: Final = ("app", "application", "api", "create_app()", "make_app()")


class TargetError(SeclogError):
    """The app that was named cannot be examined; the message says why, in one line."""


def look_at(target: str | None, framework: str | None, app: Any = None) -> tuple[tuple[App, ...], Surroundings]:
    """Return the facts of the app that was named, of what is mounted in it, and of what is around them.

    Args:
        target: "module:app", "module:factory()", or None if the framework knows its app by itself.
        framework: the framework, if it is known already ("django" for `manage.py`).
        app: the app that calls, where no target is named and the framework has app objects.

    Raises:
        TargetError: the app cannot be imported, or is of no framework that we know.
    """
    if target is None:
        if framework is None:
            raise TargetError('name the app: --app module:app, or --app "module:create_app()"')
        return _looked([("", app, framework)], "manage.py" if app is None else "this app")
    with redirect_stdout(sys.stderr), _told(target):
        app = _load(target)
    return _looked([("", app, _framework(app, target))], target)


# ── importing ───────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _told(target: str, what: str = "be imported") -> Iterator[None]:
    """Make one line of whatever the app's own code raises; an app may even exit while it is imported."""
    try:
        yield
    except (TargetError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - the app's code: whatever it is, it is told
        text = " ".join(str(error).split())[:300]
        raise TargetError(f"{target} cannot {what}: {type(error).__name__}: {text}".rstrip(": ")) from None


def _load(target: str) -> Any:
    where = str(Path.cwd())
    if where not in sys.path:
        sys.path.insert(0, where)  # as a server does that is started here
    name, colon, path = target.partition(":")
    if not name:
        raise TargetError(f"{target!r} names no module: --app module:app")
    module = importlib.import_module(name)
    if colon and not path:
        raise TargetError(f"{target!r} names no app: --app {name}:app")
    for attempt in (path,) if path else _NAMES:
        found = _attribute(module, attempt)
        if found is not None:
            return found
    raise TargetError(f"{name} has no {path or 'app'!r}: name it as --app {name}:NAME, or --app '{name}:create_app()'")


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for part in path.removesuffix("()").split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found() if path.endswith("()") else found


# ── telling the framework ───────────────────────────────────────────────────────────────────────────────────


def _framework(app: Any, target: str) -> str:
    found = _known(_innermost(app)[0])
    if found is not None:
        return found
    if callable(app) and not isinstance(app, type) and hasattr(app, "__code__"):
        hint = f"; if it is a factory, write --app '{target}()'"
    else:
        hint = ""
    kind = f"{type(app).__module__}.{type(app).__qualname__}"
    raise TargetError(f"{target} is a {kind}: the doctor knows apps of Django, Flask, Starlette and FastAPI{hint}")


def _known(app: Any) -> str | None:
    """Return the framework of an app; None for anything else, also for routers and middleware of the same library."""
    for cls in type(app).__mro__:
        top = cls.__module__.partition(".")[0]
        if top in {"fastapi", "starlette"} and hasattr(app, "build_middleware_stack"):
            return top
        if top == "flask" or (top == "django" and cls.__module__.startswith(_DJANGO)):
            return top
    return None


def _innermost(app: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the app behind the layers that somebody put around it, and what these are, outermost first."""
    around: list[str] = []
    for _ in range(_MAX_LAYERS):
        if _known(app) is not None:
            break
        inner = next((found for key in _INNER if (found := getattr(app, key, None)) not in (None, app)), None)
        if inner is None:
            break
        around.append(f"{type(app).__module__}.{type(app).__qualname__}")
        app = inner
    return app, tuple(around)


def _with_layers(app: App, around: tuple[str, ...]) -> App:
    """Return the facts with what stands around the app; seclog may stand there, too."""
    position = next((place for place, name in enumerate(around) if name.startswith("seclog.")), None)
    if position is None:
        position = app.position if not around or app.position is None else len(around) + app.position
    proxies = [name.rpartition(".")[2] for name in around if name.endswith(_PROXIES)]
    return replace(
        app,
        installed=app.installed or any(name.startswith("seclog.") for name in around),
        middleware=around + app.middleware,
        position=position,
        traits=app.traits | ({"proxy:rewritten"} if proxies else set()),
        proxy_signs=(*proxies, *app.proxy_signs),
    )


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────


def _looked(waiting: list[tuple[str, Any, str]], name: str) -> tuple[tuple[App, ...], Surroundings]:
    _, first, framework = waiting[0]
    apps: list[App] = []
    seen: set[int] = set()
    while waiting:
        path, outside, kind = waiting.pop(0)
        app, around = _innermost(outside)
        if id(app) in seen:
            continue
        seen.add(id(app))
        with redirect_stdout(sys.stderr), _told(name, "be looked at"):
            found, mounts = _look(kind).look(app, name, path)
        apps.append(_with_layers(found, around))
        for below, inner in mounts:
            mounted = _known(_innermost(inner)[0])
            if mounted is not None:
                waiting.append((path + below, inner, mounted))
    settings, problem = _settings(_look(framework), _innermost(first)[0])
    return tuple(apps), Surroundings(settings=settings, modules=_modules(), problem=problem)


def _look(framework: str) -> ModuleType:
    return importlib.import_module(LOOKS[framework])


def _settings(look: ModuleType, app: Any) -> tuple[Settings, str | None]:
    """Return the settings that are in force for the outermost app: a process has one record."""
    installation = api.installed()
    try:
        if hasattr(look, "settings"):
            return look.settings(app), None
        return Settings.load() if installation is None else installation.settings, None
    except ConfigurationError as error:
        return Settings(), str(error)


def _modules() -> frozenset[str]:
    """Return which of the modules that the tables name exist in this seclog."""
    tables = coverage()
    named = {row.module for framework in tables.inherits for row in tables.rows(framework) if row.module}
    named |= {f"{INTEGRATIONS}.{row.module}" for library in libraries().known.values() for row in library.rows}
    return frozenset(name for name in named if _exists(name))


def _exists(module: str) -> bool:
    place = Path(seclog.__file__).parent.joinpath(*module.split(".")[1:])  # not find_spec: it would import the parents
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
