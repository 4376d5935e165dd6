"""Four processes recording into one directory: nobody waits for anybody."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.bench_record import as_dict, facts
from seclog.journal.check import check_journal
from seclog.journal.line import encode_object
from seclog.journal.writer import Journal

WORKERS = 4
ENTRIES = 100_000


def _work(directory: Path, bodies: list[bytes], start: float) -> None:
    journal = Journal(
        (directory,), lambda kind, fields: encode_object(b'{"schema":"seclog/1"', {"event.name": kind, **fields})
    )
    while time.monotonic() < start:
        time.sleep(0.001)
    for body in bodies:
        journal.append(body)
    journal.close()


def run() -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met."""
    bodies = []
    for one in (facts() * (ENTRIES // 20_000 // WORKERS + 1))[: ENTRIES // WORKERS]:
        fields = as_dict(one, "2026-11-23T06:30:00.123456Z")
        bodies.append(encode_object(b'{"schema":"seclog/1"', {k: v for k, v in fields.items() if k != "schema"}))
    rates = []
    for _ in range(5):
        with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
            begin = time.monotonic() + 0.5
            children = []
            for _ in range(WORKERS):
                pid = os.fork()
                if pid == 0:
                    try:
                        _work(Path(folder), bodies, begin)
                    finally:
                        os._exit(0)
                children.append(pid)
            for pid in children:
                os.waitpid(pid, 0)
            elapsed = time.monotonic() - begin
            report = check_journal(Path(folder))
            assert report.verdict == "OK", report.verdict
            assert report.entries == (len(bodies) + 2) * WORKERS
            rates.append(len(bodies) * WORKERS / elapsed)
    best = sorted(rates)[len(rates) // 2]
    detail = f"{len(bodies) * WORKERS:,} entries of {len(bodies[0])} B, all verified"
    return [("journal alone, 4 processes, entries a second", f"{best:,.0f}", ">= 50,000", detail, best >= 50_000)]


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run():
        print(*row, sep=" | ")
