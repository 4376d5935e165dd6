"""The back office, for staff. Who did what is told by decorator or in one line; roles, groups and settings, old and
new, by `seclog.adapters.sqlalchemy`."""

from decimal import Decimal

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, Group, Order, StoreSettings, User
from example_projects.flask_app.web import db, form, found, page
from flask import Blueprint, abort, redirect, request
from flask_login import current_user
from sqlalchemy import select

import seclog

office = Blueprint("office", __name__, url_prefix="/admin")


@office.before_request
def only_staff():
    if not current_user.is_authenticated or not current_user.is_staff:
        return redirect("/admin/login/?next=/admin/")
    if not current_user.user.is_owner and request.endpoint != "office.index":
        abort(403)


@office.get("/")
def index():
    return page("Back office", [(kind, f"/admin/{kind}/") for kind in ("user", "customer", "order", "storesettings")])


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────


@office.get("/user/")
def users():
    return page("Users", [(user.username, f"/admin/user/{user.id}/change/") for user in db.scalars(select(User))])


@office.route("/user/add/", methods=["GET", "POST"])
def add_user():
    if request.method == "GET":
        return form("Add user", "username", "password1", "password2")
    user = User(username=request.form["username"], password=data.hashed(request.form["password1"]))
    db.add(user)
    db.commit()
    seclog.emit("user_created", target_id=user.id, target_name=user.username)
    seclog.emit("authz_admin", action="create", target_type="User", target_id=user.id)
    return redirect(f"/admin/user/{user.id}/change/")


@office.get("/user/<int:pk>/change/")
def user(pk):
    user = found(User, pk)
    ticks = [(name, "checkbox", "on", getattr(user, name)) for name in ("is_active", "is_staff")]
    groups = [("groups", "checkbox", group.id, group in user.groups) for group in db.scalars(select(Group))]
    return form(f"Change {user.username}", more=ticks + groups)


@office.post("/user/<int:pk>/change/")
@seclog.admin_action("change", target_type="User", id_kwarg="pk")
def change_user(pk):
    user, sent = found(User, pk), request.form
    is_archived = user.is_active and "is_active" not in sent
    user.is_active, user.is_staff = "is_active" in sent, "is_staff" in sent
    user.groups = list(db.scalars(select(Group).where(Group.id.in_(sent.getlist("groups", type=int)))))
    db.commit()
    if is_archived:
        seclog.emit("user_archived", target_id=user.id, target_name=user.username)
    return redirect("/admin/user/")


# ── settings ──────────────────────────────────────────────────────────────────────────────────────


@office.get("/storesettings/<int:pk>/change/")
def settings(pk):
    rate = ("tax_rate", "text", found(StoreSettings, pk).tax_rate, False)
    return form("Settings", more=[rate, ("payment_api_key", "password", "", False)])  # never shown; empty keeps it


@office.post("/storesettings/<int:pk>/change/")
@seclog.admin_action("change", target_type="StoreSettings", id_kwarg="pk")
def change_settings(pk):
    settings = found(StoreSettings, pk)
    settings.tax_rate = Decimal(request.form["tax_rate"])
    settings.payment_api_key = request.form["payment_api_key"] or settings.payment_api_key
    db.commit()
    return redirect("/admin/")


# ── customers and orders ──────────────────────────────────────────────────────────────────────────


@office.route("/customer/add/", methods=["GET", "POST"])
def add_customer():
    if request.method == "GET":
        return form("Add customer", "name")
    customer = Customer(name=request.form["name"])
    db.add(customer)
    db.commit()
    seclog.emit("authz_admin", action="create", target_type="Customer", target_id=customer.id)
    return redirect(f"/admin/customer/{customer.id}/change/")


@office.get("/customer/<int:pk>/change/")
def customer(pk):
    return form("Change customer", more=[("name", "text", found(Customer, pk).name, False)])


@office.post("/customer/<int:pk>/change/")
@seclog.admin_action("change", target_type="Customer", id_kwarg="pk")
def change_customer(pk):
    found(Customer, pk).name = request.form["name"]
    db.commit()
    return redirect("/admin/customer/")


@office.post("/customer/<int:pk>/delete/")
@seclog.admin_action("delete", target_type="Customer", id_kwarg="pk")
def delete_customer(pk):
    db.delete(found(Customer, pk))
    db.commit()
    return redirect("/admin/customer/")


@office.get("/customer/", defaults={"table": Customer, "action": "delete_selected"})
@office.get("/order/", defaults={"table": Order, "action": "mark_shipped"})
def rows(table, action):
    boxes = [("_selected_action", "checkbox", row.id, False) for row in db.scalars(select(table))]
    return form(action, more=[("action", "text", action, False), *boxes])


@office.post("/customer/", defaults={"table": Customer, "action": "delete"})
@office.post("/order/", defaults={"table": Order, "action": "mark_shipped"})
def act(table, action):
    chosen = request.form.getlist("_selected_action")
    for row in db.scalars(select(table).where(table.id.in_(map(int, chosen)))):
        if table is Order:
            row.status = "shipped"
        else:
            db.delete(row)
    db.commit()
    seclog.emit("authz_admin", action=action, target_type=table.__name__, target_id=chosen, count=len(chosen))
    return redirect(request.path)
