"""The scope of a Flask request: who and where, read from the WSGI environment and from Flask's objects only when
an event needs it.

Flask's proxies are not used: a look at `flask.session` marks the session as accessed, and the answer would vary.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import flask
from flask import Flask, Request

from seclog import api
from seclog.adapters._hooks import contained
from seclog.adapters._scope import INNER, WebScope, censored
from seclog.adapters.flask.users import session_id, session_user
from seclog.context import current
from seclog.context.identifiers import request_id, trace
from seclog.context.scope import Context

_is_one_context: Final = hasattr(flask.ctx.AppContext, "from_environ")
_proxy: Any = flask.globals.app_ctx if _is_one_context else flask.globals.request_ctx
_context: Final[Callable[[], Any]] = _proxy._get_current_object
"""Returns what Flask keeps of the request; its two contexts are one from Flask 3.2 on."""
_PROXY_FIX: Final = "werkzeug.proxy_fix.orig"

more_facts: Final[list[Callable[[Context, "RequestScope"], None]]] = []
"""What libraries know of a request's context: each is called for every event, may read, and must cost no query."""


class RequestScope(WebScope):
    """One request.

    Attributes:
        app: the app whose door the request came through.
        environ: the WSGI environment.
        headers: the response's headers, if it tells something.
        opened: what was in the session when a session interface other than Flask's own opened it, or None.
        stream: what is known of a download whose end is not; the door counts what leaves.
        was_refused: whether the app's answer was replaced by our refusal.
    """

    __slots__ = (
        "_request",
        "_session",
        "app",
        "environ",
        "headers",
        "opened",
        "stream",
        "was_refused",
    )

    def __init__(self, app: Flask, environ: dict[str, Any], started_ns: int | None = None) -> None:
        # All slots here, those of the bases too (a test sees to it): in every request, two calls are a percent.
        self._context = None
        self.started_ns = started_ns
        self.harmless = ""
        self.recorded = ()
        self.exception = None
        self.denied_permission = None
        self.candidate = None
        self.status = None
        self.told = None
        self.is_refused = False
        self.app = app
        self.environ = environ
        self.headers: Sequence[tuple[str, str]] = ()
        self.opened: dict[str, Any] | None = None
        self.stream: dict[str, object] | None = None
        self.was_refused = False
        self._request: Request | None = None
        self._session: Any = None

    @property
    def request(self) -> Request | None:
        """Flask's request; None if it never came so far."""
        if self._request is None:
            self.look_up()
        return self._request

    @property
    def session(self) -> Any:
        """The session that Flask opened, or None. What is read here is not marked as accessed."""
        if self._session is None:
            self.look_up()
        return self._session

    def look_up(self) -> None:
        """Keep what Flask knows of this request; its own context is gone before a stream has ended."""
        try:
            here = _context()
            is_ours = here.request.environ is self.environ
        except RuntimeError:  # outside of a request; asking first would take longer
            return
        if is_ours:
            self._request = here.request
            known = vars(here)  # since 3.1.3 `session` is a property, and to look at it is to access the session
            self._session = known["_session"] if "_session" in known else known.get("session")

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def path(self) -> str:
        """The path, with the prefix that the app is mounted under."""
        raw = f"{self.environ.get('SCRIPT_NAME', '')}{self.environ.get('PATH_INFO', '')}"
        return raw.encode("latin-1", "replace").decode("utf-8", "replace")

    @property
    def censored_path(self) -> str:
        """The path, without the values of URL parameters that are secrets (`/reset/<token>`)."""
        request = self.request
        return censored(self.path, (request.view_args if request is not None else None) or {})

    @property
    def endpoint(self) -> str | None:
        """The endpoint, such as "auth.login", if the URL has one."""
        request = self.request
        return None if request is None else request.endpoint

    @property
    def view(self) -> str | None:
        """The dotted name of the view function or class, if there is one."""
        function: Any = self.app.view_functions.get(self.endpoint or "")
        view = getattr(function, "view_class", function)
        return None if view is None else f"{view.__module__}.{view.__qualname__}"

    @property
    def user(self) -> tuple[str, str | None] | None:
        """Who acts: id and name, bound by somebody who knows, or from the session; None if nobody."""
        context = self.context
        if context.user_id is not None:
            return context.user_id, context.user_name
        return session_user(self.app, self.session)

    def is_told_inside(self) -> bool:
        """Tell whether another app that is mounted inside, of this framework or another, tells of this request."""
        inner = self.noted(INNER)
        if inner is None:
            return False
        if isinstance(inner, RequestScope):
            return inner.environ is self.environ
        path = inner.ready().path or ""
        return path == self.path or "[redacted]" in path  # else it was another request, made by this one

    def header(self, name: str) -> str | None:
        """Return a header of the response; None if it has none.

        Args:
            name: in lower case.
        """
        return next((value for key, value in self.headers if key.lower() == name), None)

    def fill(self) -> None:
        """Read the environment once for what stays, and each time for what may have become known."""
        context = self.context
        if context.request_id is None:
            self._fill_environment()
        if self.status is not None:
            context.status = self.status
        request = self.request
        if request is not None and context.route is None and request.url_rule is not None:
            context.route = request.url_rule.rule
            context.path = self.censored_path
        if context.user_id is None:
            user = session_user(self.app, self.session)
            if user is not None:
                context.user_id, context.user_name = user
        if context.session is None:
            context.session = session_id(self.app, self.session)
        for add in more_facts:
            with contained("a library's facts of the request"):
                add(context, self)

    def _fill_environment(self) -> None:
        context = self.context
        environ = self.environ
        context.method = self.method
        context.path = self.censored_path
        context.user_agent = environ.get("HTTP_USER_AGENT")
        context.request_id = request_id(environ.get("HTTP_X_REQUEST_ID"))
        context.trace_id, context.span_id = trace(environ.get("HTTP_TRACEPARENT"))
        forwarded, x_forwarded_for = environ.get("HTTP_FORWARDED"), environ.get("HTTP_X_FORWARDED_FOR")
        self.fill_address(self._peer(), [forwarded] if forwarded else (), [x_forwarded_for] if x_forwarded_for else ())

    def _peer(self) -> str | None:
        """Return the address that opened the connection.

        ProxyFix replaces it by what the header says. With trusted proxies of our own, which are checked network by
        network, the true one is resolved anew; without, the app's own decision holds.
        """
        environ = self.environ
        installation = api.installed()
        before = environ.get(_PROXY_FIX)
        if before and installation is not None and installation.settings.trusted_proxies:
            peer = before.get("REMOTE_ADDR")
        else:
            peer = environ.get("REMOTE_ADDR")
        return peer or None


def of() -> RequestScope | None:
    """Return the scope of the running request if it is a Flask request's."""
    scope: Any = current()
    while scope is not None and not isinstance(scope, RequestScope):
        scope = getattr(scope, "parent", None)  # a named job within the request
    return scope
