"""A small shop on FastAPI. What seclog needs is the first block; the rest is the shop."""

from decimal import Decimal
from typing import Annotated

from example_projects.asgi_shop import accounts, data, office, orders
from example_projects.asgi_shop.data import Customer, Order, StoreSettings, User
from example_projects.asgi_shop.pages import attachment, filled, to
from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel, PositiveInt
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.middleware.sessions import SessionMiddleware

import seclog
from seclog.adapters.asgi import Actor, audit_access, install
from seclog.adapters.sqlalchemy import watch

app = FastAPI(title="Corner Shop", docs_url=None, redoc_url=None)

# ── seclog: the door, and the tables that give power or hold settings ─────────────────────────────

install(app, data.SECLOG)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")

# ── who is there, and what they may ───────────────────────────────────────────────────────────────

app.add_middleware(SessionMiddleware, secret_key=data.secret_key(), session_cookie="session")


Db = Annotated[Session, Depends(data.session)]
Form = Annotated[FormData | None, Depends(filled)]
Sent = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def signed_in(request: Request, db: Db, needed: SecurityScopes) -> User:
    return accounts.visitor(request, db, needed.scopes)


def program(db: Db, sent: Sent) -> User:
    user = data.token_user(db, sent.credentials)
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


Partner = Annotated[User, Actor(program)]

# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def add(path: str, view: office.View, *needed: object) -> None:
    def endpoint(request: Request, form: Form, db: Db) -> Response:
        return view(request, db, form)

    methods = ["POST"] if view is accounts.logout else ["GET", "POST"]
    app.add_api_route(path, endpoint, methods=methods, dependencies=needed, name=view.__name__)


for path, view in accounts.PAGES.items():
    add(path, view)
for path, view in {**orders.PAGES, "/password/change/": accounts.change_password}.items():
    add(path, view, Security(signed_in))
for path, view in office.PAGES.items():
    add(path, view, Security(signed_in, scopes=["staff"]))


@app.get("/customers/{pk}/", dependencies=[
    Security(signed_in, scopes=["view_customer"]), Depends(audit_access("customer", id_param="pk"))
])  # fmt: skip
def customer(request: Request, pk: int, db: Db) -> Response:
    return orders.customer_page(request, db.get(Customer, pk))


@app.get("/orders/export/", dependencies=[Security(signed_in, scopes=["view_order"])])
@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export(db: Db) -> Response:
    table, rows = data.orders_csv(db)
    response = Response(table, headers=attachment("orders.csv", "text/csv"))
    response.rows = rows
    return response


@app.post("/orders/{pk}/refund/", dependencies=[Security(signed_in, scopes=["refund_order"]), Depends(filled)])
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(pk: int, db: Db) -> Response:
    orders.give_back(db, pk=pk)
    return to(f"/orders/{pk}/")


# ── the JSON API for partners: token in, orders out ───────────────────────────────────────────────


class Login(BaseModel):
    username: str
    password: str


class NewOrder(BaseModel):
    item: str
    quantity: PositiveInt
    price: Decimal


@app.exception_handler(RequestValidationError)
def not_valid(request: Request, error: RequestValidationError) -> Response:
    return JSONResponse({"wrong": [problem["loc"][-1] for problem in error.errors()]}, 400)


@app.post("/api/token/")
def give_token(login: Login, db: Db) -> dict:
    token = accounts.give_token(db, login.username, login.password)
    if token is None:
        raise HTTPException(400, "Unable to log in with these.")
    return {"token": token}


@app.delete("/api/token/", status_code=204)
def take_token(user: Partner, sent: Sent, db: Db) -> None:
    accounts.take_token(db, sent.credentials)


@app.get("/api/orders/")
def list_orders(user: Partner, db: Db) -> list[dict]:
    return [order.facts for order in data.own_orders(db, user.id)]


@app.post("/api/orders/", status_code=201)
def create_order(user: Partner, new: NewOrder, db: Db) -> dict:
    return data.new_order(db, user.id, **new.model_dump())


@app.get("/api/customers/")
def list_customers(user: Partner, db: Db) -> list[str]:
    if not user.is_staff:
        raise HTTPException(403)
    return list(db.scalars(select(Customer.name)))


@app.get("/api/forecast/")
def forecast(user: Partner, db: Db) -> float:
    """How many orders to expect a month. Broken on purpose: a shop without a bug would not be believable."""
    months_observed = 0
    return db.scalar(select(func.count(Order.id))) / months_observed
