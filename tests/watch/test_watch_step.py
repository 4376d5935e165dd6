"""The watch: exactly once, wherever it is killed; one a host; and nothing in a file can stop it."""

import multiprocessing
import os
import shutil
from contextlib import suppress
from pkgutil import resolve_name

import pytest

from journal.made import closed_segment, dead_segment, entries_of, record, recorder_at
from seclog.assembly import Installation
from seclog.events.event import Event
from seclog.journal.check import check_file, check_journal
from seclog.settings import Settings
from seclog.watch import STEP_ENTRIES, Step, Watch, derived_id
from watch.worlds import HOME, IPHONE, WORK, Host


class Killed(BaseException):
    """The process is gone at this point."""


def a_day(host, part):
    """Log some people in, some of them from new places; the same every time."""
    for user in ("1", "2"):
        host.login(user)
        host.login(user, address=f"192.0.{part}.{user}")
        host.login(user, agent=IPHONE if part == 1 else f"app{part}/1.0")


def expected(host):
    """What a watch that is never killed would tell, by source: computed from the entries, in their order."""
    seen, found = {}, []
    entries = [entry for path in host.folder.glob("*.jsonl") for entry in entries_of(path)]
    for entry in sorted(entries, key=lambda entry: entry["timestamp"]):
        if entry["event.name"] != "authn_login_success":
            continue
        for kind, value in (
            ("authn_new_device", entry["user_agent.original"]),
            ("authn_new_ip", entry["client.address"].rpartition(".")[0]),
        ):
            known = seen.setdefault((entry["user.id"], kind), set())
            if known and value not in known:
                found.append(derived_id(entry["event.id"], kind))
            known.add(value)
    return found


def told(host):
    return [entry["event.id"] for entry in host.told()]


# ── one step ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_step_says_what_it_did(host):
    """Read, derived, told; and what was told is read in the next one."""
    watch = host.watch()
    a_day(host, 1)
    assert watch.step() == Step(read=7, derived=4, told=4)
    assert watch.step() == Step(read=5, derived=0, told=0)
    assert watch.step() == Step(read=0, derived=0, told=0)
    assert told(host) == expected(host)


def test_derived_ids_are_the_same_every_time():
    """The same source and type give the same id, in the form of a UUID version 8."""
    one = derived_id("source", "authn_new_ip")
    assert one == derived_id("source", "authn_new_ip")
    assert len({one, derived_id("source", "authn_new_device"), derived_id("other", "authn_new_ip")}) == 3
    assert (len(one), one[14], one[19]) == (36, "8", "8")


def test_entries_of_several_segments_are_looked_at_in_the_order_of_time(host):
    """Two workers: what is first in time is known first."""
    worker = recorder_at(host.directory, clock=host.clock)
    host.login(address=HOME)
    host.login(address=WORK, recorder=worker)
    host.login(address=HOME)
    worker.sink.close()
    host.watch().step()
    assert [entry["seclog.network"] for entry in host.told()] == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[1]",
        b"\xff\xfe",
        b'{"event.name":"authn_login_success","user.id":"7"}',
        b'{"event.name":',
        b"x" * 100_000,
        b"",
    ],
)
def test_torn_and_foreign_lines_are_skipped(host, line):
    """What is in a file cannot stop the watch."""
    host.login()
    path = host.app.sink.segment_path
    with path.open("ab") as file:
        file.write(line + b"\n")
    host.app.sink._segment.size += len(line) + 1
    host.login(address=WORK)
    host.watch().step()
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]


def test_an_entry_that_breaks_the_recognition_is_skipped(host, monkeypatch):
    """One strange entry, counted; the others are looked at."""
    host.login(**{"service.name": None})
    monkeypatch.setattr("seclog.watch.newcomers.describe", lambda agent: 1 // 0 if agent == IPHONE else "device")
    host.login(agent=IPHONE)
    host.login(address=WORK)
    host.watch().step()
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]
    assert host.recorder.errors == 1


def test_catching_up_with_more_than_a_step_holds(host):
    """Step by step, in order, nothing missed at the seams."""
    watch = host.watch()
    host.login()
    record(host.app, STEP_ENTRIES - 3)
    host.login(address=WORK)
    host.login(agent=IPHONE)
    record(host.app, 10)
    assert [watch.step().read for _ in range(3)] == [STEP_ENTRIES, 12 + 1, 1]
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip", "authn_new_device"]


