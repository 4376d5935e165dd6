"""What is known about an app before anything is judged. Adapters fill it in; tests make it by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seclog.settings import Settings


@dataclass(frozen=True)
class Route:
    """One address of the app.

    Args:
        path: as the framework writes it, with its prefixes.
        methods: the HTTP methods, if the route names them.
        name: the route's own name.
        view: dotted name of the function or class that answers.
        own: whether the view is the app's own code, which can be decorated; else it belongs to a library.
        marks: what seclog's decorators on it say, such as "export orders".
    """

    path: str
    methods: tuple[str, ...] = ()
    name: str = ""
    view: str = ""
    own: bool = True
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class App:
    """One app of one framework; what is mounted in it is an app of its own.

    Args:
        framework: "django", "flask", "starlette" or "fastapi".
        version: the framework's version.
        name: how the app was named, such as "shop.wsgi:application".
        mounted_at: the path below which it answers inside another app.
        installed: whether seclog is.
        middleware: dotted names, outermost first.
        position: where seclog's middleware stands among them; None if it is not there.
        routes: all that is known of them.
        traits: what the app has, by name: installed Django apps, Flask extensions ("extension:security"),
            loaded libraries ("library:knox"), and what a look found out ("sessions:signed_cookies").
        calls: names of seclog's functions that the app's own code calls.
        watchable: models that look like configuration.
        trusts_everybody: settings that trust any peer or host, such as `ALLOWED_HOSTS`.
        proxy_signs: what says that a proxy stands in front.
    """

    framework: str
    version: str = ""
    name: str = "app"
    mounted_at: str = ""
    installed: bool = False
    middleware: tuple[str, ...] = ()
    position: int | None = None
    routes: tuple[Route, ...] = ()
    traits: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    watchable: tuple[str, ...] = ()
    trusts_everybody: tuple[str, ...] = ()
    proxy_signs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What is the same for all apps of the process.

    Args:
        settings: what seclog would run with.
        modules: names of seclog's own modules that exist: a hook is claimed only if its module is there.
        versions: library's import name -> installed version.
        problem: why the settings could not be read.
    """

    settings: Settings = field(default_factory=Settings)
    modules: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
