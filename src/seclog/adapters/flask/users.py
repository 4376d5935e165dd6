"""Whom a session belongs to, and which session it is, by what apps keep in it. Flask itself knows of no users."""

from collections.abc import Mapping
from typing import Final

from flask import Flask

from seclog.adapters import _users
from seclog.adapters._scope import session_hash
from seclog.adapters._users import USER_KEYS, Who, kept_key, peek

STATE: Final = "seclog"
"""Our key in `app.extensions`."""


def session_user(app: Flask, session: object) -> Who | None:
    """Return id and name of the user whom a session belongs to; None if it belongs to nobody.

    Args:
        app: the app, which may have named its own key (`SecLog(app, session_user_key="member")`).
        session: the session, or what was in it.
    """
    own = getattr(app.extensions.get(STATE), "session_user_key", None)
    return _users.session_user(session, (own,) if own else USER_KEYS)


def session_id(app: Flask, session: object) -> str | None:
    """Return the keyed hash of what tells a session from others; None where nothing does.

    A session on the server has a key. A session in the cookie has none, and its signature is new in every answer:
    what stands in for a key is a random value that some library keeps in it, or Flask-Login's device
    identifier together with the user. Nothing is put into the session for the sake of a log.
    """
    key = getattr(session, "sid", None)
    if not isinstance(key, str) and isinstance(session, Mapping):
        key = kept_key(session)
        device, user = peek(session, "_id"), peek(session, "_user_id")
        if isinstance(device, str) and user:
            key = f"{user}|{device}"
    return session_hash(key) if isinstance(key, str) else None
