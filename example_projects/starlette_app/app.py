"""The corner shop on Starlette. What seclog needs is the last block, and one line for each page whose data it cannot judge."""

from collections.abc import Callable
from functools import wraps

from example_projects.corner_shop import accounts, data, orders, partners
from example_projects.corner_shop.data import StoreSettings, User
from example_projects.corner_shop.pages import Answer, Refused, Visit, check_csrf
from example_projects.corner_shop.routes import ROUTES
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser, requires
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import seclog
from seclog.adapters.asgi import install
from seclog.adapters.sqlalchemy import watch

# ── pages: who comes, may they, what do they get ──────────────────────────────────────────────────


def page(path: str, view: Callable[..., Answer], needs: tuple[str, ...] | None, methods: tuple[str, ...]) -> Route:
    @wraps(view)
    async def endpoint(request: Request) -> Response:
        form = await request.form() if request.method == "POST" else None
        try:
            answer = await run_in_threadpool(visit, request, form)
        except Refused as no:
            raise HTTPException(no.status, no.reason, no.headers) from None
        kind = Response if isinstance(answer.body, str) else StreamingResponse
        return kind(answer.body, answer.status, answer.headers)

    def visit(request: Request, form: FormData | None) -> Answer:
        session = request.session
        accounts.end_if_over(session)
        with Session(data.engine) as db:
            user = accounts.owner(db, session, session.get("user_id"))
            if form is not None:
                check_csrf(session, form)
            if needs is not None:
                accounts.let_in(user, request.url.path, needs)
            coming = Visit(db, session, user, form, request.url.path, str(request.base_url))
            return view(coming, **request.path_params)

    return Route(path, endpoint, methods=list(methods), name=view.__name__)


# ── what only the shop knows: what data means ─────────────────────────────────────────────────────


@seclog.sensitive("customer", id_kwarg="pk")
def customer(visit: Visit, pk: int) -> Answer:
    return orders.customer(visit, pk)


@seclog.export("orders", rows=lambda answer: answer.rows, format="csv")
def export(visit: Visit) -> Answer:
    return orders.export(visit)


@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(visit: Visit, pk: int) -> Answer:
    return orders.refund(visit, pk)


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


def api(method: str, path: str, view: Callable[..., tuple], needs: tuple[str, ...]) -> Route:
    @wraps(view)  # outside of `requires`, which looks at the signature
    @requires(needs, 403 if "staff" in needs else 401)
    async def endpoint(request: Request) -> Response:
        sent = await request.json() if method == "POST" else {}
        answer, status = await run_in_threadpool(call, request, sent)
        return Response(status_code=status) if answer is None else JSONResponse(answer, status)

    def call(request: Request, sent: dict) -> tuple:
        with Session(data.engine) as db:
            if not needs:
                return view(partners.Call(db, sent))
            return view(partners.Call(db, sent, db.get(User, request.user.id), request.user.token))

    return Route(path, endpoint, methods=[method], name=view.__name__)


# ── the app, and seclog: the door, and the tables that give power or hold settings ────────────────

routes = [
    page("/customers/{pk:int}/", customer, ("view_customer",), ("GET",)),
    page("/orders/export/", export, ("view_order",), ("GET",)),
    page("/orders/{pk:int}/refund/", refund, ("refund_order",), ("POST",)),
    *(page(*route) for route in ROUTES),
    *(api(*place, *what) for place, what in partners.API.items()),
]
app = Starlette(routes=routes)
app.add_middleware(AuthenticationMiddleware, backend=Tokens(), on_error=lambda conn, error: JSONResponse({}, 401))
app.add_middleware(SessionMiddleware, secret_key=data.secret_key(), session_cookie="session")

install(app, data.SECLOG)
watch(User, "is_staff", "is_owner", "groups", family="role")
watch(StoreSettings, family="config")