def test_a_tick_catches_up_in_one_go(host):
    """As many steps as there is work."""
    host.login()
    record(host.app, STEP_ENTRIES * 2)
    host.login(address=WORK)
    host.watch().tick()
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]


def test_a_tick_gives_up_after_its_time(host):
    """The journal's pulse in the same thread must not be kept waiting."""
    record(host.app, STEP_ENTRIES * 3)
    now = [0.0]

    def clock():
        now[0] += 0.2
        return now[0]

    watch = Watch(host.folder, host.recorder, clock)
    watch.tick()
    assert watch._reader.read(watch._open().cursor(), 10)[0]
    watch.close()


def test_what_cannot_be_written_stays_owed(host, monkeypatch):
    """A full disk: told later, once, and not kept in the journal's memory as well."""
    watch = host.watch()
    host.login()
    host.login(address=WORK)
    append = host.recorder.sink.append
    monkeypatch.setattr(host.recorder.sink, "append", lambda body, *, keep=True: bool(keep) and append(body))
    assert watch.step() == Step(read=3, derived=1, told=0)
    assert host.told() == []
    monkeypatch.undo()
    assert watch.step().told == 1
    assert told(host) == expected(host)


def test_what_was_told_but_could_not_be_noted_is_not_told_again(host, monkeypatch):
    """The database refuses after the entry was written; the same watch goes on a moment later."""
    watch = host.watch()
    a_day(host, 1)
    monkeypatch.setattr("seclog.knowledge.Knowledge.told", lambda self, event_id: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        watch.tick()
    monkeypatch.undo()
    watch.tick()
    watch.tick()
    assert told(host) == expected(host)


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────

STATIONS = [
    ("before reading", "seclog.journal.reader.Reader.read", "before"),
    ("after reading", "seclog.journal.reader.Reader.read", "after"),
    ("in recognising", "seclog.detection.newcomers.recognise", "before"),
    ("after learning", "seclog.knowledge.Knowledge.learn", "after"),
    ("before owing", "seclog.knowledge.Knowledge.owe", "before"),
    ("after owing", "seclog.knowledge.Knowledge.owe", "after"),
    ("before advancing", "seclog.knowledge.Knowledge.advance", "before"),
    ("before the commit", "seclog.knowledge.Knowledge.advance", "after"),
    ("after the commit", "seclog.knowledge.Knowledge.owed", "before"),
    ("before telling", "seclog.recorder.Recorder.record", "before"),
    ("after telling", "seclog.recorder.Recorder.record", "after"),
    ("before noting what was told", "seclog.knowledge.Knowledge.told", "before"),
    ("after noting what was told", "seclog.knowledge.Knowledge.told", "after"),
]


def bomb(name, when, call):
    """Return a stand-in for a function that dies at its nth call, before or after doing its work."""
    original, passed = resolve_name(name), []

    def stand_in(*args, **kwargs):
        passed.append(args)
        if when == "before" and len(passed) == call:
            raise Killed
        result = original(*args, **kwargs)
        if len(passed) == call:
            raise Killed
        return result

    return stand_in


@pytest.mark.parametrize("call", [1, 2, 4])
@pytest.mark.parametrize(
    ("name", "when"), [station[1:] for station in STATIONS], ids=[station[0] for station in STATIONS]
)
def test_killed_at_any_point_it_neither_repeats_nor_misses(host, monkeypatch, name, when, call):
    """A watch dies at the nth passage of a station, the next one goes on and dies there too, a third ends the work."""
    a_day(host, 1)
    for _ in range(2):
        watch = host.watch()
        with monkeypatch.context() as patched, suppress(Killed):
            patched.setattr(name, bomb(name, when, call))
            watch.tick()
        watch.close()  # what death does: the lock is free, the open transaction is rolled back
        a_day(host, 2)
    last = host.watch()
    for _ in range(3):
        last.tick()
    assert told(host) == expected(host)
    assert last._open().owed() == []
    assert check_journal(host.directory).verdict == "OK"


def test_a_restarted_watch_knows_what_it_knew(host):
    """Users, networks and the cursor outlive it."""
    host.login()
    first = host.watch()
    first.tick()
    first.close()
    host.login(address=WORK)
    host.watch().tick()
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]


