"""A Django request that records nothing, and a failed login: the app with seclog beside the bare app.

Two processes, one with and one without seclog, serve in turns; each measures its own CPU time.
"""

import multiprocessing
import os
import secrets
import statistics
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


def serve(pipe: Connection, with_seclog: bool, folder: str) -> None:
    """Set up the app, then run what the parent asks for: ("page" | "login", times) -> (CPU µs each, queries each)."""
    import time

    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY=secrets.token_hex(32),
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=APPS + (["seclog.adapters.django"] if with_seclog else []),
        MIDDLEWARE=(["seclog.adapters.django.SecurityEventMiddleware"] if with_seclog else []) + MIDDLEWARE,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SECLOG={"directory": f"{folder}/seclog", "service": "bench", "watch": False},
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command
    from django.db import connection
    from django.test import RequestFactory
    from django.test.utils import CaptureQueriesContext

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("alice", password=secrets.token_hex(8))
    handler = WSGIHandler()
    factory = RequestFactory()
    environs = {
        "page": factory.get("/", headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0"}).environ,
        "login": factory.post("/login/", {"username": "alice", "password": secrets.token_hex(8)}).environ,
    }
    body = environs["login"]["wsgi.input"].read()

    def once(kind: str) -> None:
        from io import BytesIO

        environ = {**environs[kind], "wsgi.input": BytesIO(body if kind == "login" else b"")}
        response = handler(environ, lambda *args: None)
        b"".join(response)
        response.close()

    while True:
        kind, times = pipe.recv()
        if not times:
            os._exit(0)
        with CaptureQueriesContext(connection) as queries:
            once(kind)
        start = time.process_time_ns()
        for _ in range(times):
            once(kind)
        pipe.send(((time.process_time_ns() - start) / times / 1000, len(queries)))


def _page(request):
    from django.http import HttpResponse

    return HttpResponse("hello")


def _login(request):
    from django.contrib.auth import authenticate
    from django.http import HttpResponse

    authenticate(request, username=request.POST["username"], password=request.POST["password"])
    return HttpResponse("no")


def _patterns():
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    return [path("", _page), path("login/", csrf_exempt(_login))]


def __getattr__(name: str):
    if name == "urlpatterns":
        return _patterns()
    raise AttributeError(name)


def _pair(folder: Path, rounds: int) -> dict[str, list[tuple[float, float, int]]]:
    """Measure one pair of processes: kind -> (bare, with seclog, extra queries) of each round."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for with_seclog in (False, True):
        ours, theirs = context.Pipe()
        place = folder / str(with_seclog)
        place.mkdir(parents=True)
        context.Process(target=serve, args=(theirs, with_seclog, str(place)), daemon=True).start()
        pipes.append(ours)
    samples: dict[str, list[tuple[float, float, int]]] = {"page": [], "login": []}
    for kind, times in (("page", 400), ("login", 100)):
        for i in range(rounds + 1):
            pair = {}
            for j in ((0, 1), (1, 0))[i % 2]:
                pipes[j].send((kind, times))
                pair[j] = pipes[j].recv()
            if i:  # the first round warms up
                samples[kind].append((pair[0][0], pair[1][0], pair[1][1] - pair[0][1]))
    for pipe in pipes:
        pipe.send(("page", 0))
    return samples


def run(pairs: int = 9, rounds: int = 11) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met.

    Two processes of the same program differ by several percent (memory layout, hash seed), so several pairs are
    measured and the median of their medians counts.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
        measured = [_pair(Path(folder) / str(i), rounds) for i in range(pairs)]
    rows = []
    for kind in ("page", "login"):
        ratios = [statistics.median(ours / bare for bare, ours, _ in samples[kind]) for samples in measured]
        bare = statistics.median(row[0] for samples in measured for row in samples[kind])
        ours = statistics.median(row[1] for samples in measured for row in samples[kind])
        queries = max(row[2] for samples in measured for row in samples[kind])
        ratio = statistics.median(ratios)
        detail = f"{ours:.0f} / {bare:.0f} µs CPU; {pairs} pairs of processes, {min(ratios):.2f} to {max(ratios):.2f}"
        if kind == "page":
            met = ratio <= 1.05 and not queries
            rows.append(("Django request without an event / bare app", f"{ratio:.3f}x, {queries} extra queries",
                         "<= 1.05x, no query", detail, met))  # fmt: skip
        else:
            rows.append(("Django failed login / bare app", f"{ratio:.2f}x, {queries} extra queries",
                         "no extra query", detail, not queries))  # fmt: skip
    return rows


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run():
        print(*row, sep=" | ")
