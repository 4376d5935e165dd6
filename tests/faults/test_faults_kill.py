"""Workers killed with -9: what was acknowledged is on disk, once, in chains that hold up to a torn tail."""

import os
import signal
import threading
import time
from collections import Counter

import pytest

from faults import records
from faults.servers import eventually, gunicorn, opened

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


def kill_at_random(server, clients, chance, entries, kills, seconds, pause):
    """Kill a worker every now and then until there were enough kills and entries; return how many died."""
    until = time.monotonic() + seconds
    killed = 0
    while (killed < kills or clients.count() < entries) and time.monotonic() < until:
        time.sleep(chance.uniform(0.02, pause))
        workers = server.workers()
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            killed += 1
    return killed


def sole_segments(directory):
    """Assert that each segment holds entries of the one process that its start record names; return the pids.

    A process that has written 64 MiB goes on in a second segment, which names the first.
    """
    pids = []
    for path in records.segments(directory):
        entries = records.lines(path)
        pid = entries[0]["process.pid"]
        assert {entry["seclog.pid"] for entry in entries if "seclog.pid" in entry} <= {pid}
        if "seclog.segment.previous.id" not in entries[0]:
            pids.append(pid)
    return pids


def recover(serve):
    """Start the app again with its watch, let it close what the dead left behind, and stop it."""
    server = serve(gunicorn(APP), path="/", SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.1")
    server.get("/?n=1")
    return server


CASES = [
    pytest.param("/?n=200", 100_000, 50, 120, 0.3, "off", id="100k-entries"),
    pytest.param("/?n=5&size=58000", 500, 30, 60, 0.08, "on", id="60kB-entries-with-watch"),
    pytest.param("/?n=200", 1_000_000, 500, 900, 0.3, "on", id="million", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("path", "entries", "kills", "seconds", "pause", "watch"), CASES)
def test_every_acknowledged_entry_survives_kills_of_the_workers(
    serve, directory, chance, path, entries, kills, seconds, pause, watch
):
    """Workers are killed at random while they record: each acknowledged id is on disk once, and no chain is broken."""
    command = gunicorn(APP, "--preload", workers=4)
    server = serve(command, path="/", SECLOG_WATCH=watch, SECLOG_WATCH_INTERVAL_SECONDS="0.2")
    clients = Clients(server, path)
    killed = kill_at_random(server, clients, chance, entries, kills, seconds, pause)
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
    assert records.events(directory, "audit_log_delivery_failed") == []

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


def holders(server):
    """Return the workers that hold the watch's lock: who does not get it closes the file at once."""
    return [pid for pid in server.workers() if any(name.endswith("/watch.lock") for name in opened(pid))]


def test_a_sibling_takes_the_watch_over_from_a_killed_worker(serve, directory):
    """The lock is free with its holder's death: another worker watches within seconds, and closes the dead's segment."""
    server = serve(gunicorn(APP, workers=3), path="/", SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.1")
    for _ in range(3):
        [holder] = eventually(lambda: steady(server))
        os.kill(holder, signal.SIGKILL)
        assert eventually(lambda holder=holder: steady(server, but=holder), 3)
    assert eventually(lambda: len(died(directory)) == 0, 20)
    assert server.stop() == 0
    records.assert_verifies(directory)
    reasons = Counter(entry["reason"] for entry in records.events(directory, "audit_log_stopped"))
    assert reasons == {"process_died": 3, "exit": 3}


def steady(server, but=None):
    """Return the one holder of the watch's lock, if it is the same twice in a row."""
    first = holders(server)
    time.sleep(0.05)
    return first if len(first) == 1 and first == holders(server) and first != [but] else None


def test_the_parent_of_a_preloaded_app_keeps_its_own_segment(serve, directory):
    """What is recorded before the fork stands once, in the parent's segment; each worker begins its own."""
    server = serve(gunicorn(APP, "--preload", workers=2), path="/")
    seen = set()
    while len(seen) < 2:
        [event_id] = server.get("/?n=1")[1].decode().split()
        [entry] = [entry for entry in records.entries(directory) if entry["event.id"] == event_id]
        seen.add(entry["seclog.pid"])
    assert server.stop() == 0
    assert sorted(sole_segments(directory)) == sorted([server.process.pid, *seen])
    assert (
        len(records.events(directory)) - sum(e["seclog.target.type"] == "orders" for e in records.events(directory))
        == 1
    )
    assert [file.segment.state for file in records.report(directory).files] == ["stopped"] * 3
    records.assert_verifies(directory)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_told_to_stop_under_load_ends_its_segments(serve, directory, how):
    """SIGTERM, SIGINT and SIGQUIT come in mid-write: nothing is torn, and each segment has its stop record."""
    server = serve(gunicorn(APP, workers=3), path="/")
    clients = Clients(server, "/?n=50")
    assert eventually(lambda: clients.count() > 2000, 20)
    server.stop(how)
    acknowledged = clients.stop()
    on_disk = records.ids(directory)
    assert acknowledged.keys() <= on_disk.keys()
    assert set(on_disk.values()) == {1}
    assert {file.segment.state for file in records.report(directory).files} == {"stopped"}
    records.assert_verifies(directory)