def test_a_watch_that_cannot_look_back_does_not_begin(host, monkeypatch):
    """Who does not know what was told must not tell; the election is given back."""
    watch = host.watch()
    a_day(host, 1)
    monkeypatch.setattr(Watch, "_reconcile", lambda self: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        watch.tick()
    assert not watch._lock.held
    monkeypatch.undo()
    host.watch().tick()
    assert told(host) == expected(host)


# ── the fallback directory ───────────────────────────────────────────────────────────────────────────────────────


def in_trouble(host, tmp_path):
    """Return a recorder that had to write into the fallback directory, and that directory."""
    fallback = tmp_path / "fallback"
    return recorder_at(fallback, clock=host.clock), fallback


def test_what_was_written_in_trouble_is_recognised_as_well(host, tmp_path):
    """A login from a new place that stands in the fallback directory is told, once, whoever restarts."""
    other, fallback = in_trouble(host, tmp_path)
    host.login()
    source = host.login(address=WORK, recorder=other)
    for _ in range(2):
        watch = Watch.at(host.directory, host.recorder, fallback=fallback)
        watch.tick()
        watch.tick()
        watch.close()
    other.sink.close()
    assert told(host) == [derived_id(source, "authn_new_ip")]


def test_a_dead_segment_in_the_fallback_directory_is_closed(host, tmp_path):
    """What a process left open there gets its end as well."""
    path = dead_segment(tmp_path / "fallback")
    watch = Watch.at(host.directory, host.recorder, fallback=tmp_path / "fallback")
    watch.tick()
    watch.close()
    assert entries_of(path)[-1]["event.name"] == "audit_log_stopped"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("no folder")], ids=["none", "a file"])
def test_a_fallback_directory_that_is_none_does_not_stop_the_watch(host, tmp_path, make):
    """The journal itself is watched all the same."""
    make(tmp_path / "fallback")
    watch = Watch.at(host.directory, host.recorder, fallback=tmp_path / "fallback")
    host.login()
    host.login(address=WORK)
    watch.tick()
    watch.close()
    assert len(told(host)) == 1


def test_an_installation_watches_its_fallback_directory(host, tmp_path):
    """The setting is all it takes."""
    settings = Settings.load({"directory": host.directory, "fallback_directory": tmp_path / "fallback"}, environ={})
    installation = Installation(settings)
    other, _ = in_trouble(host, tmp_path)
    host.login()
    source = host.login(address=WORK, recorder=other)
    watch = installation._make_watch()
    watch.tick()
    watch.close()
    installation.shut_down()
    other.sink.close()
    assert told(host) == [derived_id(source, "authn_new_ip")]


# ── election ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_of_two_watches_works(host):
    """The other one waits, and takes over when the first is gone."""
    one, two = host.watch(), host.watch()
    a_day(host, 1)
    one.tick()
    two.tick()
    assert (one._lock.held, two._lock.held) == (True, False)
    assert told(host) == expected(host)
    one.close()
    a_day(host, 2)
    two.tick()
    assert told(host) == expected(host)


def _tick_elsewhere(directory, queue):
    host = Host(directory)
    watch = host.watch()
    watch.tick()
    queue.put(watch._lock.held)
    host.close()


def test_of_two_processes_one_works(host):
    """The lock is the kernel's."""
    watch = host.watch()
    watch.tick()
    context = multiprocessing.get_context("spawn")
    answers = []
    for _ in range(2):
        queue = context.SimpleQueue()
        process = context.Process(target=_tick_elsewhere, args=(host.directory, queue))
        process.start()
        answers.append(queue.get())
        process.join()
        queue.close()
        watch.close()
    assert answers == [False, True]


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_segment_is_closed_and_read(host):
    """Its entries count like all others; its torn end is kept aside."""
    host.login()
    path = host.app.sink.segment_path
    host.app.sink._abandon()
    with path.open("ab") as file:
        file.write(b'{"schema":')
    host.login(address=WORK)
    host.watch().tick()
    report = check_file(path)
    assert (report.verdict, report.segment.state) == ("OK", "stopped")
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]
    assert len(list((path.parent / "quarantine").iterdir())) == 1


