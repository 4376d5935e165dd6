"""Several at once: services in one directory, processes that start together, clocks, signals, and code within code."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from faults import records
from faults.servers import TESTS, eventually, gunicorn, opened
from seclog.events import Event
from seclog.journal.writer import Journal
from seclog.recorder import Recorder
from seclog.redaction import Redactor

pytest.importorskip("django")
PROJECT = "faults.apps.project:wsgi"


# ── two services in one directory ────────────────────────────────────────────────────────────────────────────────

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
CHROME = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"}


def test_two_services_in_one_directory_are_never_mixed(serve, directory):
    """Both record and both may watch: each entry names its service, and what is derived names its source's service."""
    pytest.importorskip("gunicorn")
    watched = {"SECLOG_WATCH": "on", "SECLOG_WATCH_INTERVAL_SECONDS": "0.1"}
    servers = {
        name: serve(gunicorn(PROJECT, workers=2), SECLOG_SERVICE=name, **watched) for name in ("shop", "billing")
    }
    threads = [
        threading.Thread(target=lambda server=server: [server.get("/record?n=50") for _ in range(20)], daemon=True)
        for server in servers.values()
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for server, agents in (
        (servers["shop"], (FIREFOX, CHROME, CHROME)),
        (servers["billing"], (CHROME, CHROME, FIREFOX)),
    ):
        for agent in agents:
            assert server.get("/login?user=17", headers=agent)[0] == 200
    for thread in threads:
        thread.join(60)
    assert eventually(lambda: len(records.events(directory, "authn_new_device")) == 2)
    assert [server.stop() for server in servers.values()] == [0, 0]
    records.assert_verifies(directory)

    orders = records.events(directory, "sensitive_read")
    assert Counter(entry["service.name"] for entry in orders) == {"shop": 2000, "billing": 2000}
    for path in records.segments(directory):
        own = [entry for entry in records.lines(path) if "seclog.source.event.id" not in entry]
        assert len({entry["service.name"] for entry in own}) == 1
    logins = {entry["event.id"]: entry for entry in records.events(directory, "authn_login_success")}
    derived = records.events(directory, "authn_new_device")
    assert sorted(entry["service.name"] for entry in derived) == ["billing", "shop"]
    for entry in derived:
        source = logins[entry["seclog.source.event.id"]]
        assert (entry["service.name"], entry["user.id"]) == (source["service.name"], source["user.id"])
        assert entry["user_agent.original"] == source["user_agent.original"]
    assert set(records.ids(directory).values()) == {1}


def test_a_removed_directory_ends_up_with_one_watch(drive, directory):
    """The lock's file is removed with its folder: the watch that held it stands for election like the others."""
    processes = [drive(SECLOG_WATCH="on") for _ in range(2)]
    for process in processes:
        assert process.ask("record(1)") == 1
    before = {process.ask("segment()") for process in processes}
    assert eventually(lambda: list(directory.glob("journal/*/watch.db")))
    shutil.rmtree(directory / "journal")
    assert eventually(lambda: not before & {process.ask("segment()") for process in processes})
    for process, agent in zip(processes, (FIREFOX, CHROME), strict=True):
        assert process.ask(f"get('/login?user=17', {agent['User-Agent']!r})")[0] == 200
    assert eventually(lambda: records.events(directory, "authn_new_device"))
    assert eventually(lambda: sum(holds_lock(process.pid) for process in processes) == 1)
    assert [process.end() for process in processes] == [0, 0]
    assert len(records.events(directory, "authn_new_device")) == 1
    records.assert_verifies(directory)


def holds_lock(pid):
    """Tell whether a process holds the watch's lock."""
    return any(name.endswith("/watch.lock") for name in opened(pid))


LOGINS = 40


def test_a_watch_that_is_killed_and_restarted_tells_each_thing_once(drive, directory, chance):
    """Killed with -9 again and again while it reads and tells: each new device stands in the journal, and once."""
    for round_number in range(5):
        process = drive(SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.01")
        for agent in (FIREFOX, CHROME):
            asked = f"[get(f'/login?user={round_number}-{{n}}', {agent['User-Agent']!r})[0] for n in range({LOGINS})]"
            assert process.ask(asked) == [200] * LOGINS
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
    last = drive(SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.01")
    assert last.ask("record(1)") == 1
    assert eventually(lambda: len(records.events(directory, "authn_new_device")) >= 5 * LOGINS, 20)
    assert eventually(lambda: records.report(directory).verdict == "OK")
    assert last.end() == 0
    found = Counter(entry["user.id"] for entry in records.events(directory, "authn_new_device"))
    assert found == {f"{round_number}-{n}": 1 for round_number in range(5) for n in range(LOGINS)}
    records.assert_verifies(directory)


# ── starting together ────────────────────────────────────────────────────────────────────────────────────────────

TOGETHER = """
import os, sys
from seclog.assembly import Installation
from seclog.events import Event
from seclog.settings import Settings

start, ready = os.pipe(), []
children = []
for _ in range(12):
    if (pid := os.fork()) == 0:
        os.close(start[1])
        os.read(start[0], 1)
        installation = Installation(Settings.load({"service": "shop"}))
        assert installation.recorder.record(Event(type="sensitive_read")) is not None
        os.write(1, (installation.pseudonym("user", "joe") + "\\n").encode())
        installation.shut_down()
        os._exit(0)
    children.append(pid)
os.close(start[1])
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""


def script(code, directory, timeout=60, **environment):
    """Run code in a process of its own that is configured to record into `directory`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SECLOG_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={
            **clean,
            "PYTHONPATH": str(TESTS),
            "SECLOG_DIRECTORY": str(directory),
            "SECLOG_WATCH": "off",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.parametrize("watch", ["off", "on"])
def test_processes_that_start_together_agree_on_the_key(directory, watch):
    """Twelve processes find no directory: they agree on one key for keyed hashes, and none of them says an error."""
    done = script(TOGETHER, directory, SECLOG_WATCH=watch, SECLOG_WATCH_INTERVAL_SECONDS="0.01")
    assert (done.returncode, done.stderr) == (0, "")
    hashes = done.stdout.split()
    assert (len(hashes), len(set(hashes))) == (12, 1)
    assert [path.name for path in directory.iterdir() if path.is_file()] == ["pseudonym.key"]
    assert len(records.segments(directory)) == 12
    records.assert_verifies(directory)


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """A clock that somebody can set."""

    def __init__(self):
        self.now = 1_800_000_000_000_000_000

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += int(seconds * 1_000_000_000)


@pytest.fixture
def clocked(directory):
    """A recorder whose journal goes by a clock of ours: gives (record, journal, clock)."""
    clock = Clock()
    recorder = Recorder(None, Redactor(), {"service.name": "shop"}, clock=clock)
    journal = recorder.sink = Journal((directory,), recorder.encode_control, clock=clock)
    yield (lambda: recorder.record(Event(type="sensitive_read"))), journal, clock
    journal.close()


def test_a_clock_that_is_set_back_is_noted_and_breaks_nothing(clocked, directory):
    """Numbers and chain go on; verify says OK and names the line where the clock was set back, and by how much."""
    record, journal, clock = clocked
    for seconds in (0, 1, -3600, 1):
        clock.advance(seconds)
        assert record() is not None
    journal.close()
    entries = records.entries(directory)
    assert [entry["seclog.seq"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    records.assert_verifies(directory)
    [file] = records.report(directory).files
    [note] = file.segment.notes
    assert re.match(r"line 4: .*set back.* 3600", note)


def test_heartbeats_go_on_after_the_clock_was_set_back(clocked, directory):
    """The next heartbeat does not wait until the clock is where it was before."""
    record, journal, clock = clocked
    record()
    clock.advance(-7200)
    for _ in range(3):
        clock.advance(61)
        journal.pulse()
    assert len(records.events(directory, "audit_log_heartbeat")) >= 3


def test_a_refused_disk_is_tried_again_after_the_clock_was_set_back(clocked, directory):
    """The pause after a refusal is a second, whatever the clock does in it."""
    record, _, clock = clocked
    directory.write_text("in the way")
    assert record() is None
    directory.unlink()
    clock.advance(-7200)
    assert record() is not None
    assert len(records.events(directory, "sensitive_read")) == 2


# ── settings and events that are wrong ───────────────────────────────────────────────────────────────────────────


def test_a_bad_setting_is_named_by_check_and_the_app_still_serves(serve, directory):
    """`manage.py check` says seclog.E001 and fails; under gunicorn the app answers and says once that seclog is off."""
    pytest.importorskip("gunicorn")
    done = script(
        "from django.core.management import execute_from_command_line as run; run(['manage.py', 'check'])",
        *(directory,), SECLOG_ACK="perhaps", DJANGO_SETTINGS_MODULE="faults.apps.settings",
    )  # fmt: skip
    assert done.returncode == 1
    assert "(seclog.E001)" in done.stderr
    assert "SECLOG_ACK" in done.stderr
    assert "perhaps" not in done.stderr
    server = serve(gunicorn(PROJECT), SECLOG_ACK="perhaps")
    assert [server.get(path)[0] for path in ("/record?n=3", "/login?user=1", "/nowhere", "/ping")] == [
        200,
        200,
        404,
        200,
    ]
    assert server.stop() == 0
    assert server.said().count("seclog is OFF") == 1
    assert not directory.exists()


def test_an_unknown_event_type_in_a_view_is_recorded_and_marked(serve, directory):
    """A type that the catalogue does not have costs no request; the entry says that it is unknown, the log says it once."""
    pytest.importorskip("gunicorn")
    server = serve(gunicorn(PROJECT))
    assert [server.get("/unknown")[0] for _ in range(3)] == [200] * 3
    assert server.stop() == 0
    entries = records.events(directory)
    assert [(e["event.name"], e["seclog.unknown_type"], e["seclog.count"]) for e in entries] == [
        ("cat_on_keyboard", True, 1)
    ] * 3
    assert server.said().count("cat_on_keyboard") == 1
    records.assert_verifies(directory)


# ── signals, and recording within recording ──────────────────────────────────────────────────────────────────────

INTERRUPTED = """
import json, random, signal, time
import seclog

class Interrupt(BaseException):
    pass

def interrupt(number, frame):
    raise Interrupt

installation = seclog.configure({})
seclog.emit("sensitive_read")
signal.signal(signal.SIGALRM, interrupt)
chance, acknowledged, interruptions = random.Random(7), [], 0
until = time.monotonic() + 4
while time.monotonic() < until and interruptions < 3000:
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.0004))
        while True:
            acknowledged.append(seclog.emit("sensitive_read", target_id=len(acknowledged)))
    except Interrupt:
        interruptions += 1
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
acknowledged.append(seclog.emit("sensitive_read", message="at last"))
print(json.dumps([interruptions, acknowledged, installation.recorder.errors]))
"""


def test_an_exception_out_of_a_signal_handler_breaks_no_chain(directory):
    """SystemExit and its like are raised between any two steps of a write: the line counts or is cut off, never both."""
    done = script(INTERRUPTED, directory)
    assert (done.returncode, done.stderr) == (0, "")
    interruptions, acknowledged, errors = json.loads(done.stdout)
    assert interruptions > 500
    assert errors == 0
    on_disk = records.ids(directory)
    assert set(on_disk.values()) == {1}
    assert set(acknowledged) <= set(on_disk)
    assert records.events(directory)[-1]["message"] == "at last"
    assert [file.segment.state for file in records.report(directory).files] == ["stopped"]
    records.assert_verifies(directory)


NESTED = """
import gc, json, logging, signal
import seclog

counts = {"loop": 0, "signal": 0, "del": 0, "handler": 0}
ids = []

def record(source):
    counts[source] += 1
    ids.append(seclog.emit("sensitive_read", source=source))

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        record("del")

class Handler(logging.Handler):
    def emit(self, log_record):
        record("handler")

installation = seclog.configure({})
logging.getLogger("seclog.internal").addHandler(Handler())
logging.getLogger("seclog.internal").propagate = False
signal.signal(signal.SIGALRM, lambda *_: record("signal"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
gc.set_threshold(50, 2, 2)
for number in range(4000):
    Cycle()
    record("loop")
    if number % 100 == 0:
        ids.append(seclog.emit(f"unknown_{number}", source="unknown"))  # is warned about, into our handler
signal.setitimer(signal.ITIMER_REAL, 0)
gc.collect()
print(json.dumps([counts, ids, installation.recorder.errors]))
"""


def test_recording_from_handlers_and_finalizers_loses_nothing(directory):
    """From a signal handler, a __del__ and a logging handler, in the midst of recording: all is there, once."""
    done = script(NESTED, directory)
    assert (done.returncode, done.stderr) == (0, "")
    counts, ids, errors = json.loads(done.stdout)
    assert errors == 0
    assert counts["loop"] == counts["del"] == 4000
    assert counts["signal"] > 50
    assert counts["handler"] == 40
    found = Counter(entry["seclog.source"] for entry in records.events(directory))
    assert found == {**counts, "unknown": 40}
    assert set(ids) <= set(records.ids(directory))
    assert None not in ids
    assert set(records.ids(directory).values()) == {1}
    records.assert_verifies(directory)


FORKING = """
import os, threading, time
import seclog

seclog.configure({"service": "shop"})
over = threading.Event()

def busy():
    while not over.is_set():
        seclog.emit("sensitive_read", pid=os.getpid())

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for _ in range(20):
    if (pid := os.fork()) == 0:
        for _ in range(10):
            assert seclog.emit("sensitive_read", pid=os.getpid())
        seclog.api.installed().shut_down()
        os._exit(0)
    children.append(pid)
assert not any(os.waitpid(pid, 0)[1] for pid in children)
over.set()
for thread in threads:
    thread.join()
"""


def test_forks_in_the_midst_of_recording_threads_neither_hang_nor_mix(directory):
    """Children forked while other threads write begin their own segments; no lock stays held, no line is doubled."""
    done = script(FORKING, directory)
    assert (done.returncode, done.stderr) == (0, "")
    segments = records.segments(directory)
    assert len(segments) == 21
    for path in segments:
        entries = records.lines(path)
        assert {entry["seclog.pid"] for entry in entries if "seclog.pid" in entry} == {entries[0]["process.pid"]}
    assert set(records.ids(directory).values()) == {1}
    records.assert_verifies(directory)
