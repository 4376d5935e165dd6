"""What a leaving response tells: the observers, in their order. Most responses tell nothing and pass in a microsecond."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters.django.request import RequestScope


def observe(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    """Look at a response and record what it tells."""
    scope.context.status = response.status_code
    if scope.candidate is not None:
        api.record(scope.candidate[1])


def wants_user(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether an event will follow that should name a user nobody has asked for yet (async: awaited before)."""
    return False
