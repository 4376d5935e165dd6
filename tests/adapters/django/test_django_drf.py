"""Django REST framework: refused access, refused input and throttling are told with view, permission and codes."""

import asyncio
import json
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.test import AsyncClient, Client
from django.urls import include, path
from rest_framework import exceptions, permissions, serializers
from rest_framework.authentication import BasicAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import api_view, permission_classes
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from conftest import whole
from djangoapp.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class IsOwner(permissions.BasePermission):
    code = "not_the_owner"

    def has_object_permission(self, request, view, obj):
        return False


class TwoAMinute(SimpleRateThrottle):
    scope = "refunds"
    rate = "2/min"

    def get_cache_key(self, request, view):
        return "everybody"


class ItemSerializer(serializers.Serializer):
    price = serializers.IntegerField(min_value=0)


class OrderSerializer(serializers.ModelSerializer):
    size = serializers.ChoiceField(["S", "M"], required=False, write_only=True)
    items = ItemSerializer(many=True, required=False, write_only=True)

    class Meta:
        model = Order
        fields = ["number", "total", "size", "items"]


class Orders(ModelViewSet):
    queryset = Order.objects.order_by("pk")
    serializer_class = OrderSerializer
    authentication_classes = [SessionAuthentication]
    permission_classes = [permissions.DjangoModelPermissions, IsOwner]


class Open(APIView):
    authentication_classes = []
    permission_classes = []
    parser_classes = [JSONParser, MultiPartParser]

    def post(self, request):
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(status=201)

    def put(self, request):
        serializer = OrderSerializer(data=request.data)
        if not serializer.is_valid():
            return Response(serializer.errors, status=400)
        return Response(serializer.data, status=400)

    def patch(self, request):
        assert request.data
        raise ZeroDivisionError

    def delete(self, request):
        raise exceptions.APIException


class ByToken(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [permissions.IsAuthenticated]

    def get(self, request):
        raise PermissionDenied


class ByPassword(ByToken):
    authentication_classes = [BasicAuthentication]
    permission_classes = [permissions.IsAuthenticated & permissions.IsAdminUser]


class Throttled(Open):
    throttle_classes = [TwoAMinute]

    def get(self, request):
        return Response()


@api_view(["GET"])
@permission_classes([permissions.IsAdminUser])
def function(request):
    return Response()


router = SimpleRouter()
router.register("orders", Orders)
urlpatterns = [
    path("api/", include(router.urls)),
    path("open/", Open.as_view()),
    path("token/", ByToken.as_view()),
    path("password/", ByPassword.as_view()),
    path("throttled/", Throttled.as_view()),
    path("function/", function),
]


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe())


@pytest.fixture
def as_bob(client, bob, entries):
    client.force_login(bob)
    entries.clear()
    return client


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_", "authn_"))]


def only(entries):
    [entry] = told(entries)
    return entry


def decisive(entry):
    return entry["event.name"], entry["reason"], entry.get("user.name"), entry["http.response.status_code"]


# ── denials ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_permission_class_and_the_permission_are_named(as_bob, bob, entries):
    """A denial names the viewset's action, the permission class that refused, and the permission it asked for."""
    as_bob.post("/api/orders/", {"number": "1"}, headers={"User-Agent": "Firefox"})
    assert whole(only(entries)) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Access denied",
        "reason": "permission_denied",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(bob.pk),
        "user.name": "bob",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "api/orders/$",
        "url.path": "/api/orders/",
        "http.response.status_code": 403,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.view": f"{__name__}.Orders.create",
        "seclog.permission": "djangoapp.add_order",
        "seclog.permission_class": "DjangoModelPermissions",
    }


def test_an_object_permission_with_a_code_of_its_own(as_bob, bob, entries):
    """The permission's own code is the reason."""
    order = Order.objects.create(number="1")
    as_bob.get(f"/api/orders/{order.pk}/")
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", "not_the_owner", "bob", 403)
    assert (entry["seclog.permission_class"], entry["seclog.view"]) == (
        "IsOwner",
        f"{__name__}.Orders.retrieve",
    )


