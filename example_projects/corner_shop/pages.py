"""A visit, what it is answered, and HTML pages: a title, lines, links, one form with its CSRF token."""

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Protocol

from example_projects.corner_shop.data import User
from jinja2 import Environment, FileSystemLoader
from sqlalchemy.orm import Session

import seclog

templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)


class Form(Protocol):
    """A form that was sent: Werkzeug's and Starlette's both are one."""

    def get(self, key: str, /) -> Any: ...

    def getlist(self, key: str, /) -> list[Any]: ...


class Refused(Exception):
    """The visitor may not, or there is nothing: the app answers in its framework's own way, which seclog's hooks see."""

    def __init__(self, status: int, reason: str | None = None, location: str | None = None) -> None:
        super().__init__(status, reason)
        self.status, self.reason, self.location = status, reason, location

    @property
    def headers(self) -> dict[str, str] | None:
        return {"Location": self.location} if self.location else None


@dataclass
class Visit:
    """A request to a page, as an app brings it.

    Args:
        db: a database session, for this visit only.
        session: the browser's session, as the framework keeps it.
        user: who is logged in.
        form: what was sent, None if nothing was.
        path: the page's path.
        site: the address of the whole site, with a slash at the end.
    """

    db: Session
    session: MutableMapping[str, Any]
    user: User | None
    form: Form | None
    path: str
    site: str

    def sent(self, name: str) -> str:
        """Return a field of the form that was sent."""
        value = self.form.get(name) if self.form is not None else None
        return "" if value is None else str(value)

    def csrf_token(self) -> str:
        token: str = self.session.setdefault("csrf_token", token_urlsafe(24))
        return token

    def log_in(self, user: User) -> None:
        """Begin a new session; its CSRF token also tells it from others in the journal."""
        self.session.clear()
        self.session.update(user_id=user.id, username=user.username, csrf_token=token_urlsafe(24))

    def log_out(self) -> None:
        self.session.clear()


@dataclass
class Answer:
    """What a visit is answered: a text, or texts that are streamed."""

    body: str | Iterable[str] = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})
    rows: int = 0


@dataclass
class Field:
    """A field of a form; one with choices is a list."""

    name: str
    kind: str = "text"
    value: object = ""
    choices: Iterable[tuple[str, str]] | None = None
    several: bool = False

    @property
    def label(self) -> str:
        return self.name.strip("_").replace("_", " ").capitalize()


def page(
    visit: Visit,
    title: str,
    *,
    lines: Iterable[object] = (),
    links: Iterable[tuple[str, str]] = (),
    fields: Sequence[Field] | None = None,
    action: str = "",
    problem: str = "",
    status: int = 200,
) -> Answer:
    """Return a page; with `fields` it has a form (id "main"), which goes to `action`."""
    token = visit.csrf_token() if fields is not None or visit.user else None
    facts = {"title": title, "lines": lines, "links": links, "fields": fields, "action": action, "problem": problem}
    own = {"username": visit.user and visit.user.username, "csrf_token": token}
    return Answer(templates.get_template("page.html").render(**facts, **own), status)


def to(path: str) -> Answer:
    """Lead the browser to another page."""
    return Answer(status=302, headers={"Location": path})


def attachment(body: str | Iterable[str], name: str, kind: str = "text/plain", rows: int = 0) -> Answer:
    """Return a file to keep."""
    headers = {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}
    return Answer(body, headers=headers, rows=rows)


def check_csrf(session: MutableMapping[str, Any], form: Form) -> None:
    """For frameworks without a protection of their own.

    Raises:
        Refused: the form does not carry the session's CSRF token.
    """
    token = session.get("csrf_token")
    if not token or not compare_digest(str(form.get("csrf_token")).encode(), token.encode()):
        answer = {"http.response.status_code": 403}  # said before the answer leaves
        seclog.emit("malicious_csrf", reason="token_incorrect" if token else "no_session", **answer)
        raise Refused(403, "This form is not ours.")
