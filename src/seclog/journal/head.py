"""The head of an entry: what only the recorder writes, and what is the same for all entries of a type.

Everything here is trusted ASCII; it is formatted once a type and filled with time and id.
"""

import itertools
import logging
import os
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from seclog.events.catalogue import definition
from seclog.events.event import Event
from seclog.journal.line import SCHEMA, encode_object
from seclog.redaction import scrub

internal_log = logging.getLogger("seclog.internal")

SEVERITIES: Final = frozenset({"informational", "low", "medium", "high", "critical"})
OUTCOMES: Final = frozenset({"success", "failure", "unknown"})
MAX_WARNINGS: Final = 100
ID_WIDTH: Final = 36
UNKNOWN_TYPE: Final = "seclog.unknown_type"
UNKNOWN_TITLE: Final = "Event of a type that the catalogue does not have"


def title_of(event_type: str) -> str:
    """Return a type in words, the message of an event that brings none."""
    known = definition(event_type)
    return UNKNOWN_TITLE if known is None else known.title


def make_head(event: Event, service: Mapping[str, str] | None) -> tuple[bytes, slice]:
    """Return a format for the head of the event's entries, to be filled with a `Stamp`, and where the id stands.

    Args:
        event: type, outcome, severity and message matter; what it leaves open comes from the catalogue.
        service: the service's fields; None for a head that has neither them nor a message.
    """
    known = definition(event.type)
    if known is None:
        _warn(event.type)
        name, outcome, severity = _safe(event.type), "unknown", "medium"
    else:
        name, outcome, severity = known.name.value, str(known.outcome), str(known.level)
    head = (
        b'{"schema":"%b","timestamp":"\x00","event.name":"%b","event.id":"\x01","event.outcome":"%b","severity":"%b"'
        % (
            SCHEMA.encode(),
            name.encode(),
            (event.outcome if event.outcome in OUTCOMES else outcome).encode(),
            (event.severity if event.severity in SEVERITIES else severity).encode(),
        )
    )
    fields: dict[str, object] = {UNKNOWN_TYPE: True} if known is None else {}
    if service is not None:
        if event.message is None:
            fields["message"] = title_of(event.type)
        fields |= service
    head = encode_object(head, fields)
    id_at = head.index(b"\x01") - 1 + len("2026-01-01T00:00:00.000000Z")
    form = head.replace(b"%", b"%%").replace(b"\x00", b"%b.%06dZ").replace(b"\x01", b"%b-%04x-7%03x-%b")
    return form, slice(id_at, id_at + ID_WIDTH)


def _warn(event_type: str) -> None:
    """Say once of a type that the catalogue does not have it."""
    if event_type not in _warned and len(_warned) < MAX_WARNINGS:
        _warned.add(event_type)
        shown = scrub(event_type)[:64]
        internal_log.warning("seclog: unknown event type %r is recorded as it is; `seclog catalogue` lists all", shown)


_warned: set[str] = set()


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)[:64] or "unnamed"


class Stamps:
    """Makes what differs from head to head: the time, and the id, a UUID of version 7. Safe from threads and over fork.

    What changes once a second (the time's text) or once a minute (the id's beginning) is kept.
    """

    def __init__(self) -> None:
        self._begin()
        _STAMPS.add(self)

    def _begin(self) -> None:
        """Draw a random part of this process's own; ids of one process differ by time and counter."""
        random = os.urandom(8).hex()
        self._random = f"{0x8 | int(random[0], 16) & 0x3:x}{random[1:4]}-{random[4:]}".encode()
        self._count = itertools.count(1)
        self._kept: tuple[int, bytes] = (-1, b"")
        self._kept_prefix: tuple[int, bytes] = (-1, b"")

    def new(self, now_ns: int) -> tuple[bytes, int, bytes, int, int, bytes]:
        """Return what fills a head's places: RFC 3339 up to the second, microseconds, and the id in four parts."""
        second, rest = divmod(now_ns, 1_000_000_000)
        known, text = self._kept
        if second != known:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
            self._kept = (second, text)  # one assignment: threads see an old pair or a new one, never a mixed one
        milliseconds = now_ns // 1_000_000
        known, prefix = self._kept_prefix
        if milliseconds >> 16 != known:
            prefix = b"%08x" % (milliseconds >> 16)
            self._kept_prefix = (milliseconds >> 16, prefix)
        return text, rest // 1000, prefix, milliseconds & 0xFFFF, next(self._count) & 0xFFF, self._random


_STAMPS: weakref.WeakSet[Stamps] = weakref.WeakSet()


def _begin_all() -> None:
    for stamps in list(_STAMPS):
        stamps._begin()


os.register_at_fork(after_in_child=_begin_all)
