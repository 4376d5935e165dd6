"""Family 1 in Django: every way in and every refusal is one entry, and never an extra query."""

import asyncio
import enum
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin, auth
from django.contrib.auth import aauthenticate, alogin, alogout, authenticate, get_user_model, login, views
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.signals import user_login_failed
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import path

from conftest import whole
from seclog import api

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class ByEmailBackend(BaseBackend):
    """Looks users up in its own way, as many projects do."""

    def authenticate(self, request, username=None, password=None):
        user = get_user_model().objects.filter(email=username).first()
        return user if user is not None and user.check_password(password) else None

    def get_user(self, user_id):
        return get_user_model().objects.filter(pk=user_id).first()


class LinkBackend(BaseBackend):
    """Takes no name and no password."""

    def authenticate(self, request, link_token=None):
        return None


class LoginMethod(enum.Enum):
    """Like allauth's, whose credentials have such keys."""

    USERNAME = "username"
    EMAIL = "email"


async def async_login(request):
    user = await aauthenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is not None:
        await alogin(request, user)
    return HttpResponse("welcome" if user else "no")


async def async_logout(request):
    await alogout(request)
    return HttpResponse("bye")


def register(request):
    user = get_user_model().objects.create_user(request.POST["username"])
    login(request, user)
    return HttpResponse("welcome")


def login_and_act(request):
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    login(request, user)
    api.emit("sensitive_read", target_id=1)
    return HttpResponse("done")


urlpatterns = [
    path("login/", views.LoginView.as_view(template_name="form.html")),
    path("logout/", views.LogoutView.as_view()),
    path("async-login/", async_login),
    path("async-logout/", async_logout),
    path("register/", register),
    path("act/", login_and_act),
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
def _nothing_but_logins(client, alice, entries):
    """What came before the test (start-up, the user's creation) is not looked at."""
    client.get("/")
    entries.clear()


def of_login(entries):
    return [e for e in entries if e["event.name"].startswith("authn_login")]


# ── success ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_login_success_names_the_user(client, alice, password, entries):
    """A login through the form is recorded with user, address, route and method."""
    client.post("/login/", {"username": "alice", "password": password}, headers={"User-Agent": "Firefox"})
    [entry] = of_login(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_success",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Login succeeded",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "login/",
        "url.path": "/login/",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.method": "password",
        "seclog.auth.backend": "django.contrib.auth.backends.ModelBackend",
    }


def test_a_login_is_recorded_with_the_raw_material_for_device_recognition(client, alice, password, entries):
    """The watch needs the accepted languages beside user agent and address."""
    client.post("/login/", {"username": "alice", "password": password}, headers={"Accept-Language": "de-DE,de;q=0.9"})
    [entry] = of_login(entries)
    assert entry["seclog.device.accept_language"] == "de-DE,de;q=0.9"


def test_an_async_login_is_recorded_like_a_sync_one(alice, password, entries):
    """In the event loop the receiver runs in a worker thread; the request's facts are there all the same."""
    form = {"username": "alice", "password": password}
    async_to_sync(AsyncClient().post)("/async-login/", form)
    [entry] = of_login(entries)
    assert (entry["event.name"], entry["user.name"]) == ("authn_login_success", "alice")
    assert (entry["http.route"], entry["seclog.auth.method"]) == ("async-login/", "password")
    assert entry["seclog.session.id_hash"]


def test_an_async_failure_is_told_without_a_query_of_our_own(alice, entries, django_assert_num_queries):
    """The async look-up is listened to as well."""
    with django_assert_num_queries(1):
        async_to_sync(AsyncClient().post)("/async-login/", {"username": "alice", "password": token_urlsafe()})
    [entry] = of_login(entries)
    assert (entry["reason"], entry["user.id"]) == ("invalid_credentials", str(alice.pk))


def test_a_login_outside_of_a_request_is_recorded(client, alice, entries):
    """`force_login` has a request without address and path: the user is what is known."""
    client.force_login(alice)
    [entry] = of_login(entries)
    assert (entry["event.name"], entry["user.id"]) == ("authn_login_success", str(alice.pk))
    assert "client.address" not in entry


def test_a_login_that_the_app_itself_decides_is_not_called_a_login_by_password(client, entries):
    """After a registration nobody typed a password to prove who they are."""
    client.post("/register/", {"username": "carol"})
    [entry] = of_login(entries)
    assert (entry["user.name"], entry["seclog.auth.method"]) == ("carol", "direct")
    assert entry["seclog.auth.backend"] == "django.contrib.auth.backends.ModelBackend"


def test_what_follows_a_login_in_the_same_request_names_the_user(client, alice, password, entries):
    """Entries after the login carry the user and the new session."""
    client.post("/act/", {"username": "alice", "password": password})
    [success] = of_login(entries)
    [read] = [e for e in entries if e["event.name"] == "sensitive_read"]
    assert (read["user.id"], read["user.name"]) == (str(alice.pk), "alice")
    assert read["seclog.session.id_hash"] == success["seclog.session.id_hash"]


# ── logout ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_logout_names_user_and_session(client, alice, password, entries):
    """A logout is one entry, with the session that was created by the login."""
    client.post("/login/", {"username": "alice", "password": password})
    session = of_login(entries)[0]["seclog.session.id_hash"]
    entries.clear()
    client.post("/logout/", headers={"User-Agent": "Firefox"})
    [entry] = entries
    assert entry["seclog.session.id_hash"] == session
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "session_logout",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Logged out",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "logout/",
        "url.path": "/logout/",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
    }


