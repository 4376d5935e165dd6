"""An Event: what happened, as an adapter or the app tells it. Context, redaction and the journal come after it."""

import msgspec


class Event(msgspec.Struct, kw_only=True):
    """What happened.

    Args:
        type: the event type, an `EventType`. A name outside the catalogue is recorded and marked, never lost.
        outcome: "success", "failure" or "unknown"; None takes the catalogue's default.
        severity: "informational" to "critical"; None takes the catalogue's default.
        message: one sentence for a person; None takes the type's name in words.
        reason: short machine-readable cause, such as "unknown_user".
        fields: flat fields by their names in an entry (`user.name`, `seclog.target.id`). Any value is allowed.
        id: a given event id, for derived events that must not be recorded twice; None makes a new one.
    """

    type: str
    outcome: str | None = None
    severity: str | None = None
    message: str | None = None
    reason: str | None = None
    fields: dict[str, object] = {}
    id: str | None = None
