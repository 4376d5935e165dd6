"""Who acts, as far as an ASGI app shows it: `scope["user"]`, or what the app keeps in its session.

Data read: a user object of any library, a session as a mapping. Nothing here marks a session as accessed or changed.
"""

from collections.abc import Mapping
from typing import Any, Final

from seclog.adapters._scope import session_hash

Who = tuple[str, str | None]
"""Id and name."""

USER_KEYS: Final = ("_user_id", "user_id", "userid", "uid", "user", "username", "account_id", "email", "id")
"""Names under which apps keep in the session who is logged in; the first one found counts."""
NAME_KEYS: Final = ("username", "user_name", "login", "email")
_IN_USER: Final = ("id", "user_id", "sub", "uid", "username", "email")
"""Where a whole user is kept (`session["user"] = {…}`), what tells who it is."""
SESSION_KEYS: Final = ("sid", "session_id", "_session_id", "csrf_token", "_csrf_token")
"""Random values that stay for as long as a session does."""
_ID_ATTRIBUTES: Final = ("id", "pk", "user_id", "sub", "uid", "username", "identity")
_NAME_ATTRIBUTES: Final = ("username", "user_name", "email", "display_name")


def user_of(user: Any) -> Who | None:
    """Return id and name of a user object or mapping (Starlette's, Django's, a model's, a token's claims).

    None if it is nobody, or a lazy object that nobody has asked for yet.
    """
    user = getattr(user, "_wrapped", user)
    if user is None or getattr(user, "is_authenticated", True) is False:
        return None
    if isinstance(user, str | int):
        return _with_name(_id(user), None)
    if isinstance(user, Mapping):
        return _with_name(*_user_in(user))
    found = (_id(_attribute(user, key)) for key in _ID_ATTRIBUTES)
    names = (_id(_attribute(user, key)) for key in _NAME_ATTRIBUTES)
    name = next((text for text in names if text is not None), None)
    return _with_name(next((text for text in found if text is not None), None) or name, name)


def _with_name(user_id: str | None, name: str | None) -> Who | None:
    return None if user_id is None else (user_id, name)


def _attribute(user: Any, name: str) -> object:
    """Return an attribute; Starlette's `identity` raises where a class does not say what it is."""
    try:
        value = getattr(user, name, None)
    except Exception:  # noqa: BLE001 - a user that cannot say who it is, is named by something else
        return None
    # UUIDs and the like are ids; bound methods and columns are not
    return str(value) if type(value).__name__ in {"UUID", "ObjectId", "ULID"} else value


def session_user(session: object) -> Who | None:
    """Return id and name of the user whom a session belongs to; None if it belongs to nobody."""
    if not session or not isinstance(session, Mapping):
        return None
    for key in USER_KEYS:
        value = _get(session, key)
        user = _user_in(value) if isinstance(value, Mapping) else (_id(value), None)
        if user[0] is not None:
            return user[0], user[1] or (user[0] if key in NAME_KEYS else _name_in(session))
    return None


def session_id(session: object) -> str | None:
    """Return the keyed hash of what tells a session from others; None where nothing does.

    A session that is kept in the cookie has no key, and its signature is new in every answer: what stands in for a
    key is a random value that the app or a library keeps in it. Nothing is put into the session for the sake of a log.
    """
    if not isinstance(session, Mapping):
        return None
    key = next((v for name in SESSION_KEYS if isinstance(v := _get(session, name), str) and v), None)
    return session_hash(key)


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