def test_an_async_logout_is_recorded(alice, entries):
    """`alogout` sends the same signal."""
    client = AsyncClient()
    client.force_login(alice)
    entries.clear()
    async_to_sync(client.post)("/async-logout/")
    assert [(e["event.name"], e["user.name"]) for e in entries] == [("session_logout", "alice")]


def test_a_logout_of_nobody_is_silent(client, entries):
    """Django sends the signal for anonymous visitors too: nothing happened."""
    client.post("/logout/")
    async_to_sync(AsyncClient().post)("/async-logout/")
    assert entries == []


# ── failure ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_password_is_told_from_unknown_user_without_a_query(client, alice, entries, django_assert_num_queries):
    """A failed login knows whether the user exists, from the query that the login itself makes."""
    with django_assert_num_queries(1):
        client.post("/login/", {"username": "alice", "password": token_urlsafe()})
    with django_assert_num_queries(1):
        client.post("/login/", {"username": "nobody", "password": token_urlsafe()})
    known, unknown = entries
    assert (known["reason"], known["user.id"], known["user.name"]) == (
        "invalid_credentials",
        str(alice.pk),
        "alice",
    )
    assert unknown["reason"] == "unknown_user"
    assert unknown["user.name"].startswith("unknown:") and "user.id" not in unknown


def test_a_failure_is_recorded_whole(client, alice, entries):
    """A wrong password is one entry with user, reason and address, and without what was typed."""
    typed = token_urlsafe()
    client.post("/login/", {"username": "alice", "password": typed}, headers={"User-Agent": "Firefox"})
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Login failed",
        "reason": "invalid_credentials",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "login/",
        "url.path": "/login/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.method": "password",
    }
    assert typed not in json.dumps(entry)


def test_a_password_typed_into_the_name_field_is_not_written(client, password, entries):
    """A name that nobody has is a keyed pseudonym: it may be a password."""
    client.post("/login/", {"username": password, "password": "x"})
    [entry] = entries
    assert password not in json.dumps(entry)


def test_authenticate_without_a_request_is_recorded(alice, entries):
    """A failure in a job has no request, and is recorded all the same."""
    authenticate(username="alice", password=token_urlsafe())
    [entry] = entries
    assert (entry["event.name"], entry["user.name"]) == ("authn_login_fail", "alice")
    assert "client.address" not in entry


def test_the_admins_refusal_of_a_user_without_staff_rights_is_recorded(client, alice, password, entries):
    """Django sends no signal for it: the password was right."""
    client.post("/admin/login/", {"username": "alice", "password": password})
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", "not_staff")
    assert (entry["user.id"], entry["user.name"]) == (str(alice.pk), "alice")