def test_a_missing_login_that_drf_turns_into_403(client, entries):
    """Without a WWW-Authenticate header DRF answers 403: the entry says that nobody was logged in."""
    response = client.get("/api/orders/")
    assert response.status_code == 403
    entry = only(entries)
    assert decisive(entry) == ("authz_unauthenticated", "not_authenticated", None, 403)
    assert entry["seclog.permission_class"] == "DjangoModelPermissions"


def test_a_missing_login(client, entries):
    """With such a header it is 401, and the entry is the same."""
    client.get("/token/")
    assert decisive(only(entries)) == ("authz_unauthenticated", "not_authenticated", None, 401)


def test_wrong_credentials(client, entries):
    """A token that nobody has is a failed authentication, and is not written."""
    token = token_urlsafe()
    client.get("/token/", headers={"Authorization": f"Token {token}"})
    assert decisive(only(entries)) == ("authz_unauthenticated", "authentication_failed", None, 401)
    assert token not in json.dumps(entries)


def test_djangos_permission_denied_in_a_drf_view(client, bob, entries):
    """DRF converts Django's exception; the token's user is named."""
    token = Token.objects.create(user=bob)
    entries.clear()
    client.get("/token/", headers={"Authorization": f"Token {token.key}"})
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", "permission_denied", "bob", 403)
    assert entry["seclog.view"] == f"{__name__}.ByToken"
    assert token.key not in json.dumps(entries)


def test_composed_permissions_and_function_views(as_bob, client, entries):
    """`A & B` names its parts; a function view has a name as well."""
    Client().get("/password/")
    client.get("/function/")
    composed, function = told(entries)
    assert composed["seclog.permission_class"] == "AND(IsAuthenticated, IsAdminUser)"
    assert (function["reason"], function["seclog.permission_class"]) == ("permission_denied", "IsAdminUser")
    assert function["seclog.view"] == f"{__name__}.function"


def test_a_csrf_failure_of_the_session_authentication(bob, entries):
    """DRF checks CSRF by itself, with an exception: recorded like Django's."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    entries.clear()
    client.post("/api/orders/", {"number": "1"})
    entry = only(entries)
    assert decisive(entry) == ("malicious_csrf", "cookie_missing", "bob", 403)
    assert entry["message"] == "CSRF check failed: CSRF cookie not set."


def test_throttling_says_the_limit(client, entries):
    """A throttled request says which limit it met."""
    cache.clear()
    for _ in range(3):
        client.get("/throttled/")
    entry = only(entries)
    assert (entry["event.name"], entry["http.response.status_code"]) == ("excess_rate_limit_exceeded", 429)
    assert (entry["seclog.limit"], entry["seclog.window"], entry["seclog.throttle"]) == (2, 60, "refunds")
    assert 0 < entry["seclog.retry_after"] <= 60


# ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_refused_input_names_fields_and_codes(client, entries):
    """Refused input tells which fields and why, and never what was sent."""
    sent = token_urlsafe()
    client.post("/open/", {"total": sent}, content_type="application/json", headers={"User-Agent": "Firefox"})
    entry = only(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "input_validation_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Input refused",
        "reason": "required",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "open/",
        "url.path": "/open/",
        "http.response.status_code": 400,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.fields": ["number", "total"],
        "seclog.codes": ["required", "invalid"],
        "seclog.view": f"{__name__}.Open",
    }
    assert sent not in json.dumps(entries)


def test_errors_that_the_view_returns_itself(client, entries):
    """`Response(serializer.errors, status=400)` raises nothing and is refused input all the same."""
    client.put("/open/", {"total": "x"}, content_type="application/json")
    entry = only(entries)
    assert (entry["event.name"], entry["seclog.fields"]) == ("input_validation_fail", ["number", "total"])


def test_a_bad_request_without_errors_is_no_refused_input(client, entries):
    """A 400 that carries data, not errors, is a client error with its parameters."""
    client.put("/open/", {"number": "1"}, content_type="application/json")
    entry = only(entries)
    assert entry["event.name"] == "api_client_error"
    assert entry["seclog.params_censored"] == {"body": {"number": "1"}}


def test_a_value_outside_its_choices(client, entries):
    """A value that the app's own forms cannot send has a type of its own."""
    client.post("/open/", {"number": "1", "size": "XXL"}, content_type="application/json")
    entry = only(entries)
    assert (entry["event.name"], entry["reason"]) == ("input_validation_discrete_fail", "invalid_choice")
    assert entry["seclog.field"] == "size" and "XXL" not in json.dumps(entries)


