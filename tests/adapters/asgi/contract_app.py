"""The contract app in Starlette's and in FastAPI's idiom: async handlers are the native kind, sync ones under /other/.

Both have the same table of handlers; what FastAPI has of its own (validation, security schemes) it uses. Neither has
users: the app logs in by its own code and a signed cookie. What nobody can see from outside, it tells.
"""

import asyncio
import contextvars
import functools
import threading
import time
from secrets import token_urlsafe
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

import seclog
from adapters import contract_app
from adapters.contract_app import BOB, CHUNKS, KEY, PASSWORD, REPORT, SECRET, SETTINGS, USERS, Boom, Swallowed, work
from seclog.adapters.asgi import SecurityEventMiddleware, install
from seclog.events import EventType

BACKGROUND_SECONDS = 0.03


def text(body, status=200, **about):
    return PlainTextResponse(body, status, **about)


def headers_of(name):
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def read(request):
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return await request.json()
        except (ValueError, RecursionError):
            return None
    return await request.form(max_fields=1000)


def members_only(view):
    @functools.wraps(view)
    async def guarded(request):
        return await view(request) if "user_id" in request.session else RedirectResponse("/login/", 303)

    return guarded


# ── login and accounts ──────────────────────────────────────────────────────────────────────────────────────────


class Accounts:
    """What the app keeps of its users."""

    def __init__(self):
        self.passwords = {user.name: PASSWORD for user in USERS}
        self.links, self.tokens = {}, {}

    @staticmethod
    def find(name):
        return next((user for user in USERS if user.name == name), None)

    async def login(self, request):
        if request.method == "GET":
            return text("login")
        form = await request.form()
        user = self.find(form["username"])
        if user is None or self.passwords[user.name] != form["password"]:
            seclog.login_failed(form["username"], user_id=None if user is None else user.id, known=user is not None)
            return text("wrong")
        request.session.update(user_id=user.id, username=user.name)
        return RedirectResponse("/", 303)

    async def logout(self, request):
        request.session.clear()
        return text("bye")

    async def me(self, request):
        return text(request.session.get("username", "nobody"))

    async def password(self, request):
        form, session = await request.form(), request.session
        if self.passwords[session["username"]] != form["old"]:
            seclog.emit(EventType.AUTHN_PASSWORD_CHANGE_FAIL, user_id=session["user_id"], reason="invalid_credentials")
            return text("wrong")
        self.passwords[session["username"]] = form["new"]
        seclog.emit(EventType.AUTHN_PASSWORD_CHANGE, user_id=session["user_id"])
        return text("changed")

    async def reset(self, request):
        user = self.find((await request.form())["username"])
        self.links[token := token_urlsafe()] = user
        seclog.emit(EventType.AUTHN_PASSWORD_RESET_REQUEST, user_id=user.id, user_name=user.name)
        return text(f"/reset/{token}/")

    async def reset_with(self, request):
        user = self.links.get(request.path_params["token"])
        if user is None:
            seclog.emit(EventType.AUTHN_PASSWORD_RESET_FAIL, reason="invalid_token")
            return text("wrong")
        if request.method == "GET":
            return text("form")
        self.passwords[user.name] = (await request.form())["new"]
        seclog.emit(EventType.AUTHN_PASSWORD_RESET_COMPLETE, user_id=user.id)
        return text("reset")

    async def token(self, request):
        user = self.find((await request.form())["username"])
        self.tokens[fresh := token_urlsafe()] = user
        seclog.emit(EventType.AUTHN_TOKEN_CREATED, user_id=user.id, token_type="api")
        return text(fresh)

    async def use_token(self, request):
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens:
            return text("used")
        seclog.emit(EventType.AUTHN_TOKEN_INVALID, reason="invalid")
        raise HTTPException(401)

    def use_bearer(self, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
        """The same in FastAPI's idiom: nothing is told."""
        if credentials.credentials in self.tokens:
            return text("used")
        raise HTTPException(401)


async def role(request):
    with seclog.change("role", target_id=BOB.id, event_type=EventType.AUTHZ_CHANGE) as change:
        change.old, change.new = "clerk", "manager"
    return text("granted")


async def config(request):
    with seclog.change("tax_rate") as change:
        change.old, change.new = 19, 20
    return text("saved")


async def config_secret(request):
    with seclog.change("payment_api_key") as change:
        change.old, change.new = SECRET, "another"
    return text("saved")


async def members(request):
    return text("members")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def refusing(status):
    async def refuse(request):
        raise HTTPException(status)

    return refuse


async def plain(request):
    status = request.path_params["status"]
    return Response(status_code=204) if status == 204 else text("plain", status)


async def busy(request):
    return text("busy", 429, headers={"Retry-After": "7"})


async def boom(request):
    await read(request)
    raise Boom(SECRET)


async def swallowed(request):
    raise Swallowed(SECRET)


async def sorry(request, error):
    return text("sorry", 500)


async def validation(request):
    if 1 <= (await request.json())["quantity"] <= 10:
        return text("valid")
    seclog.emit(EventType.INPUT_VALIDATION_FAIL, fields=["quantity"], reason="out_of_range")
    return text("invalid", 422)


class Quantity(BaseModel):
    quantity: int = Field(ge=1, le=10)


async def validated(quantity: Quantity):
    return text("valid")


async def bad(request):
    await read(request)
    return text("bad", 400)


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def home(request):
    return text("home")


async def order(request):
    return text(f"order {request.path_params['id']}")


async def redirect(request):
    return RedirectResponse("/", 302)


async def download(request):
    return Response(REPORT, media_type="text/csv", headers=headers_of("orders.csv"))


async def stream(request):
    async def chunks():
        for chunk in CHUNKS:
            yield chunk
            await asyncio.sleep(0)

    return StreamingResponse(chunks(), media_type="text/csv", headers=headers_of("stream.csv"))


async def broken_stream(request):
    async def chunks():
        yield CHUNKS[0]
        raise Boom(SECRET)

    return StreamingResponse(chunks(), media_type="text/csv", headers=headers_of("stream.csv"))


async def large_stream(request):
    async def chunks():
        for chunk in contract_app.large_chunks():
            yield chunk
            await asyncio.sleep(0)

    return StreamingResponse(chunks(), media_type="text/csv", headers=headers_of("large.bin"))


async def inline(request):
    return Response(REPORT, headers={"Content-Disposition": "inline"})


def with_pk(view):
    """Give a handler its record's id as a keyword argument, as the decorators want it."""
    if asyncio.iscoroutinefunction(view):

        async def adapted(request):
            return await view(request, pk=request.path_params["pk"])
    else:

        def adapted(request):
            return view(request, pk=request.path_params["pk"])

    return adapted


@with_pk
@seclog.sensitive("patients", id_kwarg="pk")
async def sensitive(request, pk):
    return text(f"patient {pk}", 403 if pk == 13 else 200)


async def patient(request):
    return text(f"patient {request.path_params['pk']}")


@seclog.export("orders", rows=3, format="csv")
async def export(request):
    return text("exported")


@with_pk
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
async def refund(request, pk):
    if pk == 14:
        raise Boom(SECRET)
    return text("refunded", 402 if pk == 13 else 200)


# ── by call ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def well(request):
    return text("well")


async def down(request):
    return text("down", 503)


async def emit(request):
    work("emit")
    return text("done")


async def emit_caught(request):
    try:
        work("emit")
    except Exception:
        pass
    return text("done")


async def unknown(request):
    seclog.emit("cat_on_keyboard", count=1)
    return text("done")


async def hostile(request):
    contract_app.hostile()
    return text("done")


async def job(request):
    with seclog.actor("import:orders"):
        work("job")
    return text("done")


async def bound(request):
    who = request.path_params["who"]
    seclog.bind_user(who, who)
    work("bound")
    return text("done")


async def thread(request):
    seclog.bind_user("worker-7", "worker-7")
    await asyncio.to_thread(work, "thread")
    return text("done")


async def plain_thread(request):
    worker = threading.Thread(target=work, args=["plain thread"])
    worker.start()
    worker.join()
    return text("done")


async def later():
    await asyncio.sleep(BACKGROUND_SECONDS)
    work("background")


async def background(request):
    seclog.bind_user("worker-8", "worker-8")
    return text("done", background=BackgroundTask(later))


async def slow(request):
    who = request.path_params["who"]
    seclog.bind_user(who, who)
    await contract_app.ameet()
    work("slow", who)
    await contract_app.ameet()
    raise HTTPException(403)


# ── the other kind of handler ───────────────────────────────────────────────────────────────────────────────────


def other_home(request):
    return text("home")


def other_forbidden(request):
    raise HTTPException(403)


def other_boom(request):
    raise Boom(SECRET)


def other_emit(request):
    work("emit")
    return text("done")


@with_pk
@seclog.sensitive("patients", id_kwarg="pk")
def other_sensitive(request, pk):
    return text(f"patient {pk}", 403 if pk == 13 else 200)


def other_thread(request):
    seclog.bind_user("worker-7", "worker-7")
    worker = threading.Thread(target=contextvars.copy_context().run, args=[work, "thread"])
    worker.start()
    worker.join()
    return text("done")


def other_slow(request):
    who = request.path_params["who"]
    seclog.bind_user(who, who)
    time.sleep(0.001)
    work("slow", who)
    time.sleep(0.001)
    raise HTTPException(403)


# ── WebSockets ──────────────────────────────────────────────────────────────────────────────────────────────────


async def echo(websocket):
    await websocket.accept()
    try:
        while True:
            said = await websocket.receive_text()
            if said == "boom":
                raise Boom(SECRET)
            if said == "emit":
                work("websocket")
            await websocket.send_text(f"echo: {said}")
    except WebSocketDisconnect:
        pass


async def denied(websocket):
    await websocket.close(1008)


# ── the apps ────────────────────────────────────────────────────────────────────────────────────────────────────


def routes(accounts):
    get, post, both = ["GET"], ["POST"], ["GET", "POST"]
    table = [
        ("/login/", accounts.login, both),
        ("/logout/", accounts.logout, post),
        ("/me/", accounts.me, get),
        ("/members/", members_only(members), get),
        ("/password/", members_only(accounts.password), post),
        ("/reset/", accounts.reset, post),
        ("/reset/{token}/", accounts.reset_with, both),
        ("/token/", accounts.token, post),
        ("/role/", members_only(role), post),
        ("/config/", members_only(config), post),
        ("/config/secret/", members_only(config_secret), post),
        ("/forbidden/", refusing(403), get),
        ("/unauthorized/", refusing(401), get),
        ("/missing/", refusing(404), get),
        ("/plain/{status:int}/", plain, get),
        ("/busy/", busy, get),
        ("/boom/", boom, both),
        ("/swallowed/", swallowed, get),
        ("/bad/", bad, post),
        ("/", home, get),
        ("/orders/{id:int}/", order, get),
        ("/redirect/", redirect, get),
        ("/download/", download, get),
        ("/stream/", stream, get),
        ("/stream/broken/", broken_stream, get),
        ("/stream/large/", large_stream, get),
        ("/inline/", inline, get),
        ("/sensitive/{pk:int}/", sensitive, get),
        ("/patients/{pk:int}/", patient, get),
        ("/export/", export, get),
        ("/admin-action/{pk:int}/", refund, post),
        ("/emit/", emit, get),
        ("/emit-caught/", emit_caught, get),
        ("/unknown/", unknown, get),
        ("/hostile/", hostile, get),
        ("/job/", job, get),
        ("/bound/{who}/", bound, get),
        ("/thread/", thread, get),
        ("/plain-thread/", plain_thread, get),
        ("/background/", background, get),
        ("/slow/{who}/", slow, get),
        ("/healthz", well, get),
        ("/healthz/down", down, get),
        ("/other/", other_home, get),
        ("/other/forbidden/", other_forbidden, get),
        ("/other/boom/", other_boom, get),
        ("/other/emit/", other_emit, get),
        ("/other/sensitive/{pk:int}/", other_sensitive, get),
        ("/other/thread/", other_thread, get),
        ("/other/slow/{who}/", other_slow, get),
    ]
    return [
        *(Route(path, view, methods=methods) for path, view, methods in table),
        WebSocketRoute("/ws/", echo),
        WebSocketRoute("/ws/denied/", denied),
    ]


def create_starlette(watched=True, door=install):
    """Return a new Starlette app; with the adapter, or bare."""
    accounts = Accounts()
    app = Starlette(
        routes=[
            *routes(accounts),
            Route("/token/use/", accounts.use_token),
            Route("/validation/", validation, methods=["POST"]),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key=KEY)],
        exception_handlers={Swallowed: sorry},
    )
    return _watched(app, door) if watched else app


def create_fastapi(watched=True, door=install):
    """Return a new FastAPI app; with the adapter, or bare."""
    accounts = Accounts()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(routes(accounts))
    app.get("/token/use/")(accounts.use_bearer)
    app.post("/validation/")(validated)
    app.add_middleware(SessionMiddleware, secret_key=KEY)
    app.add_exception_handler(Swallowed, sorry)
    return _watched(app, door) if watched else app


def _watched(app, door):
    door(app, SETTINGS)
    return app


def as_middleware(app, settings):
    """The other door: inside of Starlette's own error page."""
    app.add_middleware(SecurityEventMiddleware, settings=settings)
