"""The JSON API for partners: a token in, orders out. The tokens are the shop's own, so seclog hears of them by call."""

import re
from dataclasses import dataclass
from typing import Any

from example_projects.corner_shop import data
from example_projects.corner_shop.accounts import refused
from example_projects.corner_shop.data import Customer, Order, User
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import seclog


@dataclass
class Call:
    """A program's call: what it sent as JSON, and whose token it sent."""

    db: Session
    sent: dict[str, Any]
    user: User | None = None
    token: str = ""

    @property
    def owner(self) -> User:
        assert self.user is not None, "the app lets only programs in whose token is known"
        return self.user


def token_hash(token: str) -> str:
    """Return the keyed hash by which an entry names a token: the same as in the entries that hooks make."""
    return seclog.pseudonym("token", token)


def give_token(call: Call) -> tuple[object, int]:
    name = str(call.sent.get("username"))
    user = data.find_user(call.db, name)
    reason = refused(user, str(call.sent.get("password")))
    if user is None or reason:
        seclog.login_failed(name, reason, user_id=user and user.id, auth_method="password")
        return {"token": None}, 400
    token = data.new_token(call.db, user)
    seclog.login_succeeded(user.id, user.username, token_type="bearer")
    facts = {"token_type": "bearer", "token_scope": "orders", "token_expires": "never"}
    seclog.emit("authn_token_created", token_id_hash=token_hash(token), **facts)
    return {"token": token}, 200


def take_token(call: Call) -> tuple[object, int]:
    call.db.delete(call.db.get(data.Token, data.digest(call.token)))
    call.db.commit()
    hashed = token_hash(call.token)
    seclog.emit("authn_token_revoked", reason="returned", token_id_hash=hashed, token_type="bearer")
    return None, 204


def list_orders(call: Call) -> tuple[object, int]:
    return [order.facts for order in data.own_orders(call.db, call.owner.id)], 200


def create_order(call: Call) -> tuple[object, int]:
    wrong = _wrong_fields(call.sent)
    if wrong:
        seclog.emit("input_validation_fail", reason="invalid", fields=wrong, **{"http.response.status_code": 400})
        return {"wrong": wrong}, 400
    return data.new_order(call.db, call.owner.id, **call.sent), 201


def _wrong_fields(sent: dict[str, Any]) -> list[str]:
    """Return the names of what is missing or wrong in a new order."""
    checks = {
        "item": isinstance(sent.get("item"), str),
        "quantity": isinstance(sent.get("quantity"), int) and sent["quantity"] > 0,
        "price": re.fullmatch(r"\d{1,6}\.\d\d", str(sent.get("price"))) is not None,
    }
    return [*(name for name, is_right in checks.items() if not is_right), *(sent.keys() - checks.keys())]


def list_customers(call: Call) -> tuple[object, int]:
    return list(call.db.scalars(select(Customer.name))), 200


def forecast(call: Call) -> tuple[object, int]:
    """How many orders to expect a month. Broken on purpose: a shop without a bug would not be believable."""
    months_observed = 0
    return call.db.scalar(select(func.count(Order.id))) / months_observed, 200


API = {
    ("POST", "/api/token/"): (give_token, ()),
    ("DELETE", "/api/token/"): (take_token, ("partner",)),
    ("GET", "/api/orders/"): (list_orders, ("partner",)),
    ("POST", "/api/orders/"): (create_order, ("partner",)),
    ("GET", "/api/customers/"): (list_customers, ("partner", "staff")),
    ("GET", "/api/forecast/"): (forecast, ("partner",)),
}
"""{method and path: what it does, and what the token's owner must be}."""
