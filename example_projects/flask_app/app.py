"""The corner shop behind Flask. seclog is the block that begins with `SecLog(app)`; the other calls say what no hook
can know: whether a name exists, what was reset, what a token is, what data means."""

from datetime import date

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, Order, StoreSettings, User
from example_projects.flask_app.accounts import accounts
from example_projects.flask_app.api import api
from example_projects.flask_app.office import office
from example_projects.flask_app.web import Visitor, attachment, db, form, found, page
from flask import Flask, abort, redirect, request, session
from flask_login import LoginManager, current_user, login_required
from flask_principal import ActionNeed, AnonymousIdentity, Identity, Permission, Principal
from flask_wtf.csrf import CSRFProtect

import seclog
from seclog.adapters.flask import SecLog
from seclog.adapters.sqlalchemy import watch

app = Flask(__name__)
app.config.update(SECRET_KEY=data.secret_key(), SESSION_COOKIE_SAMESITE="Lax")

# ── seclog: the door, and which tables give power or hold settings ────────────────────────────────

app.config["SECLOG"] = {
    "directory": data.STATE,
    "service": "shop",
    "environment": "demo",
    "trusted_proxies": ["127.0.0.0/8"],  # the demo plays the proxy: it sends X-Forwarded-For
    "watch": {"interval_seconds": 0.5},
}
SecLog(app)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")

# ── who is there, and what they may ───────────────────────────────────────────────────────────────

PERMISSIONS = ("view_customer", "view_order", "refund_order")
app.teardown_appcontext(lambda error: db.remove())
logins = LoginManager(app)
logins.login_view, logins.login_message = "accounts.login", None
app.register_blueprint(accounts)  # in this order: sessions that are over, whose token it is, who is there, CSRF
app.register_blueprint(api)
principals = Principal(app, use_sessions=False)
CSRFProtect(app).exempt(api)  # programs send a token, no cookie
app.register_blueprint(office)


@logins.user_loader
def load(user_id):
    user = db.get(User, int(user_id))
    return Visitor(user) if user and user.is_active and session.get("of") == data.digest(user.password) else None


@principals.identity_loader
def identity():
    identity = Identity(current_user.id) if current_user.is_authenticated else AnonymousIdentity()
    identity.provides |= {ActionNeed(name) for name in PERMISSIONS if identity.id and current_user.user.may(name)}
    return identity


def needs(permission):
    return Permission(ActionNeed(permission)).require(403)


# ── orders ────────────────────────────────────────────────────────────────────────────────────────


def own_order(pk):
    order = found(Order, pk)
    is_own = order.customer.user_id == current_user.id
    return order if is_own or current_user.user.may("view_order") else abort(403, "not your order")


@app.get("/")
def home():
    return page("Good things for the table")


@app.get("/orders/")
@login_required
def orders():
    own = data.own_orders(db(), current_user.id)
    return page("Your orders", [(str(order), f"/orders/{order.id}/") for order in own])


@app.get("/orders/<int:pk>/")
@login_required
def order(pk):
    order = own_order(pk)
    lines = [(f"{order}, {order.price} €, {order.status}", ""), ("Pay", f"/orders/{pk}/pay/")]
    if current_user.user.may("refund_order"):
        return form("Refund", lines=lines, action=f"/orders/{pk}/refund/")
    return page(f"Order {pk}", lines)


@app.route("/orders/<int:pk>/pay/", methods=["GET", "POST"])
@login_required
def pay(pk):
    order, fields = own_order(pk), ("card_number", "cvv", "valid_until", "note")
    if request.method == "GET":
        return form("Pay", *fields)
    if date.fromisoformat(request.form["valid_until"]) < date.today():
        return form("Pay", *fields, status=400, error="This card has expired.")
    order.status = "paid"
    db.commit()
    return redirect(f"/orders/{pk}/")


@app.get("/orders/<int:pk>/invoice/")
@login_required
def invoice(pk):
    return attachment(own_order(pk).invoice, f"invoice-{pk}.txt")


@app.get("/orders/invoices/")
@login_required
def invoices():
    texts = [order.invoice for order in data.own_orders(db(), current_user.id)]
    return attachment(iter(texts), "invoices.txt")


@app.get("/orders/export/")
@login_required
@needs("view_order")
@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export():
    table, rows = data.orders_csv(db())
    response = attachment(table, "orders.csv", "text/csv")
    response.rows = rows
    return response


@app.post("/orders/<int:pk>/refund/")
@login_required
@needs("refund_order")
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(pk):
    found(Order, pk).status = "refunded"
    db.commit()
    return redirect(f"/orders/{pk}/")


@app.get("/customers/<int:pk>/")
@login_required
@needs("view_customer")
@seclog.sensitive("customer", id_kwarg="pk")
def customer(pk):
    return page(found(Customer, pk).name)
