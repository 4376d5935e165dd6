"""How each example project is started. A new app adds itself here and plays the same story."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gunicorn.config
from example_projects.demo import asgi_dialects, dialects
from example_projects.demo.dialects import Dialect

PROJECTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class App:
    """An example project.

    Args:
        folder: where its commands run.
        seed: fills a new state directory; reads {name: secret}, prints {name: id}, both as JSON.
        serve: makes the command that serves on an inherited, listening socket, given as file descriptor.
        dialect: where its words and entries differ from those of the other apps.
    """

    folder: Path
    seed: tuple[str, ...]
    serve: Callable[[int], tuple[str, ...]]
    dialect: Dialect


def _gunicorn(target: str) -> Callable[[int], tuple[str, ...]]:
    options = ["--workers", "4", "--graceful-timeout", "5", "--log-level", "warning"]
    if hasattr(gunicorn.config, "ControlSocketDisable"):  # newer versions leave a control socket in the home directory
        options.append("--no-control-socket")
    return lambda fd: (sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}", *options, target)


def _uvicorn(target: str) -> Callable[[int], tuple[str, ...]]:
    options = ["--workers", "4", "--no-proxy-headers", "--no-access-log", "--log-level", "warning",
               "--timeout-graceful-shutdown", "5"]  # fmt: skip
    return lambda fd: (sys.executable, "-m", "uvicorn", "--fd", str(fd), *options, target)


APPS = {
    "django": App(
        folder=PROJECTS / "django_project",
        seed=(sys.executable, "manage.py", "seed"),
        serve=_gunicorn("site_config.wsgi:application"),
        dialect=dialects.DJANGO,
    ),
    "flask": App(
        folder=PROJECTS.parent,
        seed=(sys.executable, "-m", "example_projects.corner_shop.seed"),
        serve=_gunicorn("example_projects.flask_app.app:app"),
        dialect=dialects.FLASK,
    ),
    "fastapi": App(
        folder=PROJECTS.parent,
        seed=(sys.executable, "-m", "example_projects.corner_shop.seed"),
        serve=_uvicorn("example_projects.fastapi_app.app:app"),
        dialect=asgi_dialects.FASTAPI,
    ),
    "starlette": App(
        folder=PROJECTS.parent,
        seed=(sys.executable, "-m", "example_projects.corner_shop.seed"),
        serve=_uvicorn("example_projects.starlette_app.app:app"),
        dialect=asgi_dialects.STARLETTE,
    ),
}
