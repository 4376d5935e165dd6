"""A Flask request that records nothing: the app with seclog beside the bare app.

Two processes, one with and one without seclog, serve in turns; each measures its own CPU time.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def serve(pipe: Connection, with_seclog: bool, folder: str) -> None:
    """Serve requests by number, and answer with microseconds of CPU time each."""
    from flask import Flask
    from werkzeug.test import EnvironBuilder

    app = Flask("bench")
    app.config["SECRET_KEY"] = "a key for the benchmark only"
    app.config["SECLOG"] = {"directory": f"{folder}/journal", "watch": False}
    app.add_url_rule("/hello/<name>", "hello", lambda name: f"hello {name}")
    if with_seclog:
        from seclog.adapters.flask import SecLog

        SecLog(app)
    environ = EnvironBuilder("/hello/bob", headers={"User-Agent": AGENT}).get_environ()

    def once() -> None:
        response = app(dict(environ), lambda *args: None)
        b"".join(response)
        response.close()

    while True:
        times = pipe.recv()
        if not times:
            os._exit(0)
        start = time.process_time_ns()
        for _ in range(times):
            once()
        pipe.send((time.process_time_ns() - start) / times / 1000)


def _pair(folder: Path, rounds: int, times: int = 400) -> list[tuple[float, float]]:
    """Measure one pair of processes: (bare, with seclog) of each round."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for with_seclog in (False, True):
        ours, theirs = context.Pipe()
        place = folder / str(with_seclog)
        place.mkdir(parents=True)
        context.Process(target=serve, args=(theirs, with_seclog, str(place)), daemon=True).start()
        pipes.append(ours)
    samples = []
    for i in range(rounds + 1):
        pair = {}
        for j in ((0, 1), (1, 0))[i % 2]:
            pipes[j].send(times)
            pair[j] = pipes[j].recv()
        if i:  # the first round warms up
            samples.append((pair[0], pair[1]))
    for pipe in pipes:
        pipe.send(0)
    return samples


def run(pairs: int = 9, rounds: int = 15) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met. Several pairs, since two processes differ by several percent."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
        measured = [_pair(Path(folder) / str(i), rounds) for i in range(pairs)]
    ratios = [statistics.median(ours / bare for bare, ours in samples) for samples in measured]
    bare = statistics.median(row[0] for samples in measured for row in samples)
    ours = statistics.median(row[1] for samples in measured for row in samples)
    ratio = statistics.median(ratios)
    detail = f"{ours:.0f} / {bare:.0f} µs CPU; {pairs} pairs of processes, {min(ratios):.2f} to {max(ratios):.2f}"
    return [("Flask request without an event / bare app", f"{ratio:.3f}x", "<= 1.05x", detail, ratio <= 1.05)]


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run():
        print(*row, sep=" | ")
