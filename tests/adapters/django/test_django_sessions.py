"""Family 3 in Django: what becomes of sessions, with every engine that keeps them on the server."""

import json
import time
from datetime import timedelta
from importlib import import_module
from secrets import token_hex, token_urlsafe

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, get_user_model, update_session_auth_hash, views
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from conftest import whole
from seclog import api
from seclog.adapters.django import sessions
from seclog.adapters.django.request import session_hash

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

DB, CACHED_DB, CACHE, FILE, COOKIES = (
    f"django.contrib.sessions.backends.{name}" for name in ("db", "cached_db", "cache", "file", "signed_cookies")
)
ON_THE_SERVER = [DB, CACHED_DB, CACHE, FILE]


def who(request):
    return HttpResponse(str(request.user))


async def async_who(request):
    return HttpResponse(str(await request.auser()))


async def async_login(request):
    await alogin(request, await get_user_model().objects.aget(username="alice"))
    return HttpResponse("welcome")


def rotate(request):
    request.session.cycle_key()
    return HttpResponse("rotated")


def change_password(request):
    request.user.set_password(request.POST["password"])
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse("changed")


def empty(request):
    user = str(request.user)
    request.session.flush()
    return HttpResponse(f"bye {user}")


def empty_unseen(request):
    request.session.flush()
    return HttpResponse("bye")


def single_sign_on(request):
    from django.contrib.auth import login

    with api.actor("sso"):
        login(request, get_user_model().objects.get(username="alice"))
    return HttpResponse("welcome")


def basket(request):
    request.session["basket"] = [1]
    return HttpResponse("in the basket")


def delete_sessions(request):
    Session.objects.all().delete()
    return HttpResponse("deleted")


def fail_after_login(request):
    from django.contrib.auth import login

    login(request, get_user_model().objects.get(username="alice"))
    return HttpResponse("too bad", status=500)


urlpatterns = [
    path("login/", views.LoginView.as_view(template_name="form.html")),
    path("logout/", views.LogoutView.as_view(next_page="/")),
    path("async-login/", async_login),
    path("fail/", fail_after_login),
    path("who/", who),
    path("async-who/", async_who),
    path("rotate/", rotate),
    path("change/", change_password),
    path("empty/", empty),
    path("basket/", basket),
    path("empty-unseen/", empty_unseen),
    path("sso/", single_sign_on),
    path("delete/", delete_sessions),
    path("", lambda request: HttpResponse("home")),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", "alice@example.org", password)


@pytest.fixture(autouse=True)
def _nothing_but_sessions(alice, entries, settings, tmp_path):
    """What came before the test (start-up, the user's creation) is not looked at."""
    settings.SESSION_FILE_PATH = str(tmp_path)
    file_store = import_module(FILE).SessionStore
    if hasattr(file_store, "_storage_path"):
        del file_store._storage_path
    cache.clear()
    Client().get("/")
    entries.clear()


@pytest.fixture
def visitor(alice, password, entries):
    """Log in with a browser of its own; the entries of the login are not looked at."""

    def log_in():
        browser = Client()
        browser.post("/login/", {"username": "alice", "password": password})
        entries.clear()
        return browser

    return log_in


def key_of(browser):
    return browser.cookies["sessionid"].value


def make_expired(key):
    Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(days=1))


def of_sessions(entries):
    return [e for e in entries if e["event.name"].startswith("session")]


# ── created, renewed, logged out ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("engine", ON_THE_SERVER)
def test_a_login_creates_a_session(client, alice, password, entries, settings, engine):
    """The rotation that the login makes is part of it: one entry, with the hash of the new key and never the key."""
    settings.SESSION_ENGINE = engine
    client.get("/basket/")  # an anonymous session, which the login gives a new key
    client.post("/login/", {"username": "alice", "password": password}, headers={"User-Agent": "Firefox"})
    login, created = entries
    assert created["seclog.session.id_hash"] == session_hash(key_of(client)) == login["seclog.session.id_hash"]
    assert whole(created) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "session_created",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Session created",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "login/",
        "url.path": "/login/",
        "http.response.status_code": 302,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
    }
    assert key_of(client) not in json.dumps(entries)


