"""The catalogue: what is known about each event type, read from `catalogue.json` into frozen, typed records.

In: the packaged data file (the study of the standards: OWASP vocabulary, OCSF, ECS, OTel, ATT&CK, ASVS, PCI, CIM).
Out: `definition(name)` and `CATALOGUE`. Trusts the packaged file, and checks its shape while reading.
"""

from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

import msgspec

from seclog.events.fields import native_field
from seclog.events.titles import TITLES
from seclog.events.types import EventType

Severity = Literal["informational", "low", "medium", "high", "critical"]
Outcome = Literal["success", "failure", "unknown"]
Family = int | Literal["other"]

FAMILIES: MappingProxyType[Family, str] = MappingProxyType(
    {
        1: "login",
        2: "password",
        3: "session and token",
        4: "role and permission",
        5: "data access",
        6: "access denied",
        7: "API error and input",
        8: "new device or place",
        9: "configuration",
        10: "admin action",
        "other": "other",
    }
)
"""The ten families of the mission, and the rest, by number."""


class Ocsf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the type stands in the Open Cybersecurity Schema Framework 1.8."""

    class_uid: int
    class_name: str
    schema_class: str
    category_uid: int
    category_name: str
    activity_id: int
    activity_name: str
    type_uid: int
    status_id: int
    status: str
    profiles: tuple[str, ...]
    action_id: int | None = None
    action: str | None = None
    disposition_id: int | None = None
    disposition: str | None = None
    is_alert: bool | None = None
    next_1_9_0_dev: dict[str, object] | None = None


class Ecs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the type stands in the Elastic Common Schema 9.4."""

    kind: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    action: str
    outcome: Outcome


class Otel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The type's OpenTelemetry event name and severity number."""

    event_name: str
    severity_number: int


class SeverityScales(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The default severity on the three scales in use (OCSF 1..5, syslog 6..2, OTel 9..18)."""

    ocsf_severity_id: int
    ocsf_severity: str
    syslog_code: int
    syslog_name: str
    otel_severity_number: int


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the catalogue knows about one event type."""

    name: EventType
    family: Family
    tier: Literal["core", "extended"]
    origin: Literal["primary", "derived"]
    owasp_vocabulary: str | None
    owasp_format: str | None
    owasp_level: str | None
    ocsf: Ocsf
    ecs: Ecs
    otel: Otel
    mitre: tuple[str, ...]
    mitre_v19: tuple[str, ...]
    appsensor: tuple[str, ...]
    asvs: tuple[str, ...]
    pci: tuple[str, ...]
    pci_condition: str | None
    splunk_cim: str | None
    severity: SeverityScales
    required_fields: tuple[str, ...]
    emitted: Literal["auto", "call", "derived"]
    adapter_hint: str | None
    note: str | None

    @property
    def level(self) -> Severity:
        """The default severity as it is written in an entry."""
        return self.severity.ocsf_severity.lower()  # type: ignore[return-value]

    @property
    def outcome(self) -> Outcome:
        """The outcome this type has unless the event says otherwise."""
        return self.ecs.outcome

    @property
    def required(self) -> tuple[str, ...]:
        """The required fields by the names they have in an entry."""
        return tuple(native_field(name) for name in self.required_fields)

    @property
    def title(self) -> str:
        """The type in words, for messages."""
        return TITLES[self.name]


class _Document(msgspec.Struct, frozen=True):
    events: tuple[Definition, ...]
    base_required: tuple[str, ...]
    base_required_in_request: tuple[str, ...]


_decoder = msgspec.json.Decoder(_Document)
"""Made here, not with the first event: msgspec crashes when a signal handler's event comes in while it builds a type."""


@cache
def _document() -> _Document:
    return _decoder.decode(files("seclog.events").joinpath("catalogue.json").read_bytes())


@cache
def catalogue() -> MappingProxyType[str, Definition]:
    """Return all definitions by name, in the catalogue's order."""
    return MappingProxyType({definition.name.value: definition for definition in _document().events})


def definition(name: str) -> Definition | None:
    """Return the definition of an event type, or None for a name the catalogue does not have."""
    return catalogue().get(name)


def base_required(*, in_request: bool) -> tuple[str, ...]:
    """Return the fields every entry has; `a|b` means one of the two. More of them inside a request."""
    document = _document()
    return document.base_required + (document.base_required_in_request if in_request else ())