def test_a_wrong_password_at_the_admin_is_one_entry(client, alice, entries):
    """The signal tells it, and the form does not tell it again."""
    client.post("/admin/login/", {"username": "alice", "password": token_urlsafe()})
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", "invalid_credentials")


@pytest.mark.parametrize(
    "backend",
    ["django.contrib.auth.backends.ModelBackend", "django.contrib.auth.backends.AllowAllUsersModelBackend"],
)
def test_an_inactive_user_is_one_refusal(client, alice, password, entries, settings, backend):
    """Whether the backend refuses (with a signal) or the form does (without one)."""
    settings.AUTHENTICATION_BACKENDS = [backend]
    alice.is_active = False
    alice.save()
    entries.clear()
    client.post("/login/", {"username": "alice", "password": password})
    [entry] = entries
    assert (entry["reason"], entry["user.id"]) == ("inactive", str(alice.pk))


def test_an_empty_password_is_recorded_without_a_query(client, alice, entries, django_assert_num_queries):
    """It never reaches `authenticate`; whether the name exists is not asked, so it is not written."""
    with django_assert_num_queries(0):
        client.post("/login/", {"username": "alice", "password": ""})
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", "incomplete_credentials")
    assert entry["user.name"].startswith("unknown:") and "user.id" not in entry


def test_a_backend_with_its_own_look_up_leaves_the_name_unknown(client, alice, entries, settings):
    """Where nobody can say whether the user exists, the reason is general and the name a pseudonym."""
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.ByEmailBackend"]
    client.post("/login/", {"username": "alice@example.org", "password": token_urlsafe()})
    [entry] = entries
    assert entry["reason"] == "invalid_credentials"
    assert entry["user.name"].startswith("unknown:") and "user.id" not in entry


def test_credentials_may_have_enum_keys(alice, entries):
    """Allauth's failures carry members of an enum as keys."""
    user_login_failed.send(sender="allauth", credentials={LoginMethod.EMAIL: "alice@example.org"}, request=None)
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", "invalid_credentials")
    assert entry["user.name"] == api.installed().unknown_name("alice@example.org")


def test_credentials_without_a_name_give_an_entry_without_a_name(entries, settings):
    """A link in an e-mail names nobody; the pseudonym of nothing would look like a user."""
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.LinkBackend"]
    authenticate(link_token=token_urlsafe())
    [entry] = entries
    assert (entry["event.name"], entry["seclog.auth.method"]) == ("authn_login_fail", "other")
    assert "user.name" not in entry


@pytest.mark.parametrize("credentials", [None, {}, {"username": None}, {3: object()}])
def test_odd_credentials_never_raise(credentials, entries):
    """Third parties send what they like."""
    user_login_failed.send(sender="somebody", credentials=credentials, request=None)
    [entry] = entries
    assert entry["event.name"] == "authn_login_fail"


@pytest.mark.contains_errors
def test_a_broken_recorder_does_not_break_the_login(client, alice, password, monkeypatch):
    """An exception in a receiver would end the login; ours end in themselves."""
    monkeypatch.setattr(api.installed().recorder, "record", lambda *args: 1 / 0)
    response = client.post("/login/", {"username": "alice", "password": password})
    assert response.status_code == 302 and client.session["_auth_user_id"] == str(alice.pk)


def test_a_failure_is_not_told_as_one_of_who_is_logged_in(client, alice, entries):
    """Who is logged in tries to become somebody else: the names do not mix."""
    client.force_login(alice)
    entries.clear()
    client.post("/admin/login/", {"username": "nobody", "password": token_urlsafe()})
    [entry] = entries
    assert entry["user.name"].startswith("unknown:") and "user.id" not in entry
    assert entry["seclog.session.user_id"] == str(alice.pk)


# ── the look-up belongs to one login ─────────────────────────────────────────────────────────────────────────────


def test_a_look_up_of_another_login_in_the_same_thread_is_not_used(alice, password, entries, settings):
    """A worker thread serves one request after the other: what an earlier login found says nothing about this one."""
    assert authenticate(username="alice", password=password) == alice  # succeeded, so no signal took the look-up
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.ByEmailBackend"]
    authenticate(username="alice", password=token_urlsafe())
    [entry] = entries
    assert entry["reason"] == "invalid_credentials" and "user.id" not in entry


