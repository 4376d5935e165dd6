"""Family 8: a login from a device or a network that this user has not used before.

The very first login of a user makes both known and stays quiet: there is nothing to compare it with.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from seclog.enrichment.device import describe, device_hash, network
from seclog.events.event import Event
from seclog.events.types import EventType

_CARRIED = (
    "service.name",
    "service.version",
    "deployment.environment.name",
    "user.id",
    "user.name",
    "client.address",
    "user_agent.original",
    "seclog.request.id",
    "seclog.session.id_hash",
)
"""What a derived entry takes over from the entry it is derived from."""


class Knowledge(Protocol):
    """What the recogniser asks and tells."""

    def learn(self, service: str, user: str, kind: str, value: str, moment: str) -> bool:
        """Remember a value of a user; return True if it is new and others of its kind were known before."""


def recognise(entry: dict[str, Any], knowledge: Knowledge) -> Iterator[Event]:
    """Yield the derived events of one entry."""
    user = entry.get("user.id")
    if entry.get("event.name") != EventType.AUTHN_LOGIN_SUCCESS or not isinstance(user, str):
        return
    service, moment = str(entry.get("service.name", "")), str(entry.get("timestamp", ""))
    device = describe(entry.get("user_agent.original"))
    where = network(entry.get("client.address"))
    if entry.get("user_agent.original") and knowledge.learn(service, user, "device", device, moment):
        fields = {"seclog.device.id_hash": device_hash(device), "seclog.device.name": device}
        yield _derived(EventType.AUTHN_NEW_DEVICE, entry, f"Login from a new device: {device}", fields)
    if where is not None and knowledge.learn(service, user, "network", where, moment):
        yield _derived(EventType.AUTHN_NEW_IP, entry, f"Login from a new network: {where}", {"seclog.network": where})


def _derived(kind: EventType, entry: dict[str, Any], message: str, fields: Mapping[str, object]) -> Event:
    carried = {key: entry[key] for key in _CARRIED if key in entry}
    source = {"seclog.source.event.id": entry.get("event.id"), "seclog.source.timestamp": entry.get("timestamp")}
    return Event(type=kind, message=message, fields={**carried, **fields, **source})
