"""What the doctor says: frozen, ready to become JSON. The names here are the schema `seclog-doctor/1`."""

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA: Final = "seclog-doctor/1"

Status = Literal["recorded", "partly", "by call", "blind", "no sign"]
"""recorded: by itself. partly: by itself, and something is blind. by call: only what the app's code tells.
blind: nothing is. no sign: nothing that seclog knows points to it in this app, so there may be nothing to record."""


@dataclass(frozen=True)
class Covered:
    """What is recorded, and by what."""

    events: tuple[str, ...]
    by: str
    module: str


@dataclass(frozen=True)
class Blind:
    """What is not recorded, why, and the line that helps. `id` is stable: it can be accepted by name."""

    id: str
    what: str
    why: str
    line: str


@dataclass(frozen=True)
class ByCall:
    """What only the app's own code can tell, and how; `called`: whether it does."""

    events: tuple[str, ...]
    what: str
    line: str
    called: bool


@dataclass(frozen=True)
class Family:
    """One of the ten families in one app."""

    number: int
    name: str
    status: Status
    covered: tuple[Covered, ...]
    blind: tuple[Blind, ...]
    by_call: tuple[ByCall, ...]


@dataclass(frozen=True)
class SensitiveRoute:
    """A route that looks sensitive and has no decorator."""

    path: str
    methods: tuple[str, ...]
    view: str
    kinds: tuple[str, ...]
    line: str


@dataclass(frozen=True)
class Warned:
    """Something that makes the record worse than it could be."""

    id: str
    text: str
    line: str


@dataclass(frozen=True)
class AppReport:
    """What was found in one app."""

    name: str
    framework: str
    version: str
    mounted_at: str
    installed: bool
    routes: int
    decorated: int
    families: tuple[Family, ...]
    sensitive: tuple[SensitiveRoute, ...]
    warnings: tuple[Warned, ...]


@dataclass(frozen=True)
class Report:
    """What was found in all of it."""

    apps: tuple[AppReport, ...]
    schema: str = SCHEMA

    @property
    def blind(self) -> tuple[Blind, ...]:
        """Every blind spot."""
        return tuple(spot for app in self.apps for family in app.families for spot in family.blind)

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """Every warning."""
        return tuple(warning for app in self.apps for warning in app.warnings)

    @property
    def sensitive(self) -> tuple[SensitiveRoute, ...]:
        """Every route that looks sensitive and has no decorator."""
        return tuple(route for app in self.apps for route in app.sensitive)
