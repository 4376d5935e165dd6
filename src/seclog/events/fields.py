"""Field names in an entry: OpenTelemetry's where it has one, `seclog.*` for the rest.

The standards study names fields briefly (`target.id`); on disk a field that no standard names lives under `seclog.`.
"""

from typing import Final

ENVELOPE: Final = (
    "schema",
    "timestamp",
    "event.name",
    "event.id",
    "event.outcome",
    "severity",
    "message",
    "reason",
)
"""The head of an entry, in its order. Written by the recorder, never by user data."""

JOURNAL_FIELDS: Final = ("seclog.seq", "seclog.hash")
"""The tail of an entry: the journal alone writes these two, last."""

SERVICE: Final = ("service.name", "service.version", "deployment.environment.name")

STANDARD_FIELDS: Final = frozenset(
    {
        *ENVELOPE,
        *SERVICE,
        "client.address",
        "error.type",
        "file.name",
        "host.name",
        "http.request.header.origin",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "span_id",
        "trace_id",
        "url.path",
        "user.id",
        "user.name",
        "user_agent.original",
    }
)
"""Names that OpenTelemetry's semantic conventions (or the envelope) define, kept as they are."""


def native_field(name: str) -> str:
    """Return the name a field has in an entry: a standard name as it is, anything else under `seclog.`."""
    if name in STANDARD_FIELDS or name.startswith("seclog."):
        return name
    return f"seclog.{name}"
