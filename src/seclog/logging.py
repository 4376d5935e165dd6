"""The bridge to the stdlib's logging, on python-json-logger.

Three directions: `JSONFormatter` gives any handler of an existing LOGGING set-up the same flat, redacted JSON with
the request's context; `EventHandler` turns log records that carry an event into recorded events; `LoggerSink` gives
entries to the logger `seclog` (containers with read-only disks, or beside the journal with `log_entries`).
"""

import logging
from datetime import UTC, datetime
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.msgspec import MsgspecFormatter

from seclog.context import current
from seclog.events.event import Event
from seclog.journal.line import SCHEMA, encode_object
from seclog.redaction import Redactor

LOGGER_NAME: Final = "seclog"
_ENTRY: Final = "seclog_entry"
_EVENT: Final = "seclog_event"
_LEVELS: Final = {
    "informational": logging.INFO,
    "low": logging.INFO,
    "medium": logging.WARNING,
    "high": logging.ERROR,
    "critical": logging.CRITICAL,
}
_SEVERITIES: Final = ((50, "critical"), (40, "high"), (30, "medium"), (20, "informational"), (0, "informational"))


class LoggerSink:
    """Gives entries to the logger `seclog`, one JSON object a record. There is no chain: nobody keeps the order."""

    def __init__(self) -> None:
        self.redacted = 0
        self._logger = logging.getLogger(LOGGER_NAME)

    def append(self, body: bytes, *, keep: bool = True) -> bool:
        """Log an entry and return whether the logger is enabled for it."""
        text = body.decode("ascii") + "}"
        level = _LEVELS.get(_severity_of(text), logging.INFO)
        if not self._logger.isEnabledFor(level):
            return False
        self._logger.log(level, "%s", text, extra={_ENTRY: text})
        return True


def _severity_of(text: str) -> str:
    return text.partition('"severity":"')[2].partition('"')[0]


class JSONFormatter(MsgspecFormatter):
    """Formats log records as flat JSON with an entry's names; a record that carries an entry is written as it is.

    Message, extras, and exception text go through redaction like everything else. What dictConfig gives to a
    formatter (format, date format, style) is taken and not used: the form of an entry is fixed.
    """

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__("%(message)s", reserved_attrs=[*RESERVED_ATTRS, _ENTRY, _EVENT])
        self._redactor = Redactor()

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII JSON. Never raises for what the record carries."""
        entry = getattr(record, _ENTRY, None)
        if isinstance(entry, str):
            return entry
        fields: dict[str, object] = {
            "schema": SCHEMA,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "severity": next(name for level, name in _SEVERITIES if record.levelno >= level),
            "message": _message(record),
            "log.logger": record.name,
        }
        scope = current()
        if scope is not None:
            fields |= scope.fields()
        extras: dict[str, object] = {}
        self.add_fields(extras, record, {})
        extras.pop("message", None)
        fields |= {key: value for key, value in extras.items() if key not in fields}
        if record.exc_info:
            fields["error.stack"] = self.formatException(record.exc_info)
        clean, _ = self._redactor.redact(fields)
        return (encode_object(b"{", clean).replace(b"{,", b"{", 1) + b"}").decode("ascii")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format string must not lose the record
        return record.msg if isinstance(record.msg, str) else f"[unprintable {type(record.msg).__name__}]"


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - an exception that fails to say what it is
        return f"[unprintable {type(error).__name__}: {type(second).__name__}]"


class EventHandler(logging.Handler):
    """Records log records that name an event: `log.warning("…", extra={"seclog_event": "authz_fail"})`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Record the event, with the message, the exception if there is one, and the record's other extras as fields."""
        event_type = getattr(record, _EVENT, None)
        if not isinstance(event_type, str):
            return
        from seclog import api

        reserved = {*RESERVED_ATTRS, _EVENT, _ENTRY, "message", "asctime"}
        fields = {key: value for key, value in vars(record).items() if key not in reserved}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields = {"error.type": type(error).__qualname__, "error.message": _words(error), **fields}
        api.record(Event(type=event_type, message=_message(record), fields=api.named(fields)))
