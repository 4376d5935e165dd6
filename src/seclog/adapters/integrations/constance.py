"""django-constance: settings in the database or in Redis, old → new.

The library also "changes" a setting when it stores the default at the first read: that is none.
Values whose name says that they are secret are masked by the redactor.

Tested with django-constance 4.4.0.
"""

from typing import Any

from django.apps import apps

from seclog.adapters._hooks import safely, tell
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("django-constance")


def connect() -> None:
    """Listen to changed settings, whatever keeps them."""
    if apps.is_installed("constance"):
        library.listen("constance.signals.config_updated", _updated)


@safely
def _updated(sender: Any, key: Any = None, old_value: Any = None, new_value: Any = None, **kwargs: Any) -> None:
    from constance import settings

    if old_value is None:
        old_value = settings.CONFIG.get(key, (None,))[0]
    if old_value == new_value:
        return
    resolve_actor()
    fields = {
        "seclog.action": "change",
        "seclog.target.type": "constance",
        "seclog.target.name": key,
        "seclog.change.field": key,
        "seclog.change.old": old_value,
        "seclog.change.new": new_value,
    }
    tell(Event(type=EventType.CONFIG_CHANGED, fields=fields))
