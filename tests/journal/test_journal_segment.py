"""A segment: one file, one writer, whole lines only."""

import os
import re
from errno import ENOSPC

import pytest

from journal.made import NOON
from seclog.journal.line import first_link
from seclog.journal.reader import is_live
from seclog.journal.segment import SEGMENT_ID, Segment, new_segment_id

ID = "20260921T141320Z-1-0123abcd"
BODY = b'{"schema":"seclog/1","event.name":"x"'


@pytest.fixture
def segment(tmp_path):
    made = Segment(tmp_path, ID)
    yield made
    made.close()


def test_the_id_names_start_process_and_chance():
    """Sortable by time, unique without a registry."""
    one, two = new_segment_id(NOON * 10**9), new_segment_id(NOON * 10**9)
    assert one != two
    assert re.fullmatch(rf"20260921T141320Z-{os.getpid()}-[0-9a-f]{{8}}", one)
    assert SEGMENT_ID.fullmatch(one)


def test_it_has_no_name_before_it_has_its_start_record(segment, tmp_path):
    """Nobody can mistake a new segment for a dead one."""
    assert [path.name for path in tmp_path.iterdir()] == [f".{ID}.jsonl"]
    segment.append(BODY)
    segment.publish()
    assert [path.name for path in tmp_path.iterdir()] == [f"{ID}.jsonl"]
    assert segment.path.stat().st_mode & 0o777 == 0o600


def test_the_writer_holds_it_until_it_closes(segment):
    """Liveness is a lock, not a guess from time stamps."""
    segment.publish()
    with segment.path.open("rb") as file:
        assert is_live(file.fileno())
        segment.close()
        segment.close()
        assert not is_live(file.fileno())


def test_nothing_is_overwritten(segment, tmp_path):
    """Neither by a second segment of the same name, nor by an offset: the file is opened to append."""
    with pytest.raises(FileExistsError):
        Segment(tmp_path, ID)
    segment.append(BODY)
    os.lseek(segment._fd, 0, os.SEEK_SET)
    segment.append(BODY)
    data = segment._unborn.read_bytes()
    assert data.count(b"\n") == segment.count == 2


def test_a_fresh_one_is_linked_to_its_name(segment):
    """Files cannot be swapped."""
    assert (segment.count, segment.size, segment.head) == (0, 0, first_link(ID))


@pytest.mark.parametrize("taken", [0, 1, 50, 10_000])
def test_a_refused_write_leaves_whole_lines(segment, monkeypatch, taken):
    """A disk that takes a part and then nothing: the part is cut off, the count and the head stay."""
    segment.append(BODY)
    size, head = segment.size, segment.head
    write, calls = os.write, []

    def full(fd, data):
        calls.append(len(data))
        if len(calls) == 1 and 0 < taken < len(data):
            return write(fd, data[:taken])
        raise OSError(ENOSPC, "full")

    monkeypatch.setattr("seclog.journal.segment.os.write", full)
    with pytest.raises(OSError, match="full"):
        segment.append(BODY)
    monkeypatch.undo()
    assert (segment.count, segment.size, segment.head) == (1, size, head)
    assert segment._unborn.stat().st_size == size
    segment.append(BODY)
    assert segment.count == 2


def test_a_short_write_that_goes_on_is_a_whole_line(segment, monkeypatch):
    """Byte by byte, if need be."""
    write = os.write
    monkeypatch.setattr("seclog.journal.segment.os.write", lambda fd, data: write(fd, data[:1]))
    segment.append(BODY)
    assert segment._unborn.read_bytes().endswith(segment.head.hex().encode() + b'"}\n')
    assert segment._unborn.stat().st_size == segment.size


def test_an_exception_out_of_a_signal_handler_after_the_write_counts_the_line(segment, monkeypatch):
    """The line is on disk: it counts, whatever is raised in between."""
    write = os.write

    def interrupted(fd, data):
        write(fd, data)
        raise KeyboardInterrupt

    monkeypatch.setattr("seclog.journal.segment.os.write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment.append(BODY)
    assert segment.count == 1
    assert segment._unborn.stat().st_size == segment.size


@pytest.mark.parametrize("change", ["removed", "replaced", "grown", "shrunk"])
def test_it_sees_that_its_file_is_not_what_it_was(segment, change):
    """Somebody's logrotate, an editor, an attacker."""
    segment.append(BODY)
    segment.publish()
    assert segment.is_in_place()
    if change in {"removed", "replaced"}:
        data = segment.path.read_bytes()
        segment.path.unlink()
        if change == "replaced":
            segment.path.write_bytes(data)
    else:
        os.truncate(segment.path, segment.size + (1 if change == "grown" else -1))
    assert not segment.is_in_place()


def test_a_discarded_one_leaves_nothing(segment, tmp_path):
    """It holds nobody's entry."""
    segment.append(BODY)
    segment.discard()
    assert list(tmp_path.iterdir()) == []
