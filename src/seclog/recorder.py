"""LOOP 1: the recorder. Event in, entry on disk; one pipeline, in the request, never an exception.

    event ──► context ──► redaction ──► encoding ──► journal

No network, no database, no lock shared between processes, nothing parsed that nobody asked for. Safe from threads,
from the event loop, from signal handlers and over fork.
"""

import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from seclog.context import Scope, current
from seclog.errors import NotRecordedError
from seclog.events.catalogue import definition
from seclog.events.event import Event
from seclog.events.fields import ENVELOPE, JOURNAL_FIELDS
from seclog.journal.line import SCHEMA, encode_object
from seclog.redaction import Redactor, scrub

internal_log = logging.getLogger("seclog.internal")

SEVERITIES: Final = frozenset({"informational", "low", "medium", "high", "critical"})
OUTCOMES: Final = frozenset({"success", "failure", "unknown"})
COMPLAINT_SECONDS: Final = 60
"""An internal error is logged once in this time; all of them are counted."""

_RESERVED: Final = frozenset(ENVELOPE[:6]) | frozenset(JOURNAL_FIELDS)
"""Keys that only the recorder and the journal write; user data under such a name is moved aside."""


class EntrySink(Protocol):
    """Where entries go: the journal, or the logger where there is no disk."""

    redacted: int

    def append(self, body: bytes, *, keep: bool = True) -> bool:
        """Write an entry (an encoded object without its closing brace). Return whether it is written."""


class Recorder:
    """Records events.

    Args:
        sink: the journal, or the logger sink.
        redactor: takes out what must not be written.
        service: `service.name`, `service.version`, `deployment.environment.name`, as far as known.
        clock: nanoseconds since the epoch.
        mirror: called with every written body as well (the logging bridge), or None.
    """

    def __init__(
        self,
        sink: EntrySink,
        redactor: Redactor,
        service: Mapping[str, str],
        *,
        clock: Callable[[], int] = time.time_ns,
        mirror: Callable[[bytes], object] | None = None,
    ) -> None:
        self.sink = sink
        self._redactor = redactor
        self._service = dict(service)
        self._clock = clock
        self._mirror = mirror
        self._heads: dict[tuple[str, str | None, str | None], tuple[bytes, str]] = {}
        self.errors = 0
        """Errors of our own that were contained."""
        self._complain_at = 0.0
        self._new_ids()

    def record(self, event: Event, scope: Scope | None = None, *, keep: bool = True) -> str | None:
        """Record an event and return its id; or None when it could not be written, which is counted and told.

        Args:
            event: what happened.
            scope: who and where; None takes the current request's or job's.
            keep: whether to keep the entry in memory while the disk refuses it; False if the caller tries again.

        Raises:
            NotRecordedError: only with `on_failure="block"`.
        """
        try:
            return self._record(event, scope or current(), keep)
        except NotRecordedError:
            raise
        except Exception as error:  # noqa: BLE001 - the app must never notice
            return self._record_remains(event, error)

    def _record(self, event: Event, scope: Scope | None, keep: bool) -> str | None:
        head, title = self._head_of(event)
        fields: dict[str, object] = {"message": event.message or title}
        if event.reason is not None:
            fields["reason"] = event.reason
        fields |= self._service
        if scope is not None:
            fields |= scope.fields()
            if scope.recorded is None:
                scope.recorded = set()
            scope.recorded.add(event.type)
        fields |= event.fields

        clean, masked = self._redactor.redact(fields)
        if not _RESERVED.isdisjoint(clean):
            clean = {(f"seclog.field.{key}" if key in _RESERVED else key): value for key, value in clean.items()}

        now = self._clock()
        event_id = event.id or self._id(now)
        body = encode_object(head % (_timestamp(now), event_id.encode("ascii", "replace")), clean)

        self.sink.redacted += masked
        written = self.sink.append(body, keep=keep)
        if self._mirror is not None:
            self._mirror(body)
        return event_id if written else None

    # ── the head of an entry ─────────────────────────────────────────────────────────────────────────────────

    def _head_of(self, event: Event) -> tuple[bytes, str]:
        key = (event.type, event.outcome, event.severity)
        head = self._heads.get(key)
        if head is None:
            head = _make_head(*key)
            if len(self._heads) < 1024:
                self._heads[key] = head
        return head

    def encode_control(self, event_type: str, fields: Mapping[str, object]) -> bytes:
        """Encode a control record of the journal: no context, since nobody's request caused it."""
        head, title = self._head_of(Event(type=event_type))
        now = self._clock()
        clean, _ = self._redactor.redact({"message": title, **self._service, **fields})
        return encode_object(head % (_timestamp(now), self._id(now).encode()), clean)

    def _new_ids(self) -> None:
        self._id_pid = os.getpid()
        self._id_random = os.urandom(8).hex()
        self._id_count = itertools.count(1)

    def _id(self, now_ns: int) -> str:
        """Return a UUID version 7: milliseconds, a counter, and a random part that is new in every process."""
        if self._id_pid != os.getpid():
            self._new_ids()
        count = next(self._id_count)
        milliseconds = now_ns // 1_000_000
        random = self._id_random
        return (
            f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{count & 0xFFF:03x}"
            f"-{0x8000 | (count >> 12) & 0x3FFF:04x}-{random[4:]}"
        )

    # ── our own failures ─────────────────────────────────────────────────────────────────────────────────────

    def _record_remains(self, event: Event, error: Exception) -> str | None:
        """Something in the pipeline broke: record at least what happened and when, and say what is missing."""
        self.complain("recording", error)
        try:
            head, title = self._head_of(event)
            now = self._clock()
            event_id = self._id(now)
            fields: dict[str, object] = {"message": title, **self._service, "seclog.incomplete": type(error).__name__}
            body = encode_object(head % (_timestamp(now), event_id.encode()), fields)
            return event_id if self.sink.append(body) else None
        except NotRecordedError:
            raise
        except Exception as second:  # noqa: BLE001
            self.complain("recording", second)
            return None

    def complain(self, where: str, error: BaseException) -> None:
        """Count an error of our own, and log it at most once a minute to `seclog.internal`. Never raises."""
        self.errors += 1
        now = time.monotonic()
        if now < self._complain_at:
            return
        self._complain_at = now + COMPLAINT_SECONDS
        try:
            internal_log.error(
                "seclog: %s failed, the app is not affected: %s (%d since start)", where, type(error).__name__,
                self.errors, exc_info=error,
            )
        except Exception:  # noqa: BLE001 - a broken logging set-up is not ours to raise
            return


