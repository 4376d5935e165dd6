"""Family 3: what becomes of sessions: created with a login, renewed, expired, revoked; and keys of none.

What a request's session went through is read off when its response leaves: the key in the cookie against the
key it has now. No engine is asked again then: those with rows, where a missing session may be an expired one,
are asked for that row when they fail to find it, which is also where sync and async code may query.

    cookie's key   key now   user in session   meaning
    none or old    new       yes, just in      created (the rotation that a login makes is part of it)
    old            new       yes               renewed
    old            any       no                expired, revoked, left, or never a session of ours

With `signed_cookies` the key is the data: nothing of this applies, and nothing is recorded.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import FrameType
from typing import Any, Final, NamedTuple

import django
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.utils import timezone

from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters._scope import session_hash
from seclog.adapters._sessions import MEANING
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.django.model_changes import tell_after_commit
from seclog.adapters.django.request import RequestScope
from seclog.events import Event, EventType

_LIBRARY: Final = f"Django {django.get_version()}"
_LOGIN: Final = "sessions.login"
_END: Final = "_seclog_end"
_ENGINES: Final = tuple(f"django.contrib.sessions.backends.{name}" for name in ("db", "cached_db", "cache", "file"))
_GET_USER: Final = frozenset({"get_user", "aget_user"})
_MAX_ROWS: Final = 1000
_MAX_TARGETS: Final = 50
"""Above these, sessions deleted at once are one entry with their number instead of one entry a user."""


class _End(NamedTuple):
    """Why a session object lost the session its cookie named; left on the object for the response."""

    kind: str
    user_id: str | None = None
    anonymous: bool = False
    """Known to have belonged to nobody: nothing ended."""


def connect() -> None:
    """Listen to logins, and wrap what loads, empties, rotates and deletes sessions."""
    user_logged_in.connect(_logged_in, dispatch_uid="seclog.session_created")
    for engine in (*_ENGINES, settings.SESSION_ENGINE):
        store = import_module(engine).SessionStore
        if not issubclass(store, SignedCookieStore):
            for method, around in _AROUND.items():
                wrap_method(store, method, around, library=_LIBRARY)
    wrap_method(AbstractBaseSession, "delete", _row_deleted, library=_LIBRARY)
    if BaseSessionManager._queryset_class is QuerySet:
        BaseSessionManager._queryset_class = _SessionQuerySet


# ── at the response ───────────────────────────────────────────────────────────────────────────────────────


def observe(scope: RequestScope, request: Any, response: Any) -> None:
    """Record what became of the request's session. Costs next to nothing if the request did not touch it."""
    session = request.__dict__.get("session")
    if session is None or not session.accessed or isinstance(session, SignedCookieStore):
        return
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    key = session.session_key
    if cookie == key:
        if isinstance(scope.exception, SessionInterrupted):  # deleted by somebody else while this request ran
            _tell_end(_End("revoked", _user_id(session)), cookie)
        return
    user_id = _user_id(session)
    if user_id is None:
        if cookie:
            _observe_loss(scope, session, cookie)
    elif response.status_code < 500:  # else the cookie is not sent and the session is lost again
        login = scope.noted(_LOGIN)
        scope.context.session = session_hash(key)
        if login is not None or not cookie:
            tell(_created(user_id, key))
        else:
            tell(_renewed(scope, user_id, key, cookie))


def _observe_loss(scope: RequestScope, session: Any, cookie: str) -> None:
    """The cookie named a session, and now nobody is logged in."""
    end = session.__dict__.get(_END)
    if end is None:
        if session._validate_session_key(cookie):
            return  # an anonymous session got a new key
        end = _End("unknown")  # too short for a key: Django did not even look
    if end.anonymous or EventType.SESSION_LOGOUT in scope.recorded:
        return
    _tell_end(end, cookie)


