"""Reading: whole lines only, from where somebody left off, while others write."""

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal.made import Clock, closed_segment, dead_segment, record, recorder_at, segments
from seclog.errors import NotAJournalError
from seclog.journal.line import MAX_LINE
from seclog.journal.reader import Reader, check_start, find_segments, parse, read_lines
from seclog.journal.writer import host_folder


def counts(lines):
    return [line.entry().get("seclog.count") for line in lines]


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_come_with_their_place(tmp_path):
    """The offset is where reading goes on."""
    path = closed_segment(tmp_path)
    data = path.read_bytes()
    lines = list(read_lines(path))
    assert b"".join(line.raw + b"\n" for line in lines) == data
    assert lines[-1].end == len(data)
    assert {line.segment for line in lines} == {path.stem}
    assert [line.raw for line in read_lines(path, lines[1].end, 2)] == [line.raw for line in lines[2:4]]


def test_an_unfinished_line_waits(tmp_path):
    """It is read whole once its newline is there."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":')
    [first] = read_lines(path)
    assert list(read_lines(path, first.end)) == []
    with path.open("ab") as file:
        file.write(b"2}\n")
    assert [line.entry() for line in read_lines(path, first.end)] == [{"b": 2}]


@pytest.mark.parametrize("size", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 5 * MAX_LINE, 5 * MAX_LINE + 7])
def test_a_piece_longer_than_a_line_is_skipped(tmp_path, size):
    """It is not ours, and must not fill the memory; what follows is read, at its right place."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"x" * size + b'\n{"b":2}\n')
    lines = list(read_lines(path))
    assert [line.raw for line in lines if len(line.raw) < 100] == [b'{"a":1}', b'{"b":2}']
    assert lines[-1].end == path.stat().st_size
    assert [line.raw for line in read_lines(path, lines[0].end)][-1] == b'{"b":2}'


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=8), st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_in_pieces_gives_what_reading_at_once_gives(tmp_path, pieces, cut):
    """Wherever the file ends at the moment of a look."""
    path = tmp_path / "x.jsonl"
    data = b"".join(piece + b"\n" for piece in pieces)
    path.write_bytes(data[:cut])
    first = list(read_lines(path))
    path.write_bytes(data)
    rest = list(read_lines(path, first[-1].end if first else 0))
    assert [line.raw for line in first + rest] == [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"7", b"null", b"{", b'{"a":1}x', b"\xff", b"[" * 100_000, b'{"a":' * 50_000]
)
def test_what_is_no_object_is_no_entry(raw):
    """Whatever it is, it is said in one way."""
    with pytest.raises(NotAJournalError, match="not a JSON object"):
        parse(raw)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_segments_are_found_from_every_place_above_them(tmp_path):
    """The file, the host's folder, the journal folder, the directory."""
    path = closed_segment(tmp_path)
    for place in (path, path.parent, tmp_path / "journal", tmp_path):
        assert find_segments(place) == [path]


