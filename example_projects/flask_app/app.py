"""The corner shop behind Flask. seclog is the block that begins with `SecLog(app)`; the other calls say what no hook
can know: whether a name exists, what was reset, what a token is, what data means."""

import time
from datetime import date
from math import inf

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, Order, StoreSettings, User
from example_projects.flask_app.database import db, find, found
from flask import Flask, Response, abort, redirect, render_template, request, session
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_principal import ActionNeed, AnonymousIdentity, Identity, Permission, Principal
from flask_wtf.csrf import CSRFError, CSRFProtect

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

PERMISSIONS = ["view_customer", "view_order", "refund_order"]
logins = LoginManager(app)
logins.login_view, logins.login_message = "login", None


class Visitor(UserMixin):
    """A user as Flask-Login wants one."""

    def __init__(self, user: User):
        self.user, self.id, self.username, self.is_staff = user, user.id, user.username, user.is_staff


@app.before_request
def end_on_public_computers():
    if time.time() > session.get("until", inf):
        seclog.emit("session_expired", reason="expired")
        seclog.bind_user(None)  # from here on nobody acts
        session.clear()


csrf = CSRFProtect(app)
principals = Principal(app, use_sessions=False)


@logins.user_loader
def load(user_id):
    user = db.get(User, int(user_id))
    return Visitor(user) if user and user.is_active and session.get("of") == data.digest(user.password) else None


@principals.identity_loader
def identity():
    identity = Identity(current_user.id) if current_user.is_authenticated else AnonymousIdentity()
    identity.provides |= {ActionNeed(p) for p in PERMISSIONS if identity.id and current_user.user.may(p)}
    return identity


def needs(permission):
    return Permission(ActionNeed(permission)).require(403)


@app.errorhandler(CSRFError)
def not_our_form(error):
    return str(error.description), 403


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────


def page(title, lines=(), status=200):
    return render_template("base.html", title=title, lines=lines), status


def form(title, *names, status=200, error="", more=(), lines=(), action=""):
    fields = [(name, "password" if "password" in name else "text", "", False) for name in names]
    facts = {"fields": [*fields, *more], "lines": lines, "action": action, "error": error}
    return render_template("form.html", title=title, **facts), status


@app.route("/login/", methods=["GET", "POST"])
@app.route("/admin/login/", methods=["GET", "POST"], endpoint="admin_login")
def login():
    staff, error = request.path.startswith("/admin/"), ""
    if request.method == "POST":
        user = find(User, username=request.form["username"])
        if not data.is_right(user, request.form["password"]):
            error = "invalid_credentials" if user else "unknown_user"
        elif staff and not user.is_staff:
            error = "not_staff"
        elif login_user(Visitor(user)):
            session["of"] = data.digest(user.password)  # a new password ends the sessions of the old one
            if "public_computer" in request.form:
                session["until"] = time.time() + data.PUBLIC_COMPUTER_SECONDS
            return redirect("/admin/" if staff else "/orders/")
        if error:
            seclog.login_failed(request.form["username"], error, user_id=user and user.id)
    more, lines = [("public_computer", "checkbox", "on", False)], [("Forgot your password?", "/password/reset/")]
    return form("Log in", "username", "password", error=error and "That is not right.", more=more, lines=lines)


@app.post("/logout/", defaults={"to": "/"})
@app.post("/admin/logout/", defaults={"to": "/admin/login/"})
def logout(to):
    logout_user()
    session.clear()
    return redirect(to)


@app.route("/signup/", methods=["GET", "POST"])
def signup():
    sent, fields = request.form, ("username", "email", "password")
    if request.method == "GET":
        return form("Sign up", *fields)
    if len(sent["password"]) < 10 or find(User, username=sent["username"]):
        return form("Sign up", *fields, status=400, error="Choose another name, or a longer password.")
    user = User(username=sent["username"], email=sent["email"], password=data.hashed(sent["password"]))
    db.add(user)
    db.flush()
    db.add(Customer(user_id=user.id, name=user.username))
    db.commit()
    seclog.emit("user_created", target_id=user.id, target_name=user.username)
    return redirect("/login/")


def set_password(user):
    user.password = data.hashed(request.form["new_password1"])
    db.commit()


@app.route("/password/change/", methods=["GET", "POST"])
@login_required
def change_password():
    user, sent = current_user.user, request.form
    if request.method == "GET" or not data.is_right(user, sent["old_password"]):
        return form("Change password", "old_password", "new_password1", "new_password2")
    set_password(user)
    session["of"] = data.digest(user.password)
    seclog.emit("authn_password_change", target_id=user.id, target_name=user.username)
    seclog.emit("session_renewed")
    return redirect("/")


@app.route("/password/reset/", methods=["GET", "POST"])
def reset():
    if request.method == "GET":
        return form("Forgot password", "email")
    user, kind = find(User, email=request.form["email"]), "authn_password_reset_request"
    if user is None:
        seclog.emit(kind, reason="unknown_user", user_name=data.unknown_name(request.form["email"]))
    else:
        seclog.emit(kind, target_id=user.id, target_name=user.username, user_name=user.username)
        data.send_mail(user.email, f"Choose a new password:\n\n{request.url_root}{data.reset_link(user)}\n")
    return redirect("/")


@app.route("/password/reset/<uid>/<token>/", methods=["GET", "POST"])
def new_password(uid, token):
    user = data.reset_user(db(), uid, token)
    if user is None:
        seclog.emit("authn_password_reset_fail", reason="invalid_token")
        return page("This link is no longer valid")
    if request.method == "GET":
        return form("New password", "new_password1", "new_password2")
    set_password(user)
    who = {"user_id": user.id, "user_name": user.username, "target_id": user.id}
    seclog.emit("authn_password_reset_complete", **who)
    return redirect("/login/")


# ── orders ────────────────────────────────────────────────────────────────────────────────────────


def attachment(body, name, kind="text/plain"):
    return Response(body, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def own_order(pk):
    order = found(Order, pk)
    if order.customer.user_id != current_user.id and not current_user.user.may("view_order"):
        abort(403, "not your order")
    return order


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
    lines = [(f"{order.price} €, {order.status}", ""), ("Pay", f"/orders/{pk}/pay/")]
    if current_user.user.may("refund_order"):
        return form("Refund", lines=lines, action=f"/orders/{pk}/refund/")
    return page(f"Order {order}", lines)


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
