"""The journal of this process: entries in, one segment at a time out, and what happens when the disk says no.

In: encoded entries without their closing brace. Out: lines on disk, or (counted, and told on stderr) not.
Control records (start, heartbeat, stop, delivery failed) are ordinary entries, made here because only here is known
what they say. Trusts nothing of the file system.
"""

import errno
import os
import socket
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from seclog.errors import NotRecordedError
from seclog.events.types import EventType
from seclog.journal.line import SCHEMA
from seclog.journal.segment import Segment, new_segment_id, sync_folder

MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024
MAX_SEGMENT_SECONDS: Final = 3600
HEARTBEAT_SECONDS: Final = 60
BACKLOG_ENTRIES: Final = 1000
"""Entries kept in memory while the disk refuses them; written later, in order, or counted as dropped."""
BACKLOG_BYTES: Final = 1024 * 1024
RETRY_SECONDS: Final = 1
"""How long a refused opening is believed before it is tried again."""
STDERR_LINES: Final = 100
"""Entries written to stderr between two successes; a full disk must not become a full log of the supervisor."""

ControlEncoder = Callable[[EventType, Mapping[str, object]], bytes]


def host_folder(directory: Path, host: str | None = None) -> Path:
    """Return `directory/journal/<host>`, with a host name that is safe as a file name."""
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in (host or socket.gethostname()))[:64]
    return directory / "journal" / (name.lstrip(".") or "localhost")