def test_only_segments_are_found(tmp_path):
    """Not hidden ones that are being made, not the quarantine, not others' files."""
    path = closed_segment(tmp_path)
    for name in (f".{path.name}", "watch.db", "notes.jsonl", f"{path.stem}.torn", f"{path.stem}.jsonl.gz"):
        (path.parent / name).write_text("x")
    (path.parent / "quarantine").mkdir()
    (path.parent / "quarantine" / path.name).write_text("x")
    assert find_segments(tmp_path) == [path]
    assert Reader(path.parent).segments() == [path]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such file or directory"),
        (lambda path: path.mkdir(), "holds no journal (no segment such as 20260101T000000Z-1234-0123abcd.jsonl)"),
        (os.mkfifo, "is neither a file nor a directory"),
    ],
    ids=["missing", "empty", "pipe"],
)
def test_what_holds_no_journal_says_what_it_is(tmp_path, make, message):
    """One sentence, with the path."""
    path = tmp_path / "place"
    make(path)
    with pytest.raises(NotAJournalError, match=f"^{re.escape(f'{path}: {message}')}$"):
        find_segments(path)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "is empty"),
        (b"\x00\x01", "is not a journal: it holds binary data"),
        (b"\x89PNG\r\n\x1a\n", "is not a journal: it holds binary data"),
        ("ä\n".encode(), "is not a journal: it holds binary data"),
        (b"127.0.0.1 - - GET /\n", "is not a journal: its first line is not an entry"),
        (b"no newline", "is not a journal: its first line is not an entry"),
        (b"[1]\n", "is not a journal: its first line is not an entry"),
        (b'{"a":1}\n', "is not a journal: its first line is not an entry"),
        (b'{"schema":7}\n', "is not a journal: its first line is not an entry"),
        (b'{"schema":"seclog/1","ti', "is truncated: it ends within its first entry"),
        (b'{"schema":"seclog/2"}\n', "has schema 'seclog/2'; this version reads 'seclog/1'"),
    ],
)
def test_a_file_that_is_no_segment_says_what_it_is(tmp_path, start, message):
    """One sentence, with the path."""
    with pytest.raises(NotAJournalError, match=f"^{re.escape(f'{tmp_path}: {message}')}$"):
        check_start(tmp_path, start)


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_segments_are_followed(tmp_path):
    """Each line once, in pieces of any size, also of segments that come later."""
    for service in ("shop", "admin"):
        closed_segment(tmp_path, 3, service=service)
    reader, cursor, seen = Reader(host_folder(tmp_path)), {}, []
    for _ in range(10):
        lines, cursor = reader.read(cursor, 3)
        assert len(lines) <= 3
        seen += lines
    closed_segment(tmp_path, 2, service="late")
    lines, cursor = reader.read(cursor, 100)
    assert len(seen) == 10
    assert counts(lines) == [None, 1, 2, None]
    assert reader.read(cursor, 100) == ([], cursor)
    assert len({(line.segment, line.end) for line in seen + lines}) == 14


def test_a_live_segment_is_followed_while_it_grows(tmp_path):
    """Nothing twice, nothing missed."""
    recorder = recorder_at(tmp_path)
    reader, cursor, seen = Reader(host_folder(tmp_path)), {}, []
    for number in range(1, 6):
        record(recorder, 1, first=number)
        lines, cursor = reader.read(cursor, 100)
        seen += counts(lines)
    recorder.sink.close()
    assert seen == [None, 1, 2, 3, 4, 5]


def test_a_segment_that_is_gone_is_forgotten(tmp_path):
    """Retired, or removed: the cursor does not keep it for ever."""
    path = closed_segment(tmp_path)
    reader = Reader(host_folder(tmp_path))
    _, cursor = reader.read({}, 100)
    path.unlink()
    assert reader.read(cursor, 100) == ([], {})


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    """The watch may start before the first entry."""
    assert Reader(tmp_path / "none").read({}, 100) == ([], {})


def test_a_cursor_behind_the_end_reads_nothing(tmp_path):
    """A file that was cut after it was read."""
    path = closed_segment(tmp_path)
    assert Reader(host_folder(tmp_path)).read({path.stem: 10**9}, 100) == ([], {path.stem: 10**9})


def test_torn_lines_of_the_dead_are_never_read_as_lines(tmp_path):
    """Not even when recovery has cut them off."""
    dead_segment(tmp_path, 2, torn=b'{"schema":"seclog/1","seclog.count":99')
    lines, _ = Reader(host_folder(tmp_path)).read({}, 100)
    assert counts(lines) == [None, 1, 2]


def test_segments_are_ordered_by_their_start(tmp_path):
    """By name, which begins with the time."""
    clock = Clock()
    for _ in range(3):
        closed_segment(tmp_path, 1, clock=clock)
        clock.forward(1)
    assert Reader(host_folder(tmp_path)).segments() == segments(tmp_path)
