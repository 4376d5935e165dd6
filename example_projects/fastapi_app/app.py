"""The corner shop on FastAPI. What seclog needs is the first block, and one line for each page whose data it cannot judge."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

from example_projects.corner_shop import accounts, data, orders, partners
from example_projects.corner_shop.data import StoreSettings, User
from example_projects.corner_shop.pages import Answer, Refused, Visit, check_csrf
from example_projects.corner_shop.partners import Call
from example_projects.corner_shop.routes import ROUTES
from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel, PositiveInt
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

# ── who comes, and what they may ──────────────────────────────────────────────────────────────────

app.add_middleware(SessionMiddleware, secret_key=data.secret_key(), session_cookie="session")
app.add_exception_handler(Refused, lambda request, no: Response(no.reason, no.status, no.headers))
Db = Annotated[Session, Depends(data.session)]
Sent = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


async def sent_form(request: Request) -> FormData | None:
    return await request.form() if request.method == "POST" else None


def visit(request: Request, db: Db, form: Annotated[FormData | None, Depends(sent_form)]) -> Visit:
    session = request.session
    accounts.end_if_over(session)
    user = accounts.owner(db, session, session.get("user_id"))
    if form is not None:
        check_csrf(session, form)
    return Visit(db, session, user, form, request.url.path, str(request.base_url))


Visiting = Annotated[Visit, Depends(visit)]


def let_in(visit: Visiting, needed: SecurityScopes) -> None:
    accounts.let_in(visit.user, visit.path, needed.scopes)


def program(db: Db, sent: Sent) -> User:
    user = data.token_user(db, sent.credentials)
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


Partner = Annotated[User, Actor(program)]

# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def answered(view: Callable[..., Answer], visit: Visit, **params: object) -> Response:
    answer = view(visit, **params)
    kind = Response if isinstance(answer.body, str) else StreamingResponse
    response = kind(answer.body, answer.status, answer.headers)
    response.rows = answer.rows
    return response


def needing(*permissions: str) -> object:
    return Security(let_in, scopes=permissions)


@app.get("/customers/{pk}/", dependencies=[needing("view_customer"), Depends(audit_access("customer", id_param="pk"))])
def customer(pk: int, visit: Visiting) -> Response:
    return answered(orders.customer, visit, pk=pk)


@app.get("/orders/export/", dependencies=[needing("view_order")])
@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export(visit: Visiting) -> Response:
    return answered(orders.export, visit)


@app.post("/orders/{pk}/refund/", dependencies=[needing("refund_order")])
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(pk: int, visit: Visiting) -> Response:
    return answered(orders.refund, visit, pk=pk)


def page(path: str, view: Callable[..., Answer], needs: tuple[str, ...] | None, methods: tuple[str, ...]) -> None:
    def endpoint(request: Request, visit: Visiting) -> Response:
        return answered(view, visit, **request.path_params)

    first = [] if needs is None else [needing(*needs)]
    app.add_api_route(path, endpoint, methods=list(methods), dependencies=first, name=view.__name__)


for route in ROUTES:
    page(*route)

# ── the JSON API for partners: token in, orders out ───────────────────────────────────────────────


class NewOrder(BaseModel):
    item: str
    quantity: PositiveInt
    price: Decimal


@app.exception_handler(RequestValidationError)
def not_valid(request: Request, error: RequestValidationError) -> Response:
    return JSONResponse({"wrong": [problem["loc"][-1] for problem in error.errors()]}, 400)


@app.post("/api/orders/", status_code=201)
def create_order(user: Partner, new: NewOrder, db: Db) -> dict:
    return data.new_order(db, user.id, **new.model_dump())


@app.post("/api/token/")
def give_token(login: dict[str, str], db: Db) -> Response:
    answer, status = partners.give_token(Call(db, login))
    return JSONResponse(answer, status)


def api(method: str, path: str, view: Callable[[Call], tuple], needs: tuple[str, ...]) -> None:
    def endpoint(user: Partner, sent: Sent, db: Db) -> Response:
        if "staff" in needs and not user.is_staff:
            raise HTTPException(403)
        answer, status = view(Call(db, {}, user, sent.credentials))
        return Response(status_code=status) if answer is None else JSONResponse(answer, status)

    app.add_api_route(path, endpoint, methods=[method], name=view.__name__)


for (method, path), (view, needs) in partners.API.items():
    if method != "POST":  # those two are typed, above
        api(method, path, view, needs)
