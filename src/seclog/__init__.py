"""seclog: the black-box recorder and early-warning system of a Python web app."""

__version__ = "0.1.0"

from seclog.api import (
    actor,
    admin_action,
    bind_user,
    change,
    configure,
    denied,
    emit,
    export,
    login_failed,
    login_succeeded,
    pseudonym,
    sensitive,
    unknown_name,
)
from seclog.errors import (
    ConfigurationError,
    MissingExtraError,
    NotAJournalError,
    NotRecordedError,
    SeclogError,
)
from seclog.events import Event, EventType
from seclog.settings import Settings

__all__ = [
    "ConfigurationError",
    "Event",
    "EventType",
    "MissingExtraError",
    "NotAJournalError",
    "NotRecordedError",
    "SeclogError",
    "Settings",
    "__version__",
    "actor",
    "admin_action",
    "bind_user",
    "change",
    "configure",
    "denied",
    "emit",
    "export",
    "login_failed",
    "login_succeeded",
    "pseudonym",
    "sensitive",
    "unknown_name",
]
