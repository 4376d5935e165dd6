"""A small shop on Starlette. What seclog needs is the last block; the rest is the shop."""

from collections.abc import Callable
from functools import wraps

from example_projects.asgi_shop import accounts, data, office, orders
from example_projects.asgi_shop.data import Customer, Order, StoreSettings, User
from example_projects.asgi_shop.pages import attachment, filled, to
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser, requires
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import seclog
from seclog.adapters.asgi import install
from seclog.adapters.sqlalchemy import watch

# ── pages: sync functions with a database session, for visitors with the permissions ──────────────


def page(path: str, view: Callable, *needed: str, login: bool = True) -> Route:
    @wraps(view)
    async def endpoint(request: Request) -> Response:
        form = await filled(request)
        with Session(data.engine) as db:
            if login:
                await run_in_threadpool(accounts.visitor, request, db, needed)
            return await run_in_threadpool(view, request, db, form)

    return Route(path, endpoint, methods=["POST"] if view in {accounts.logout, refund} else ["GET", "POST"])


@seclog.sensitive("customer", id_kwarg="pk")
def read_customer(db: Session, *, pk: int) -> Customer | None:
    return db.get(Customer, pk)


def customer(request: Request, db: Session, form: FormData | None) -> Response:
    return orders.customer_page(request, read_customer(db, **request.path_params))


@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export(request: Request, db: Session, form: FormData | None) -> Response:
    table, rows = data.orders_csv(db)
    response = Response(table, headers=attachment("orders.csv", "text/csv"))
    response.rows = rows
    return response


def refund(request: Request, db: Session, form: FormData | None) -> Response:
    seclog.admin_action("refund", target_type="order", id_kwarg="pk")(orders.give_back)(db, **request.path_params)
    return to(f"/orders/{request.path_params['pk']}/")


# ── the JSON API for partners: token in, orders out ───────────────────────────────────────────────


class Partner(SimpleUser):
    def __init__(self, user: User, token: str) -> None:
        super().__init__(user.username)
        self.id, self.token = user.id, token


class Tokens(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, Partner] | None:
        scheme, _, token = conn.headers.get("Authorization", "").partition(" ")
        return await run_in_threadpool(self._find, token) if scheme.lower() == "bearer" else None

    def _find(self, token: str) -> tuple[AuthCredentials, Partner]:
        with Session(data.engine) as db:
            user = data.token_user(db, token)
            if user is None:
                raise AuthenticationError("unknown token")
            return AuthCredentials(["partner", "staff"] if user.is_staff else ["partner"]), Partner(user, token)


def api(path: str, method: str, view: Callable, *needed: str) -> Route:
    @requires(needed, 403 if "staff" in needed else 401)
    @wraps(view)
    async def endpoint(request: Request) -> Response:
        sent = await request.json() if method == "POST" else {}
        with Session(data.engine) as db:
            return await run_in_threadpool(view, request, db, sent)

    return Route(path, endpoint, methods=[method])


def give_token(request: Request, db: Session, sent: dict) -> Response:
    token = accounts.give_token(db, str(sent.get("username")), str(sent.get("password")))
    return JSONResponse({"token": token}, 200 if token else 400)


def take_token(request: Request, db: Session, sent: dict) -> Response:
    accounts.take_token(db, request.user.token)
    return Response(status_code=204)


def list_orders(request: Request, db: Session, sent: dict) -> Response:
    return JSONResponse([order.facts for order in data.own_orders(db, request.user.id)])


def create_order(request: Request, db: Session, sent: dict) -> Response:
    wrong = orders.wrong_fields(sent)
    if wrong:
        seclog.emit("input_validation_fail", reason="invalid", fields=wrong, **{"http.response.status_code": 400})
        return JSONResponse({"wrong": wrong}, 400)
    return JSONResponse(data.new_order(db, request.user.id, **sent), 201)


def list_customers(request: Request, db: Session, sent: dict) -> Response:
    return JSONResponse(list(db.scalars(select(Customer.name))))


def forecast(request: Request, db: Session, sent: dict) -> Response:
    """How many orders to expect. Broken on purpose: a shop without a bug would not be believable."""
    months_observed = 0
    return JSONResponse(db.scalar(select(func.count(Order.id))) / months_observed)


routes = [
    *(page(path, view, login=False) for path, view in accounts.PAGES.items()),
    *(page(path, view) for path, view in orders.PAGES.items()),
    *(page(path, view, "staff") for path, view in office.PAGES.items()),
    page("/password/change/", accounts.change_password),
    page("/customers/{pk:int}/", customer, "view_customer"),
    page("/orders/export/", export, "view_order"),
    page("/orders/{pk:int}/refund/", refund, "refund_order"),
    api("/api/token/", "POST", give_token),
    api("/api/token/", "DELETE", take_token, "partner"),
    api("/api/orders/", "GET", list_orders, "partner"),
    api("/api/orders/", "POST", create_order, "partner"),
    api("/api/customers/", "GET", list_customers, "partner", "staff"),
    api("/api/forecast/", "GET", forecast, "partner"),
]
app = Starlette(routes=routes)
app.add_middleware(AuthenticationMiddleware, backend=Tokens(), on_error=lambda conn, error: JSONResponse({}, 401))
app.add_middleware(SessionMiddleware, secret_key=data.secret_key(), session_cookie="session")

# ── seclog: the door, and the tables that give power or hold settings ─────────────────────────────

install(app, data.SECLOG)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")
