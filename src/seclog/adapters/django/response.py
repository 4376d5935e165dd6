"""What a leaving response tells: the observers, in their order. Most responses tell nothing and pass in a
microsecond.
"""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters._attack_tools import known_tool, tool_of
from seclog.adapters._hooks import complain
from seclog.adapters.django import denials, downloads, errors, sessions
from seclog.adapters.django.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType


def is_quiet(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell in as few steps as can be that a response tells nothing: this stands in the way of every request.

    False means: look closely.
    """
    if response.status_code >= 300 or scope.candidate is not None or scope.exception is not None:
        return False
    session = request.__dict__.get("session")
    installation = api.installed()
    return (
        (session is None or not session.accessed)
        and known_tool(request.META.get("HTTP_USER_AGENT", "")) == ""
        and not downloads.is_download(response)
        and installation is not None
        and not (installation.settings.sensitive_paths and downloads.is_sensitive(request))
    )


def observe(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    """Record what a response tells: about the session, about the request, and about what leaves."""
    scope.status = response.status_code
    if is_quiet(scope, request, response):
        return
    has_data = downloads.has_data(request, response)
    is_event = has_event(scope, request, response)
    if has_data or is_event:
        scope.resolve_user()
    try:
        sessions.observe(scope, request, response)
    except NotRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - what follows is told all the same
        complain("looking at the session", error)
    if is_event:
        _decide(scope, request, response)
    if has_data:
        downloads.observe(scope, request, response)


def has_event(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether the request itself is worth an event (it may still turn out to be noise)."""
    status = response.status_code
    return (
        status >= 400
        or scope.candidate is not None
        or isinstance(scope.exception, PermissionDenied)
        or tool_of(request.META.get("HTTP_USER_AGENT")) is not None
        or (status >= 300 and denials.leads_to_login(scope, request, response))
    )


async def aprepare(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    """Do what `observe` cannot do in the event loop: look the user up for an event that should name them."""
    try:
        if has_event(scope, request, response) or downloads.has_data(request, response):
            await scope.aresolve_user()
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        complain("naming the user", error)


def failed(scope: RequestScope, request: HttpRequest, error: BaseException) -> None:
    """Record a request that ended with an exception instead of a response."""
    scope.status = 500
    scope.resolve_user()
    if scope.candidate is None:
        scope.propose(errors.unhandled(scope, request, error))
    _record(scope, request)


def interrupted(scope: RequestScope, request: HttpRequest) -> None:
    """Record what is known of a request whose client left before there was a response."""
    _record(scope, request)


def _decide(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    # A hook may know better than exception and status do
    if scope.candidate is None and not scope.noted(errors.EXPECTED):
        event = denials.denial(scope, request, response) or errors.failure(scope, request, response)
        if event is not None:
            scope.propose(event)
    tool = tool_of(request.META.get("HTTP_USER_AGENT"))
    if tool is not None:
        lesser = scope.candidate[1] if scope.candidate is not None else Event(type="")
        fields = {**lesser.fields, "seclog.tool": tool}
        scope.propose(Event(type=EventType.MALICIOUS_ATTACK_TOOL, reason=lesser.reason, fields=fields))
    _record(scope, request)


def _record(scope: RequestScope, request: HttpRequest) -> None:
    installation = api.installed()
    if scope.candidate is None or installation is None:
        return
    if request.path.startswith(installation.settings.ignore_paths):
        return
    installation.recorder.record(scope.candidate[1], scope)
