"""What the libraries that issue tokens in Django share: who acts, whose a token is, which one, of which kind."""

from seclog.adapters.django.actors import acting_user, resolve_actor
from seclog.adapters.integrations._accounts import expiry, token_hash

__all__ = ["about_token", "expiry", "token_hash"]


def about_token(owner: object, hashed: str | None, kind: str) -> dict[str, object]:
    """Return what an entry says of a token.

    Args:
        owner: the id of the user it stands for, or None.
        hashed: its keyed hash.
        kind: its kind, such as "jwt_refresh".
    """
    resolve_actor()
    owner_id = None if owner is None else str(owner)
    fields = {
        "user.id": acting_user() or owner_id,
        "seclog.target.id": owner_id,
        "seclog.token.id_hash": hashed,
        "seclog.token.type": kind,
    }
    return {key: value for key, value in fields.items() if value is not None}
