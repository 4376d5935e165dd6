"""What a status code says by itself, in every framework."""

from http import HTTPStatus
from typing import Final

from seclog.events import EventType

BY_STATUS: Final = {
    405: EventType.HTTP_METHOD_UNEXPECTED,
    501: EventType.HTTP_METHOD_UNEXPECTED,
    429: EventType.EXCESS_RATE_LIMIT_EXCEEDED,
}
"""Statuses that have an event type of their own."""

ASKED_BY_BROWSERS: Final = (
    "/favicon.ico",
    "/apple-touch-icon",
    "/.well-known/appspecific/com.chrome.devtools.json",
)
"""Browsers ask for these by themselves: a 404 says nothing about anybody."""

REFUSAL: Final = "This action cannot be recorded at the moment and was therefore refused. Please try again later.\n"
"""The answer, with status 503, of `on_failure="block"`: what cannot be recorded is not done."""
RETRY_AFTER: Final = "5"


_RENAMED: Final = {
    413: "request_entity_too_large",
    414: "request_uri_too_long",
    416: "requested_range_not_satisfiable",
    422: "unprocessable_entity",
}
"""Statuses that Python 3.13 calls by the names of RFC 9110; a reason is the same on every Python."""


def reason_of(status: int) -> str | None:
    """Return a status code's name as a reason, such as "not_found"."""
    if status in _RENAMED:
        return _RENAMED[status]
    try:
        return HTTPStatus(status).name.lower()
    except ValueError:
        return None
