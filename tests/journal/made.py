"""Journals made by the library itself, with a clock that the test sets."""

import json
import time
from pathlib import Path

from seclog.events.event import Event
from seclog.journal.writer import Journal, host_folder
from seclog.recorder import Recorder
from seclog.redaction import Redactor
from seclog.testing import MemorySink

NOON = 1_790_000_000
REDACTOR = Redactor()


class Clock:
    """Nanoseconds since the epoch, as the test says."""

    def __init__(self, seconds=NOON):
        self.ns = seconds * 1_000_000_000

    def __call__(self):
        return self.ns

    def forward(self, seconds):
        self.ns += int(seconds * 1_000_000_000)


def recorder_at(*directories, clock=time.time_ns, service="shop", **options):
    """Return a recorder that writes into a journal under the given directories."""
    recorder = Recorder(MemorySink(), REDACTOR, {"service.name": service}, clock=clock)
    recorder.sink = Journal(tuple(map(Path, directories)), recorder.encode_control, clock=clock, **options)
    return recorder


def record(recorder, count, *, first=1, **fields):
    """Record numbered entries."""
    return [
        recorder.record(Event(type="authz_fail", fields={"seclog.count": number, **fields}))
        for number in range(first, first + count)
    ]


def segments(directory):
    """Return this host's segments, oldest first, without those that have the same second: by their links."""
    return sorted(host_folder(directory).glob("*.jsonl"), key=lambda path: (path.name[:16], path.stat().st_mtime_ns))


def entries_of(path):
    """Return the entries of one segment."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def names_of(path):
    return [entry["event.name"] for entry in entries_of(path)]


def closed_segment(directory, count=3, **options):
    """Return the path of a closed segment: start record, numbered entries, stop record."""
    recorder = recorder_at(directory, **options)
    record(recorder, count)
    path = recorder.sink.segment_path
    recorder.sink.close()
    return path


def dead_segment(directory, count=3, torn=b"", **options):
    """Return the path of a segment whose process died: no stop record, and perhaps the beginning of a line."""
    recorder = recorder_at(directory, **options)
    record(recorder, count)
    path = recorder.sink.segment_path
    recorder.sink._abandon()
    with path.open("ab") as file:
        file.write(torn)
    return path