def test_an_async_login_creates_a_session(alice, entries):
    """The event loop makes no difference."""
    client = AsyncClient()
    async_to_sync(client.get)("/async-login/")
    [created] = of_sessions(entries)
    assert (created["event.name"], created["user.id"]) == ("session_created", str(alice.pk))
    assert created["seclog.session.id_hash"] == session_hash(key_of(client))


def test_a_login_outside_of_a_request_creates_a_session(client, alice, entries):
    """`force_login` and scripts make sessions, too."""
    client.force_login(alice)
    [created] = of_sessions(entries)
    assert created["seclog.session.id_hash"] == session_hash(key_of(client))


def test_a_login_whose_response_fails_creates_no_session(entries):
    """Django does not send the cookie with a 500: nobody has that session."""
    Client(raise_request_exception=False).get("/fail/")
    assert of_sessions(entries) == []


def test_a_second_login_of_the_same_user_keeps_the_session(visitor, password, entries):
    """The key stays, so nothing was created."""
    browser = visitor()
    browser.post("/login/", {"username": "alice", "password": password})
    assert of_sessions(entries) == []


def test_a_login_as_somebody_else_creates_a_session(visitor, password, entries):
    """Django empties the session of the one before."""
    bob = get_user_model().objects.create_user("bob", password=password)
    browser = visitor()
    browser.post("/login/", {"username": "bob", "password": password})
    [created] = of_sessions(entries)
    assert (created["event.name"], created["user.id"]) == ("session_created", str(bob.pk))


@pytest.mark.parametrize("engine", ON_THE_SERVER)
def test_a_new_key_for_a_session_is_a_renewal(visitor, alice, entries, settings, engine):
    """The hashes of both keys tie the two together."""
    settings.SESSION_ENGINE = engine
    browser = visitor()
    before = key_of(browser)
    browser.get("/rotate/")
    [entry] = entries
    assert (entry["event.name"], entry["user.id"]) == ("session_renewed", str(alice.pk))
    assert entry["seclog.session.id_hash"] == session_hash(key_of(browser))
    assert entry["seclog.session.previous_id_hash"] == session_hash(before)


def test_a_password_change_renews_the_session(visitor, entries):
    """The reason says why."""
    browser = visitor()
    browser.post("/change/", {"password": token_urlsafe()})
    [renewed] = of_sessions(entries)
    assert (renewed["event.name"], renewed["reason"]) == ("session_renewed", "password_change")
    assert [e["event.name"] for e in entries] == ["authn_password_change", "session_renewed"]


def test_a_logout_is_a_logout_only(visitor, entries):
    """The session that is emptied is not told again as lost."""
    browser = visitor()
    browser.post("/logout/")
    assert [e["event.name"] for e in entries] == ["session_logout"]


def test_a_session_that_the_app_empties_itself_is_a_logout(visitor, alice, entries):
    """No signal tells of `session.flush()`."""
    browser = visitor()
    key = key_of(browser)
    browser.get("/empty/")
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("session_logout", "flushed")
    assert (entry["user.id"], entry["seclog.session.id_hash"]) == (str(alice.pk), session_hash(key))


@pytest.mark.parametrize("engine", [DB, CACHED_DB])
def test_a_session_that_is_emptied_before_it_was_loaded_names_its_user(visitor, alice, entries, settings, engine):
    """Whose it was stands in the row that goes."""
    settings.SESSION_ENGINE = engine
    browser = visitor()
    browser.get("/empty-unseen/")
    assert [(e["event.name"], e["user.id"]) for e in entries] == [("session_logout", str(alice.pk))]


def test_a_login_by_a_named_job_in_a_request_is_one_session(client, entries):
    """`with seclog.actor(…)` in a view names who works; the session is the request's."""
    client.get("/basket/")
    client.get("/sso/")
    assert [e["event.name"] for e in entries] == ["authn_login_success", "session_created"]


def test_an_anonymous_session_is_no_event(client, entries):
    """Baskets come and go: nobody was logged in."""
    client.get("/basket/")
    client.get("/rotate/")
    client.get("/empty/")
    client.get("/basket/")
    make_expired(key_of(client))
    client.get("/basket/")
    assert entries == []


