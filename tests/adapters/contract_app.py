"""The contract app: what every binding writes in its framework's own idiom, and what it needs for that.

Imported by the apps and by the contract; needs neither pytest nor a framework. All answers are plain text unless said
otherwise. "native" is the framework's own kind of handler (sync under WSGI, async under ASGI).

Login and accounts. Two users, ALICE (ordinary) and BOB (role "clerk"), both with PASSWORD; the login survives in a
session cookie. What the framework (or a library of its world) has, is used; what it has not, the app tells by the
call given here, and the binding names the fact in `BY_CALL`.

    path                     must do                                                              fact, and its call
    GET  /login/             200 "login"
    POST /login/             form username, password. Right: log in, 302 or 303 to /.             login_success
                             Wrong: 200 "wrong" (a form shown again).                             login_failure
                               seclog.login_succeeded(id, name)
                               seclog.login_failed(name, known=False, or user_id=… if it exists)
                               seclog.emit("session_created", user_id=…)                          session_created
    POST /logout/            log out, 200 "bye"                                                   logout
                               seclog.emit("session_logout", user_id=…)
    GET  /me/                200: the name of who is logged in, else "nobody"
    GET  /members/           who is not logged in: redirect to /login/ or 401. Else 200 "members"
    POST /password/          form old, new; logged in. 200 "changed" or "wrong".                  password_change
                               seclog.emit("authn_password_change", user_id=…)
                               seclog.emit("authn_password_change_fail", user_id=…, reason=…)
    POST /reset/             form username. 200: the path of the link an e-mail would hold         password_reset
                               seclog.emit("authn_password_reset_request", user_id=…)
    GET  /reset/…            that path: 200 "form" (or a redirect to where it is). With a wrong token: 200 "wrong"
    POST /reset/…            form new. 200 "reset". With a wrong token: 200 "wrong". The token is a URL parameter
                             called "token", the last part of the path.
                               seclog.emit("authn_password_reset_complete", user_id=…)
                               seclog.emit("authn_password_reset_fail", reason="invalid_token")
    POST /token/             form username, password: 200, a new API token as text                token_created
                               seclog.emit("authn_token_created", user_id=…)
    GET  /token/use/         header Authorization: Bearer <token>. 200 "used"; 401 if unknown     token_invalid
                               seclog.emit("authn_token_invalid", reason="invalid")
    POST /role/              login required: make BOB a manager. 200 "granted"                    role_change
                               with seclog.change("role", target_id=BOB.id, event_type=EventType.AUTHZ_CHANGE)
    POST /config/            login required: tax_rate 19 -> 20. 200 "saved"                        config_change
                               with seclog.change("tax_rate") as c
    POST /config/secret/     login required: payment_api_key SECRET -> something else. 200 "saved" config_change
    POST /protected/         behind the framework's CSRF check; 200 "protected"                    csrf

Requests that go wrong.

    GET  /forbidden/         403 by the framework's own means (an exception, `abort(403)`)
    GET  /unauthorized/      401, in the same way
    GET  /missing/           404, in the same way
    GET  /plain/<status>/    that status, as a plain response with body "plain" (403, 404, 500, 503 …)
    GET  /busy/              429 with Retry-After: 7
    GET  /boom/              raise Boom(SECRET), which nobody handles
    POST /boom/              read the body (form or JSON, by its content type), then the same
    GET  /swallowed/         raise Swallowed(SECRET); the app has a handler for it: 500 "sorry"
    POST /validation/        JSON {"quantity": 1..10}, validated by the framework's or a library's means; 200 "valid",
                             else 400 or 422                                                       validation
                               seclog.emit("input_validation_fail", fields=["quantity"], reason=…)
    POST /bad/               read the body (form or JSON), then 400 "bad"

Data.

    GET  /                   200 "home"
    POST /                   405 (only GET is there; HEAD is the framework's business)
    GET  /orders/<id>/       id an integer; 200 "order <id>"
    GET  /redirect/          302 to /
    GET  /download/          200 REPORT as attachment "orders.csv", at once
    GET  /stream/            200 CHUNKS as attachment "stream.csv", by a generator, without Content-Length. Between
                             two chunks an async generator awaits asyncio.sleep(0)
    GET  /stream/large/      the same with large_chunks(), as "large.bin"; only asked of a real server
    GET  /stream/broken/     the same, but raise Boom(SECRET) after the first chunk
    GET  /inline/            REPORT with Content-Disposition: inline
    GET  /sensitive/<pk>/    @seclog.sensitive("patients", id_kwarg="pk"); "patient <pk>", but 403 for pk 13
    GET  /patients/<pk>/     undecorated, "patient <pk>" (the settings name /patients/ in sensitive_paths)
    GET  /export/            @seclog.export("orders", rows=3, format="csv"); "exported"
    POST /admin-action/<pk>/ @seclog.admin_action("refund", target_type="order", id_kwarg="pk"); "refunded", but 402
                             for pk 13, and raise Boom(SECRET) for pk 14
    GET  /static/app.js      only if the framework serves static files itself

By call.

    GET  /emit/              look who is logged in, as apps do; work("emit"), "done"
    GET  /emit-caught/       the same within `try: … except Exception: pass`, "done"
    GET  /unknown/           seclog.emit("cat_on_keyboard", count=1), "done"
    GET  /hostile/           hostile(), "done"
    GET  /job/               with seclog.actor("import:orders"): work("job"), "done"
    GET  /bound/<who>/       seclog.bind_user(who, who), work("bound"), "done"
    GET  /thread/            bind_user("worker-7", "worker-7"), then work("thread") in another thread by the idiom
                             that keeps the context (`contextvars.copy_context().run`, `asyncio.to_thread`, the
                             framework's), and wait for it; "done"
    GET  /plain-thread/      work("plain thread") in a bare threading.Thread, joined; "done"
    GET  /background/        bind_user("worker-8", "worker-8"), "done"; work("background") after the answer: the
                             framework's background task, or a thread started with contextvars.copy_context().run
    GET  /slow/<who>/        bind_user(who, who); `meet()` (or `await ameet()`); work("slow", who); meet again;
                             403 by the framework's own means. Native kind
    GET  /healthz            200 "well" (the settings name /healthz in ignore_paths)
    GET  /healthz/down       503 "down"

The other kind of handler, where the framework has both (an async one under WSGI, a sync one under ASGI): the same
under /other/: /other/, /other/forbidden/, /other/boom/, /other/emit/, /other/sensitive/<pk>/, /other/thread/,
/other/slow/<who>/ (with `pause()` or `await apause()` in the place of the meeting).

WebSockets, where the framework has them.

    /ws/                     accept; echo each text as "echo: <text>"; the text "boom" raises Boom(SECRET),
                             "emit" records work("websocket")
    /ws/denied/              close before accepting, in the framework's idiom
"""

