"""Who acts, as far as an ASGI app shows it: `scope["user"]`, or what the app keeps in its session.

Data read: a user object of any library, a session as a mapping. Nothing here marks a session as accessed or changed.
"""

from collections.abc import Mapping
from typing import Any, Final

from seclog.adapters._scope import session_hash
from seclog.adapters._users import Who, as_id, kept_key, session_user, user_in

__all__ = ["Who", "session_id", "session_user", "user_of"]

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
        return _with_name(as_id(user), None)
    if isinstance(user, Mapping):
        return _with_name(*user_in(user))
    found = (as_id(_attribute(user, key)) for key in _ID_ATTRIBUTES)
    names = (as_id(_attribute(user, key)) for key in _NAME_ATTRIBUTES)
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


def session_id(session: object) -> str | None:
    """Return the keyed hash of what tells a session from others; None where nothing does.

    A session that is kept in the cookie has no key, and its signature is new in every answer: what stands in for a
    key is a random value that the app or a library keeps in it. Nothing is put into the session for the sake of a log.
    """
    return session_hash(kept_key(session))
