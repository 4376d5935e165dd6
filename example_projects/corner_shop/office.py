"""The back office: lists, forms and deletions for four tables. Who did what is told in one place, `_done`;
roles, groups and settings, old and new, by `seclog.adapters.sqlalchemy`."""

from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Any

from example_projects.corner_shop import data
from example_projects.corner_shop.data import Customer, Group, Order, StoreSettings, User
from example_projects.corner_shop.pages import Answer, Field, Refused, Visit, page, to
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

import seclog

TABLES: dict[str, type[Any]] = {"user": User, "customer": Customer, "order": Order, "storesettings": StoreSettings}
COLUMNS: dict[str, dict[str, Callable[[str], Any]]] = {
    "user": {"username": str, "is_active": bool, "is_staff": bool},
    "customer": {"name": str, "address": str},
    "order": {"item": str, "quantity": int, "price": Decimal},
    "storesettings": {"tax_rate": Decimal, "free_shipping_from": int},
}


def _done(action: str, kind: str, target_id: object, **more: object) -> None:
    seclog.emit("authz_admin", action=action, target_type=TABLES[kind].__name__, target_id=target_id, **more)


def _allowed(view: Callable[..., Answer]) -> Callable[..., Answer]:
    """Let in whom the visitor's permissions let in. That they are staff, the apps see to."""

    @wraps(view)
    def checked(visit: Visit, kind: str, **more: int) -> Answer:
        if kind not in TABLES:
            raise Refused(404)
        if visit.user is None or not visit.user.may(f"change_{kind}"):
            raise Refused(403)
        try:
            return view(visit, kind, **more)
        except (ValueError, ArithmeticError, IntegrityError):  # no number, or a name that is taken
            raise Refused(400) from None

    return checked


def _found(visit: Visit, kind: str, pk: int) -> Any:
    item = visit.db.get(TABLES[kind], pk)
    if item is None:
        raise Refused(404)
    return item


def index(visit: Visit) -> Answer:
    return page(visit, "Back office", links=[(f"/admin/{kind}/", kind) for kind in TABLES])


@_allowed
def listing(visit: Visit, kind: str) -> Answer:
    """A table, and what can be done to several of its rows."""
    table = TABLES[kind]
    if visit.form is None:
        rows = [(str(row.id), str(row.id)) for row in visit.db.scalars(select(table))]
        links = [(f"/admin/{kind}/{key}/change/", f"{kind} {key}") for key, _ in rows]
        actions = [("delete_selected", "Delete"), *([("mark_shipped", "Mark as shipped")] if kind == "order" else [])]
        fields = [Field("action", choices=actions), Field("_selected_action", choices=rows, several=True)]
        return page(visit, kind.capitalize(), links=links, fields=fields)
    chosen = [int(key) for key in visit.form.getlist("_selected_action")]
    items = list(visit.db.scalars(select(table).where(table.id.in_(chosen)).order_by(table.id)))
    for item in items:
        if kind == "order" and visit.sent("action") == "mark_shipped":
            item.status = "shipped"
        else:
            visit.db.delete(item)
    ids = [str(item.id) for item in items]
    visit.db.commit()
    _done(visit.sent("action").removesuffix("_selected"), kind, ids, count=len(ids))
    return to(f"/admin/{kind}/")


@_allowed
def add(visit: Visit, kind: str) -> Answer:
    if kind not in {"user", "customer"}:
        raise Refused(404)
    if visit.form is None:
        passwords = [Field("password1", "password"), Field("password2", "password")]
        fields = [Field("username"), *passwords] if kind == "user" else [Field("name"), Field("address")]
        return page(visit, f"Add {kind}", fields=fields)
    if visit.sent("password1") != visit.sent("password2"):
        raise Refused(400)
    item: Any = Customer(name=visit.sent("name"), address=visit.sent("address"))
    if kind == "user":
        item = User(username=visit.sent("username"), password=data.hashed(visit.sent("password1")))
    visit.db.add(item)
    visit.db.commit()
    if kind == "user":
        seclog.emit("user_created", target_id=item.id, target_name=item.username, target_roles=[])
    _done("create", kind, item.id)
    return to(f"/admin/{kind}/{item.id}/change/")


@_allowed
def change(visit: Visit, kind: str, pk: int) -> Answer:
    item = _found(visit, kind, pk)
    if visit.form is None:
        return page(visit, f"Change {kind} {pk}", fields=_fields(visit, kind, item))
    was_active = getattr(item, "is_active", None)
    for name, convert in COLUMNS[kind].items():
        setattr(item, name, convert(visit.sent(name)))
    if kind == "user":
        chosen = [int(key) for key in visit.form.getlist("groups")]
        item.groups = list(visit.db.scalars(select(Group).where(Group.id.in_(chosen))))
    if kind == "storesettings" and visit.sent("payment_api_key"):
        item.payment_api_key = visit.sent("payment_api_key")
    visit.db.commit()
    if was_active and not item.is_active:
        seclog.emit("user_archived", target_id=item.id, target_name=item.username)
    _done("change", kind, pk)
    return to(f"/admin/{kind}/")


def _fields(visit: Visit, kind: str, item: Any) -> list[Field]:
    columns = COLUMNS[kind].items()
    fields = [Field(name, "checkbox" if convert is bool else "text", getattr(item, name)) for name, convert in columns]
    if kind == "user":
        choices = [(str(group.id), group.name) for group in visit.db.scalars(select(Group))]
        chosen = [str(group.id) for group in item.groups]
        fields.append(Field("groups", value=chosen, choices=choices, several=True))
    if kind == "storesettings":
        fields.append(Field("payment_api_key", "password"))  # never shown; empty keeps it
    return fields


@_allowed
def delete(visit: Visit, kind: str, pk: int) -> Answer:
    item = _found(visit, kind, pk)
    if visit.form is None:
        return page(visit, f"Delete {kind} {pk}", fields=[])
    visit.db.delete(item)
    visit.db.commit()
    _done("delete", kind, pk)
    return to(f"/admin/{kind}/")
