"""The writer: control records, rotation, forks, threads, and what happens when the disk says no."""

import errno
import json
import os
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from journal.made import NOON, Clock, entries_of, names_of, record, recorder_at, segments
from seclog import __version__
from seclog.assembly import Installation
from seclog.errors import NotRecordedError
from seclog.events.event import Event
from seclog.journal.check import check_file, check_journal
from seclog.journal.writer import BACKLOG_ENTRIES, HEARTBEAT_SECONDS, RETRY_SECONDS, STDERR_LINES, host_folder
from seclog.settings import Settings


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder(tmp_path, clock):
    made = recorder_at(tmp_path, clock=clock)
    yield made
    made.sink.close()


@pytest.fixture
def journal(recorder):
    return recorder.sink


def facts(entry):
    """Return what a control record says beyond its head and its place in the chain."""
    head = (
        "schema",
        "timestamp",
        "event.id",
        "event.outcome",
        "severity",
        "message",
        "service.name",
        "seclog.seq",
        "seclog.hash",
    )
    return {key: value for key, value in entry.items() if key not in head}


@contextmanager
def refusing(monkeypatch, code=errno.ENOSPC, name="write"):
    """Let the operating system refuse in the block, but for stderr."""
    real = getattr(os, name)

    def refuse(fd, *args):
        if fd == 2:
            return real(fd, *args)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(f"seclog.journal.segment.os.{name}", refuse)
        yield


# ── control records ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_segment_begins_with_its_start_record(tmp_path):
    """Who writes it, where, with which settings; whole."""
    settings = Settings.load({"directory": tmp_path, "service": "shop", "watch": False}, environ={})
    installation = Installation(settings)
    installation.recorder.record(Event(type="authz_fail"))
    path = installation.journal.segment_path
    installation.shut_down()
    first = entries_of(path)[0]
    boot = first.pop("seclog.host.boot_id")
    assert len(boot) == 36
    assert facts(first) == {
        "event.name": "audit_log_started",
        "seclog.sink": "journal",
        "seclog.schema": "seclog/1",
        "seclog.segment.id": path.stem,
        "host.name": os.uname().nodename,
        "process.pid": os.getpid(),
        "seclog.version": __version__,
        "seclog.settings.digest": settings.digest(),
    }
    assert (first["service.name"], first["seclog.seq"]) == ("shop", 1)


def test_a_segment_ends_with_its_stop_record(recorder, journal):
    """Count, reason and counters; whole."""
    record(recorder, 3)
    path = journal.segment_path
    journal.close("exit")
    assert facts(entries_of(path)[-1]) == {
        "event.name": "audit_log_stopped",
        "reason": "exit",
        "seclog.sink": "journal",
        "seclog.last_seq": 5,
        "seclog.recorded": 3,
        "seclog.redacted": 0,
        "seclog.dropped": 0,
    }
    report = check_file(path)
    assert (report.verdict, report.segment.state, report.segment.entries) == ("OK", "stopped", 5)


def test_a_heartbeat_tells_the_counters(recorder, journal, clock):
    """Once a minute, not before; silence is an observation too."""
    record(recorder, 2, password="x" * 8)
    clock.forward(HEARTBEAT_SECONDS - 0.001)
    journal.pulse()
    assert names_of(journal.segment_path)[-1] == "authz_fail"
    clock.forward(0.001)
    journal.pulse()
    journal.pulse()
    assert facts(entries_of(journal.segment_path)[-1]) == {
        "event.name": "audit_log_heartbeat",
        "seclog.recorded": 2,
        "seclog.redacted": 2,
        "seclog.dropped": 0,
    }
    clock.forward(HEARTBEAT_SECONDS)
    journal.pulse()
    assert names_of(journal.segment_path)[3:] == ["audit_log_heartbeat"] * 2


def test_nothing_is_made_before_the_first_entry(tmp_path, journal, clock):
    """A process that records nothing leaves nothing, whatever time passes."""
    clock.forward(10_000)
    journal.pulse()
    journal.close()
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_ends_once_and_a_later_entry_begins_anew(recorder, journal, tmp_path):
    """A late entry at exit is not lost."""
    record(recorder, 1)
    journal.close()
    journal.close()
    record(recorder, 1)
    journal.close()
    assert [names_of(path) for path in segments(tmp_path)] == [
        ["audit_log_started", "authz_fail", "audit_log_stopped"]
    ] * 2
    assert check_journal(tmp_path).verdict == "OK"


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "ho st", "x" * 300, "ü"])
def test_a_host_name_is_safe_as_a_folder(tmp_path, name):
    """It comes from outside."""
    folder = host_folder(tmp_path, name or ".")
    assert folder.parent == tmp_path / "journal"
    assert folder.name not in {"", ".", ".."}
    folder.mkdir(parents=True)


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def linked(tmp_path):
    """Check that each segment names the one before it, with its count and head; return all segments."""
    reports = {path.stem: check_file(path).segment for path in segments(tmp_path)}
    for report in reports.values():
        previous = report.first.get("seclog.segment.previous.id")
        if previous is not None:
            assert report.first["seclog.segment.previous.count"] == reports[previous].entries
            assert report.first["seclog.segment.previous.hash"] == reports[previous].head
    named = [report.first.get("seclog.segment.previous.id") for report in reports.values()]
    assert named.count(None) == 1
    assert len(set(named)) == len(named)
    return list(reports.values())


