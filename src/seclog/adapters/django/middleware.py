"""The middleware: opens the request's scope, and looks at the response when it leaves. Sync and async in one class."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters._hooks import contained
from seclog.adapters.django import response as observers
from seclog.adapters.django.request import RequestScope
from seclog.context import enter, leave
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

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
        with contained("starting"):
            api.record(Event(type=EventType.SYS_STARTUP, fields=_startup()))

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve a request."""
        if self._async:
            return self.__acall__(request)
        scope = RequestScope(request, time.perf_counter_ns())
        token = enter(scope)
        try:
            response = self.get_response(request)
            with contained("looking at the response"):
                observers.observe(scope, request, response)
            return response
        except NotRecordedError:
            return refused()
        finally:
            leave(token)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve a request in the event loop."""
        scope = RequestScope(request, time.perf_counter_ns())
        token = enter(scope)
        try:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
            with contained("looking at the response"):
                if observers.wants_user(request, response):
                    await request.auser()
                observers.observe(scope, request, response)
            return response
        except NotRecordedError:
            return refused()
        finally:
            leave(token)


def refused() -> HttpResponse:
    """Answer for `on_failure="block"`: what cannot be recorded is not done."""
    return HttpResponse(
        "This action cannot be recorded at the moment and was therefore refused. Please try again later.\n",
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": "5"},
    )


def _startup() -> dict[str, Any]:
    import os
    import socket

    return {"host.name": socket.gethostname(), "process.pid": os.getpid(), "seclog.framework": "django"}
