"""A segment: one append-only file that one process writes, and that only its writer's death closes.

Opened with O_APPEND | O_EXCL, mode 0600, held with flock: who gets the lock knows that the writer is gone. A shared
file would be torn by a killed worker, a shared lock would serialise workers (research/integrity.md §1).
"""

import fcntl
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from seclog.journal.line import first_link, seal_line

SUFFIX: Final = ".jsonl"
UNBORN_PREFIX: Final = "."
"""A segment is made under a hidden name, and renamed once it is locked and begins with its start record: nobody can
mistake it for a dead one, and whoever is killed on the way leaves no file that is no segment."""

SEGMENT_ID = re.compile(r"\d{8}T\d{6}Z-\d{1,10}-[0-9a-f]{8}")


def new_segment_id(now_ns: int) -> str:
    """Return `<UTC start>-<pid>-<random>`, the stem of the segment's file name."""
    start = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    return f"{start:%Y%m%dT%H%M%SZ}-{os.getpid()}-{os.urandom(4).hex()}"


class Segment:
    """The open segment of this process. Not safe from several threads: the journal holds its lock around it.

    Args:
        folder: `journal/<host>`; must exist.
        segment_id: see `new_segment_id`.

    Raises:
        OSError: the file cannot be made or locked.
    """

    def __init__(self, folder: Path, segment_id: str) -> None:
        self.id = segment_id
        self.path = folder / (segment_id + SUFFIX)
        self.count = 0
        self.size = 0
        self.head = first_link(segment_id)
        self._unborn = folder / (UNBORN_PREFIX + segment_id + SUFFIX)
        self._fd = os.open(self._unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.discard()
            raise

    def publish(self) -> None:
        """Give the file its name, once its start record is written.

        Raises:
            OSError: it cannot be renamed.
        """
        self._unborn.rename(self.path)

    def append(self, body: bytes) -> None:
        """Write one line: complete, or not at all.

        Raises:
            OSError: nothing was written (after a short write the file is cut back to its last whole line).
        """
        line, head = seal_line(body, self.count + 1, self.head)
        end = self.size + len(line)
        try:
            written = os.write(self._fd, line)
            while written < len(line):  # a short write does not say why; the next one does, or finishes the line
                written += os.write(self._fd, line[written:])
            self.count += 1
            self.size = end
            self.head = head
        except BaseException:  # also what a signal handler raises between two steps: SystemExit, KeyboardInterrupt
            self._settle(end, head)
            raise

    def _settle(self, end: int, head: bytes) -> None:
        """Look at what the file holds after an interrupted append: the whole line counts, a part of it is cut off."""
        if self.size == end:
            return
        try:
            if os.fstat(self._fd).st_size >= end:
                self.count += 1
                self.size = end
                self.head = head
            else:
                os.ftruncate(self._fd, self.size)
        except OSError:
            self.close()  # it ends within a line and has to stay so: nothing may be written behind that

    def sync(self) -> None:
        """Bring what was written to the disk.

        Raises:
            OSError: the state of the file is unknown from here on; never write to it again.
        """
        os.fdatasync(self._fd)

    def is_in_place(self) -> bool:
        """Tell whether the file still stands under its name with the size we gave it."""
        try:
            there = self.path.stat()
            mine = os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino) and mine.st_size == self.size

    def close(self) -> None:
        """Give the file and its lock back. Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:  # somebody closed all descriptors of the process, or the close itself failed: it is gone
                pass

    def discard(self) -> None:
        """Remove a file that could not be begun; it holds nobody's entry."""
        self.close()
        self._unborn.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries (new and renamed files) to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
