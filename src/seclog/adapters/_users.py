"""Whom a session belongs to, and what tells it from others, by what apps keep in it. Shared by the adapters of
frameworks that know of no users.

Data read: a session as a mapping. Nothing here marks it as accessed or changed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Who = tuple[str, str | None]
"""Id and name."""

USER_KEYS: Final = ("_user_id", "user_id", "userid", "uid", "user", "username", "account_id", "email", "id")
"""Names under which apps keep who is logged in (`_user_id` is Flask-Login's); the first one found counts."""
NAME_KEYS: Final = ("username", "user_name", "login", "email")
_IN_USER: Final = ("id", "user_id", "sub", "uid", "username", "email")
"""Where a whole user is kept (`session["user"] = {…}`), what tells who it is."""
SESSION_KEYS: Final = ("sid", "session_id", "_session_id", "csrf_token", "_csrf_token")
"""Random values that stay for as long as a session does (`csrf_token` is Flask-WTF's)."""
_MAX_ID: Final = 256


def session_user(session: object, keys: Iterable[str] = USER_KEYS) -> Who | None:
    """Return id and name of the user whom a session belongs to; None if it belongs to nobody.

    Args:
        session: the session, or what was in it.
        keys: the names under which the user may be kept.
    """
    if not session or not isinstance(session, Mapping):
        return None
    for key in keys:
        value = peek(session, key)
        user_id, name = user_in(value) if isinstance(value, Mapping) else (as_id(value), None)
        if user_id is not None:
            return user_id, name or (user_id if key in NAME_KEYS else _name_in(session))
    return None


def kept_key(session: object) -> str | None:
    """Return a random value that the app or a library keeps in the session; None where there is none."""
    if not isinstance(session, Mapping):
        return None
    return next((value for name in SESSION_KEYS if isinstance(value := peek(session, name), str) and value), None)


def peek(session: Any, key: str) -> Any:
    """Read a key without the session's noticing."""
    return dict.get(session, key) if isinstance(session, dict) else session.get(key)


def as_id(value: object) -> str | None:
    """Return an id as text; flags, nothing and absurdly long texts are none."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    text = str(value)
    return text if len(text) <= _MAX_ID else None


def user_in(value: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return id and name in a mapping that is a user."""
    found = next((text for key in _IN_USER if (text := as_id(value.get(key))) is not None), None)
    return found, _name_in(value)


def _name_in(value: Any) -> str | None:
    return next((text for key in NAME_KEYS if isinstance(text := peek(value, key), str) and text), None)