def test_rotation_by_size(tmp_path, clock):
    """The entry that finds the segment full begins the next one."""
    recorder = recorder_at(tmp_path, clock=clock, max_bytes=3000)
    record(recorder, 30)
    recorder.sink.close()
    reports = linked(tmp_path)
    assert len(reports) > 3
    assert all(report.state == "stopped" and report.size < 3000 + 1000 for report in reports)
    counts = sorted(e["seclog.count"] for path in segments(tmp_path) for e in entries_of(path) if "seclog.count" in e)
    assert counts == list(range(1, 31))
    assert check_journal(tmp_path).verdict == "OK"


@pytest.mark.parametrize("by", ["an entry", "the pulse"])
def test_rotation_by_age(recorder, journal, clock, tmp_path, by):
    """At the hour, by whoever comes first."""
    record(recorder, 1)
    first = journal.segment_path
    clock.forward(3599)
    record(recorder, 1)
    assert journal.segment_path == first
    clock.forward(1)
    record(recorder, 1) if by == "an entry" else journal.pulse()
    assert entries_of(first)[-1]["reason"] == "rotated"
    assert journal.segment_path != first
    journal.close()
    assert len(linked(tmp_path)) == 2


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_child(work):
    """Run in a forked child and wait for it; what it raises is an exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_writes_a_segment_of_its_own(recorder, journal, tmp_path):
    """The parent's goes on; neither is mixed into the other, and both verify."""
    record(recorder, 2)
    ours = journal.segment_path

    def work():
        assert journal.segment_path is None
        assert journal.recorded == 0
        record(recorder, 3, first=10)
        assert journal.segment_path != ours
        journal.close()

    in_child(work)
    record(recorder, 1, first=3)
    assert journal.segment_path == ours
    journal.close()
    [theirs] = set(segments(tmp_path)) - {ours}
    assert [e.get("seclog.count") for e in entries_of(ours)] == [None, 1, 2, 3, None]
    assert [e.get("seclog.count") for e in entries_of(theirs)] == [None, 10, 11, 12, None]
    assert entries_of(ours)[0]["process.pid"] != entries_of(theirs)[0]["process.pid"]
    ids = [e["event.id"] for path in (ours, theirs) for e in entries_of(path)]
    assert len(set(ids)) == len(ids)
    assert check_journal(tmp_path).verdict == "OK"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_dies_silently_leaves_the_parents_segment_alone(recorder, journal, tmp_path):
    """It has let go of it; the parent is still seen as alive."""
    record(recorder, 1)
    in_child(lambda: None)
    assert check_file(journal.segment_path).segment.state == "live"
    record(recorder, 1)
    assert check_journal(tmp_path).verdict == "OK"


# ── threads, reentrance ──────────────────────────────────────────────────────────────────────────────────────────


