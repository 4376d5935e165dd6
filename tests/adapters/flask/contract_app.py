"""The contract app in Flask's idiom: sync handlers are the native kind, async ones are under /other/.

Flask has no users: the app logs in by its own code and a signed cookie. What nobody can see from outside, it tells.
Against forgery Flask-WTF protects, where it is installed.
"""

import asyncio
import contextvars
import threading
import time
from functools import wraps
from importlib.util import find_spec
from secrets import token_urlsafe

from flask import Flask, Response, abort, redirect, request, session

import seclog
from adapters import contract_app
from adapters.contract_app import BOB, CHUNKS, PASSWORD, REPORT, SECRET, SETTINGS, USERS, Boom, Swallowed, work
from seclog.adapters.flask import SecLog
from seclog.events import EventType

BACKGROUND_SECONDS = 0.03
HAS_CSRF = find_spec("flask_wtf") is not None


def text(body, status=200, **headers):
    return Response(body, status=status, content_type="text/plain", headers=headers)


def attached(body, name):
    return Response(body, content_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def members_only(view):
    @wraps(view)
    def guarded(**about):
        return view(**about) if "user_id" in session else redirect("/login/")

    return guarded


def read():
    return request.get_json(silent=True) if request.is_json else request.form


def create_app(watched=True):
    """Return a new app; with the adapter, or bare."""
    app = Flask("contract", static_folder=None)
    app.config.update(SECRET_KEY=contract_app.KEY, SECLOG=SETTINGS)
    if watched:
        SecLog(app)
    if HAS_CSRF:
        protected(app)
    accounts(app)
    trouble(app)
    data(app)
    calls(app)
    other(app)
    app.errorhandler(Swallowed)(lambda error: text("sorry", 500))
    return app


def protected(app):
    from flask_wtf.csrf import CSRFProtect

    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    csrf = CSRFProtect(app)

    @app.post("/protected/")
    def protected():
        csrf.protect()
        return text("protected")


# ── login and accounts ──────────────────────────────────────────────────────────────────────────────────────────


def accounts(app):
    passwords = {user.name: PASSWORD for user in USERS}
    links, tokens = {}, {}

    def find(name):
        return next((user for user in USERS if user.name == name), None)

    @app.route("/login/", methods=["GET", "POST"])
    def login():
        if request.method == "GET":
            return text("login")
        user = find(request.form["username"])
        if user is None or passwords[user.name] != request.form["password"]:
            seclog.login_failed(
                request.form["username"], user_id=None if user is None else user.id, known=user is not None
            )
            return text("wrong")
        session.update(user_id=user.id, username=user.name)
        return redirect("/")

    @app.post("/logout/")
    def logout():
        session.clear()
        return text("bye")

    @app.get("/me/")
    def me():
        return text(session.get("username", "nobody"))

    @app.get("/members/")
    @members_only
    def members():
        return text("members")

    @app.post("/password/")
    @members_only
    def password():
        if passwords[session["username"]] != request.form["old"]:
            seclog.emit(EventType.AUTHN_PASSWORD_CHANGE_FAIL, user_id=session["user_id"], reason="invalid_credentials")
            return text("wrong")
        passwords[session["username"]] = request.form["new"]
        seclog.emit(EventType.AUTHN_PASSWORD_CHANGE, user_id=session["user_id"])
        return text("changed")

    @app.post("/reset/")
    def reset():
        user = find(request.form["username"])
        token = token_urlsafe()
        links[token] = user
        seclog.emit(EventType.AUTHN_PASSWORD_RESET_REQUEST, user_id=user.id, user_name=user.name)
        return text(f"/reset/{token}/")

    @app.route("/reset/<token>/", methods=["GET", "POST"])
    def reset_with(token):
        user = links.get(token)
        if user is None:
            seclog.emit(EventType.AUTHN_PASSWORD_RESET_FAIL, reason="invalid_token")
            return text("wrong")
        if request.method == "GET":
            return text("form")
        passwords[user.name] = request.form["new"]
        seclog.emit(EventType.AUTHN_PASSWORD_RESET_COMPLETE, user_id=user.id)
        return text("reset")

    @app.post("/token/")
    def token():
        user = find(request.form["username"])
        tokens[fresh := token_urlsafe()] = user
        seclog.emit(EventType.AUTHN_TOKEN_CREATED, user_id=user.id, token_type="api")
        return text(fresh)

    @app.get("/token/use/")
    def use_token():
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in tokens:
            return text("used")
        seclog.emit(EventType.AUTHN_TOKEN_INVALID, reason="invalid")
        abort(401)

    @app.post("/role/")
    @members_only
    def role():
        with seclog.change("role", target_id=BOB.id, event_type=EventType.AUTHZ_CHANGE) as change:
            change.old, change.new = "clerk", "manager"
        return text("granted")

    @app.post("/config/")
    @members_only
    def config():
        with seclog.change("tax_rate") as change:
            change.old, change.new = 19, 20
        return text("saved")

    @app.post("/config/secret/")
    @members_only
    def config_secret():
        with seclog.change("payment_api_key") as change:
            change.old, change.new = SECRET, "another"
        return text("saved")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def trouble(app):
    app.add_url_rule("/forbidden/", "forbidden", lambda: abort(403))
    app.add_url_rule("/unauthorized/", "unauthorized", lambda: abort(401))
    app.add_url_rule("/missing/", "missing", lambda: abort(404))
    app.add_url_rule("/busy/", "busy", lambda: text("busy", 429, **{"Retry-After": "7"}))

    @app.get("/plain/<int:status>/")
    def plain(status):
        return text("" if status == 204 else "plain", status)

    @app.route("/boom/", methods=["GET", "POST"])
    def boom():
        read()
        raise Boom(SECRET)

    @app.get("/swallowed/")
    def swallowed():
        raise Swallowed(SECRET)

    @app.post("/validation/")
    def validation():
        if 1 <= request.get_json()["quantity"] <= 10:
            return text("valid")
        seclog.emit(EventType.INPUT_VALIDATION_FAIL, fields=["quantity"], reason="out_of_range")
        return text("invalid", 422)

    @app.post("/bad/")
    def bad():
        read()
        return text("bad", 400)


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────


def data(app):
    app.add_url_rule("/", "home", lambda: text("home"))
    app.add_url_rule("/orders/<int:id>/", "order", lambda id: text(f"order {id}"))
    app.add_url_rule("/redirect/", "redirect", lambda: redirect("/"))
    app.add_url_rule("/download/", "download", lambda: attached(REPORT, "orders.csv"))
    app.add_url_rule("/stream/", "stream", lambda: attached(iter(CHUNKS), "stream.csv"))
    app.add_url_rule("/stream/large/", "large", lambda: attached(contract_app.large_chunks(), "large.bin"))
    app.add_url_rule("/patients/<int:pk>/", "patient", lambda pk: text(f"patient {pk}"))

    @app.get("/stream/broken/")
    def broken_stream():
        def chunks():
            yield CHUNKS[0]
            raise Boom(SECRET)

        return attached(chunks(), "stream.csv")

    @app.get("/inline/")
    def inline():
        return Response(REPORT, headers={"Content-Disposition": "inline"})

    @app.get("/sensitive/<int:pk>/")
    @seclog.sensitive("patients", id_kwarg="pk")
    def sensitive(pk):
        return text(f"patient {pk}", 403 if pk == 13 else 200)

    @app.get("/export/")
    @seclog.export("orders", rows=3, format="csv")
    def export():
        return text("exported")

    @app.post("/admin-action/<int:pk>/")
    @seclog.admin_action("refund", target_type="order", id_kwarg="pk")
    def refund(pk):
        if pk == 14:
            raise Boom(SECRET)
        return text("refunded", 402 if pk == 13 else 200)


# ── by call ─────────────────────────────────────────────────────────────────────────────────────────────────────


def in_thread(target, *arguments, **about):
    thread = threading.Thread(target=target, args=arguments, **about)
    thread.start()
    return thread


def calls(app):
    app.add_url_rule("/healthz", "well", lambda: text("well"))
    app.add_url_rule("/healthz/down", "down", lambda: text("down", 503))

    @app.get("/emit/")
    def emit():
        work("emit")
        return text("done")

    @app.get("/emit-caught/")
    def emit_caught():
        try:
            work("emit")
        except Exception:
            pass
        return text("done")

    @app.get("/unknown/")
    def unknown():
        seclog.emit("cat_on_keyboard", count=1)
        return text("done")

    @app.get("/hostile/")
    def hostile():
        contract_app.hostile()
        return text("done")

    @app.get("/job/")
    def job():
        with seclog.actor("import:orders"):
            work("job")
        return text("done")

    @app.get("/bound/<who>/")
    def bound(who):
        seclog.bind_user(who, who)
        work("bound")
        return text("done")

    @app.get("/thread/")
    def thread():
        seclog.bind_user("worker-7", "worker-7")
        in_thread(contextvars.copy_context().run, work, "thread").join()
        return text("done")

    @app.get("/plain-thread/")
    def plain_thread():
        in_thread(work, "plain thread").join()
        return text("done")

    @app.get("/background/")
    def background():
        def later():
            time.sleep(BACKGROUND_SECONDS)
            work("background")

        seclog.bind_user("worker-8", "worker-8")
        in_thread(contextvars.copy_context().run, later, name=f"contract-background-{id(request.environ)}")
        return text("done")

    @app.get("/slow/<who>/")
    def slow(who):
        seclog.bind_user(who, who)
        contract_app.meet()
        work("slow", who)
        contract_app.meet()
        abort(403)


# ── the other kind of handler ───────────────────────────────────────────────────────────────────────────────────


def other(app):
    @app.get("/other/")
    async def other_home():
        return text("home")

    @app.get("/other/forbidden/")
    async def other_forbidden():
        abort(403)

    @app.get("/other/boom/")
    async def other_boom():
        raise Boom(SECRET)

    @app.get("/other/emit/")
    async def other_emit():
        work("emit")
        return text("done")

    @app.get("/other/sensitive/<int:pk>/")
    @seclog.sensitive("patients", id_kwarg="pk")
    async def other_sensitive(pk):
        return text(f"patient {pk}", 403 if pk == 13 else 200)

    @app.get("/other/thread/")
    async def other_thread():
        seclog.bind_user("worker-7", "worker-7")
        await asyncio.to_thread(work, "thread")
        return text("done")

    @app.get("/other/slow/<who>/")
    async def other_slow(who):
        seclog.bind_user(who, who)
        await contract_app.apause()
        work("slow", who)
        await contract_app.apause()
        abort(403)
