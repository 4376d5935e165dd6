"""The middleware: opens the request's scope, and looks at the response when it leaves. Sync and async in one
class.
"""

import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters._hooks import complain, contained
from seclog.adapters.django import checks
from seclog.adapters.django import request as scopes
from seclog.adapters.django import response as observers
from seclog.adapters.django.configuration import compare_settings
from seclog.adapters.django.errors import refused
from seclog.adapters.django.request import RequestScope
from seclog.assembly import Installation
from seclog.context import enter, leave_here
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

internal_log = logging.getLogger("seclog.internal")
GetResponse = Callable[[HttpRequest], HttpResponseBase]


class SecurityEventMiddleware:
    """First entry of MIDDLEWARE: sees every response, also those of the other middlewares."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        try:
            with contained("starting"):
                _tell_startup()
        except NotRecordedError as failure:  # `block` refuses requests, it does not keep the app from starting
            complain("starting", failure)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve a request."""
        if self._async:
            return self.__acall__(request)
        scope = _scope_of(request)
        if scope is None:
            return self.get_response(request)
        token = enter(scope)
        try:
            response = self.get_response(request)
            return _observed(scope, request, response)
        except NotRecordedError:
            return refused()
        except BaseException as error:
            _left(scope, request, error)
            raise
        finally:
            leave_here(token)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve a request in the event loop."""
        scope = _scope_of(request)
        if scope is None:
            return await cast(Awaitable[HttpResponseBase], self.get_response(request))
        token = enter(scope)
        try:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
            await observers.aprepare(scope, request, response)
            return _observed(scope, request, response)
        except NotRecordedError:
            return refused()
        except BaseException as error:
            _left(scope, request, error)
            raise
        finally:
            leave_here(token)


_SCOPE: Final = "_seclog_scope"
"""The attribute of a request that came by here: one that comes by again is still one request."""


def _scope_of(request: HttpRequest) -> RequestScope | None:
    """Return a scope for a request; None within its own: whoever opened that tells of it.

    An app's middleware may try again, around this one: what is told of the request then is not told twice.
    """
    known = request.__dict__
    before: RequestScope | None = known.get(_SCOPE)
    if before is not None and before is scopes.of():
        return None
    known[_SCOPE] = scope = RequestScope(request, time.perf_counter_ns())
    if before is not None:
        scope.recorded = before.recorded
        scope.context.request_id = before.ready().request_id
    return scope


def _observed(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Look at the response. `contained` would do the same for a microsecond more, in every request."""
    try:
        observers.observe(scope, request, response)
    except NotRecordedError:
        scope.not_recorded()
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        complain("looking at the response", error)
    if not scope.is_refused:
        return response
    refusal = refused()
    refusal._resource_closers.extend(response._resource_closers)  # what the app's answer holds open ends with ours
    return refusal


def _left(scope: RequestScope, request: HttpRequest, error: BaseException) -> None:
    """Record what is known when there is no response: the error goes on, whatever happens here."""
    try:
        if isinstance(error, Exception):
            observers.failed(scope, request, error)
        else:  # CancelledError: the client is gone. SystemExit: the worker is.
            observers.interrupted(scope, request)
    except Exception as failure:  # noqa: BLE001 - counted and logged by `complain`
        complain("looking at an exception", failure)


_started: tuple[int, Installation | None] | None = None
"""The process and the installation whose start was told: a project that builds two handlers starts once."""


def _tell_startup() -> None:
    global _started
    process, installation = this = (os.getpid(), api.installed())
    if this != _started:
        _started = this
        fields = {"host.name": socket.gethostname(), "process.pid": process, "seclog.framework": "django"}
        api.record(Event(type=EventType.SYS_STARTUP, fields=fields))
        compare_settings(installation)
        if not apps.is_installed(checks.APP):
            checks.register_all()
            internal_log.warning('seclog: its hooks are not connected: add "%s" to INSTALLED_APPS', checks.APP)