def test_a_look_up_of_another_request_is_not_used(client, alice, password, entries):
    """Nor does it when a library sends the signal itself, without a login of Django's in this request."""
    client.post("/act/", {"username": "alice", "password": password})
    entries.clear()
    user_login_failed.send(sender="somebody", credentials={"username": "alice"}, request=None)
    [entry] = entries
    assert "user.id" not in entry


def test_look_ups_of_threads_do_not_mix(alice, password, entries):
    """Two logins at the same time, in two threads, each know their own user only."""
    both_looked_up = threading.Barrier(2, timeout=10)
    answers = {"alice": alice, "nobody": None}

    class Manager:
        model = get_user_model()

    from seclog.adapters.django.login import _natural_key

    def look_up(manager, name):
        both_looked_up.wait()
        if answers[name] is None:
            raise get_user_model().DoesNotExist
        return answers[name]

    def fail(name):
        try:
            _natural_key(look_up, Manager, name)
        except get_user_model().DoesNotExist:
            pass
        both_looked_up.wait()
        user_login_failed.send(sender="test", credentials={"username": name, "password": "*"}, request=None)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fail, answers))
    reasons = {e["reason"]: e.get("user.id") for e in entries}
    assert reasons == {"invalid_credentials": str(alice.pk), "unknown_user": None}


def test_look_ups_of_tasks_do_not_mix(alice, entries):
    """Two logins at the same time, in two tasks of one event loop, each know their own user only."""
    from seclog.adapters.django.login import _anatural_key

    class Manager:
        model = get_user_model()

    async def look_up(manager, name):
        await asyncio.sleep(0)
        if name == "nobody":
            raise get_user_model().DoesNotExist
        return alice

    async def fail(name):
        try:
            await _anatural_key(look_up, Manager, name)
        except get_user_model().DoesNotExist:
            pass
        await asyncio.sleep(0)
        await user_login_failed.asend(sender="test", credentials={"username": name}, request=None)

    async def both():
        await asyncio.gather(fail("alice"), fail("nobody"))

    asyncio.run(both())
    reasons = {e["reason"]: e.get("user.id") for e in entries}
    assert reasons == {"invalid_credentials": str(alice.pk), "unknown_user": None}


def test_a_managers_own_look_up_is_listened_to(alice, entries):
    """A project's manager may override the look-up without calling Django's: it is wrapped when we connect."""
    from django.contrib.auth.models import UserManager

    from seclog.adapters.django import login as hooks

    class OwnManager(UserManager):
        def get_by_natural_key(self, username):
            return self.get(username__iexact=username)

    model = get_user_model()
    before = model._meta.managers_map["objects"]
    own = OwnManager()
    own.model, own.name = model, "objects"
    try:
        model._meta.__dict__["managers_map"]["objects"] = own
        model._meta.__dict__["default_manager"] = own
        hooks.connect()
        authenticate(username="ALICE", password=token_urlsafe())
    finally:
        model._meta.__dict__["managers_map"]["objects"] = before
        model._meta.__dict__["default_manager"] = before
    [entry] = entries
    assert (entry["user.id"], entry["user.name"]) == (str(alice.pk), "alice")


def test_connecting_twice_records_once(client, alice, entries):
    """The hooks are idempotent."""
    from seclog.adapters.django import login as hooks

    hooks.connect()
    client.post("/login/", {"username": "alice", "password": token_urlsafe()})
    assert len(entries) == 1


def test_a_hooked_name_that_is_gone_leaves_the_rest_working(alice, entries, monkeypatch, caplog):
    """Without the private function of Django's, failures are told as before, and one warning says what is missing."""
    from seclog.adapters.django import login as hooks

    monkeypatch.delattr(auth, "_get_compatible_backends")
    hooks.connect()
    assert "_get_compatible_backends" in caplog.text
    user = ModelBackend().authenticate(None, username="alice", password=token_urlsafe())
    user_login_failed.send(sender="test", credentials={"username": "alice"}, request=None)
    assert user is None and [e["user.id"] for e in entries] == [str(alice.pk)]
