"""Reading many segments as one: found as they come, merged by time, with few files open at once."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from seclog.errors import NotAJournalError
from seclog.journal.line import MAX_LINE, SCHEMA
from seclog.journal.reader import Line, check_start, find_segments, read_lines
from seclog.journal.segment import SEGMENT_ID

_HEAD: Final = f'{{"schema":"{SCHEMA}","timestamp":"'.encode()
_MOMENT: Final = slice(len(_HEAD), len(_HEAD) + len("2026-11-23T06:30:00.123456Z"))
_BLOCK: Final = 64 * 1024


class Found(NamedTuple):
    """A line, where it lies, and when it was written: the text of its timestamp, which sorts by time."""

    moment: str
    path: Path
    line: Line


class Segments:
    """The segments under a path, as they come and go. A file that is none is told once, and left out.

    Args:
        path: see `find_segments`.
        complain: called with one sentence for each file that is not a segment.
    """

    def __init__(self, path: Path, complain: Callable[[str], object]) -> None:
        self._path = path
        self._complain = complain
        self._good: set[Path] = set()
        self._told: set[Path] = set()

    def now(self) -> list[Path]:
        """Return those there are now, oldest first.

        Raises:
            NotAJournalError: there is none.
        """
        found = []
        errors = []
        for path in find_segments(self._path):
            try:
                self._check(path)
            except NotAJournalError as error:
                errors.append((path, str(error)))
            else:
                found.append(path)
        if errors and not found:
            raise NotAJournalError(errors[0][1])
        for path, message in errors:
            if path not in self._told and not _is_empty(path):
                self._told.add(path)
                self._complain(message)
        return found

    def _check(self, path: Path) -> None:
        if path in self._good:
            return
        try:
            with path.open("rb") as file:
                start = file.read(MAX_LINE)
        except OSError as error:
            raise NotAJournalError(f"{path}: cannot be read: {error.strerror}") from None
        check_start(path, start)
        self._good.add(path)


def merged(starts: Mapping[Path, int]) -> Iterator[Found]:
    """Yield the lines of many segments in the order of time.

    A segment is opened only when its turn comes (its name says when it began), so that years of segments need
    no more open files than there were processes at a time. Lines of one segment are never reordered.

    Args:
        starts: the offset to read from in each segment.
    """
    waiting = deque(sorted(starts, key=lambda path: path.name))
    number = itertools.count()
    heap: list[tuple[str, int, Found, Iterator[Found]]] = []
    while waiting or heap:
        while waiting and (not heap or _began(waiting[0]) <= heap[0][0]):
            path = waiting.popleft()
            lines = _lines(path, starts[path])
            if (first := next(lines, None)) is not None:
                heapq.heappush(heap, (first.moment, next(number), first, lines))
        if not heap:
            continue
        _, rank, found, lines = heap[0]
        yield found
        if (following := next(lines, None)) is not None:
            heapq.heapreplace(heap, (following.moment, rank, following, lines))
        else:
            heapq.heappop(heap)


def offset_of_last(path: Path, count: int) -> int:
    """Return where the last whole lines of a segment begin; reads no more than those; 0 if it is gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # retired since it was found
        return 0
    newlines = 0
    with file:
        position = file.seek(0, 2)
        while position > 0:
            step = min(_BLOCK, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            at = step
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                newlines += 1
                if newlines > count:
                    return position + at + 1
    return 0


def _lines(path: Path, offset: int) -> Iterator[Found]:
    moment = _began(path)
    try:
        for line in read_lines(path, offset):
            if line.raw.startswith(_HEAD):
                moment = line.raw[_MOMENT].decode("ascii", "replace")
            yield Found(moment, path, line)
    except FileNotFoundError:  # retired since it was found
        return


def _began(path: Path) -> str:
    """Return when a segment began, from its name, as a timestamp's beginning; "" for another name."""
    name = path.stem
    if not SEGMENT_ID.fullmatch(name):
        return ""
    return f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:{name[13:15]}"


def _is_empty(path: Path) -> bool:
    """Tell whether the file is empty or gone: in a folder of segments, one that was just made or retired."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return True