def test_a_broken_segment_is_told_whole_and_once(host):
    """With place, expected and found; not again by the next look, nor by the next watch; and it is left as it is."""
    path = dead_segment(host.directory, 3)
    broken = path.read_bytes().replace(b'"seclog.count":2', b'"seclog.count":7')
    path.write_bytes(broken)
    problem = check_file(path).segment.problem
    for _ in range(2):
        watch = host.watch()
        watch.tick()
        watch.recover_dead()
        watch.step()
        watch.close()
    [entry] = host.told()
    chain = ("timestamp", "seclog.hash", "seclog.seq")
    assert {key: value for key, value in entry.items() if key not in chain} == {
        "schema": "seclog/1",
        "event.name": "audit_integrity_fail",
        "event.id": derived_id(path.stem, "audit_integrity_fail"),
        "event.outcome": "failure",
        "severity": "critical",
        "message": f"The record does not verify: {problem.what}",
        "reason": "chain_broken",
        "service.name": "watcher",
        "seclog.segment.id": path.stem,
        "seclog.line": 3,
        "seclog.source.seq": 3,
        "seclog.expected": problem.expected,
        "seclog.actual": problem.found,
    }
    assert path.read_bytes() == broken


def test_live_segments_are_left_alone_and_looked_at_again(host):
    """The app's own; recovered once it is dead."""
    host.login()
    path = host.app.sink.segment_path
    watch = host.watch()
    watch.tick()
    assert check_file(path).segment.state == "live"
    host.app.sink._abandon()
    assert [recovered.segment for recovered in watch.recover_dead()] == [path.stem]
    assert watch.recover_dead() == []


def test_the_watch_retires_what_is_old(host):
    """Closed segments of the age that the settings say; the journal tells of each, and verifies without it."""
    old, young = closed_segment(host.directory), closed_segment(host.directory)
    os.utime(old, (0, 0))
    watch = Watch.at(host.directory, host.recorder, retention_days=30)
    watch.tick()
    watch.tick()
    watch.close()
    assert (old.exists(), young.exists()) == (False, True)
    told = [entry for entry in entries_of(host.recorder.sink.segment_path) if entry["event.name"] == "sensitive_delete"]
    assert [entry["seclog.retired.id"] for entry in told] == [old.stem]
    assert check_journal(host.directory).verdict == "OK"


def test_without_a_retention_nothing_goes(host):
    """The default keeps everything."""
    old = closed_segment(host.directory)
    os.utime(old, (0, 0))
    host.watch().tick()
    assert old.exists()


def test_a_watch_whose_folder_was_removed_begins_anew(host):
    """What it held was the lock of a file that nobody sees any more."""
    watch = host.watch()
    host.login()
    watch.tick()
    host.close()
    shutil.rmtree(host.folder)
    host.login()
    host.login(address=WORK)
    watch.tick()
    assert watch._lock.is_in_place()
    assert [entry["event.name"] for entry in host.told()] == ["authn_new_ip"]


def test_two_services_in_one_directory(host):
    """Each derived entry belongs to the service of its source."""
    billing = recorder_at(host.directory, clock=host.clock, service="billing")
    for recorder in (host.app, billing):
        host.login(recorder=recorder)
        host.login(recorder=recorder, address=WORK)
    host.watch().tick()
    assert [entry["service.name"] for entry in host.told()] == ["shop", "billing"]
    billing.sink.close()


def test_a_segment_that_goes_while_it_is_looked_at_is_no_error(host, monkeypatch):
    """Retention and the watch may meet."""
    path = closed_segment(host.directory)
    watch = host.watch()
    segments = watch._reader.segments()
    path.unlink()
    monkeypatch.setattr(watch._reader, "segments", lambda: segments)
    watch.tick()
    assert host.recorder.errors == 0


def test_what_it_owes_more_than_it_reads_at_once_is_told_in_order(host):
    """A backlog of debts: a thousand a step."""
    watch = host.watch()
    watch.tick()
    knowledge = watch._open()
    with knowledge.step():
        knowledge.owe(Event(type="authn_new_ip", id=f"{i:036}") for i in range(1500))
    assert [watch.step().told for _ in range(3)] == [1000, 500, 0]


def test_a_damaged_memory_is_set_aside_and_learned_anew(host):
    """A file that is no database any more costs no later finding and repeats no earlier one."""
    host.login()
    host.login(agent=IPHONE)
    watch = host.watch()
    watch.tick()
    watch.close()
    before = host.told()
    memory = host.folder / "watch.db"
    memory.write_bytes(b"not a database" * 100)

    watch = host.watch()
    watch.tick()
    assert host.told() == before
    assert len(list(host.folder.glob("watch.db.damaged-*"))) == 1
    assert host.recorder.errors == 1

    host.login(address=WORK)
    watch.tick()
    assert [entry["event.name"] for entry in host.told()] == [*(e["event.name"] for e in before), "authn_new_ip"]
