"""Family 3 with Django REST framework: tokens issued, revoked and refused, and the login that yields one."""

import json
from secrets import token_hex, token_urlsafe

import pytest
from django.contrib import admin
from django.contrib.auth import authenticate, get_user_model, login
from django.core.management import call_command
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token, TokenProxy
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken, obtain_auth_token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from conftest import whole
from seclog import api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class ExpiringTokens(TokenAuthentication):
    """A project's own rule on top of Django REST framework's."""

    keyword = "Bearer"

    def authenticate_credentials(self, key):
        super().authenticate_credentials(key)
        raise AuthenticationFailed("This token is too old.")


class Who(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"user": request.user.get_username()})


class Expiring(Who):
    authentication_classes = [ExpiringTokens]


class OwnLogin(ObtainAuthToken):
    """As in the documentation of Django REST framework."""

    def post(self, request, *args, **kwargs):
        serializer = self.serializer_class(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        token, _ = Token.objects.get_or_create(user=serializer.validated_data["user"])
        return Response({"token": token.key, "user": token.user_id})


class SessionLogin(APIView):
    """Uses the serializer, and logs in by Django's means."""

    authentication_classes = []
    permission_classes = []

    def post(self, request):
        serializer = AuthTokenSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        login(request, serializer.validated_data["user"])
        return Response({})


def delete_token(request):
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    login(request, user)
    Token.objects.filter(user__username=request.POST["of"]).delete()
    return HttpResponse("deleted")


urlpatterns = [
    path("token/", obtain_auth_token),
    path("own-token/", OwnLogin.as_view()),
    path("session/", SessionLogin.as_view()),
    path("who/", Who.as_view()),
    path("expiring/", Expiring.as_view()),
    path("delete/", delete_token),
    path("admin/", admin.site.urls),
    path("", lambda request: HttpResponse("home")),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", "alice@example.org", password)


@pytest.fixture(autouse=True)
def _nothing_but_tokens(client, alice, entries):
    """What came before the test (start-up, the user's creation) is not looked at."""
    client.get("/")
    entries.clear()


@pytest.fixture
def token(alice, entries):
    issued = Token.objects.create(user=alice)
    entries.clear()
    return issued


def of_tokens(entries):
    return [e for e in entries if e["event.name"].startswith("authn_token")]


def hash_of(key):
    return api.installed().pseudonym("token", key)


# ── the login that yields a token ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", ["/token/", "/own-token/"])
def test_a_login_for_a_token_is_a_login_and_a_new_token(client, alice, password, entries, url):
    """No signal of Django's tells of it; it is told as users would expect, and the token is nowhere."""
    response = client.post(url, {"username": "alice", "password": password})
    success, created = entries
    assert (success["event.name"], success["user.id"]) == ("authn_login_success", str(alice.pk))
    assert (success["seclog.auth.method"], success["seclog.token.type"]) == ("password", "drf_authtoken")
    assert {k: v for k, v in whole(created).items() if k not in {"schema", "timestamp", "event.id"}} == {
        "event.name": "authn_token_created",
        "event.outcome": "success",
        "severity": "low",
        "message": "Token created",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": url[1:],
        "url.path": url,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(alice.pk),
        "seclog.token.id_hash": hash_of(response.json()["token"]),
        "seclog.token.type": "drf_authtoken",
        "seclog.token.scope": "all",
        "seclog.token.expires": "never",
    }
    assert response.json()["token"] not in json.dumps(entries)


def test_a_login_that_gets_the_old_token_again_creates_none(client, token, password, entries):
    """One login, no new token."""
    client.post("/token/", {"username": "alice", "password": password})
    assert [e["event.name"] for e in entries] == ["authn_login_success"]


def test_a_failed_login_for_a_token_is_a_failed_login(client, alice, entries):
    """The signal tells it, as everywhere."""
    client.post("/token/", {"username": "alice", "password": token_urlsafe()})
    failed = [e for e in entries if e["event.name"].startswith("authn")]
    assert [(e["event.name"], e["user.id"]) for e in failed] == [("authn_login_fail", str(alice.pk))]


def test_a_view_that_logs_in_with_the_serializer_is_one_login(client, password, entries):
    """The signal tells it; the serializer does not tell it again."""
    client.post("/session/", {"username": "alice", "password": password})
    assert [e["event.name"] for e in entries] == ["authn_login_success", "session_created"]


# ── issued and revoked ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_made_in_the_admin_names_admin_and_owner(client, alice, entries):
    """The admin works with a proxy of the model, which sends its own signals."""
    root = get_user_model().objects.create_superuser("root")
    client.force_login(root)
    entries.clear()
    client.post("/admin/authtoken/tokenproxy/add/", {"user": alice.pk})
    [created] = of_tokens(entries)
    assert (created["event.name"], created["user.id"]) == ("authn_token_created", str(root.pk))
    assert created["seclog.target.id"] == str(alice.pk)


def test_a_token_made_by_a_command_is_recorded(alice, entries):
    """The command prints the token; the record has its hash."""
    call_command("drf_create_token", "alice", "--reset", verbosity=0)
    key = Token.objects.get().key
    call_command("drf_create_token", "alice", "--reset", verbosity=0)
    names = [(e["event.name"], e["seclog.token.id_hash"]) for e in of_tokens(entries)]
    assert names == [
        ("authn_token_created", hash_of(key)),
        ("authn_token_revoked", hash_of(key)),
        ("authn_token_created", hash_of(Token.objects.get().key)),
    ]


@pytest.mark.parametrize("model", [Token, TokenProxy])
@pytest.mark.parametrize("way", ["instance", "queryset"])
def test_a_deleted_token_is_revoked(alice, token, entries, model, way):
    """By the object or by a query, by the model or by the admin's proxy."""
    if way == "instance":
        model.objects.get(user=alice).delete()
    else:
        model.objects.filter(user=alice).delete()
    if Token.objects.exists():
        pytest.skip("this version of Django REST framework does not delete through its proxy")
    [entry] = entries
    assert {k: v for k, v in entry.items() if k not in {"timestamp", "event.id"}} == {
        "schema": "seclog/1",
        "event.name": "authn_token_revoked",
        "event.outcome": "success",
        "severity": "low",
        "message": "Token revoked",
        "reason": "deleted",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "seclog.target.id": str(alice.pk),
        "seclog.token.id_hash": hash_of(token.key),
        "seclog.token.type": "drf_authtoken",
    }


def test_a_revocation_names_who_did_it(client, token, password, entries):
    """The actor is the one who is logged in, the target is the token's owner."""
    bob = get_user_model().objects.create_user("bob", password=password)
    client.post("/delete/", {"username": "bob", "password": password, "of": "alice"})
    [entry] = of_tokens(entries)
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(bob.pk), str(token.user_id))


def test_a_token_goes_with_its_user(alice, token, entries):
    """The reason tells it from a token that somebody deleted."""
    alice.delete()
    assert [(e["event.name"], e["reason"]) for e in of_tokens(entries)] == [("authn_token_revoked", "user_deleted")]


def test_what_is_rolled_back_did_not_happen(alice, entries):
    """The entries wait for the commit."""
    with pytest.raises(RuntimeError), transaction.atomic():
        Token.objects.create(user=alice).delete()
        raise RuntimeError
    assert entries == []


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_token_is_no_event_and_costs_no_query(client, token, entries, django_assert_num_queries):
    """Every request brings one: the volume would hide the rest."""
    with django_assert_num_queries(1):
        response = client.get("/who/", headers={"Authorization": f"Token {token.key}"})
    assert response.status_code == 200 and entries == []


def test_an_unknown_token_is_recorded_without_a_query_of_ours(client, entries, django_assert_num_queries):
    """Its hash tells a revoked token that is used again from a guess."""
    key = token_hex(20)
    with django_assert_num_queries(1):
        client.get("/who/", headers={"Authorization": f"Token {key}", "User-Agent": "curl/8"})
    [entry] = of_tokens(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_token_invalid",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Invalid token used",
        "reason": "unknown_token",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "http.request.method": "GET",
        "http.route": "who/",
        "url.path": "/who/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.token.type": "drf_authtoken",
        "seclog.token.id_hash": hash_of(key),
    }
    assert key not in json.dumps(entries)


def test_a_revoked_token_is_recognised_by_its_hash(client, token, entries):
    """The same hash stands in the revocation and in the refusal."""
    key = token.key
    token.delete()
    client.get("/who/", headers={"Authorization": f"Token {key}"})
    revoked, refused = of_tokens(entries)
    assert revoked["seclog.token.id_hash"] == refused["seclog.token.id_hash"]


def test_the_token_of_an_inactive_user_is_refused(client, alice, token, entries):
    """The token is good, its user is not."""
    get_user_model().objects.filter(pk=alice.pk).update(is_active=False)
    client.get("/who/", headers={"Authorization": f"Token {token.key}"})
    [entry] = of_tokens(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_token_invalid", "inactive")
    assert entry["seclog.token.id_hash"] == hash_of(token.key)


def test_a_projects_own_refusal_is_recorded(client, token, entries):
    """Such as tokens that are too old; which rule it was, only the project knows."""
    client.get("/expiring/", headers={"Authorization": f"Bearer {token.key}"})
    [entry] = of_tokens(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_token_invalid", "refused")


@pytest.mark.parametrize("header", ["Token", "Token a b c", "Token \xff\xfe"])
def test_a_malformed_token_is_recorded(client, entries, header):
    """What is no token at all."""
    client.get("/who/", HTTP_AUTHORIZATION=header)
    [entry] = of_tokens(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_token_invalid", "malformed")


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer abc"])
def test_another_scheme_is_no_token(client, entries, header):
    """Without a token there is none to refuse."""
    client.get("/who/", HTTP_AUTHORIZATION=header)
    assert of_tokens(entries) == []
