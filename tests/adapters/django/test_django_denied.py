"""`seclog.denied` in Django: the app says why, and the one entry says with what status it ended."""

import asyncio

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

import seclog
from conftest import whole

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def refusing(answer):
    def view(request):
        seclog.denied("not_owner", permission="order.read", target_type="order", target_id=7)
        return answer()

    return view


async def arefusing(request):
    seclog.denied("not_owner")
    return HttpResponse(status=403)


def raising(error):
    def answer():
        raise error

    return answer


def chunks():
    yield b"one"
    seclog.denied("row_filtered")


urlpatterns = [
    path("403/", refusing(lambda: HttpResponse(status=403))),
    path("200/", refusing(HttpResponse)),
    path("denied/", refusing(raising(PermissionDenied()))),
    path("404/", refusing(raising(Http404()))),
    path("500/", refusing(raising(RuntimeError()))),
    path("async/", arefusing),
    path("stream/", lambda request: StreamingHttpResponse(chunks())),
]


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


@pytest.mark.parametrize(("url", "status"), [("403", 403), ("200", 200), ("denied", 403), ("404", 404), ("500", 500)])
def test_one_entry_with_the_status(entries, url, status):
    """Whatever the answer is: one entry, with what the app said and what the client got."""
    Client(raise_request_exception=False).get(f"/{url}/", headers={"user-agent": "Firefox"})
    [entry] = told(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Access denied",
        "reason": "not_owner",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": f"{url}/",
        "url.path": f"/{url}/",
        "http.response.status_code": status,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.permission": "order.read",
        "seclog.target.type": "order",
        "seclog.target.id": "7",
    }


def test_in_an_async_view(entries):
    """The same in the event loop."""
    asyncio.run(AsyncClient().get("/async/"))
    [entry] = told(entries)
    assert (entry["reason"], entry["http.response.status_code"]) == ("not_owner", 403)


def test_a_csrf_failure_outranks_it(entries):
    """At most one entry a request: a forged form is the graver fact."""
    Client(enforce_csrf_checks=True).post("/403/")
    assert [entry["event.name"] for entry in told(entries)] == ["malicious_csrf"]


def test_what_is_refused_while_the_answer_leaves_is_recorded_at_once(entries):
    """Nobody decides about the request any more."""
    list(Client().get("/stream/"))
    assert [entry["reason"] for entry in told(entries)] == ["row_filtered"]
