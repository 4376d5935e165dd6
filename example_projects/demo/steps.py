"""What the story is made of. Texts are templates: `{ana_password}` and what was learned are filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ANY = "*"
OURS = object()
"""Stands for: the value that the step's device has."""


@dataclass(frozen=True)
class Request:
    """One request. `expect` is the status that the shop must answer, `csrf` the token that goes with the form."""

    method: str
    path: str
    expect: int = 200
    data: Mapping[str, str] | None = None
    json: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    csrf: str | None = None


def get(path: str, expect: int = 200, **more: object) -> Request:
    """Open a page."""
    return Request("GET", path, expect, **more)  # type: ignore[arg-type]


def post(path: str, expect: int = 302, *, csrf: str | None = None, **data: str) -> Request:
    """Post to a page directly, with the CSRF token that the device saw last, or the one given."""
    return Request("POST", path, expect, data, csrf=csrf or "{csrf_seen}")


def api(method: str, path: str, expect: int = 200, token: str | None = None, **body: object) -> Request:
    """Call the JSON API."""
    headers = {"Authorization": f"{{token_scheme}} {token}"} if token else {}
    return Request(method, path, expect, json=body or None, headers=headers)


@dataclass(frozen=True)
class Fill:
    """Open a page, fill its form, send it. What `data` does not name keeps the page's value."""

    path: str
    data: Mapping[str, object]
    form: str = "main"
    expect: int = 302


def fill(path: str, expect: int = 302, form: str = "main", **data: object) -> Fill:
    """See `Fill`. A list fills a field of several values, None leaves the field out (an unticked box)."""
    return Fill(path, data, form, expect)


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True)
class Learn:
    """Remember what an answer says, for later steps: the first group of a pattern.

    Args:
        name: what later templates call it.
        pattern: a regular expression.
        where: "body" or "location" of the step's last answer, or "mail": the newest mail that the shop sent.
        secret: a pattern within the value that is a secret and must not be found on disk ("" if none).
    """

    name: str
    pattern: str
    where: str = "body"
    secret: str = ""


@dataclass(frozen=True)
class Entry:
    """An entry that a step must leave.

    Args:
        name: the event's type.
        fields: more fields by their names in an entry; `*` stands for anything, None for: not there.
        user: `user.name`; the device's user by default, None for: not there.
        outcome: `event.outcome`; the catalogue's by default.
        status: `http.response.status_code`, where it is known when the entry is written.
        target: (`seclog.target.type`, `seclog.target.id`), None in place of what is not checked.
        derived: written later by the watch, so it belongs to no request.
    """

    name: str
    fields: Mapping[str, str | None] = field(default_factory=dict)
    user: object = OURS
    outcome: str | None = None
    status: int | None = None
    target: tuple[str | None, str | None] = (None, None)
    derived: bool = False


@dataclass(frozen=True)
class Step:
    """What one device does, and what must be recorded. Without entries: nothing at all may be recorded."""

    title: str
    by: str
    do: tuple[Request | Fill | Wait, ...]
    entries: tuple[Entry, ...] = ()
    learn: tuple[Learn, ...] = ()


def step(title: str, by: str, *parts: "Request | Fill | Wait | Entry | Learn") -> Step:
    """Sort the parts of a step."""
    return Step(
        title,
        by,
        do=tuple(part for part in parts if isinstance(part, Request | Fill | Wait)),
        entries=tuple(part for part in parts if isinstance(part, Entry)),
        learn=tuple(part for part in parts if isinstance(part, Learn)),
    )
