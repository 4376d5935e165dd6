"""HTML pages: a title, lines, links, one form; and the CSRF token that goes with every form."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

import seclog

templates = Jinja2Templates(Path(__file__).parent / "templates")


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
    request: Request,
    title: str,
    *,
    lines: Iterable[object] = (),
    links: Iterable[tuple[str, str]] = (),
    fields: Sequence[Field] | None = None,
    action: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    """Return a page; with `fields` it has a form (id "main"), which goes to `action`."""
    session = request.session
    if fields is not None or "user_id" in session:
        session.setdefault("csrf_token", token_urlsafe(24))
    facts = {"title": title, "lines": lines, "links": links, "fields": fields, "action": action, "problem": problem}
    own = {"username": session.get("username"), "csrf_token": session.get("csrf_token")}
    return templates.TemplateResponse(request, "page.html", {**facts, **own}, status_code=status)


def to(path: str) -> Response:
    """Lead the browser to another page."""
    return RedirectResponse(path, 302)


def attachment(name: str, kind: str = "text/plain") -> dict[str, str]:
    """Return the headers of a file to keep."""
    return {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}


async def filled(request: Request) -> FormData | None:
    """Return the form that was sent, None if this is no POST.

    Raises:
        HTTPException: it does not carry the session's CSRF token.
    """
    if request.method != "POST":
        return None
    form = await request.form()
    token = request.session.get("csrf_token")
    if not token or not compare_digest(str(form.get("csrf_token")).encode(), token.encode()):
        answer = {"http.response.status_code": 403}  # said before the answer leaves
        seclog.emit("malicious_csrf", reason="token_incorrect" if token else "no_session", **answer)
        raise HTTPException(403, "This form is not ours.")
    return form