# ── expired, revoked, forged ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("engine", [DB, CACHED_DB])
def test_an_expired_session_names_its_user(visitor, alice, entries, settings, engine):
    """The row is still there, and says whose it was."""
    settings.SESSION_ENGINE = engine
    browser = visitor()
    key = key_of(browser)
    make_expired(key)
    cache.clear()
    assert browser.get("/who/").content == b"AnonymousUser"
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("session_expired", "expired")
    assert (entry["user.id"], entry["seclog.session.id_hash"]) == (str(alice.pk), session_hash(key))
    assert key not in json.dumps(entries)
    browser.get("/who/")  # Django took the cookie away
    assert len(entries) == 1


def test_an_expired_session_is_seen_by_async_views(visitor, alice, entries):
    """The question for the row is asked where async code may ask it."""
    browser = AsyncClient()
    browser.force_login(alice)
    make_expired(key_of(browser))
    entries.clear()
    async_to_sync(browser.get)("/async-who/")
    [entry] = entries
    assert (entry["event.name"], entry["user.id"]) == ("session_expired", str(alice.pk))


def test_an_expired_file_session_is_recorded(visitor, entries, settings):
    """The engine deletes the file before anybody can see whose it was."""
    settings.SESSION_ENGINE = FILE
    browser = visitor()
    key = key_of(browser)
    settings.SESSION_COOKIE_AGE = 0
    time.sleep(0.01)
    browser.get("/who/")
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("session_expired", "expired")
    assert entry["seclog.session.id_hash"] == session_hash(key)


@pytest.mark.parametrize("engine", ON_THE_SERVER)
@pytest.mark.parametrize("visit", ["/who/", "/async-who/"])
def test_a_password_change_elsewhere_revokes_the_session(visitor, alice, entries, settings, engine, visit):
    """Django empties such a session when it looks for the user, and sends no signal."""
    settings.SESSION_ENGINE = engine
    browser = visitor()
    key = key_of(browser)
    alice.set_password(token_urlsafe())
    alice.save()
    entries.clear()
    assert browser.get(visit).content == b"AnonymousUser"
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "session_expired",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Session expired",
        "reason": "revoked",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "client.address": "127.0.0.1",
        "http.request.method": "GET",
        "http.route": visit[1:],
        "url.path": visit,
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
    }
    assert entry["seclog.session.id_hash"] == session_hash(key)


def test_a_session_deleted_during_its_request_is_revoked(visitor, alice, entries, monkeypatch):
    """Django answers 400 then."""
    from django.contrib.sessions.backends.db import SessionStore

    browser = visitor()
    key = key_of(browser)
    get = SessionStore._get_session_from_db

    def get_and_lose(self):
        found = get(self)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_session")
        return found

    monkeypatch.setattr(SessionStore, "_get_session_from_db", get_and_lose)
    assert browser.get("/basket/").status_code == 400
    [entry] = of_sessions(entries)
    assert (entry["event.name"], entry["reason"], entry["user.id"]) == (
        "session_expired",
        "revoked",
        str(alice.pk),
    )
    assert entry["seclog.session.id_hash"] == session_hash(key)


@pytest.mark.parametrize("engine", ON_THE_SERVER)
@pytest.mark.parametrize("visit", ["/who/", "/async-who/", "/basket/"])
@pytest.mark.parametrize("key", [token_hex(16), "short", "../../etc/passwd", "ä" * 40, "k" * 4000])
def test_a_key_that_no_session_has_is_recorded(client, entries, settings, engine, visit, key):
    """A forged key, or one of a session that is long gone; of whichever form, and it is not written."""
    settings.SESSION_ENGINE = engine
    client.cookies["sessionid"] = key
    client.get(visit)
    [entry] = entries
    assert (entry["event.name"], entry["event.outcome"]) == ("session_use_after_expire", "failure")
    assert entry["reason"] == "unknown_session" and "user.id" not in entry
    assert len(entry["seclog.session.id_hash"]) < 100 and key not in json.dumps(entries)


def test_the_key_of_a_logged_out_session_is_recorded(visitor, entries):
    """A stolen cookie that is used after the logout."""
    browser, thief = visitor(), Client()
    thief.cookies["sessionid"] = key = key_of(browser)
    browser.post("/logout/")
    thief.get("/who/")
    logout, entry = entries
    assert entry["event.name"] == "session_use_after_expire"
    assert logout["seclog.session.id_hash"] == entry["seclog.session.id_hash"] == session_hash(key)


