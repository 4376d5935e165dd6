"""Recovery: the torn end of a dead process is kept aside, its segment closed; a break is told and never repaired."""

import errno
import hashlib
import os

import pytest

from journal.made import closed_segment, dead_segment, entries_of, record, recorder_at
from seclog.journal.check import check_file
from seclog.journal.recovery import QUARANTINE, UNBORN_SECONDS, Recovered, recover, sweep_unborn
from seclog.journal.segment import Segment
from seclog.journal.verify import Problem

TORN = b'{"schema":"seclog/1","timestamp":"20'


@pytest.fixture
def encode(tmp_path):
    """Makes the stop record, as the watch's recorder does."""
    return recorder_at(tmp_path / "of-the-watch").encode_control


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_torn_end_goes_to_quarantine_and_the_segment_is_closed(tmp_path, encode):
    """What was done, whole; and the segment verifies from then on."""
    path = dead_segment(tmp_path, 2, TORN)
    before = path.read_bytes()
    digest = hashlib.sha256(TORN).hexdigest()
    kept = path.parent / QUARANTINE / f"{path.stem}.{digest[:16]}.torn"
    assert recover(path, encode) == Recovered(path.stem, closed=True, torn=len(TORN), quarantine=kept)
    assert kept.read_bytes() == TORN
    assert kept.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(before[: -len(TORN)])
    last = entries_of(path)[-1]
    assert {
        key: last[key] for key in last if key not in ("schema", "timestamp", "event.id", "seclog.hash", "service.name")
    } == {
        "event.name": "audit_log_stopped",
        "event.outcome": "unknown" if last["event.outcome"] == "unknown" else "success",
        "severity": last["severity"],
        "message": "Recording stopped",
        "reason": "process_died",
        "seclog.sink": "journal",
        "seclog.last_seq": 4,
        "seclog.segment.id": path.stem,
        "seclog.torn.bytes": len(TORN),
        "seclog.torn.sha256": digest,
        "seclog.seq": 4,
    }
    report = check_file(path)
    assert (report.verdict, report.segment.state, report.segment.torn) == ("OK", "stopped", 0)


def test_a_dead_segment_with_whole_lines_gets_its_stop_record_only(tmp_path, encode):
    """No quarantine for nothing."""
    path = dead_segment(tmp_path)
    assert recover(path, encode) == Recovered(path.stem, closed=True)
    assert not (path.parent / QUARANTINE).exists()
    assert check_file(path).segment.state == "stopped"


def test_recovery_twice_is_recovery_once(tmp_path, encode):
    """Closed is closed."""
    path = dead_segment(tmp_path, torn=TORN)
    recover(path, encode)
    before = tree(tmp_path)
    assert recover(path, encode) is None
    assert tree(tmp_path) == before


def test_a_closed_segment_is_left_alone(tmp_path, encode):
    """There is nothing to do."""
    path = closed_segment(tmp_path)
    before = path.read_bytes()
    assert recover(path, encode) is None
    assert path.read_bytes() == before


def test_something_behind_the_stop_record_goes_to_quarantine(tmp_path, encode):
    """Nobody wrote it with the lock; it is kept aside, and the segment is as its writer left it."""
    path = closed_segment(tmp_path)
    before = path.read_bytes()
    path.write_bytes(before + TORN)
    assert recover(path, encode).torn == len(TORN)
    assert path.read_bytes() == before


def test_a_live_segment_is_not_touched(tmp_path, encode):
    """Its writer holds the lock."""
    recorder = recorder_at(tmp_path)
    record(recorder, 1)
    path = recorder.sink.segment_path
    before = path.read_bytes()
    with pytest.raises(BlockingIOError):
        recover(path, encode)
    assert path.read_bytes() == before
    recorder.sink.close()


def test_a_break_before_the_end_is_told_and_never_repaired(tmp_path, encode):
    """Tampering or bit-rot: evidence, left as it is, the torn end too."""
    path = dead_segment(tmp_path, 3, TORN)
    path.write_bytes(path.read_bytes().replace(b'"seclog.count":2', b'"seclog.count":7'))
    before = tree(tmp_path)
    recovered = recover(path, encode)
    assert (recovered.closed, recovered.torn, recovered.problem.line) == (False, 0, 3)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 10, b"hello\n", b'{"schema":"seclog/1","ti', b'{"schema":"seclog/9"}\n']
)
def test_a_file_that_is_no_segment_is_a_problem(tmp_path, encode, data):
    """A segment has its name only once it has its start record: somebody else made it so."""
    path = closed_segment(tmp_path)
    path.write_bytes(data)
    problem = recover(path, encode).problem
    assert (problem.line, problem.what, problem.expected) == (1, "the file is no segment", "a segment")
    assert isinstance(problem, Problem)
    assert path.read_bytes() == data


@pytest.mark.parametrize("taken", [0, 10])
def test_a_full_disk_leaves_the_segment_for_the_next_time(tmp_path, encode, monkeypatch, taken):
    """Byte for byte as it was; the quarantine may hold the copy already."""
    path = dead_segment(tmp_path, 2, TORN)
    before = path.read_bytes()
    write, full = os.write, []

    def refuse(fd, data):
        if b"audit_log_stopped" in bytes(data) or full:
            if not full:
                full.append(True)
                if taken:
                    return write(fd, data[:taken])
            if len(full) == 1:
                full.append(True)
                raise OSError(errno.ENOSPC, "full")
        return write(fd, data)

    monkeypatch.setattr("seclog.journal.recovery.os.write", refuse)
    with pytest.raises(OSError, match="full"):
        recover(path, encode)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert recover(path, encode).closed
    assert check_file(path).verdict == "OK"


# ── what died before it had a name ───────────────────────────────────────────────────────────────────────────────


def test_old_hidden_files_of_the_dead_are_swept(tmp_path):
    """They hold nobody's entry; a young one, or one that is held, is about to become a segment."""
    held = Segment(tmp_path, "20260101T000000Z-1-00000001")
    dead = Segment(tmp_path, "20260101T000000Z-1-00000002")
    dead.close()
    other = tmp_path / ".notes.txt"
    other.write_text("mine")
    made = held._unborn.stat().st_mtime
    sweep_unborn(tmp_path, made + UNBORN_SECONDS - 1)
    assert dead._unborn.exists()
    sweep_unborn(tmp_path, made + UNBORN_SECONDS + 1)
    assert (dead._unborn.exists(), held._unborn.exists(), other.exists()) == (False, True, True)
    held.publish()
    assert held.path.exists()
    held.close()