def test_nested_errors_name_their_place(client, entries):
    """Errors in lists of objects say in which; many of them leave a bounded entry."""
    client.post("/open/", {"number": "1", "items": [{"price": 1}, {"price": -1}, {}]}, content_type="application/json")
    entry = only(entries)
    assert entry["seclog.fields"] == ["items.1.price", "items.2.price"]
    assert entry["seclog.codes"] == ["min_value", "required"]
    entries.clear()
    client.post("/open/", {"number": "1", "items": [{}] * 1000}, content_type="application/json")
    assert len(only(entries)["seclog.fields"]) == 50


def test_a_body_that_cannot_be_parsed(client, entries):
    """Broken JSON and a media type that is not served are client errors."""
    client.generic("POST", "/open/", b"{broken", content_type="application/json")
    client.generic("POST", "/open/", b"x", content_type="text/csv")
    assert [(e["event.name"], e["error.type"]) for e in told(entries)] == [
        ("api_client_error", "rest_framework.exceptions.ParseError"),
        ("api_client_error", "rest_framework.exceptions.UnsupportedMediaType"),
    ]


def test_a_method_that_is_not_served(client, entries):
    """A method that the view lacks is unexpected."""
    client.get("/open/")
    entry = only(entries)
    assert (entry["event.name"], entry["http.response.status_code"]) == ("http_method_unexpected", 405)
    assert entry["seclog.allowed_methods"] == "POST, PUT, PATCH, DELETE, OPTIONS"


def test_an_unhandled_exception_in_a_drf_view_tells_the_censored_body(entries):
    """What DRF had parsed is told with the error, without its secrets."""
    password = token_urlsafe()
    client = Client(raise_request_exception=False)
    client.patch("/open/", {"name": "x", "password": password}, content_type="application/json")
    entry = only(entries)
    assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", "ZeroDivisionError")
    assert entry["seclog.params_censored"] == {"body": {"name": "x", "password": "[redacted]"}}
    assert entry["seclog.error.location"].startswith(f"{__name__}:Open.patch:")


def test_an_error_that_drf_answers_is_handled(client, entries):
    """DRF's own 500 is an answer, not an unhandled exception."""
    client.delete("/open/")
    entry = only(entries)
    assert (entry["event.name"], entry["error.type"]) == (
        "api_server_error",
        "rest_framework.exceptions.APIException",
    )


def test_an_upload_in_a_drf_view(entries):
    """Files are told by name and size."""
    Client(raise_request_exception=False).generic(
        "PATCH",
        "/open/",
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nsecret\r\n--x--\r\n',
        content_type="multipart/form-data; boundary=x",
    )
    assert only(entries)["seclog.params_censored"] == {"files": [{"name": "a.txt", "size": 6, "type": "text/plain"}]}


@pytest.mark.django_db(transaction=True)
def test_under_asgi(bob, entries):
    """Under ASGI DRF's views run in a thread, and tell the same."""

    async def visit():
        client = AsyncClient()
        await client.aforce_login(bob)
        entries.clear()
        await client.post("/api/orders/", {"number": "1"})
        await client.post("/open/", {"total": "x"}, content_type="application/json")

    asyncio.run(visit())
    denied, refused = told(entries)
    assert decisive(denied) == ("authz_fail", "permission_denied", "bob", 403)
    assert denied["seclog.permission"] == "djangoapp.add_order"
    assert (refused["event.name"], refused["seclog.fields"]) == ("input_validation_fail", ["number", "total"])


def test_a_request_that_goes_well_tells_nothing(client, entries, django_assert_num_queries):
    """No entry and no query."""
    with django_assert_num_queries(0):
        client.options("/open/")
    assert told(entries) == []
