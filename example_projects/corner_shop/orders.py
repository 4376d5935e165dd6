"""A customer's own orders: pages, payment, invoices; and what support may see. Downloads are seen by the adapter, and
what data means is said where the app decorates these; here it is only said why an order is refused."""

import re
from datetime import date

from example_projects.corner_shop import data
from example_projects.corner_shop.data import Customer, Order
from example_projects.corner_shop.pages import Answer, Field, Refused, Visit, attachment, page, to

import seclog

CARD = {"card_number": r"\d{16}", "cvv": r"\d{3}", "valid_until": r"\d{4}-\d\d-\d\d"}


def home(visit: Visit) -> Answer:
    return page(visit, "Good things for the table", lines=["Tea pots, cups, lamps and rugs, made nearby."])


def own_order(visit: Visit, pk: int) -> Order:
    """Return the order if it is the visitor's own, or the visitor may see all.

    Raises:
        Refused: it is somebody else's, or there is none.
    """
    assert visit.user is not None
    order = visit.db.get(Order, pk)
    if order is None:
        raise Refused(404)
    if order.customer.user_id != visit.user.id and not visit.user.may("view_order"):
        seclog.denied("not_owner", target_type="order", target_id=pk)
        raise Refused(403, "not your order")
    return order


def orders(visit: Visit) -> Answer:
    assert visit.user is not None
    links = [(f"/orders/{order.id}/", str(order)) for order in data.own_orders(visit.db, visit.user.id)]
    return page(visit, "Your orders", links=[*links, ("/orders/invoices/", "All invoices in one file")])


def order(visit: Visit, pk: int) -> Answer:
    """An order, with a button to refund it for those who may."""
    order = own_order(visit, pk)
    assert visit.user is not None
    fields = [] if visit.user.may("refund_order") else None
    links = [(f"/orders/{pk}/pay/", "Pay"), (f"/orders/{pk}/invoice/", "Invoice")]
    action = f"/orders/{pk}/refund/"
    return page(visit, f"Order {order}", lines=[order.status], links=links, fields=fields, action=action)


def pay(visit: Visit, pk: int) -> Answer:
    """The payment; a card that is none, or has expired, is answered with 400."""
    order = own_order(visit, pk)
    fields = [Field(name) for name in (*CARD, "note")]
    if visit.form is None:
        return page(visit, "Pay", fields=fields)
    is_card = all(re.fullmatch(pattern, visit.sent(name)) for name, pattern in CARD.items())
    if not is_card or visit.sent("valid_until") < date.today().isoformat():
        return page(visit, "Pay", fields=fields, status=400, problem="This card is not valid.")
    order.status = "paid"
    visit.db.commit()
    return to(f"/orders/{pk}/")


def invoice(visit: Visit, pk: int) -> Answer:
    return attachment(own_order(visit, pk).invoice, f"invoice-{pk}.txt")


def invoices(visit: Visit) -> Answer:
    """All invoices of the visitor in one file, streamed."""
    assert visit.user is not None
    return attachment(iter([order.invoice for order in data.own_orders(visit.db, visit.user.id)]), "invoices.txt")


# ── for support ───────────────────────────────────────────────────────────────────────────────────


def customer(visit: Visit, pk: int) -> Answer:
    customer = visit.db.get(Customer, pk)
    if customer is None:
        raise Refused(404)
    return page(visit, customer.name, lines=[customer.address or "no address", *customer.orders])


def export(visit: Visit) -> Answer:
    table, rows = data.orders_csv(visit.db)
    return attachment(table, "orders.csv", "text/csv", rows)


def refund(visit: Visit, pk: int) -> Answer:
    order = visit.db.get(Order, pk)
    if order is None:
        raise Refused(404)
    order.status = "refunded"
    visit.db.commit()
    return to(f"/orders/{pk}/")
