"""Reading: which segments there are, and their lines, from where somebody left off.

In: files that other processes write at the same time. Out: whole lines only; what is not yet finished waits. Trusts
nothing of what is in them: `parse` says what is not an entry.
"""

import errno
import fcntl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from seclog.errors import NotAJournalError
from seclog.journal.line import MAX_LINE, SCHEMA
from seclog.journal.segment import SEGMENT_ID, SUFFIX

_decode = msgspec.json.Decoder(dict[str, Any]).decode


MAX_READ: Final = 16 * 1024 * 1024
"""Bytes that one reading keeps in memory; lines may be long."""


class Line(NamedTuple):
    """A line of a segment.

    Attributes:
        segment: the segment's id.
        end: the offset behind the line's newline, where reading goes on.
        raw: the bytes, without the newline.
    """

    segment: str
    end: int
    raw: bytes

    def entry(self) -> dict[str, Any]:
        """Return the entry.

        Raises:
            NotAJournalError: the line is not a JSON object.
        """
        return parse(self.raw)


def parse(raw: bytes) -> dict[str, Any]:
    """Return the entry in a line.

    Raises:
        NotAJournalError: the line is not a JSON object.
    """
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAJournalError("a line is not an entry: it is not a JSON object") from None


def find_segments(path: Path) -> list[Path]:
    """Return the segments under a path, oldest first.

    Args:
        path: a segment, a host's folder, a journal folder, or the directory that holds the journal folder.

    Raises:
        NotAJournalError: there is none; the message says what is there instead.
    """
    if not path.exists():
        raise NotAJournalError(f"{path}: there is no such file or directory")
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotAJournalError(f"{path}: is neither a file nor a directory")
    if (path / "journal").is_dir():
        path = path / "journal"
    try:
        found = [*_segments_in(path), *(s for host in path.iterdir() if host.is_dir() for s in _segments_in(host))]
    except PermissionError as error:
        raise NotAJournalError(f"{error.filename}: permission denied") from None
    if not found:
        raise NotAJournalError(f"{path}: holds no journal (no segment such as 20260101T000000Z-1234-0123abcd{SUFFIX})")
    return sorted(found, key=lambda segment: segment.name)


def _segments_in(folder: Path) -> list[Path]:
    return [item for item in folder.iterdir() if item.suffix == SUFFIX and SEGMENT_ID.fullmatch(item.stem)]


def check_start(path: Path, start: bytes) -> dict[str, Any]:
    """Return the first entry of a file that begins like a journal.

    Args:
        path: for the message.
        start: the file's first bytes, at least a line's maximum if there are so many.

    Raises:
        NotAJournalError: one sentence that says what the file is instead.
    """
    if not start:
        raise NotAJournalError(f"{path}: is empty")
    line, newline, _ = start.partition(b"\n")
    if b"\x00" in start[:1024] or not line.isascii():
        raise NotAJournalError(f"{path}: is not a journal: it holds binary data")
    if not newline:
        if line.startswith(b'{"schema":"seclog/'):
            raise NotAJournalError(f"{path}: is truncated: it ends within its first entry")
        raise NotAJournalError(f"{path}: is not a journal: its first line is not an entry")
    try:
        entry = parse(line)
    except NotAJournalError:
        raise NotAJournalError(f"{path}: is not a journal: its first line is not an entry") from None
    schema = entry.get("schema")
    if not isinstance(schema, str) or not schema.startswith("seclog/"):
        raise NotAJournalError(f"{path}: is not a journal: its first line is not an entry")
    if schema != SCHEMA:
        raise NotAJournalError(f"{path}: has schema {schema[:32]!r}; this version reads {SCHEMA!r}")
    return entry


def is_live(fd: int) -> bool:
    """Tell whether a segment's writer lives: it holds the lock of the file behind this descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return True
        raise
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def read_lines(path: Path, offset: int = 0, limit: int | None = None) -> Iterator[Line]:
    """Yield the whole lines of a segment from an offset on. An unfinished last line is left for the next time.

    A piece longer than a line may be is skipped up to its newline: it is not ours, and must not fill the memory.
    """
    with path.open("rb") as file:
        file.seek(offset)
        given = 0
        while raw := file.readline(MAX_LINE):
            offset += len(raw)
            if not raw.endswith(b"\n"):
                if len(raw) < MAX_LINE:
                    return
                while (more := file.readline(MAX_LINE)) and not more.endswith(b"\n"):
                    offset += len(more)
                offset += len(more)
                continue
            if len(raw) > 1:
                yield Line(path.stem, offset, raw[:-1])
                given += 1
                if given == limit:
                    return


class Reader:
    """Follows all segments of a host.

    Args:
        folder: `journal/<host>`.
        others: the same below further directories; one that is not there, or cannot be read, is passed over.
    """

    def __init__(self, folder: Path, *others: Path) -> None:
        self._folder = folder
        self._others = others

    def segments(self) -> list[Path]:
        """Return the segments there are now, oldest first."""
        found: list[Path] = []
        with suppress(FileNotFoundError):
            found += _segments_in(self._folder)
        for folder in self._others:
            with suppress(OSError):
                found += _segments_in(folder)
        return sorted(found, key=lambda segment: segment.name)

    def read(
        self, cursor: Mapping[str, int], limit: int, max_bytes: int = MAX_READ
    ) -> tuple[list[Line], dict[str, int]]:
        """Return what is new in all segments and the cursor behind it.

        Args:
            cursor: the offset reached in each segment, by its id; a segment that is not in it is read from its start.
            limit: lines at most, over all segments.
            max_bytes: bytes after which no more lines are read.

        Returns:
            The lines, segment by segment, and the new cursor, for the segments that exist.
        """
        lines: list[Line] = []
        reached: dict[str, int] = {}
        for path in self.segments():
            offset = cursor.get(path.stem, 0)
            reached[path.stem] = offset
            try:
                if len(lines) >= limit or max_bytes <= 0 or path.stat().st_size <= offset:
                    continue
                for line in read_lines(path, offset, limit - len(lines)):
                    lines.append(line)
                    reached[path.stem] = line.end
                    max_bytes -= len(line.raw)
                    if max_bytes <= 0:
                        break
            except FileNotFoundError:
                reached.pop(path.stem)
        return lines, reached
