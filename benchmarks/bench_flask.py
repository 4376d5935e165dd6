"""A Flask request that records nothing: an app with seclog beside the bare app.

Both in one process, ten requests of each in turn: what seclog puts on an app, it puts on that app only.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Case, in_processes, interleaved, ratio

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def _app() -> Any:
    from flask import Flask

    app = Flask("bench")
    app.config["SECRET_KEY"] = "a key for the benchmark only"
    app.add_url_rule("/hello/<name>", "hello", lambda name: f"hello {name}")
    return app


def _case(app: Any) -> Case:
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder("/hello/bob", headers={"User-Agent": AGENT}).get_environ()

    def run(times: int) -> None:
        for _ in range(times):
            response = app(dict(environ), lambda *args: None)
            b"".join(response)
            response.close()

    return run


def sample(folder: str) -> dict[str, list[float]]:
    """Measure in this process: microseconds of CPU time by case and round."""
    from seclog.adapters.flask import SecLog

    ours = _app()
    ours.config["SECLOG"] = {"directory": f"{folder}/journal", "watch": False}
    SecLog(ours)
    cases = {"bare": _case(_app()), "seclog": _case(ours)}
    for case in cases.values():
        case(500)
    return interleaved(cases, rounds=1500, number=10, collect=False)


def run(processes: int = 9) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
        measured = in_processes(sample, Path(folder), processes)
    ratios = [ratio(samples, "seclog", "bare") for samples in measured]
    ours, bare = (
        statistics.median(statistics.median(samples[name]) for samples in measured) for name in ("seclog", "bare")
    )
    found = statistics.median(ratios)
    detail = f"{ours:.0f} / {bare:.0f} µs CPU; {processes} processes, {min(ratios):.2f} to {max(ratios):.2f}"
    return [("Flask request without an event / bare app", f"{found:.3f}x", "<= 1.05x", detail, found <= 1.05)]


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run():
        print(*row, sep=" | ")
