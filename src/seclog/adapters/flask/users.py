"""Whom a session belongs to, and which session it is, by what apps keep in it. Flask itself knows of no users.

Data read: a session as a mapping. Nothing here marks it as accessed or changed.
"""

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask

from seclog.adapters._scope import session_hash

USER_KEYS: Final = ("_user_id", "user_id", "userid", "uid", "user", "username", "account_id", "email", "id")
"""Names under which apps keep who is logged in (`_user_id` is Flask-Login's); the first one found counts."""
NAME_KEYS: Final = ("username", "user_name", "login", "email")
_IN_USER: Final = ("id", "user_id", "sub", "uid", "username", "email")
"""Where a whole user is kept (`session["user"] = {…}`), what tells who it is."""
SESSION_KEYS: Final = ("sid", "session_id", "_session_id", "csrf_token", "_csrf_token")
"""Random values that stay for as long as a session does (`csrf_token` is Flask-WTF's)."""

STATE: Final = "seclog"
"""Our key in `app.extensions`."""


def session_user(app: Flask, session: object) -> tuple[str, str | None] | None:
    """Return id and name of the user whom a session belongs to; None if it belongs to nobody.

    Args:
        app: the app, which may have named its own key (`SecLog(app, session_user_key="member")`).
        session: the session, or what was in it.
    """
    if not session or not isinstance(session, Mapping):
        return None
    own = getattr(app.extensions.get(STATE), "session_user_key", None)
    for key in (own,) if own else USER_KEYS:
        value = _get(session, key)
        user = _user_in(value) if isinstance(value, Mapping) else (_id(value), None)
        if user[0] is not None:
            name = user[1] or (user[0] if key in NAME_KEYS else _name_in(session))
            return user[0], name
    return None


def session_id(app: Flask, session: object) -> str | None:
    """Return the keyed hash of what tells a session from others; None where nothing does.

    A session on the server has a key. A session in the cookie has none, and its signature is new in every answer:
    what stands in for a key is a random value that some library keeps in it, or Flask-Login's device
    identifier together with the user. Nothing is put into the session for the sake of a log.
    """
    if session is None:
        return None
    key = getattr(session, "sid", None)
    if not isinstance(key, str) and isinstance(session, Mapping):
        key = next((v for name in SESSION_KEYS if isinstance(v := _get(session, name), str) and v), None)
        device, user = _get(session, "_id"), _get(session, "_user_id")
        if isinstance(device, str) and user:
            key = f"{user}|{device}"
    return session_hash(key) if isinstance(key, str) else None


def _get(session: Any, key: str) -> Any:
    """Read a key without the session's noticing."""
    return dict.get(session, key) if isinstance(session, dict) else session.get(key)


def _id(value: object) -> str | None:
    """Return an id as text; flags, nothing and absurdly long texts are none."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    text = str(value)
    return text if len(text) <= 256 else None


def _user_in(value: Mapping[str, Any]) -> tuple[str | None, str | None]:
    found = next((text for key in _IN_USER if (text := _id(value.get(key))) is not None), None)
    return found, _name_in(value)


def _name_in(value: Any) -> str | None:
    return next((text for key in NAME_KEYS if isinstance(text := _get(value, key), str) and text), None)
