"""An ASGI request that records nothing: a Starlette app behind seclog, behind a middleware that does nothing, behind
asgi-correlation-id, and bare.

All four in one process, ten requests of each in turn; no event loop runs, since nothing in such a request waits.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Case, in_processes, interleaved, ratio

AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class NoOp:
    """The least that any middleware costs that sees the response."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def passed_on(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, passed_on)


def _app(middleware: Any = None) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[*(Route(f"/page{i}", page) for i in range(10)), Route("/", page)])
    if middleware is not None:
        build = app.build_middleware_stack
        app.build_middleware_stack = lambda: middleware(build())
    return app


def _case(app: Any) -> Case:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    def run(times: int) -> None:
        for _ in range(times):
            scope = {
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
                "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
                "root_path": "", "client": ("198.51.100.7", 40000), "server": ("testserver", 80), "state": {},
                "headers": [(b"host", b"testserver"), (b"user-agent", AGENT), (b"accept", b"*/*")],
            }  # fmt: skip
            try:
                app(scope, receive, send).send(None)
            except StopIteration:
                continue
            raise RuntimeError("the app waits for something")

    return run


def sample(folder: str) -> dict[str, list[float]]:
    """Measure in this process: microseconds of CPU time by case and round."""
    from asgi_correlation_id import CorrelationIdMiddleware

    from seclog.adapters.asgi import install

    ours = _app()
    install(ours, {"directory": f"{folder}/journal", "watch": False})
    apps = {"bare": _app(), "no-op": _app(NoOp), "correlation-id": _app(CorrelationIdMiddleware), "seclog": ours}
    cases = {name: _case(app) for name, app in apps.items()}
    for case in cases.values():
        case(500)
    return interleaved(cases, rounds=3000, number=10, collect=False)


def run(processes: int = 7) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
        measured = in_processes(sample, Path(folder), processes)
    ratios = [ratio(samples, "seclog", "no-op") for samples in measured]
    shares = [_added(samples, "seclog") / _added(samples, "correlation-id") for samples in measured]
    median = {name: statistics.median(statistics.median(samples[name]) for samples in measured) for name in measured[0]}
    found, share = statistics.median(ratios), statistics.median(shares)
    spread = f"{processes} processes, {min(ratios):.2f} to {max(ratios):.2f}"
    added = " / ".join(f"+{median[name] - median['bare']:.1f}" for name in ("seclog", "correlation-id"))
    return [
        ("ASGI request without an event / no-op middleware", f"{found:.3f}x", "<= 1.15x",
         f"{median['seclog']:.1f} / {median['no-op']:.1f} µs CPU; {spread}", found <= 1.15),
        ("ASGI request without an event, what is added / what asgi-correlation-id adds", f"{share:.3f}x", "< 0.333x",
         f"{added} µs CPU on {median['bare']:.1f}; {processes} processes, {min(shares):.2f} to {max(shares):.2f}",
         share < 1 / 3),
    ]  # fmt: skip


def _added(samples: dict[str, list[float]], case: str) -> float:
    return statistics.median(a - b for a, b in zip(samples[case], samples["bare"], strict=True))


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run():
        print(*row, sep=" | ")
