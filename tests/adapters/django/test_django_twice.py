"""A request that passes the middleware more than once: it is one request, and is told once."""

import asyncio

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

SECLOG = "seclog.adapters.django.SecurityEventMiddleware"
_passes = []


class Again:
    """An app's middleware that tries twice, and gives the second answer."""

    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self.get_response):
            return self.__acall__(request)
        self.get_response(request)
        return self.get_response(request)

    async def __acall__(self, request):
        await self.get_response(request)
        return await self.get_response(request)


class Elsewhere(Again):
    """A middleware that looks for a page in another place if there is none here, as for languages."""

    def __call__(self, request):
        response = self.get_response(request)
        if response.status_code != 404:
            return response
        request.path_info = request.path = "/deny/"
        return self.get_response(request)


def forward(request):
    """A view that has the whole app answer in its place, once more for good measure."""
    request.path_info = "/deny/"
    handler = WSGIHandler()
    handler.get_response(request)
    return handler.get_response(request)


async def aforward(request):
    request.path_info = "/deny/"
    handler = ASGIHandler()
    await handler.get_response_async(request)
    return await handler.get_response_async(request)


def flaky(request):
    """The first answer is an error, the second none."""
    _passes.append(1)
    return HttpResponse(status=503 if len(_passes) % 2 else 200)


urlpatterns = [
    path("deny/", lambda request: HttpResponse(status=403)),
    path("forward/", forward),
    path("aforward/", aforward),
    path("flaky/", flaky),
]


def names(entries):
    return [e["event.name"] for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


@pytest.fixture
def around(settings):
    """Return a function that puts a middleware around everything, or inside of ours."""

    def put(name, *, inside=False):
        place = 1 if inside else 0
        settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], f"{__name__}.{name}", *settings.MIDDLEWARE[place:]]

    return put


@pytest.mark.parametrize("inside", [True, False])
def test_a_middleware_that_tries_twice(entries, around, inside):
    """Whether it stands inside of ours or around it."""
    around("Again", inside=inside)
    Client().get("/deny/")
    assert names(entries) == ["authz_fail"]


@pytest.mark.parametrize("inside", [True, False])
def test_a_middleware_that_tries_twice_in_the_event_loop(entries, around, inside):
    """The same under ASGI."""
    around("Again", inside=inside)
    asyncio.run(AsyncClient().get("/deny/"))
    assert names(entries) == ["authz_fail"]


def test_the_two_passes_have_one_request_id(entries, around):
    """What each of them tells belongs to one request; the graver outcome is told besides the lesser one."""
    around("Elsewhere")
    Client().get("/nowhere/")
    assert names(entries) == ["api_client_error", "authz_fail"]
    assert len({entry["seclog.request.id"] for entry in entries}) == 1


def test_a_try_that_failed_is_told(entries, around):
    """The client saw nothing of it, but it happened."""
    around("Again")
    assert Client().get("/flaky/").status_code == 200
    assert names(entries) == ["api_server_error"]


def test_a_view_that_has_the_whole_app_answer(entries):
    """The middleware within its own request leaves the telling to the outer one."""
    Client().get("/forward/")
    assert names(entries) == ["authz_fail"]


def test_an_async_view_that_has_the_whole_app_answer(entries):
    """The same in the event loop."""
    asyncio.run(AsyncClient().get("/aforward/"))
    assert names(entries) == ["authz_fail"]


def test_a_middleware_that_is_listed_twice(entries, settings):
    """The outer one tells."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, SECLOG]
    Client().get("/deny/")
    assert names(entries) == ["authz_fail"]


def test_two_requests_are_two(entries):
    """Nothing of a request is kept for the next one."""
    client = Client()
    client.get("/deny/")
    client.get("/deny/")
    assert names(entries) == ["authz_fail", "authz_fail"]
