"""Checking a journal on disk: reads the files, lets `verify` judge each, and looks at how the segments fit together."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from seclog.errors import NotAJournalError
from seclog.events.types import EventType
from seclog.journal.line import MAX_LINE
from seclog.journal.reader import check_start, find_segments, is_live, parse
from seclog.journal.verify import Problem, SegmentReport, verify_segment

_RETIRED = re.compile(rb'"seclog\.retired\.id":"([0-9TZa-f-]{1,64})"')

Verdict = Literal["OK", "BROKEN", "TRUNCATED"]


class FileReport(msgspec.Struct, frozen=True):
    """One segment's report and where it lies."""

    path: Path
    segment: SegmentReport
    retired: tuple[str, ...] = ()
    """Segments that an entry of this one says were retired."""

    @property
    def verdict(self) -> Verdict:
        """OK; BROKEN: changed after it was written; TRUNCATED: ends within an entry, and its writer is gone."""
        if self.segment.problem is not None:
            return "BROKEN"
        return "TRUNCATED" if self.segment.torn else "OK"


class JournalReport(msgspec.Struct, frozen=True):
    """The whole journal's report."""

    files: tuple[FileReport, ...]
    missing: tuple[str, ...]
    """Segments that others name as the one before them, that are not there, and that no entry says were retired."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all files; a missing segment is a break."""
        verdicts = {file.verdict for file in self.files}
        return "BROKEN" if "BROKEN" in verdicts or self.missing else "TRUNCATED" if "TRUNCATED" in verdicts else "OK"

    @property
    def entries(self) -> int:
        """Entries that verify."""
        return sum(file.segment.entries for file in self.files)

    @property
    def size(self) -> int:
        """Bytes looked at."""
        return sum(file.segment.size for file in self.files)


def check_file(path: Path) -> FileReport:
    """Verify one segment.

    Raises:
        NotAJournalError: the file is not a segment; one sentence that says what it is.
    """
    try:
        with path.open("rb") as file:
            live = is_live(file.fileno())
            start = file.read(MAX_LINE)
            check_start(path, start)  # before the rest: somebody may name a file of any size
            data = start + file.read()
    except OSError as error:
        raise NotAJournalError(f"{path}: cannot be read: {error.strerror}") from None
    return FileReport(path, verify_segment(path.stem, data, live=live), tuple(_retired(data)))


def _retired(data: bytes) -> Iterator[str]:
    """Name the segments that entries say were retired; the words alone prove nothing, a client may have sent them."""
    for match in _RETIRED.finditer(data):
        try:
            entry = parse(data[data.rfind(b"\n", 0, match.start()) + 1 : data.find(b"\n", match.end())])
        except NotAJournalError:
            continue
        if entry.get("event.name") == EventType.SENSITIVE_DELETE and entry.get("reason") == "retention":
            yield str(entry.get("seclog.retired.id"))


def check_journal(
    path: Path,
    progress: Callable[[int, int], object] | None = None,
    unreadable: Callable[[Path, NotAJournalError], object] | None = None,
) -> JournalReport:
    """Verify all segments under a path.

    Args:
        path: see `find_segments`.
        progress: called with (bytes done, bytes in all) after each segment.
        unreadable: called with a file that is not a segment, and why; the others are verified all the same. None
            raises the first such error.

    Raises:
        NotAJournalError: there is no journal, or a file in it is not a segment.
    """
    paths = find_segments(path)
    total = sum(item.stat().st_size for item in paths)
    done = 0
    files = []
    for item in paths:
        try:
            report = check_file(item)
        except NotAJournalError as error:
            if unreadable is None:
                raise
            unreadable(item, error)
            continue
        files.append(report)
        done += report.segment.size
        if progress is not None:
            progress(done, total)
    return JournalReport(tuple(_held_together(files)), tuple(_missing(files)) if path.is_dir() else ())


def _held_together(files: list[FileReport]) -> Iterator[FileReport]:
    """Hold each segment against what the one after it says about its end: a cut at the end shows there."""
    said = {file.segment.first.get("seclog.segment.previous.id"): file.segment.first for file in files}
    for file in files:
        after, segment = said.get(file.segment.id), file.segment
        if after is not None and segment.problem is None:
            count, head = after.get("seclog.segment.previous.count"), after.get("seclog.segment.previous.hash")
            if (count, head) != (segment.entries, segment.head):
                problem = Problem(
                    segment.entries,
                    f"the segment after it ({after.get('seclog.segment.id')}) says it ended otherwise",
                    f"{count} lines, hash {head}",
                    f"{segment.entries} lines, hash {segment.head}",
                )
                file = msgspec.structs.replace(file, segment=msgspec.structs.replace(segment, problem=problem, torn=0))
        yield file


def _missing(files: list[FileReport]) -> Iterator[str]:
    """Name predecessors that are gone, unless the journal itself says that they were retired."""
    there = {file.segment.id for file in files} | {retired for file in files for retired in file.retired}
    for file in files:
        first: dict[str, Any] = file.segment.first
        previous = first.get("seclog.segment.previous.id")
        if isinstance(previous, str) and previous not in there:
            yield previous
