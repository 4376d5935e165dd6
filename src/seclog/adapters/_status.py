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


def reason_of(status: int) -> str | None:
    """Return a status code's name as a reason, such as "not_found"."""
    try:
        return HTTPStatus(status).name.lower()
    except ValueError:
        return None
