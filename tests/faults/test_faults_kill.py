"""Workers killed with -9: what was acknowledged is on disk, once, in chains that hold up to a torn tail."""

import os
import signal
import threading
import time
from collections import Counter

import pytest

from faults import records
from faults.servers import eventually, gunicorn
from faults.services import need

pytest.importorskip("gunicorn")

APP = "faults.apps.plain:application"


class Clients:
    """Threads that ask for batches, and keep the ids in the answers that arrived completely."""

    def __init__(self, server, path, threads=4):
        self._server = server
        self._path = path
        self._over = threading.Event()
        self._kept = [[] for _ in range(threads)]
        self._threads = [threading.Thread(target=self._run, args=(kept,), daemon=True) for kept in self._kept]
        for thread in self._threads:
            thread.start()

    def _run(self, kept):
        while not self._over.is_set():
            try:
                status, body = self._server.get(self._path)
            except OSError:
                time.sleep(0.005)  # the worker was killed, and with it the answer
                continue
            if status == 200:
                kept.extend(body.decode().split())

    def count(self):
        return sum(map(len, self._kept))

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
        return Counter(event_id for kept in self._kept for event_id in kept)


def kill_at_random(server, clients, chance, entries, kills, seconds):
    """Kill a worker every now and then until there were enough kills and entries; return how many died."""
    until = time.monotonic() + seconds
    killed = 0
    while (killed < kills or clients.count() < entries) and time.monotonic() < until:
        time.sleep(chance.uniform(0.02, 0.3))
        workers = server.workers()
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            killed += 1
    return killed


def sole_segments(directory):
    """Assert that each segment holds entries of the one process that its start record names; return the pids."""
    pids = []
    for path in records.segments(directory):
        entries = records.lines(path)
        pid = entries[0]["process.pid"]
        assert {entry["seclog.pid"] for entry in entries if "seclog.pid" in entry} <= {pid}
        pids.append(pid)
    return pids


def recover(serve):
    """Start the app again with its watch, let it close what the dead left behind, and stop it."""
    server = serve(gunicorn(APP), path="/", SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.1")
    server.get("/?n=1")
    return server


CASES = [
    pytest.param("/?n=200", 100_000, 50, 120, "off", id="100k-entries"),
    pytest.param("/?n=20&size=58000", 2_000, 30, 60, "on", id="60kB-entries-with-watch"),
    pytest.param("/?n=200", 1_000_000, 500, 900, "on", id="million", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("path", "entries", "kills", "seconds", "watch"), CASES)
@pytest.mark.parametrize("preload", ["--preload"])
def test_every_acknowledged_entry_survives_kills_of_the_workers(
    serve, directory, chance, preload, path, entries, kills, seconds, watch
):
    """Workers are killed at random while they record: each acknowledged id is on disk once, and no chain is broken."""
    command = gunicorn(APP, preload, workers=4)
    server = serve(command, path="/", SECLOG_WATCH=watch, SECLOG_WATCH_INTERVAL_SECONDS="0.2")
    clients = Clients(server, path)
    killed = kill_at_random(server, clients, chance, entries, kills, seconds)
    acknowledged = clients.stop()
    assert server.stop() == 0
    assert len(acknowledged) >= entries
    assert killed >= kills

    on_disk = records.ids(directory)
    assert set(acknowledged.values()) == {1}
    assert acknowledged.keys() <= on_disk.keys()
    assert set(on_disk.values()) == {1}
    pids = sole_segments(directory)
    assert len(set(pids)) == len(pids)

    report = records.report(directory)
    assert [file.segment.problem for file in report.files if file.verdict == "BROKEN"] == []
    assert report.missing == ()
    states = Counter(file.segment.state for file in report.files)
    assert states["live"] == 0
    assert states["died"] <= killed
    assert states["stopped"] >= 2  # of the master, and of a worker that ended with it

    before = records.events(directory)
    server = recover(serve)
    assert eventually(lambda: records.report(directory).verdict == "OK" and not died(directory), 20)
    assert server.stop() == 0
    records.assert_verifies(directory)
    records.assert_quarantined(directory)
    assert len(records.events(directory)) == len(before) + 2  # the preloading process's and the worker's one


def died(directory):
    """Return the segments that nobody has closed yet."""
    return [file.path.name for file in records.report(directory).files if file.segment.state == "died"]
