"""WHAT HAPPENED: the event types, what is known about each of them, and the Event itself."""

from seclog.events.event import Event
from seclog.events.fields import native_field
from seclog.events.types import EventType

__all__ = ["Event", "EventType", "native_field"]
