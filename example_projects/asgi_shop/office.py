"""The back office: lists, forms and deletions for four tables. Who did what is told in one place, `_done`;
roles, groups and settings, old and new, by `seclog.adapters.sqlalchemy`."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, Group, Order, StoreSettings, User
from example_projects.asgi_shop.pages import Field, page, to
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import seclog

TABLES: dict[str, type[Any]] = {"user": User, "customer": Customer, "order": Order, "storesettings": StoreSettings}
COLUMNS: dict[str, dict[str, Callable[[str], Any]]] = {
    "user": {"username": str, "is_active": bool, "is_staff": bool},
    "customer": {"name": str, "address": str},
    "order": {"item": str, "quantity": int, "price": Decimal},
    "storesettings": {"tax_rate": Decimal, "free_shipping_from": int},
}
View = Callable[[Request, Session, FormData | None], Response]


def _done(action: str, kind: str, target_id: object, **more: object) -> None:
    seclog.emit("authz_admin", action=action, target_type=TABLES[kind].__name__, target_id=target_id, **more)


def _allowed(view: View) -> View:
    """Let in whom the visitor's permissions let in. That they are staff, the apps see to."""

    def checked(request: Request, db: Session, form: FormData | None) -> Response:
        kind, user = request.path_params["kind"], db.get(User, request.session["user_id"])
        if kind not in TABLES:
            raise HTTPException(404)
        if not user.may(f"change_{kind}"):
            raise HTTPException(403)
        try:
            return view(request, db, form)
        except (ValueError, ArithmeticError, IntegrityError):  # no number, or a name that is taken
            raise HTTPException(400) from None

    return checked


def _found(request: Request, db: Session) -> Any:
    pk = str(request.path_params["pk"])
    item = db.get(TABLES[request.path_params["kind"]], int(pk)) if pk.isdecimal() else None
    if item is None:
        raise HTTPException(404)
    return item


def index(request: Request, db: Session, form: FormData | None) -> Response:
    return page(request, "Back office", links=[(f"/admin/{kind}/", kind) for kind in TABLES])


@_allowed
def listing(request: Request, db: Session, form: FormData | None) -> Response:
    """A table, and what can be done to several of its rows."""
    kind = request.path_params["kind"]
    if form is None:
        rows = [(str(row.id), str(row.id)) for row in db.scalars(select(TABLES[kind]))]
        links = [(f"/admin/{kind}/{key}/change/", f"{kind} {key}") for key, _ in rows]
        actions = [("delete_selected", "Delete"), *([("mark_shipped", "Mark as shipped")] if kind == "order" else [])]
        fields = [
            Field("action", value="", choices=actions),
            Field("_selected_action", value="", choices=rows, several=True),
        ]
        return page(request, kind.capitalize(), links=links, fields=fields)
    chosen = [int(key) for key in form.getlist("_selected_action")]
    items = list(db.scalars(select(TABLES[kind]).where(TABLES[kind].id.in_(chosen)).order_by(TABLES[kind].id)))
    for item in items:
        if kind == "order" and form.get("action") == "mark_shipped":
            item.status = "shipped"
        else:
            db.delete(item)
    ids = [str(item.id) for item in items]
    db.commit()
    action = str(form.get("action")).removesuffix("_selected")
    _done(action, kind, ids, count=len(ids))
    return to(f"/admin/{kind}/")


@_allowed
def add(request: Request, db: Session, form: FormData | None) -> Response:
    kind = request.path_params["kind"]
    if kind not in {"user", "customer"}:
        raise HTTPException(404)
    if form is None:
        passwords = [Field("password1", "password"), Field("password2", "password")]
        fields = [Field("username"), *passwords] if kind == "user" else [Field("name"), Field("address")]
        return page(request, f"Add {kind}", fields=fields)
    if form.get("password1") != form.get("password2"):
        raise HTTPException(400)
    if kind == "user":
        item: Any = User(username=str(form.get("username")), password=data.hashed(str(form.get("password1"))))
    else:
        item = Customer(name=str(form.get("name")), address=str(form.get("address", "")))
    db.add(item)
    db.commit()
    if kind == "user":
        seclog.emit("user_created", target_id=item.id, target_name=item.username, target_roles=[])
    _done("create", kind, item.id)
    return to(f"/admin/{kind}/{item.id}/change/")


@_allowed
def change(request: Request, db: Session, form: FormData | None) -> Response:
    kind, item = request.path_params["kind"], _found(request, db)
    if form is None:
        fields = [Field(name, "checkbox" if convert is bool else "text", getattr(item, name))
                  for name, convert in COLUMNS[kind].items()]  # fmt: skip
        if kind == "user":
            choices = [(str(group.id), group.name) for group in db.scalars(select(Group))]
            fields.append(
                Field("groups", value=[str(group.id) for group in item.groups], choices=choices, several=True)
            )
        if kind == "storesettings":
            fields.append(Field("payment_api_key", "password"))  # never shown; empty keeps it
        return page(request, f"Change {kind} {item.id}", fields=fields)
    was_active = getattr(item, "is_active", None)
    for name, convert in COLUMNS[kind].items():
        setattr(item, name, convert(str(form.get(name, ""))))
    if kind == "user":
        chosen = [int(key) for key in form.getlist("groups")]
        item.groups = list(db.scalars(select(Group).where(Group.id.in_(chosen))))
    if kind == "storesettings" and form.get("payment_api_key"):
        item.payment_api_key = str(form.get("payment_api_key"))
    db.commit()
    if was_active and not item.is_active:
        seclog.emit("user_archived", target_id=item.id, target_name=item.username)
    _done("change", kind, item.id)
    return to(f"/admin/{kind}/")


@_allowed
def delete(request: Request, db: Session, form: FormData | None) -> Response:
    kind, item = request.path_params["kind"], _found(request, db)
    if form is None:
        return page(request, f"Delete {kind} {item.id}", fields=[])
    key = item.id
    db.delete(item)
    db.commit()
    _done("delete", kind, key)
    return to(f"/admin/{kind}/")


PAGES: dict[str, View] = {
    "/admin/": index,
    "/admin/{kind}/": listing,
    "/admin/{kind}/add/": add,
    "/admin/{kind}/{pk}/change/": change,
    "/admin/{kind}/{pk}/delete/": delete,
}
"""Where these are. They are for staff."""