def test_eight_threads_lose_nothing_and_keep_their_order(recorder, journal, tmp_path):
    """16,000 entries: all there, each thread's in its order, and the chain holds."""
    threads = [threading.Thread(target=record, args=(recorder, 2000), kwargs={"thread": n}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    [path] = segments(tmp_path)
    found = {n: [] for n in range(8)}
    for entry in entries_of(path)[1:-1]:
        found[entry["thread"]].append(entry["seclog.count"])
    assert all(counts == list(range(1, 2001)) for counts in found.values())
    assert check_file(path).verdict == "OK"
    assert entries_of(path)[-1]["seclog.recorded"] == 16_000


def test_an_entry_from_within_our_own_steps_follows_right_after(tmp_path, clock):
    """A signal handler or a logging handler that records while we write: no deadlock, nothing lost, in order."""
    recorder = recorder_at(tmp_path, clock=clock)
    encode = recorder.sink._encode_control

    def encode_and_record(event_type, fields):
        record(recorder, 1, first=100)
        return encode(event_type, fields)

    recorder.sink._encode_control = encode_and_record
    record(recorder, 2)
    clock.forward(HEARTBEAT_SECONDS)
    recorder.sink.pulse()
    recorder.sink._encode_control = encode
    recorder.sink.close()
    [path] = segments(tmp_path)
    assert [e.get("seclog.count", e["event.name"]) for e in entries_of(path)] == [
        "audit_log_started", 1, 100, 2, "audit_log_heartbeat", 100, "audit_log_stopped",
    ]  # fmt: skip
    assert check_file(path).verdict == "OK"


# ── ack ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_disk_means_synced_before_record_returns(tmp_path, monkeypatch):
    """Each entry, and the folder when the file gets its name."""
    synced = Counter()
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(f"seclog.journal.segment.os.{name}", lambda fd, name=name: synced.update([name]))
    recorder = recorder_at(tmp_path, ack="disk")
    record(recorder, 3)
    assert synced == {"fdatasync": 4, "fsync": 1}
    recorder.sink.close()
    assert synced["fdatasync"] == 5


def test_kernel_syncs_nothing(tmp_path, monkeypatch):
    """Written to the kernel is enough to survive kill -9."""
    monkeypatch.setattr("seclog.journal.segment.os.fdatasync", lambda fd: pytest.fail("synced"))
    recorder = recorder_at(tmp_path)
    record(recorder, 3)
    recorder.sink.close()


def test_a_file_that_failed_to_sync_is_never_written_again(tmp_path, monkeypatch):
    """The state of its pages is unknown: the entry is appended again, in a new segment."""
    recorder = recorder_at(tmp_path, ack="disk")
    record(recorder, 1)
    bad = recorder.sink.segment_path
    size = bad.stat().st_size
    sync, failed = os.fdatasync, []

    def fail_once(fd):
        if not failed:
            failed.append(fd)
            raise OSError(errno.EIO, "bad block")
        sync(fd)

    monkeypatch.setattr("seclog.journal.segment.os.fdatasync", fail_once)
    [event_id] = record(recorder, 1, first=2)
    good = recorder.sink.segment_path
    assert good != bad
    assert event_id in {entry["event.id"] for entry in entries_of(good)}
    after = bad.stat().st_size
    record(recorder, 1, first=3)
    assert bad.stat().st_size == after > size
    assert "audit_log_delivery_failed" in names_of(good)
    recorder.sink.close()


# ── the disk says no ─────────────────────────────────────────────────────────────────────────────────────────────


def test_degrade_keeps_what_waits_and_writes_it_in_order(recorder, journal, clock, monkeypatch, capfd):
    """The app never notices; nothing is lost as long as it fits."""
    record(recorder, 1)
    with refusing(monkeypatch):
        assert record(recorder, 3, first=2) == [None] * 3
    assert len(record(recorder, 1, first=5)) == 1
    shown = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["seclog.count"] for line in shown] == [2, 3, 4]
    assert all(line["seclog.unrecorded"] is True for line in shown)
    path = journal.segment_path
    journal.close()
    assert [e.get("seclog.count", e["event.name"]) for e in entries_of(path)] == [
        "audit_log_started", 1, 2, 3, 4, 5, "audit_log_delivery_failed", "audit_log_stopped",
    ]  # fmt: skip
    assert check_file(path).verdict == "OK"


def test_recovery_is_told_with_what_was_late_and_lost(recorder, journal, monkeypatch):
    """Loss is never silent; whole."""
    record(recorder, 1, first=0)
    with refusing(monkeypatch):
        record(recorder, BACKLOG_ENTRIES + 7)
        assert journal.dropped == {"ENOSPC": 7}
    record(recorder, 1, first=9999)
    path = journal.segment_path
    told = [entry for entry in entries_of(path) if entry["event.name"] == "audit_log_delivery_failed"]
    assert [facts(entry) for entry in told] == [
        {
            "event.name": "audit_log_delivery_failed",
            "reason": "ENOSPC",
            "seclog.sink": "journal",
            "seclog.dropped": 7,
            "seclog.delayed": BACKLOG_ENTRIES,
        }
    ]
    counts = [entry["seclog.count"] for entry in entries_of(path) if "seclog.count" in entry]
    assert counts == [0, *range(8, BACKLOG_ENTRIES + 8), 9999]
    journal.close()
    assert entries_of(path)[-1]["seclog.dropped_by_reason"] == {"ENOSPC": 7}
    assert check_file(path).verdict == "OK"


def test_the_backlog_is_bounded_in_bytes_too(recorder, journal, monkeypatch):
    """A thousand entries of 60 kB are not kept in a web worker's memory."""
    with refusing(monkeypatch):
        record(recorder, 100, **{f"k{i}": "x" * 4000 for i in range(7)})
        assert journal._backlog_bytes == sum(map(len, journal._backlog)) <= 1024 * 1024
        assert journal.dropped["ENOSPC"] == 100 - len(journal._backlog)


def test_stderr_is_not_flooded(recorder, journal, monkeypatch, capfd):
    """A full disk must not become a full log of the supervisor."""
    with refusing(monkeypatch):
        record(recorder, STDERR_LINES + 50)
    assert len(capfd.readouterr().err.splitlines()) == STDERR_LINES


def test_an_exit_with_a_full_disk_says_what_is_lost(recorder, journal, monkeypatch, capfd):
    """The last chance is stderr."""
    with refusing(monkeypatch):
        record(recorder, 3)
        capfd.readouterr()
        journal.close()
    assert capfd.readouterr().err == "seclog: 3 entries could not be recorded: No space left on device (ENOSPC)\n"
    assert journal.dropped == {"ENOSPC": 3}


def test_a_caller_that_will_try_again_is_not_kept(recorder, journal, monkeypatch, capfd):
    """The watch keeps what it owes itself."""
    with refusing(monkeypatch):
        assert recorder.record(Event(type="authn_new_ip"), keep=False) is None
    assert not journal._backlog
    assert not journal.dropped
    assert capfd.readouterr().err == ""


def test_block_raises_and_keeps_nothing(tmp_path, monkeypatch, capfd):
    """What was refused must not turn up later as if it had happened; the refusal is counted."""
    recorder = recorder_at(tmp_path, on_failure="block")
    record(recorder, 1)
    with (
        refusing(monkeypatch),
        pytest.raises(NotRecordedError, match=r"^the entry is not on disk: No space left on device \(ENOSPC\)$"),
    ):
        record(recorder, 1, first=2)
    record(recorder, 1, first=3)
    path = recorder.sink.segment_path
    recorder.sink.close()
    assert [e["seclog.count"] for e in entries_of(path) if "seclog.count" in e] == [1, 3]
    assert [e["seclog.dropped"] for e in entries_of(path) if e["event.name"] == "audit_log_delivery_failed"] == [1]


def test_a_file_in_place_of_the_directory_is_retried_once_a_second(tmp_path, clock, capfd):
    """Not with every entry; and when it is gone everything is written."""
    directory = tmp_path / "seclog"
    directory.write_text("")
    recorder = recorder_at(directory, clock=clock)
    assert record(recorder, 2) == [None, None]
    directory.unlink()
    assert record(recorder, 1, first=3) == [None]
    clock.forward(RETRY_SECONDS + 0.001)
    record(recorder, 1, first=4)
    path = recorder.sink.segment_path
    recorder.sink.close()
    assert [e["seclog.count"] for e in entries_of(path) if "seclog.count" in e] == [1, 2, 3, 4]
    assert [e["reason"] for e in entries_of(path) if e["event.name"] == "audit_log_delivery_failed"] == ["ENOTDIR"]


def test_the_second_directory_takes_over(tmp_path, monkeypatch):
    """No entry waits, and it says why it is there."""
    (tmp_path / "first").write_text("")
    recorder = recorder_at(tmp_path / "first", tmp_path / "second")
    assert record(recorder, 1) != [None]
    path = recorder.sink.segment_path
    assert path.is_relative_to(tmp_path / "second")
    recorder.sink.close()
    assert check_journal(tmp_path / "second").verdict == "OK"


@pytest.mark.parametrize("how", ["removed", "replaced", "cut"])
def test_the_pulse_notices_what_somebody_did_to_the_file(recorder, journal, clock, how):
    """It goes on in a new segment and says there what was lost; whole."""
    record(recorder, 3)
    old, head = journal.segment_path, journal._segment.head.hex()
    data = old.read_bytes()
    if how == "cut":
        os.truncate(old, len(data) - 10)
    else:
        old.unlink()
        if how == "replaced":
            old.write_bytes(data)
    journal.pulse()
    new = journal.segment_path
    assert new != old
    assert facts(entries_of(new)[1]) == {
        "event.name": "audit_log_delivery_failed",
        "reason": "segment_removed_or_changed",
        "seclog.sink": "journal",
        "seclog.dropped": 4,
        "seclog.segment.lost.id": old.stem,
        "seclog.segment.lost.count": 4,
        "seclog.segment.lost.hash": head,
    }
    record(recorder, 1)
    assert check_file(new).verdict == "OK"


def test_a_lost_descriptor_costs_no_entry(recorder, journal, tmp_path):
    """A daemon library that closes all descriptors: a new segment, and the entry is in it."""
    record(recorder, 1)
    os.close(journal._segment._fd)
    [event_id] = record(recorder, 1, first=2)
    assert event_id in {entry["event.id"] for entry in entries_of(journal.segment_path)}
    assert len(segments(tmp_path)) == 2


def test_noon_is_what_the_entries_say(recorder, journal):
    """The clock that was passed in is the only one."""
    record(recorder, 1)
    assert {entry["timestamp"][:19] for entry in entries_of(journal.segment_path)} == {"2026-09-21T14:13:20"}
    assert journal.segment_path.name.startswith("20260921T141320Z-")
    assert NOON == 1_790_000_000
