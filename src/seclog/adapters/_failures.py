"""A request that went wrong, as an event: by its exception if there was one, else by its status. The same in every
framework.
"""

from seclog.adapters._denials import known
from seclog.adapters._exceptions import class_name, fingerprint, raised_at
from seclog.adapters._status import BY_STATUS, reason_of
from seclog.events import Event, EventType


def unhandled(exception: BaseException, parameters: dict[str, object]) -> Event:
    """Return the event of an exception that nobody handled. Its text stays out: it may hold anything."""
    return Event(
        type=EventType.APP_UNHANDLED_EXCEPTION,
        fields={
            "error.type": class_name(exception),
            "seclog.error.fingerprint": fingerprint(exception),
            "seclog.error.location": raised_at(exception),
            "seclog.params_censored": parameters,
        },
    )


def special(status: int, allow: str | None, retry_after: str | None) -> Event:
    """Return the event of a status that has an event type of its own.

    Args:
        status: one of `BY_STATUS`.
        allow: the methods that are there, as the answer names them.
        retry_after: when to come back, as the answer says.
    """
    fields = {"seclog.allowed_methods": allow, "seclog.retry_after": retry_after}
    return Event(type=BY_STATUS[status], fields=known(fields))


def answered(
    status: int, exception: BaseException | None, parameters: dict[str, object], reason: str | None = None
) -> Event:
    """Return the event of an error that the app answered.

    Args:
        status: the answer's, from 400 on.
        exception: what was answered, if it was an exception.
        parameters: what the client sent.
        reason: what is better than the status's name.
    """
    fields: dict[str, object] = {"seclog.params_censored": parameters}
    if exception is not None:
        fields["error.type"] = class_name(exception)
    elif status >= 500:
        fields["error.type"] = str(status)  # OpenTelemetry: when there is nothing better
    event_type = EventType.API_SERVER_ERROR if status >= 500 else EventType.API_CLIENT_ERROR
    return Event(type=event_type, reason=reason or reason_of(status), fields=fields)
