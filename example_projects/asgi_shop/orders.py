"""A customer's own orders: pages, payment, invoices. Downloads are seen by the adapter; nothing here mentions seclog."""

import re
from datetime import date

from example_projects.asgi_shop.accounts import visitor
from example_projects.asgi_shop.data import Customer, Order, own_orders
from example_projects.asgi_shop.pages import Field, attachment, page, to
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

CARD = {"card_number": r"\d{16}", "cvv": r"\d{3}", "valid_until": r"\d{4}-\d\d-\d\d"}


def own_order(request: Request, db: Session) -> Order:
    """Return the order if it is the visitor's own, or the visitor may see all.

    Raises:
        HTTPException: it is somebody else's, or there is none.
    """
    user = visitor(request, db)
    order = db.get(Order, int(request.path_params["pk"]))
    if order is None:
        raise HTTPException(404)
    if order.customer.user_id != user.id and not user.may("view_order"):
        raise HTTPException(403, "not your order")
    return order


def orders(request: Request, db: Session, form: FormData | None) -> Response:
    links = [(f"/orders/{order.id}/", str(order)) for order in own_orders(db, visitor(request, db).id)]
    return page(request, "Your orders", links=[*links, ("/orders/invoices/", "All invoices in one file")])


def order(request: Request, db: Session, form: FormData | None) -> Response:
    """An order, with a button to refund it for those who may."""
    order = own_order(request, db)
    may_refund = visitor(request, db).may("refund_order")
    refund = {"fields": [], "action": f"/orders/{order.id}/refund/"} if may_refund else {}
    links = [(f"/orders/{order.id}/pay/", "Pay"), (f"/orders/{order.id}/invoice/", "Invoice")]
    return page(request, f"Order {order}", lines=[order.status], links=links, **refund)


def pay(request: Request, db: Session, form: FormData | None) -> Response:
    """The payment; a card that is none, or has expired, is answered with 400."""
    order = own_order(request, db)
    fields = [Field(name) for name in (*CARD, "note")]
    if form is None:
        return page(request, "Pay", fields=fields)
    is_card = all(re.fullmatch(pattern, str(form.get(name))) for name, pattern in CARD.items())
    if not is_card or str(form.get("valid_until")) < date.today().isoformat():
        return page(request, "Pay", fields=fields, status=400, problem="This card is not valid.")
    order.status = "paid"
    db.commit()
    return to(f"/orders/{order.id}/")


def invoice(request: Request, db: Session, form: FormData | None) -> Response:
    order = own_order(request, db)
    return Response(order.invoice, headers=attachment(f"invoice-{order.id}.txt"))


def invoices(request: Request, db: Session, form: FormData | None) -> Response:
    """All invoices of the visitor in one file, streamed."""
    texts = [order.invoice for order in own_orders(db, visitor(request, db).id)]
    return StreamingResponse(iter(texts), headers=attachment("invoices.txt"))


def give_back(db: Session, *, pk: int) -> None:
    """Refund an order, for those who may: the apps see to that."""
    order = db.get(Order, pk)
    if order is None:
        raise HTTPException(404)
    order.status = "refunded"
    db.commit()


def customer_page(request: Request, customer: Customer | None) -> Response:
    """A customer's record, for those who may read it: the apps see to that."""
    if customer is None:
        raise HTTPException(404)
    lines = [customer.address or "no address", *customer.orders]
    return page(request, customer.name, lines=lines)


PAGES = {
    "/orders/": orders,
    "/orders/invoices/": invoices,
    "/orders/{pk:int}/": order,
    "/orders/{pk:int}/pay/": pay,
    "/orders/{pk:int}/invoice/": invoice,
}
"""Where these are."""


def wrong_fields(sent: dict) -> list[str]:
    """Return the names of what is missing or wrong in a new order that a program sends."""
    checks = {
        "item": isinstance(sent.get("item"), str),
        "quantity": isinstance(sent.get("quantity"), int) and sent["quantity"] > 0,
        "price": re.fullmatch(r"\d{1,6}\.\d\d", str(sent.get("price"))) is not None,
    }
    return [*(name for name, is_right in checks.items() if not is_right), *(sent.keys() - checks.keys())]