class Journal:
    """Appends entries to the process's own segment. Safe from threads, signal handlers and over fork.

    Args:
        directories: where to write; the second and later ones are used while the ones before them refuse.
        encode_control: makes the body of a control record.
        ack: "kernel" (written when `append` returns, survives kill -9) or "disk" (synced too).
        on_failure: "degrade" never raises; "block" raises NotRecordedError.
        about: constant facts for the start record (settings digest, library version …).
        clock: nanoseconds since the epoch. Passed in, so that tests need not wait.
        max_bytes: a segment's size at which the next one is begun.
        max_seconds: a segment's age at which the next one is begun.
        on_open: called after each new segment.
    """

    def __init__(
        self,
        directories: tuple[Path, ...],
        encode_control: ControlEncoder,
        *,
        ack: Literal["kernel", "disk"] = "kernel",
        on_failure: Literal["degrade", "block"] = "degrade",
        about: Mapping[str, object] | None = None,
        clock: Callable[[], int] = time.time_ns,
        max_bytes: int = MAX_SEGMENT_BYTES,
        max_seconds: int = MAX_SEGMENT_SECONDS,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self._directories = directories
        self._encode_control = encode_control
        self._sync = ack == "disk"
        self._block = on_failure == "block"
        self._about = dict(about or {})
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_ns = max_seconds * 1_000_000_000
        self._on_open = on_open
        self._reset()
        _JOURNALS.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._inner: deque[bytes] = deque()
        self._segment: Segment | None = None
        self._previous: dict[Path, Segment] = {}
        self._rotate_at = 0
        self._heartbeat_at = 0
        self._retry_at = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._stderr_left = STDERR_LINES
        self._failure: OSError | None = None
        self._delayed = 0
        self.recorded = 0
        """Entries written by this process, control records not counted."""
        self.redacted = 0
        """Values that the recorder masked; counted here because the heartbeat tells it."""
        self.dropped: Counter[str] = Counter()
        """Entries lost by this process, by reason."""
        self._told_dropped = 0
        self.generation = getattr(self, "generation", 0) + 1
        """Grows with every fork: what a thread of the parent knew does not hold in the child."""

    # ── appending ────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, body: bytes, *, keep: bool = True) -> bool:
        """Write an entry and return True; or False, when it waits in memory or was dropped, which is counted.

        Args:
            body: an encoded object without its closing brace.
            keep: whether to keep an entry that cannot be written; False for callers that will try again themselves.

        Raises:
            NotRecordedError: it is not on disk, and `on_failure` is "block".
        """
        with self._lock:
            if self._busy:  # a signal handler or a logging handler came in between two steps of our own
                if len(self._inner) == BACKLOG_ENTRIES:
                    self.dropped["reentrant"] += 1
                    return False
                self._inner.append(body)
                return True
            self._busy = True
            try:
                segment = self._segment
                if (
                    segment is None
                    or self._sync
                    or self._failure is not None
                    or segment.size >= self._max_bytes
                    or self._clock() >= self._rotate_at
                ):
                    written = self._append(body, keep)
                else:  # the usual case, without a detour: this is the request path
                    try:
                        segment.append(body)
                        self.recorded += 1
                        written = True
                    except OSError as error:
                        written = self._append_elsewhere(body, error, keep)
                if self._inner:
                    self._append_inner()
            finally:
                self._busy = False
        if not written and self._block:
            raise NotRecordedError(f"the entry is not on disk: {_words(self._failure)}")
        return written

    def _append_inner(self) -> None:
        """Write what was recorded from within our own steps."""
        while self._inner:
            self._append(self._inner.popleft(), True)

    def _append(self, body: bytes, keep: bool) -> bool:
        try:
            segment = self._ready_segment()
            if self._backlog:
                self._drain(segment)
            segment.append(body)
            if self._sync:
                segment.sync()
        except OSError as error:
            return self._append_elsewhere(body, error, keep)
        self.recorded += 1
        self._tell_recovery(segment)
        return True

    def _ready_segment(self) -> Segment:
        segment = self._segment
        if segment is None:
            return self._open()
        if segment.size >= self._max_bytes or self._clock() >= self._rotate_at:
            self._stop("rotated")
            return self._open()
        return segment

    def _append_elsewhere(self, body: bytes, error: OSError, keep: bool) -> bool:
        """The segment refused. A new one may not: an error of one file, or a second directory. Else keep or drop."""
        self._failure = error
        segment = self._segment
        if segment is not None and (self._sync or error.errno in _OF_THE_FILE or not segment.is_in_place()):
            self._abandon()
        if error.errno not in _FULL or len(self._directories) > 1:
            try:
                if error.errno in _FULL:
                    self._abandon()
                segment = self._ready_segment()
                segment.append(body)
                if self._sync:
                    segment.sync()
            except OSError as second:
                self._failure = second
                if self._sync:
                    self._abandon()
            else:
                self.recorded += 1
                self._tell_recovery(segment)
                return True
        if keep and self._block:
            self.dropped["refused"] += 1
        elif keep:
            self._keep(body)
        return False

    def _keep(self, body: bytes) -> None:
        if self._stderr_left > 0:
            self._stderr_left -= 1
            _stderr(body + b',"seclog.unrecorded":true}\n')
        self._backlog.append(body)
        self._backlog_bytes += len(body)
        while len(self._backlog) > BACKLOG_ENTRIES or self._backlog_bytes > BACKLOG_BYTES:
            self._backlog_bytes -= len(self._backlog.popleft())
            self.dropped[_reason(self._failure)] += 1

    def _drain(self, segment: Segment) -> None:
        while self._backlog:
            segment.append(self._backlog[0])
            if self._sync:
                segment.sync()  # before it is forgotten here: an entry in memory can be written again
            self._backlog_bytes -= len(self._backlog.popleft())
            self.recorded += 1
            self._delayed += 1

    def _tell_recovery(self, segment: Segment) -> None:
        """Write into the chain what failed, and what was lost or late by it: loss is never silent."""
        if self._failure is None:
            return
        lost = self.dropped.total() - self._told_dropped
        fields = {
            "reason": _reason(self._failure),
            "seclog.sink": "journal",
            "seclog.dropped": lost,
            "seclog.delayed": self._delayed,
        }
        try:
            segment.append(self._encode_control(EventType.AUDIT_LOG_DELIVERY_FAILED, fields))
        except OSError as error:  # there was room for the entry, but not for this: told with the next one
            self._failure = error
            return
        self._told_dropped += lost
        self._delayed = 0
        self._failure = None
        self._stderr_left = STDERR_LINES

    # ── segments ─────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> Segment:
        now = self._clock()
        if self._failure is not None and 0 < self._retry_at - now <= RETRY_SECONDS * 1_000_000_000:
            raise self._failure  # a clock that was set back must not make the pause longer
        error: OSError | None = None
        for directory in self._directories:
            try:
                segment = self._open_in(directory, now)
            except OSError as refused:
                error = error or refused
                continue
            self._segment = segment
            self._rotate_at = now + self._max_ns
            self._heartbeat_at = now + HEARTBEAT_SECONDS * 1_000_000_000
            self._retry_at = 0
            if self._on_open is not None:
                self._on_open()
            return segment
        self._retry_at = now + RETRY_SECONDS * 1_000_000_000
        assert error is not None
        raise error

    def _open_in(self, directory: Path, now: int) -> Segment:
        folder = host_folder(directory)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        segment = Segment(folder, new_segment_id(now))
        fields: dict[str, object] = {
            "seclog.sink": "journal",
            "seclog.schema": SCHEMA,
            "seclog.segment.id": segment.id,
            "host.name": socket.gethostname(),
            "seclog.host.boot_id": _boot_id(),
            "process.pid": os.getpid(),
            **self._about,
        }
        previous = self._previous.get(folder)  # of the same folder: who verifies it has only that one before him
        if previous is not None:
            fields["seclog.segment.previous.id"] = previous.id
            fields["seclog.segment.previous.count"] = previous.count
            fields["seclog.segment.previous.hash"] = previous.head.hex()
        try:
            segment.append(self._encode_control(EventType.AUDIT_LOG_STARTED, fields))
            if self._sync:
                segment.sync()
            segment.publish()
            if self._sync:
                sync_folder(folder)
        except BaseException:
            segment.discard()
            raise
        return segment

    def _stop(self, reason: str) -> None:
        """End the segment with its stop record. What cannot be written any more is told by the watch's recovery."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            fields = {
                "reason": reason,
                "seclog.sink": "journal",
                "seclog.last_seq": segment.count + 1,
                **self._counters(),
            }
            segment.append(self._encode_control(EventType.AUDIT_LOG_STOPPED, fields))
            if self._sync:
                segment.sync()
            self._previous[segment.path.parent] = segment
        except OSError as error:
            self._failure = error
        finally:
            segment.close()

    def _abandon(self) -> None:
        """Leave a file whose state is not known; it is never written again, and recovery will look at it."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    # ── the background's calls ───────────────────────────────────────────────────────────────────────────────

    def pulse(self) -> None:
        """Do what time demands: heartbeat, rotation by age, a look whether our file is still in place. Never raises."""
        with self._lock:
            if self._busy or (self._segment is None and not self._backlog):
                return
            self._busy = True
            try:
                if self._segment is not None and not self._segment.is_in_place():
                    self._tell_displaced(self._segment)
                segment = self._ready_segment()
                if self._backlog:
                    self._drain(segment)
                self._tell_recovery(segment)
                if not 0 < self._heartbeat_at - self._clock() <= HEARTBEAT_SECONDS * 1_000_000_000:
                    self._heartbeat_at = self._clock() + HEARTBEAT_SECONDS * 1_000_000_000
                    segment.append(self._encode_control(EventType.AUDIT_LOG_HEARTBEAT, self._counters()))
                self._append_inner()
            except OSError as error:
                self._failure = error
            finally:
                self._busy = False

    def _tell_displaced(self, segment: Segment) -> None:
        """Our file was removed, replaced or changed by somebody: go on in a new one and say so there."""
        self._failure = OSError(errno.ESTALE, "the segment was removed, replaced or changed", str(segment.path))
        self._abandon()
        fields = {
            "reason": "segment_removed_or_changed",
            "seclog.sink": "journal",
            "seclog.dropped": segment.count,
            "seclog.segment.lost.id": segment.id,
            "seclog.segment.lost.count": segment.count,
            "seclog.segment.lost.hash": segment.head.hex(),
        }
        told = self._encode_control(EventType.AUDIT_LOG_DELIVERY_FAILED, fields)
        try:
            self._open().append(told)
        except OSError:
            self._keep(told)
            raise
        self._failure = None

    def close(self, reason: str = "exit") -> None:
        """End the segment with a stop record. A later append begins a new one."""
        with self._lock:
            if self._backlog or self._inner:
                try:
                    segment = self._ready_segment()
                    self._drain(segment)
                    self._tell_recovery(segment)
                    self._append_inner()
                except OSError as error:
                    self._failure = error
                if self._backlog:
                    self.dropped[_reason(self._failure)] += len(self._backlog)
                    self._backlog.clear()
                    lost = self.dropped.total() - self._told_dropped
                    _stderr(f"seclog: {lost} entries could not be recorded: {_words(self._failure)}\n".encode())
            self._stop(reason)

    @property
    def is_begun(self) -> bool:
        """Whether this process has something to end: an open segment, or entries that wait for one."""
        return self._segment is not None or bool(self._backlog)

    @property
    def segment_path(self) -> Path | None:
        """The file that is written now, if one is."""
        segment = self._segment
        return segment.path if segment is not None else None

    def _counters(self) -> dict[str, object]:
        counters: dict[str, object] = {
            "seclog.recorded": self.recorded,
            "seclog.redacted": self.redacted,
            "seclog.dropped": self.dropped.total(),
        }
        if self.dropped:
            counters["seclog.dropped_by_reason"] = dict(self.dropped)
        return counters

    # ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        """Let go of the parent's file at once: a descriptor that lives on here would keep its lock after its death."""
        self._abandon()
        self._reset()


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_OF_THE_FILE: Final = frozenset({errno.EIO, errno.EFBIG, errno.EBADF})
"""Errors that a new file may not have: a bad block, a limit of a file's size (RLIMIT_FSIZE), a descriptor closed by others."""
_JOURNALS: weakref.WeakSet[Journal] = weakref.WeakSet()


def _for_all(step: Callable[[Journal], None]) -> Callable[[], None]:
    def run() -> None:
        for journal in list(_JOURNALS):
            step(journal)

    return run


os.register_at_fork(
    before=_for_all(Journal._before_fork),
    after_in_parent=_for_all(Journal._after_fork_in_parent),
    after_in_child=_for_all(Journal._after_fork_in_child),
)


def _reason(error: OSError | None) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO") if error is not None else "unknown"


def _words(error: OSError | None) -> str:
    return f"{error.strerror} ({_reason(error)})" if error is not None else "unknown"


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _stderr(line: bytes) -> None:
    try:
        sys.stderr.flush()
        os.write(2, line)
    except (OSError, ValueError, AttributeError):
        return
