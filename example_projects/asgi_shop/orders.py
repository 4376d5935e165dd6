"""Pages about one order, for those who may see it: the apps see to that."""

import re
from datetime import date

from example_projects.asgi_shop.data import Customer, Order, User
from example_projects.asgi_shop.pages import Field, page, to
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

CARD = {"card_number": r"\d{16}", "cvv": r"\d{3}", "valid_until": r"\d{4}-\d\d-\d\d"}


def order_page(request: Request, order: Order, user: User) -> Response:
    """An order, with a button to refund it for those who may."""
    refund = {"fields": [], "action": f"/orders/{order.id}/refund/"} if user.may("refund_order") else {}
    links = [(f"/orders/{order.id}/pay/", "Pay"), (f"/orders/{order.id}/invoice/", "Invoice")]
    return page(request, f"Order {order}", lines=[order.status], links=links, **refund)


def pay_page(request: Request, order: Order, db: Session, form: FormData | None) -> Response:
    """The payment; a card that is none, or has expired, is answered with 400."""
    fields = [Field(name) for name in (*CARD, "note")]
    if form is None:
        return page(request, "Pay", fields=fields)
    is_card = all(re.fullmatch(pattern, str(form.get(name))) for name, pattern in CARD.items())
    if not is_card or str(form.get("valid_until")) < date.today().isoformat():
        return page(request, "Pay", fields=fields, status=400, problem="This card is not valid.")
    order.status = "paid"
    db.commit()
    return to(f"/orders/{order.id}/")


def customer_page(request: Request, customer: Customer) -> Response:
    """A customer's record."""
    lines = [customer.address or "no address", *customer.orders]
    return page(request, customer.name, lines=lines)