def _make_head(name: str, outcome: str | None, severity: str | None) -> tuple[bytes, str]:
    """Build the constant part of an entry's head, with places for the timestamp and the id; and the type's title."""
    name = str(name)
    known = definition(name)
    if known is None:
        internal_log.warning("seclog: unknown event type %r is recorded as it is; `seclog catalogue` lists all", scrub(name)[:64])
        safe = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)[:64] or "unnamed"
        default_outcome, default_severity, title = "unknown", "medium", "Event of a type that the catalogue does not have"
        name, extra = safe, b',"seclog.unknown_type":true'
    else:
        default_outcome, default_severity, title, extra = known.outcome, known.level, known.title, b""
    outcome = outcome if outcome in OUTCOMES else default_outcome
    severity = severity if severity in SEVERITIES else default_severity
    head = (
        b'{"schema":"%b","timestamp":"%%b","event.name":"%b","event.id":"%%b","event.outcome":"%b","severity":"%b"%b'
        % (SCHEMA.encode(), name.encode(), outcome.encode(), severity.encode(), extra)
    )
    return head, title


_last_second: tuple[int, bytes] = (-1, b"")


def _timestamp(now_ns: int) -> bytes:
    """Return RFC 3339 in UTC with microseconds. The text of the running second is kept: formatting it is the cost."""
    global _last_second
    second, rest = divmod(now_ns, 1_000_000_000)
    known, text = _last_second
    if second != known:
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        _last_second = (second, text)  # one assignment: threads see an old pair or a new one, never a mixed one
    return b"%b.%06dZ" % (text, rest // 1000)
