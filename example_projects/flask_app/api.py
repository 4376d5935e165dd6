"""The JSON API for partners: token in, orders out. The tokens are the shop's own, so seclog hears of them by call."""

from decimal import Decimal, InvalidOperation

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, Order, Token
from example_projects.flask_app.web import db, find
from flask import Blueprint, abort, g, jsonify, request

import seclog

api = Blueprint("api", __name__, url_prefix="/api")
KIND = "api_token"


@api.before_app_request
def know_the_program():
    """Before every request: who sends a token."""
    token = request.headers.get("Authorization", "").removeprefix("Token ")
    user = data.token_user(db(), token) if token else None
    g.program, g.token = user, token
    if user is not None:
        seclog.bind_user(user.id, user.username)
    elif token:
        seclog.emit("authn_token_invalid", reason="unknown_token", token_id_hash=data.token_hash(token))


@api.before_request
def only_programs():
    if g.program is None and request.endpoint != "api.create_token":
        abort(401)


@api.post("/token/")
def create_token():
    user, sent = find(data.User, username=request.json["username"]), request.json
    if not data.is_right(user, sent["password"]) or not user.is_active:
        reason = "invalid_credentials" if user else "unknown_user"
        seclog.login_failed(sent["username"], reason, user_id=user and user.id, token_type=KIND)
        abort(400)
    token = data.new_token(db(), user)
    seclog.login_succeeded(user.id, user.username, token_type=KIND)
    seclog.emit("authn_token_created", target_id=user.id, token_id_hash=data.token_hash(token), token_type=KIND)
    return jsonify(token=token)


@api.delete("/token/")
def revoke_token():
    db.delete(db.get(Token, data.digest(g.token)))
    db.commit()
    seclog.emit("authn_token_revoked", reason="given_back", token_id_hash=data.token_hash(g.token), token_type=KIND)
    return "", 204


@api.get("/orders/")
def orders():
    return jsonify([order.facts for order in data.own_orders(db(), g.program.id)])


@api.post("/orders/")
def add_order():
    sent, wrong = request.get_json(), []
    if not isinstance(sent.get("quantity"), int) or sent["quantity"] < 1:
        wrong.append("quantity")
    try:
        price = Decimal(sent.get("price", ""))
    except InvalidOperation:
        wrong.append("price")
    if wrong:
        seclog.emit("input_validation_fail", reason="invalid", fields=wrong, **{"http.response.status_code": 400})
        return jsonify(wrong=wrong), 400
    customer = find(Customer, user_id=g.program.id)
    db.add(Order(customer=customer, item=sent["item"], quantity=sent["quantity"], price=price))
    db.commit()
    return "", 201


@api.get("/customers/")
def customers():
    if not g.program.is_staff:
        abort(403)
    return jsonify([{"id": customer.id, "name": customer.name} for customer in db.query(Customer)])


@api.get("/forecast/")
def forecast():
    """How many orders to expect. Broken on purpose: a shop without a bug would not be believable."""
    months_observed = 0
    return jsonify(orders_per_month=db.query(Order).count() / months_observed)
