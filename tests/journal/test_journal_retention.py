"""Retention: whole closed segments that verify, each recorded before it goes."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from journal.made import NOON, closed_segment, dead_segment, entries_of, record, recorder_at
from seclog.journal.check import check_file, check_journal
from seclog.journal.retention import retire

NOW = datetime.fromtimestamp(NOON, UTC)
DAYS = 90


def age(path, days, seconds=0):
    """Make a file as old as the test wants."""
    moment = (NOW - timedelta(days=days, seconds=seconds)).timestamp()
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def recorder(tmp_path):
    made = recorder_at(tmp_path)
    yield made
    made.sink.close()


def run(recorder, *paths):
    return [report.path for report in retire(paths, DAYS, NOW, recorder.record)]


def test_an_old_segment_goes_and_the_journal_says_which(tmp_path, recorder):
    """With its count and head; whole; and the journal verifies without it."""
    path = age(closed_segment(tmp_path), DAYS, 1)
    head = check_file(path).segment.head
    assert run(recorder, path) == [path]
    assert not path.exists()
    entry = entries_of(recorder.sink.segment_path)[1]
    chain = ("timestamp", "event.id", "seclog.hash", "severity", "event.outcome")
    assert {key: value for key, value in entry.items() if key not in chain} == {
        "schema": "seclog/1",
        "event.name": "sensitive_delete",
        "message": "A segment of the record was retired",
        "reason": "retention",
        "service.name": "shop",
        "user.id": "seclog",
        "seclog.target.type": "segment",
        "seclog.target.id": path.stem,
        "seclog.retired.id": path.stem,
        "seclog.retired.count": 5,
        "seclog.retired.hash": head,
        "seclog.seq": 2,
    }


def test_a_retired_predecessor_is_not_missed(tmp_path, recorder):
    """The one after it names it; the record of its removal answers."""
    writer = recorder_at(tmp_path, max_bytes=1500)
    record(writer, 6)
    first = writer.sink.segment_path
    writer.sink.close()
    oldest = next(
        path for path in first.parent.glob("*.jsonl") if "seclog.segment.previous.id" not in entries_of(path)[0]
    )
    age(oldest, DAYS + 1)
    assert run(recorder, oldest) == [oldest]
    report = check_journal(tmp_path)
    assert (report.verdict, report.missing) == ("OK", ())


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_segment_that_is_not_older_stays(tmp_path, recorder, seconds):
    """Fires at n, silent at n - 1."""
    path = age(closed_segment(tmp_path), DAYS, seconds)
    assert run(recorder, path) == []
    assert path.exists()


def test_what_is_not_closed_or_does_not_verify_stays(tmp_path, recorder):
    """A live one, a dead one, a broken one, a torn one, and a file that is none: evidence, whatever its age."""
    live = recorder_at(tmp_path)
    record(live, 1)
    broken, torn, foreign = closed_segment(tmp_path), closed_segment(tmp_path), closed_segment(tmp_path)
    broken.write_bytes(broken.read_bytes().replace(b"authz_fail", b"authz_fall", 1))
    torn.write_bytes(torn.read_bytes()[:-5])
    foreign.write_bytes(b"\x00")
    good = closed_segment(tmp_path)
    paths = [live.sink.segment_path, dead_segment(tmp_path), broken, torn, foreign, good]
    for path in paths:
        age(path, 1000)
    assert run(recorder, *paths) == [good]
    assert [path.exists() for path in paths] == [True] * 5 + [False]
    live.sink.close()


def test_what_cannot_be_recorded_does_not_go(tmp_path):
    """First the entry, then the file."""
    path = age(closed_segment(tmp_path), 1000)
    assert retire([path], DAYS, NOW, lambda event: None) == []
    assert path.exists()
