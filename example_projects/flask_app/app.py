"""The corner shop on Flask. What seclog needs is the first block, and one line for each page whose data it cannot judge."""

import re
from functools import wraps

from example_projects.corner_shop import accounts, data, orders, partners
from example_projects.corner_shop.data import StoreSettings, User
from example_projects.corner_shop.pages import Refused, Visit
from example_projects.corner_shop.routes import ROUTES
from flask import Blueprint, Flask, Response, abort, g, jsonify, request, session
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_principal import ActionNeed, AnonymousIdentity, Identity, Permission, Principal
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from sqlalchemy.orm import scoped_session, sessionmaker

import seclog
from seclog.adapters.flask import SecLog
from seclog.adapters.sqlalchemy import watch

app = Flask(__name__)
app.config.update(SECRET_KEY=data.secret_key(), SESSION_COOKIE_SAMESITE="Lax")

# ── seclog: the door, and the tables that give power or hold settings ─────────────────────────────

app.config["SECLOG"] = data.SECLOG
SecLog(app)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")

# ── who comes, and what they may ──────────────────────────────────────────────────────────────────

PERMISSIONS = {"view_customer", "view_order", "refund_order"}
db = scoped_session(sessionmaker(data.engine, expire_on_commit=False))
app.teardown_appcontext(lambda error: db.remove())
app.before_request(lambda: accounts.end_if_over(session))


@app.before_request
def know_the_program():
    token = request.headers.get("Authorization", "").removeprefix("Token ")
    g.user, g.token = data.token_user(db(), token) if token else None, token
    if g.user:
        seclog.bind_user(g.user.id, g.user.username)
    elif token:
        seclog.emit("authn_token_invalid", reason="unknown_token", token_id_hash=partners.token_hash(token))


class Visitor(UserMixin):
    def __init__(self, user):
        self.user, self.id, self.username, self.is_staff = user, user.id, user.username, user.is_staff


class FlaskVisit(Visit):
    """A visit whose session is Flask-Login's and whose forms are Flask-WTF's."""

    def csrf_token(self):
        return generate_csrf()

    def log_in(self, user):
        login_user(Visitor(user))

    def log_out(self):
        logout_user()
        session.clear()


logins = LoginManager(app)
logins.login_view, logins.login_message = "/login/", None
principals = Principal(app, use_sessions=False)
csrf = CSRFProtect(app)
app.register_error_handler(Refused, lambda no: Response(no.reason, no.status, no.headers))
app.register_error_handler(CSRFError, lambda error: (str(error.description), 403))


@logins.user_loader
def load(user_id):
    user = accounts.owner(db(), session, user_id)
    return user and Visitor(user)


@principals.identity_loader
def identity():
    identity = Identity(current_user.id) if current_user.is_authenticated else AnonymousIdentity()
    identity.provides |= {ActionNeed(name) for name in PERMISSIONS if identity.id and current_user.user.may(name)}
    return identity


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def page(path, view, needs, methods):
    @wraps(view)
    def endpoint(**params):
        user = current_user.user if current_user.is_authenticated else None
        form = request.form if request.method == "POST" else None
        if needs == ("staff",):
            accounts.let_in(user, request.path, needs)
        answer = view(FlaskVisit(db(), session, user, form, request.path, request.url_root), **params)
        return Response(answer.body, answer.status, answer.headers)

    for permission in PERMISSIONS & set(needs or ()):
        endpoint = Permission(ActionNeed(permission)).require(403)(endpoint)
    endpoint = endpoint if needs is None else login_required(endpoint)
    rule = re.sub(r"{(\w+):int}", r"<int:\1>", path).replace("{", "<").replace("}", ">")
    app.add_url_rule(rule, path, endpoint, methods=methods)


@seclog.sensitive("customer", id_kwarg="pk")
def customer(visit, pk):
    return orders.customer(visit, pk)


@seclog.export("orders", rows=lambda answer: answer.rows, format="csv")
def export(visit):
    return orders.export(visit)


@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(visit, pk):
    return orders.refund(visit, pk)


page("/customers/{pk:int}/", customer, ("view_customer",), ("GET",))
page("/orders/export/", export, ("view_order",), ("GET",))
page("/orders/{pk:int}/refund/", refund, ("refund_order",), ("POST",))
for route in ROUTES:
    page(*route)

# ── the JSON API for partners: token in, orders out ───────────────────────────────────────────────

api = Blueprint("api", __name__)
csrf.exempt(api)  # programs send a token, no cookie


def add_to_api(method, path, view, needs):
    @wraps(view)
    def endpoint():
        if needs and g.user is None:
            abort(401)
        if "staff" in needs and not g.user.is_staff:
            abort(403)
        answer, status = view(partners.Call(db(), request.get_json() if method == "POST" else {}, g.user, g.token))
        return ("", status) if answer is None else (jsonify(answer), status)

    api.add_url_rule(path, view.__name__, endpoint, methods=[method])


for place, what in partners.API.items():
    add_to_api(*place, *what)
app.register_blueprint(api)
