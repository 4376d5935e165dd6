"""LOOP 1: the recorder. Event in, entry on disk; one pipeline, in the request, never an exception.

    event ──► context ──► redaction ──► encoding ──► journal

No network, no database, no lock shared between processes, nothing parsed that nobody asked for. Safe from threads,
from the event loop, from signal handlers and over fork.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from seclog.context.scope import CONTEXT_FIELDS, Context, Scope, current
from seclog.errors import NotRecordedError
from seclog.events.event import Event
from seclog.events.fields import ENVELOPE, JOURNAL_FIELDS, SERVICE
from seclog.journal.head import ID_WIDTH, UNKNOWN_TYPE, Stamps, make_head, title_of
from seclog.journal.line import encode_entry, encode_object
from seclog.redaction import Redactor

internal_log = logging.getLogger("seclog.internal")

COMPLAINT_SECONDS: Final = 60
"""An internal error is logged once in this time; all of them are counted."""

MAX_HEADS: Final = 1024
"""Kept heads; the types are few, but an unknown type's name comes from outside."""

_RESERVED: Final = frozenset({*ENVELOPE[:6], UNKNOWN_TYPE, *JOURNAL_FIELDS})
"""Keys that only the recorder and the journal write; user data under such a name is moved aside."""
_TAKEN: Final = _RESERVED | CONTEXT_FIELDS | frozenset({*SERVICE, "message"})
"""Names that another part of an entry writes too; fields under such a name take the road where all are merged."""
_NOBODY: Final = Context()


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
        self._heads: dict[object, tuple[bytes, slice]] = {}
        self._stamps = Stamps()
        self.errors = 0
        """Errors of our own that were contained."""
        self._complain_at = 0.0

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
        fields = event.fields
        is_plain = _TAKEN.isdisjoint(fields)
        if event.reason is not None:
            fields = {"reason": event.reason, **fields}
        if event.message is not None:
            fields = {"message": event.message, **fields}
        context, text = _NOBODY, ""
        if scope is not None:
            context = scope.ready()
            text = context.joined(self._redactor.clean_texts)
            if text == scope.harmless:  # an earlier event of this request had the same context
                text = ""
            if event.type not in scope.recorded:
                scope.recorded += (event.type,)

        if is_plain and self._redactor.is_harmless(fields, text):
            if scope is not None and text:
                scope.harmless = text
                if context.user_agent is not None:
                    self._redactor.remember_clean(context.user_agent)
            # The usual case: nothing to take out, no name written twice. The context is encoded as it is.
            head, event_id = self._head(event)
            body = encode_entry(head, context, fields)
        else:
            # A derived event belongs to the service of its source: nothing of ours is mixed in.
            service = {} if "service.name" in fields else self._service
            merged = {"message": title_of(event.type), **service, **msgspec.to_builtins(context), **fields}
            clean, masked = self._redactor.redact(merged)
            head, event_id = self._head(event, bare=True)
            body = encode_object(head, _set_aside(clean))
            self.sink.redacted += masked

        written = self.sink.append(body, keep=keep)
        if self._mirror is not None:
            self._show(body)
        return event_id if written else None

    def _show(self, body: bytes) -> None:
        """Give a written entry to the mirror. Its error is not the entry's."""
        assert self._mirror is not None
        try:
            self._mirror(body)
        except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
            self.complain("mirroring", error)

    def encode_control(self, event_type: str, fields: Mapping[str, object]) -> bytes:
        """Encode a control record of the journal: no context, since nobody's request caused it."""
        head, _ = self._head(Event(type=event_type))
        clean, _ = self._redactor.redact(fields)
        return encode_object(head, clean)

    # ── the head of an entry ─────────────────────────────────────────────────────────────────────────────────

    def _head(self, event: Event, *, bare: bool = False) -> tuple[bytes, str]:
        """Return the head with time and id filled in, and the id; a bare one has no service and no message."""
        key: object = event.type
        if bare or event.outcome is not None or event.severity is not None or event.message is not None:
            key = (key, event.outcome, event.severity, event.message is None, bare)
        made = self._heads.get(key)
        if made is None:
            made = make_head(event, None if bare else self._service)
            if len(self._heads) < MAX_HEADS:
                self._heads[key] = made
        form, id_at = made
        head = form % self._stamps.new(self._clock())
        if event.id is not None:
            given = event.id.encode("ascii", "replace")[:ID_WIDTH]
            return b"%b%b%b" % (head[: id_at.start], given, head[id_at.stop :]), event.id
        return head, head[id_at].decode()

    # ── our own failures ─────────────────────────────────────────────────────────────────────────────────────

    def _record_remains(self, event: Event, error: Exception) -> str | None:
        """Something in the pipeline broke: record at least what happened and when, and say what is missing."""
        self.complain("recording", error)
        try:
            head, event_id = self._head(Event(type=event.type))
            body = encode_object(head, {"seclog.incomplete": type(error).__name__})
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
        internal_log.disabled = False  # a LOGGING with disable_existing_loggers would silence us by accident
        try:
            internal_log.error(
                "seclog: %s failed, the app is not affected: %s (%d since start)",
                where,
                type(error).__name__,
                self.errors,
                exc_info=error,
            )
        except Exception:  # noqa: BLE001 - a broken logging set-up is not ours to raise
            return


def _set_aside(clean: dict[str, object]) -> dict[str, object]:
    """Rename what user data calls by a name that only the recorder and the journal may write."""
    if _RESERVED.isdisjoint(clean):
        return clean
    return {(f"seclog.field.{key}" if key in _RESERVED else key): value for key, value in clean.items()}