def _tell_end(end: _End, cookie: str) -> None:
    kind, reason = MEANING[end.kind]
    fields: dict[str, object] = {"seclog.session.id_hash": session_hash(cookie)}
    if end.user_id is not None:
        fields["user.id"] = end.user_id
    tell(Event(type=kind, reason=reason, fields=fields))


def _created(user_id: str, key: str | None) -> Event:
    fields: dict[str, object] = {"user.id": user_id, "seclog.session.id_hash": session_hash(key)}
    return Event(type=EventType.SESSION_CREATED, fields=fields)


def _renewed(scope: RequestScope, user_id: str, key: str | None, before: str) -> Event:
    changed = EventType.AUTHN_PASSWORD_CHANGE in scope.recorded
    fields: dict[str, object] = {
        "user.id": user_id,
        "seclog.session.id_hash": session_hash(key),
        "seclog.session.previous_id_hash": session_hash(before),
    }
    reason = "password_change" if changed else None
    return Event(type=EventType.SESSION_RENEWED, reason=reason, fields=fields)


def _user_id(session: Any) -> str | None:
    """Return the id of the user that a session belongs to; a session that is not loaded stays so."""
    found = getattr(session, "_session_cache", {}).get(SESSION_KEY)
    return None if found is None else str(found)


@safely
def _logged_in(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    scope = scopes.of()
    if scope is not None:
        scope.note(_LOGIN, user)
        return
    session = getattr(request, "session", None)  # a login in a command, or the test client's force_login
    key = getattr(session, "session_key", None)
    if key and user is not None and not isinstance(session, SignedCookieStore):
        tell(_created(str(user.pk), key))


# ── when a session is lost ────────────────────────────────────────────────────────────────────────────────
#
# All of this runs only when a session is loaded, emptied or deleted, and leaves a note on the session object.

_at_work: ContextVar[Any] = ContextVar("seclog_session_at_work", default=None)
"""The session object that is being emptied or gets a new key; that it deletes a row then is no revocation."""


@contextmanager
def _working(session: Any) -> Iterator[None]:
    token = _at_work.set(session)
    try:
        yield
    finally:
        _at_work.reset(token)


def _load(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    key = session.session_key
    data = original(session, *args, **kwargs)
    if session.session_key != key and _END not in session.__dict__:  # not found: every engine drops the key
        with contained("looking for an expired session"):
            rows = _expired_row(session, key)
            session.__dict__[_END] = _end_of(session, rows.first() if rows is not None else None)
    return data


async def _aload(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    key = session.session_key
    data = await original(session, *args, **kwargs)
    if session.session_key != key and _END not in session.__dict__:
        with contained("looking for an expired session"):
            rows = _expired_row(session, key)
            session.__dict__[_END] = _end_of(session, await rows.afirst() if rows is not None else None)
    return data


def _expired_row(session: Any, key: str) -> Any:
    """Return the query for the row of a session that was not found; None for engines without rows."""
    if not hasattr(session, "get_model_class"):
        return None
    rows = session.get_model_class()._default_manager.filter(session_key=key, expire_date__lte=timezone.now())
    return rows.order_by().values_list("session_data", flat=True)


def _end_of(session: Any, row: str | None) -> _End:
    if row is not None:
        user_id = session.decode(row).get(SESSION_KEY)
        return _End("expired", user_id and str(user_id), anonymous=user_id is None)
    # The file engine puts a new, empty session in the place of an expired one; whose it was is gone.
    return _End("unknown" if session.session_key is None else "expired")


def _flush(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    _note_flush(session)
    with _working(session):
        return original(session, *args, **kwargs)


async def _aflush(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    _note_flush(session)
    with _working(session):
        return await original(session, *args, **kwargs)


def _note_flush(session: Any) -> None:
    """Remember whose session is emptied, and whether Django does it because the password has changed."""
    with contained("an emptied session"):
        if session.session_key and _at_work.get() is not session:  # else an engine calls what it overrides
            user_id = _user_id(session)
            kind = "revoked" if _in_get_user() else "flushed"
            session.__dict__[_END] = _End(kind, user_id, anonymous=user_id is None)


def _in_get_user() -> bool:
    """Tell whether `get_user` is at work.

    It empties a session of another password and says so nowhere: only the stack tells that from an app that
    empties the session itself.
    """
    frame: FrameType | None = sys._getframe(3)
    for _ in range(6):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == auth.__name__ and frame.f_code.co_name in _GET_USER:
            return True
        frame = frame.f_back
    return False


def _cycle_key(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    with _working(session):
        return original(session, *args, **kwargs)


async def _acycle_key(original: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
    with _working(session):
        return await original(session, *args, **kwargs)


_AROUND: Final = {
    "load": _load,
    "aload": _aload,
    "flush": _flush,
    "aflush": _aflush,
    "cycle_key": _cycle_key,
    "acycle_key": _acycle_key,
}


# ── revoked: somebody deletes rows ────────────────────────────────────────────────────────────────────────
#
# Not by post_delete: a listener there makes Django fetch every row that `clearsessions` deletes, and opens a
# transaction at each logout.


class _SessionQuerySet(QuerySet):
    """What `Session.objects` gives: deleting live sessions is recorded."""

    def delete(self) -> Any:
        """Delete the rows, as ever."""
        revoked: list[Event] = []
        with contained("deleted sessions"):
            if not self.query.is_sliced:
                revoked = _revoked(self.filter(expire_date__gt=timezone.now()))
            if revoked:
                resolve_actor()  # now: the actor's own session may be among them
        result = super().delete()
        with contained("deleted sessions"):
            tell_after_commit(self.db, revoked)
        return result

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _row_deleted(original: Any, row: Any, *args: Any, **kwargs: Any) -> Any:
    user_id = None
    using, key = row._state.db or DEFAULT_DB_ALIAS, row.session_key
    with contained("a deleted session"):
        owner = _at_work.get()
        if owner is not None:
            _complete(owner, row)
        elif row.expire_date > timezone.now():
            user_id = row.get_decoded().get(SESSION_KEY)
            if user_id is not None:
                resolve_actor()
    result = original(row, *args, **kwargs)
    with contained("a deleted session"):
        if user_id is not None:
            tell_after_commit(using, [_revocation(str(user_id), 1, key)])
    return result


def _complete(session: Any, row: Any) -> None:
    """A session may be emptied before anybody loaded it: whose it was stands in the row that goes."""
    end = session.__dict__.get(_END)
    if end is not None and end.anonymous and row.session_key == session.session_key:
        user_id = row.get_decoded().get(SESSION_KEY)
        if user_id is not None:
            session.__dict__[_END] = end._replace(user_id=str(user_id), anonymous=False)


def _revoked(live: Any) -> list[Event]:
    """Return what to record about live sessions that are about to be deleted: one event a user."""
    rows = list(live[: _MAX_ROWS + 1])
    if len(rows) > _MAX_ROWS:
        return [_revocation(None, live.count())]
    keys: dict[str, str] = {}
    users: Counter[str] = Counter()
    for row in rows:
        user_id = row.get_decoded().get(SESSION_KEY)
        if user_id is not None:
            users[str(user_id)] += 1
            keys[str(user_id)] = row.session_key
    if len(users) > _MAX_TARGETS:
        return [_revocation(None, users.total())]
    return [_revocation(user_id, count, keys[user_id] if count == 1 else None) for user_id, count in users.items()]


def _revocation(user_id: str | None, count: int, key: str | None = None) -> Event:
    fields: dict[str, object] = {"seclog.session.count": count}
    if user_id is not None:
        fields["seclog.target.id"] = user_id
    if key is not None:
        fields["seclog.target.session.id_hash"] = session_hash(key)
    return Event(type=EventType.SESSION_REVOKED, reason="deleted", fields=fields)