import asyncio
import os
import random
import threading
import time
from secrets import token_urlsafe
from typing import NamedTuple

import seclog


class User(NamedTuple):
    """Somebody who can log in."""

    id: str
    name: str


def _shared(variable):
    """Return a secret that a test and the server it starts both know."""
    return os.environ.setdefault(variable, token_urlsafe(18))


ALICE = User("11", "alice")
BOB = User("12", "bob")
USERS = (ALICE, BOB)
PASSWORD = _shared("CONTRACT_PASSWORD")
KEY = _shared("CONTRACT_KEY")
"""The app's own secret (`SECRET_KEY`, the session middleware's), the same in all workers of a server."""
SECRET = _shared("CONTRACT_SECRET")
"""What must not be found in any entry: it stands in exceptions, in parameters and in configuration."""

REPORT = b"1;2;3;4;5\n" * 1000
CHUNKS = tuple(bytes([65 + number]) * 1000 for number in range(10))

LARGE_BYTES = 640 * 65536


def large_chunks():
    """Yield more than any socket holds."""
    for _ in range(640):
        yield bytes(65536)


SETTINGS = {
    "directory": None,
    "service": "contract",
    "version": "1.2.3",
    "environment": "test",
    "watch": False,
    "ignore_paths": ["/healthz"],
    "sensitive_paths": ["/patients/"],
    "trusted_proxies": [],
}
"""seclog's settings. In tests the contract installs them; the app of a live server sets seclog up with them, and the
environment (`SECLOG_DIRECTORY`) says where the journal is."""


class Boom(Exception):
    """What nobody handles."""


class Swallowed(Exception):
    """What the app answers itself."""


def work(where, who=None):
    """Record that something was done, as an app does."""
    return seclog.emit("sensitive_update", target_type=where, target_id=who or "1")


def hostile():
    """Record what an attacker might have put in."""
    return seclog.emit(
        "sensitive_update",
        target_type="line\r\nbreak\x00\x1b[2J",
        target_id="\ud800lone",
        message='m\n{"event.name":"forged"}',
        note="x" * 200_000,
        deep=_deep(2000),
        thing=object(),
        number=float("nan"),
    )


def _deep(levels):
    value = "bottom"
    for _ in range(levels):
        value = [value]
    return value


# ── where parallel requests wait for each other ──────────────────────────────────────────────────────────────────


class _Meeting:
    """Lets nobody on before everybody is there. With nobody expected it is a short pause."""

    def __init__(self, expected):
        self.expected = expected
        self.barrier = threading.Barrier(expected, timeout=15) if expected else None
        self.arrived = 0
        self.all_here = asyncio.Event() if expected else None


_meeting = _Meeting(0)


def expect(number):
    """Say how many requests meet (0: none, they only pause)."""
    global _meeting
    _meeting = _Meeting(number)


def meet():
    """Wait for the others, in a thread."""
    if _meeting.barrier is None:
        pause()
    else:
        _meeting.barrier.wait()


async def ameet():
    """Wait for the others, in a task."""
    meeting = _meeting
    if not meeting.expected:
        await apause()
        return
    meeting.arrived += 1
    if meeting.arrived == meeting.expected:
        meeting.arrived, here = 0, meeting.all_here
        meeting.all_here = asyncio.Event()
        here.set()
    else:
        await asyncio.wait_for(meeting.all_here.wait(), 15)


def pause():
    """Let others run, for a while that differs."""
    time.sleep(random.uniform(0, 0.01))


async def apause():
    """Do the same in a task."""
    await asyncio.sleep(random.uniform(0, 0.01))
