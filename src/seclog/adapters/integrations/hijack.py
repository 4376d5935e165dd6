"""django-hijack: administrators who work as somebody else, and who they really are in every entry meanwhile.

The library logs the administrator in as the user, with Django's own signal; that is no login of the user. While it
lasts, each entry names the user as `user.id`, and who really acts as `seclog.impersonator.id`.

Tested with django-hijack 3.7.9.
"""

from typing import Any, Final

from django.apps import apps

from seclog.adapters._hooks import safely, tell
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import user_fields
from seclog.adapters.django.login import NOT_A_LOGIN
from seclog.adapters.integrations._library import Library
from seclog.context.scope import Context
from seclog.events import Event, EventType

library = Library("django-hijack")
_HISTORY: Final = "hijack_history"


def connect() -> None:
    """Listen to both signals, wrap the views that send them, and name the impersonator in every entry."""
    if not apps.is_installed("hijack"):
        return
    library.listen("hijack.signals.hijack_started", _started)
    library.listen("hijack.signals.hijack_ended", _ended)
    library.wrap("hijack.views.AcquireUserView.post", _without_login)
    library.wrap("hijack.views.ReleaseUserView.post", _without_login)
    if _impersonator not in scopes.more_facts:
        scopes.more_facts.append(_impersonator)


def _without_login(original: Any, *args: Any, **kwargs: Any) -> Any:
    scope = scopes.of()
    if scope is None:
        return original(*args, **kwargs)
    scope.note(NOT_A_LOGIN, True)
    try:
        return original(*args, **kwargs)
    finally:
        scope.note(NOT_A_LOGIN, None)


def _impersonator(context: Context, request: Any) -> None:
    """Read a session that is loaded; the first of the history is the one who really sits there."""
    history = getattr(getattr(request, "session", None), "_session_cache", {}).get(_HISTORY)
    context.impersonator = str(history[0]) if history else None


@safely
def _started(sender: Any, request: Any = None, hijacker: Any = None, hijacked: Any = None, **kwargs: Any) -> None:
    _tell(EventType.ADMIN_IMPERSONATION_START, hijacker, hijacked)


@safely
def _ended(sender: Any, request: Any = None, hijacker: Any = None, hijacked: Any = None, **kwargs: Any) -> None:
    _tell(EventType.ADMIN_IMPERSONATION_STOP, hijacker, hijacked)


def _tell(kind: EventType, hijacker: Any, hijacked: Any) -> None:
    fields = {**user_fields(hijacker, prefix="user"), **user_fields(hijacked)}
    tell(Event(type=kind, reason="hijack", fields=fields))
