"""django-ninja: what its exceptions tell before they become responses."""

from typing import Literal

import pytest
from django.contrib.auth import get_user_model
from django.urls import path

from conftest import whole
from neighbours.told import names, only

pytest.importorskip("ninja")

from ninja import NinjaAPI, Schema
from ninja.errors import HttpError
from ninja.security import django_auth
from ninja.throttling import AnonRateThrottle

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
api = NinjaAPI(urls_namespace="seclog")


class Order(Schema):
    number: int
    card: str
    size: Literal["s", "m"] = "s"


@api.get("/me", auth=django_auth)
def me(request):
    return request.user.username


@api.get("/no")
def no(request):
    assert request.user.is_authenticated
    raise HttpError(403, "no")


@api.post("/orders")
def order(request, order: Order):
    return "ok"


@api.get("/slow", throttle=[AnonRateThrottle("1/h")])
def slow(request):
    return "ok"


@api.get("/broken")
async def broken(request):
    raise ValueError("secret text")


urlpatterns = [path("api/", api.urls)]


def test_refused_input_names_fields_and_codes(client, entries):
    """Never the values."""
    client.post("/api/orders", {"number": "4111-1111"}, content_type="application/json")
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("input_validation_fail", "int_parsing")
    assert entry["seclog.fields"] == ["body.order.number", "body.order.card"]
    assert entry["seclog.codes"] == ["int_parsing", "missing"]
    assert entry["http.response.status_code"] == 422
    assert whole(entry)["http.route"] == "api/orders"
    assert "4111" not in str(entries)


def test_a_value_that_is_no_choice(client, entries):
    """The app's own forms cannot send it."""
    client.post("/api/orders", {"number": 1, "card": "x", "size": "xxl"}, content_type="application/json")
    entry = only(entries, "input_validation_discrete_fail")
    assert entry["seclog.field"] == "body.order.size"


def test_who_is_nobody_is_unauthenticated(client, entries):
    """A 401 by the operation's own authentication."""
    client.get("/api/me")
    assert names(entries) == ["authz_unauthenticated"]
    assert only(entries, "authz_unauthenticated")["reason"] == "not_authenticated"


def test_a_403_is_a_denial(client, entries):
    """By an exception that Django never sees."""
    client.force_login(get_user_model().objects.create_user("alice"))
    entries.clear()
    client.get("/api/no")
    assert names(entries) == ["authz_fail"]
    assert only(entries, "authz_fail")["reason"] == "permission_denied"


def test_a_throttled_request_is_told(client, entries):
    """With the time to wait."""
    client.get("/api/slow")
    assert entries == []
    client.get("/api/slow")
    entry = only(entries, "excess_rate_limit_exceeded")
    assert entry["http.response.status_code"] == 429 and entry["seclog.retry_after"] > 0


def test_an_error_of_the_app_stays_one(client, entries):
    """What the library does not answer is an unhandled exception."""
    client.raise_request_exception = False
    client.get("/api/broken")
    assert names(entries) == ["app_unhandled_exception"]