def test_a_request_that_does_not_touch_its_session_is_not_looked_at(client, entries, django_assert_num_queries):
    """Whatever its cookie says: no query, no entry."""
    client.cookies["sessionid"] = token_hex(16)
    with django_assert_num_queries(0):
        client.get("/")
    assert entries == []


def test_a_good_session_costs_no_query(visitor, entries, django_assert_num_queries):
    """The session's and the user's own queries, and none of ours."""
    browser = visitor()
    with django_assert_num_queries(2):
        browser.get("/who/")
    assert entries == []


# ── revoked by somebody ──────────────────────────────────────────────────────────────────────────────────────────


def test_deleting_everybodys_sessions_is_a_revocation_for_each_user(visitor, alice, entries):
    """Who deletes the rows ends the sessions: one entry a user, with their number."""
    root = get_user_model().objects.create_superuser("root")
    visitor(), visitor()
    browser = Client()
    browser.force_login(root)
    entries.clear()
    browser.get("/delete/")
    revoked = {e["seclog.target.id"]: e for e in of_sessions(entries)}
    assert set(revoked) == {str(alice.pk), str(root.pk)}
    entry = revoked[str(alice.pk)]
    assert (entry["event.name"], entry["reason"], entry["seclog.session.count"]) == (
        "session_revoked",
        "deleted",
        2,
    )
    assert entry["user.id"] == str(root.pk)


def test_deleting_a_row_is_a_revocation(visitor, alice, entries):
    """The usual way to log one user out: by the row, or by the store."""
    first, second = key_of(visitor()), key_of(visitor())
    Session.objects.get(pk=first).delete()
    import_module(DB).SessionStore(second).delete()
    assert [(e["event.name"], e["seclog.target.id"]) for e in entries] == [("session_revoked", str(alice.pk))] * 2
    assert [e["seclog.target.session.id_hash"] for e in entries] == [
        session_hash(first),
        session_hash(second),
    ]
    assert first not in json.dumps(entries)


def test_a_revocation_that_is_rolled_back_did_not_happen(visitor, entries):
    """The entry waits for the commit."""
    key = key_of(visitor())
    with pytest.raises(RuntimeError), transaction.atomic():
        Session.objects.all().delete()
        raise RuntimeError
    with pytest.raises(RuntimeError), transaction.atomic():
        Session.objects.get(pk=key).delete()
        raise RuntimeError
    assert entries == []


def test_very_many_sessions_are_one_entry(visitor, entries, monkeypatch):
    """The record says how many, not each."""
    for _ in range(3):
        visitor()
    monkeypatch.setattr(sessions, "_MAX_ROWS", 2)
    Session.objects.all().delete()
    [entry] = entries
    assert entry["seclog.session.count"] == 3 and "seclog.target.id" not in entry


def test_cleaning_up_expired_sessions_is_no_revocation_and_stays_fast(visitor, entries):
    """`clearsessions` deletes by one statement, as without us; nothing that was alive ended."""
    make_expired(key_of(visitor()))
    entries.clear()
    with CaptureQueriesContext(connection) as queries:
        call_command("clearsessions")
    assert entries == [] and Session.objects.count() == 0
    deletes = [q["sql"] for q in queries if q["sql"].startswith("DELETE")]
    assert len(deletes) == 1 and " IN " not in deletes[0]


# ── signed cookies ───────────────────────────────────────────────────────────────────────────────────────────────


def test_with_signed_cookies_nothing_is_told_about_sessions(client, alice, password, entries, settings, caplog):
    """The key is the data: it is neither followed nor written, not even as a hash."""
    settings.SESSION_ENGINE = COOKIES
    client.post("/login/", {"username": "alice", "password": password})
    client.get("/who/")
    client.get("/rotate/")
    client.post("/logout/")
    client.cookies["sessionid"] = "forged:cookie:value"
    client.get("/who/")
    client.force_login(alice)
    assert [e["event.name"] for e in entries] == [
        "authn_login_success",
        "session_logout",
        "authn_login_success",
    ]
    assert not any("seclog.session.id_hash" in e for e in entries)
    assert "seclog" not in caplog.text


def test_an_app_without_sessions_is_left_alone(entries, settings):
    """No session middleware, no session: nothing to look at."""
    settings.MIDDLEWARE = ["seclog.adapters.django.SecurityEventMiddleware"]
    assert Client().get("/").status_code == 200
    assert entries == []
