"""Family 4, groups and permissions: who entered or left a group, and which permissions a user or a group
holds.

Each of the three relations can be changed from both of its ends. Instead of trusting the signal's `pk_set`
(it is None for `clear()`, and for `remove()` it names rows that were never there), the link table is read:
after an addition, and before a removal, when the links are still there. Links made through the link model
itself (`User.groups.through.objects.create`, `bulk_create`) send no signal of the relation, so its `save`,
`delete` and `bulk_create` are listened to; what `through.objects.filter(…).delete()` removes stays unseen.
Django changes the links inside a transaction, so what is then rolled back is never told.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.signals import m2m_changed, pre_delete

from seclog.adapters._hooks import contained, safely, wrap_method
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.django.model_changes import doubtful, listen_to_bulk_create, tell_after_commit
from seclog.adapters.django.users import about_user
from seclog.events import Event, EventType

MAX_LINKS: Final = 500
"""Links of one change that are told one by one; the rest is told as a number. (SQLite: 999 parameters.)"""
MAX_HELD: Final = 10_000
"""Permissions read to say what the holders of one change held before and hold now."""


@dataclass(frozen=True)
class Link:
    """One row of a link table: who holds what."""

    holder: object
    holder_name: str
    held: object
    held_name: str


def connect() -> None:
    """Listen to the relations that the user model has, and to the deletion of groups."""
    user_model = get_user_model()
    relations = [(user_model, "groups", _Members), (user_model, "user_permissions", _UserPermissions)]
    if apps.is_installed("django.contrib.auth"):
        from django.contrib.auth.models import Group

        relations.append((Group, "permissions", _GroupPermissions))
    for model, name, kind in relations:
        field = next((f for f in model._meta.many_to_many if f.name == name), None)
        if field is None or field.remote_field.through is None:
            continue  # a user model without Django's groups and permissions
        relation = kind(field)
        _relations[relation.through] = relation
        wrap_method(relation.through, "save", _link_saved, library="Django")
        wrap_method(relation.through, "delete", _link_deleted, library="Django")
        listen_to_bulk_create(relation.through, _links_created)
        m2m_changed.connect(_links_changed, sender=relation.through, dispatch_uid="seclog.links")
        if kind is _Members:
            for group in apps.get_models():
                if issubclass(group, field.related_model):
                    pre_delete.connect(_group_deleted, sender=group, dispatch_uid="seclog.links")


class _Relation:
    """A many-to-many relation and its link table, readable from both ends."""

    held_names: tuple[str, ...] = ("name",)

    def __init__(self, field: Any) -> None:
        self.through = field.remote_field.through
        self.holder, self.held = field.m2m_field_name(), field.m2m_reverse_field_name()
        self.holder_name = getattr(field.model, "USERNAME_FIELD", "name")

    def links(self, using: str, limit: int | None = None, **conditions: object) -> tuple[list[Link], int]:
        """Read links; return the first of them and how many more there are."""
        limit = limit or MAX_LINKS
        held = [f"{self.held}__{name}" for name in self.held_names]
        rows = self.through._base_manager.using(using).filter(**conditions).order_by(self.holder, self.held)
        read = rows.values_list(self.holder, f"{self.holder}__{self.holder_name}", self.held, *held)[: limit + 1]
        links = [Link(row[0], str(row[1]), row[2], ".".join(map(str, row[3:]))) for row in read]
        more = rows.count() - limit if len(links) > limit else 0
        return links[:limit], more

    def events(self, links: list[Link], more: int, using: str, *, added: bool, reason: str | None) -> Iterable[Event]:
        """Make events of links that were added, or are about to be removed."""
        raise NotImplementedError


class _Members(_Relation):
    """Users in groups: one event a membership."""

    def events(
        self, links: list[Link], more: int, using: str, *, added: bool, reason: str | None = None
    ) -> Iterator[Event]:
        kind = EventType.GROUP_MEMBER_ADDED if added else EventType.GROUP_MEMBER_REMOVED
        for link in links:
            about = about_user(link.holder, link.holder_name)
            group = {"seclog.group.id": str(link.held), "seclog.group.name": link.held_name}
            yield Event(type=kind, reason=reason, fields={**about, **group})
        if more > 0:
            names = sorted({link.held_name for link in links})
            fields: dict[str, object] = {"seclog.group.name": names[0] if len(names) == 1 else names}
            yield Event(type=kind, reason=reason, fields={**fields, "seclog.count": more})


class _Permissions(_Relation):
    """Permissions that somebody holds: one event a holder, with all that it holds, old → new."""

    held_names = ("content_type__app_label", "codename")

    def events(
        self, links: list[Link], more: int, using: str, *, added: bool, reason: str | None = None
    ) -> Iterator[Event]:
        moved: dict[object, list[str]] = defaultdict(list)
        for link in links:
            moved[link.holder].append(link.held_name)
        held: dict[object, list[str]] = defaultdict(list)
        for link in self.links(using, MAX_HELD, **{f"{self.holder}__in": list(moved)})[0]:
            held[link.holder].append(link.held_name)
        for link in {link.holder: link for link in links}.values():
            names = sorted(moved[link.holder])
            now = sorted({*held[link.holder], *names})
            other = [name for name in now if name not in names]
            fields: dict[str, object] = {
                "seclog.change.direction": "grant" if added else "revoke",
                "seclog.change.old": other if added else now,
                "seclog.change.new": now if added else other,
                "seclog.change.added" if added else "seclog.change.removed": names,
            }
            yield self.event(link, fields, reason)
        if more > 0:
            yield self.event(
                None,
                {"seclog.change.direction": "grant" if added else "revoke", "seclog.count": more},
                reason,
            )

    def event(self, holder: Link | None, fields: dict[str, object], reason: str | None) -> Event:
        """Make the event for one holder; None for those that are only counted."""
        raise NotImplementedError


class _UserPermissions(_Permissions):
    def event(self, holder: Link | None, fields: dict[str, object], reason: str | None) -> Event:
        about = about_user(holder.holder, holder.holder_name) if holder is not None else {}
        fields = {**about, "seclog.change.field": "user_permissions", **fields}
        return Event(type=EventType.AUTHZ_CHANGE, reason=reason, fields=fields)


class _GroupPermissions(_Permissions):
    def event(self, holder: Link | None, fields: dict[str, object], reason: str | None) -> Event:
        about: dict[str, object] = {}
        if holder is not None:
            about = {"seclog.group.id": str(holder.holder), "seclog.group.name": holder.holder_name}
        fields = {**about, "seclog.change.field": "permissions", **fields}
        return Event(type=EventType.GROUP_PERMISSIONS_CHANGED, reason=reason, fields=fields)


_relations: dict[Any, _Relation] = {}
_signalled: ContextVar[frozenset[Any] | None] = ContextVar("seclog_links_signalled", default=None)
"""The links that the running `add()` is about to bulk_create: they are told by its own signal."""


@safely
def _links_changed(
    sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, using: str, **kwargs: Any
) -> None:
    pairs = ((pk, instance.pk) if reverse else (instance.pk, pk) for pk in pk_set or ())
    _signalled.set(frozenset(pairs) if action == "pre_add" else None)
    relation = _relations[sender]
    mine, theirs = (relation.held, relation.holder) if reverse else (relation.holder, relation.held)
    conditions: dict[str, Any] = {mine: instance.pk}
    if action in {"post_add", "pre_remove"}:
        if not pk_set:
            return  # everything was there already
        conditions[f"{theirs}__in"] = list(pk_set)[:MAX_LINKS]
    elif action != "pre_clear":
        return
    links, more = relation.links(using, **conditions)
    if pk_set:
        more = max(0, len(pk_set) - MAX_LINKS)
    added = action == "post_add"
    tell_after_commit(using, _events(relation, links, more, using, added=added, reason=None))


@safely
def _group_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """A deleted group loses its members without a signal of the relation."""
    relation = next(r for r in _relations.values() if isinstance(r, _Members))
    links, more = relation.links(using, **{relation.held: instance.pk})
    tell_after_commit(using, _events(relation, links, more, using, added=False, reason="group_deleted"))


def _events(relation: _Relation, links: list[Link], more: int, using: str, **about: Any) -> list[Event]:
    """Make events of links; if there are any, find out who acts first: the events say whether it is the holder."""
    if links or more > 0:
        resolve_actor()
    return list(relation.events(links, more, using, **about))


# ── links made by hand ──────────────────────────────────────────────────────────────────────────────────────


def _link_saved(original: Callable[..., Any], link: Any, *args: Any, **kwargs: Any) -> Any:
    is_new = link._state.adding
    result = original(link, *args, **kwargs)
    if is_new:
        with contained("a new link"):
            _links_created(type(link), [link], link._state.db, None)
    return result


def _link_deleted(original: Callable[..., Any], link: Any, *args: Any, **kwargs: Any) -> Any:
    events: list[Event] = []
    using = link._state.db
    with contained("a deleted link"):
        relation = _relations[type(link)]
        links, more = relation.links(using, pk=link.pk)
        events = _events(relation, links, more, using, added=False, reason=None)
    result = original(link, *args, **kwargs)
    with contained("a deleted link"):
        tell_after_commit(using, events)
    return result


def _links_created(through: Any, created: list[Any], using: str, unsure: str | None) -> None:
    relation = _relations[through]
    ends = [through._meta.get_field(name) for name in (relation.holder, relation.held)]
    made = frozenset(tuple(getattr(link, end.attname) for end in ends) for link in created)
    if made == _signalled.get():
        return
    holders, held = (list({pair[end] for pair in made})[:MAX_LINKS] for end in (0, 1))
    links, _ = relation.links(using, MAX_HELD, **{f"{relation.holder}__in": holders, f"{relation.held}__in": held})
    links = [link for link in links if (link.holder, link.held) in made][:MAX_LINKS]
    events = _events(relation, links, len(made) - len(links), using, added=True, reason=None)
    tell_after_commit(using, (doubtful(event, unsure) for event in events))
