"""A small shop on FastAPI. What seclog needs is the first block; the rest is the shop."""

from collections.abc import Callable, Iterator
from typing import Annotated

from example_projects.asgi_shop import accounts, data, office
from example_projects.asgi_shop.data import Customer, Order, StoreSettings, User
from example_projects.asgi_shop.orders import customer_page, order_page, pay_page
from example_projects.asgi_shop.pages import attachment, filled, found, page, to
from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.middleware.sessions import SessionMiddleware

import seclog
from seclog.adapters.asgi import Actor, audit_access, install
from seclog.adapters.sqlalchemy import watch

app = FastAPI(title="Corner Shop", docs_url=None, redoc_url=None)

# ── seclog: the door, and which tables give power or hold settings ────────────────────────────────

install(app, data.SECLOG)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")

# ── who is there, and what they may ───────────────────────────────────────────────────────────────

app.add_middleware(SessionMiddleware, secret_key=data.secret_key(), session_cookie="session")


def database() -> Iterator[Session]:
    with Session(data.engine) as db:
        yield db


Db = Annotated[Session, Depends(database)]
Form = Annotated[FormData | None, Depends(filled)]


def signed_in(request: Request, db: Db, needed: SecurityScopes) -> User:
    user = accounts.session_user(db, request.session)
    if user is None:
        raise HTTPException(302, headers={"Location": f"/login/?next={request.url.path}"})
    if not all(user.may(permission) for permission in needed.scopes):
        raise HTTPException(403)
    return user


Visitor = Annotated[User, Security(signed_in)]


def staff(user: Visitor) -> None:
    if not user.is_staff:
        raise HTTPException(302, headers={"Location": "/admin/login/?next=/admin/"})


def program(db: Db, sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> User:
    user = data.token_user(db, sent.credentials)
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


Partner = Annotated[User, Actor(program)]


def own_order(pk: int, db: Db, user: Visitor) -> Order:
    order = found(db.get(Order, pk))
    if order.customer.user_id != user.id and not user.may("view_order"):
        raise HTTPException(403, "not your order")
    return order


Own = Annotated[Order, Depends(own_order)]

# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def serve(path: str, view: Callable[..., Response], *needed: object) -> None:
    def endpoint(request: Request, form: Form, db: Db) -> Response:
        return view(request, db, form)

    methods = ["POST"] if view is accounts.logout else ["GET", "POST"]
    app.add_api_route(path, endpoint, methods=methods, dependencies=needed)


for each in accounts.PAGES.items():
    serve(*each)
serve("/password/change/", accounts.change_password, Security(signed_in))
for each in office.PAGES.items():
    serve(*each, Depends(staff))


@app.get("/orders/")
def orders(request: Request, db: Db, user: Visitor) -> Response:
    return page(request, "Your orders", links=[(f"/orders/{o.id}/", str(o)) for o in data.own_orders(db, user.id)])


@app.get("/orders/invoices/")
def invoices(db: Db, user: Visitor) -> Response:
    texts = [order.invoice for order in data.own_orders(db, user.id)]
    return StreamingResponse(iter(texts), headers=attachment("invoices.txt"))


@app.get("/orders/export/", dependencies=[Security(signed_in, scopes=["view_order"])])
@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export(db: Db) -> Response:
    table, rows = data.orders_csv(db)
    response = Response(table, headers=attachment("orders.csv", "text/csv"))
    response.rows = rows
    return response


@app.get("/orders/{pk}/")
def order(request: Request, order: Own, user: Visitor) -> Response:
    return order_page(request, order, user)


@app.api_route("/orders/{pk}/pay/", methods=["GET", "POST"])
def pay(request: Request, order: Own, db: Db, form: Form) -> Response:
    return pay_page(request, order, db, form)


@app.get("/orders/{pk}/invoice/")
def invoice(order: Own) -> Response:
    return Response(order.invoice, headers=attachment(f"invoice-{order.id}.txt"))


@app.post("/orders/{pk}/refund/", dependencies=[Security(signed_in, scopes=["refund_order"]), Depends(filled)])
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(pk: int, db: Db) -> Response:
    found(db.get(Order, pk)).status = "refunded"
    db.commit()
    return to(f"/orders/{pk}/")


@app.get("/customers/{pk}/", dependencies=[Security(signed_in, scopes=["view_customer"]),
                                           Depends(audit_access("customer", id_param="pk"))])  # fmt: skip
def customer(request: Request, pk: int, db: Db) -> Response:
    return customer_page(request, found(db.get(Customer, pk)))
