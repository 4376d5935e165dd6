"""Family 4, users: created, updated, archived, enabled, deleted, and the two flags that give power.

In: rows of the user model, whatever it is (`AUTH_USER_MODEL`); fields it does not have are not watched. Out:
one event a changed field. The password is never among them: family 2 tells that it changed, nobody tells to
what.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.contrib.auth import get_user_model

from seclog.adapters.django.actors import acting_user
from seclog.adapters.django.model_changes import Change, Row, observe
from seclog.events import Event, EventType

_ROLES: Final = {"is_superuser": "superuser", "is_staff": "staff"}


def connect() -> None:
    """Observe the user model."""
    observe(get_user_model(), "users", _Users(get_user_model()))


def about_user(key: object, name: object) -> dict[str, object]:
    """Return what an entry says about the user it is about, and whether that is the one who acts."""
    fields: dict[str, object] = {"seclog.target.id": str(key), "seclog.target.name": name}
    if acting_user() == str(key):
        fields["seclog.self"] = True
    return fields


class _Users:
    """Makes events of rows of the user model."""

    def __init__(self, model: Any) -> None:
        names = (
            model.USERNAME_FIELD,
            model.get_email_field_name(),
            "first_name",
            "last_name",
            "is_active",
            *_ROLES,
        )
        concrete = {f.name: f for f in model._meta.concrete_fields}
        self.fields = tuple(concrete[name] for name in dict.fromkeys(names) if name in concrete)
        self.title = concrete.get(model.USERNAME_FIELD)

    def created(self, row: Row) -> Iterator[Event]:
        """Tell of a new user, with the power it starts with."""
        roles = [role for field, role in _ROLES.items() if row.values.get(field)]
        yield Event(type=EventType.USER_CREATED, fields={**self._about(row), "seclog.target.roles": roles})

    def changed(self, row: Row, changes: list[Change]) -> Iterable[Event]:
        """Tell each changed field by what it means."""
        return [self._change(row, change) for change in changes]

    def deleted(self, row: Row) -> Iterator[Event]:
        """Tell of a user's end."""
        roles = [role for field, role in _ROLES.items() if row.values.get(field)]
        yield Event(type=EventType.USER_DELETED, fields={**self._about(row), "seclog.target.roles": roles})

    def _change(self, row: Row, change: Change) -> Event:
        about = self._about(row)
        values = {
            "seclog.change.field": change.field,
            "seclog.change.old": change.old,
            "seclog.change.new": change.new,
        }
        if change.field in _ROLES:
            if change.new is not None:  # None: computed in the database, for rows that are only counted
                about["seclog.change.direction"] = "grant" if change.new else "revoke"
            return Event(type=EventType.AUTHZ_CHANGE, fields={**about, **values})
        if change.field == "is_active" and change.new is not None:
            return Event(type=EventType.USER_ENABLED if change.new else EventType.USER_ARCHIVED, fields=about)
        return Event(type=EventType.USER_UPDATED, fields={**about, **values})

    def _about(self, row: Row) -> dict[str, object]:
        name = row.values.get(self.title.name) if self.title is not None else None
        if row.key is not None:
            return about_user(row.key, name)
        return row.about if row.count > 1 else {"seclog.target.name": name}
