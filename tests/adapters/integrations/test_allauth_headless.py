"""allauth.headless, driven as its two clients drive it: an app with a token, and a page with a cookie."""

import re
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.urls import include, path

from neighbours.told import names, only

pytest.importorskip("allauth.headless")

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

from conftest import whole

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))]

BOTH = pytest.mark.parametrize("kind", ["app", "browser"])
REQUEST_LEVEL = {"api_client_error"}  # the request failed, besides what failed in it


class Api:
    """A client of the API: the app keeps the tokens that it is given, the browser its cookies."""

    def __init__(self, client, kind, commit):
        self.client, self.kind, self.commit, self.tokens = client, kind, commit, {}

    def __call__(self, method, url, data=None, **headers):
        if "session_token" in self.tokens:
            headers["X-Session-Token"] = self.tokens["session_token"]
        body = {} if method == "get" or data is None else {"data": data, "content_type": "application/json"}
        with self.commit():
            response = getattr(self.client, method)(f"/_allauth/{self.kind}/v1/{url}", headers=headers, **body)
        if self.kind == "app" and response.status_code < 410:
            self.tokens |= {k: v for k, v in response.json().get("meta", {}).items() if k.endswith("_token")}
        return response


@pytest.fixture
def kind():
    return "app"


@pytest.fixture
def call(client, kind, commit, settings):
    settings.HEADLESS_FRONTEND_URLS = {"account_reset_password_from_key": "http://testserver/reset/{key}"}
    return Api(client, kind, commit)


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password, entries):
    alice = get_user_model().objects.create_user("alice", "alice@example.org", password)
    entries.clear()
    return alice


@pytest.fixture
def login(call, alice, password, entries):
    def login():
        response = call("post", "auth/login", {"username": "alice", "password": password})
        return response

    return login


@pytest.fixture
def logged_in(login, entries):
    login()
    entries.clear()


@pytest.fixture
def jwt(settings):
    settings.HEADLESS_TOKEN_STRATEGY = "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy"
    settings.HEADLESS_JWT_ALGORITHM = "HS256"


def told(entries):
    return [name for name in names(entries) if name not in REQUEST_LEVEL]


# ── login ────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_a_login_is_told_once(login, kind, alice, entries):
    """The app is given a token besides, which a keyed hash names."""
    login()
    assert told(entries) == ["authn_login_success"] + ["authn_token_created"] * (kind == "app")
    assert only(entries, "authn_login_success")["user.id"] == str(alice.pk)


def test_a_new_session_token_is_told_whole(login, call, alice, entries):
    """Whose it is, until when, and never the token."""
    login()
    entry = whole(only(entries, "authn_token_created"))
    assert entry.pop("seclog.token.expires").endswith("Z")
    assert re.fullmatch("[0-9a-f]{32}", entry.pop("seclog.token.id_hash"))
    assert {key: value for key, value in entry.items() if not key.startswith(("http.", "client.", "url."))} == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_token_created",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": entry["severity"],
        "message": entry["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(alice.pk),
        "seclog.token.type": "session_token",
        "seclog.token.scope": "all",
    }
    assert call.tokens["session_token"] not in str(entries)


@BOTH
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"username": "alice", "password": "wrong"}, "invalid_credentials"),
        ({"username": "nobody", "password": "wrong"}, "unknown_user"),
        ({"username": "alice"}, "incomplete_credentials"),
        ({"password": "wrong"}, "incomplete_credentials"),
    ],
)
def test_a_failed_login_is_told_once(call, alice, entries, kind, given, reason):
    """Also one that the API's input refuses before anybody is asked."""
    call("post", "auth/login", given)
    assert told(entries) == ["authn_login_fail"]
    assert only(entries, "authn_login_fail")["reason"] == reason
    assert "nobody" not in str(only(entries, "authn_login_fail"))


def test_a_logout_is_no_refusal(call, logged_in, entries):
    """It answers 401, as nobody is logged in any more."""
    assert call("delete", "auth/session").status_code == 401
    assert [entry["event.name"] for entry in entries] == ["session_logout"]


def test_who_only_asks_is_refused(call, entries):
    """401 to somebody who wants something stays a refusal."""
    assert call("get", "account/email").status_code == 401
    assert told(entries) == ["authz_unauthenticated"]


# ── second factors ───────────────────────────────────────────────────────────────────────────────────────────────


def code(secret):
    counters = list(yield_hotp_counters_from_time())  # the middle one is now; its neighbours are tolerated
    return format_hotp_value(hotp_value(secret, counters[len(counters) // 2]))


@pytest.fixture
def secret(call, logged_in, password, entries):
    call("post", "auth/reauthenticate", {"password": password})
    entries.clear()
    secret = call("get", "account/authenticators/totp").json()["meta"]["secret"]
    call("post", "account/authenticators/totp", {"code": code(secret)})
    cache.clear()  # the code was used at the activation
    return secret


def test_new_factors_are_told(secret, entries):
    """The app that makes codes, and the recovery codes with it."""
    factors = [entry["seclog.auth.factor"] for entry in entries if entry["event.name"] == "authn_mfa_enrolled"]
    assert sorted(factors) == ["recovery_codes", "totp"]


@BOTH
def test_a_login_with_a_second_factor(call, kind, secret, login, entries):
    """The first factor alone answers 401: no login yet, and no refusal either."""
    call("delete", "auth/session")
    call.tokens.clear()
    entries.clear()
    assert login().status_code == 401
    assert told(entries) == []
    right = code(secret)
    call("post", "auth/2fa/authenticate", {"code": str((int(right) + 1) % 10**6).zfill(6)})
    assert told(entries) == ["authn_mfa_fail"]
    assert only(entries, "authn_mfa_fail")["seclog.auth.factor"] == "totp"
    entries.clear()
    call("post", "auth/2fa/authenticate", {"code": right})
    assert told(entries) == ["authn_mfa_success", "authn_login_success"] + ["authn_token_created"] * (kind == "app")


def test_a_recovery_code_is_a_factor(call, secret, login, entries):
    """Seen by the same hook, told as what it is."""
    codes = call("get", "account/authenticators/recovery-codes").json()["data"]["unused_codes"]
    call("delete", "auth/session")
    call.tokens.clear()
    login()
    entries.clear()
    call("post", "auth/2fa/authenticate", {"code": codes[0]})
    assert only(entries, "authn_mfa_success")["seclog.auth.factor"] == "recovery_codes"
    assert codes[0] not in str(entries)


# ── password and addresses ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def key(call, alice, entries):
    call("post", "auth/password/request", {"email": "alice@example.org"})
    return re.search(r"/reset/(\S+)", mail.outbox[-1].body).group(1)


def test_a_reset_is_told_once(call, key, alice, entries):
    """Asked for and completed; that it answers 401 refuses nothing."""
    assert told(entries) == ["authn_password_reset_request"]
    entries.clear()
    assert call("post", "auth/password/reset", {"key": key, "password": token_urlsafe()}).status_code == 401
    assert told(entries) == ["authn_password_reset_complete"]
    assert only(entries, "authn_password_reset_complete")["seclog.target.id"] == str(alice.pk)
    assert key.partition("-")[2] not in str(entries)


def test_a_reset_for_nobody_is_told(call, entries):
    """The answer is the same."""
    call("post", "auth/password/request", {"email": "nobody@example.org"})
    assert only(entries, "authn_password_reset_request")["reason"] == "unknown_user"


@BOTH
def test_a_bad_reset_key_is_told(call, kind, key, alice, entries):
    """Made up, or tampered with; asked about by GET, or used."""
    entries.clear()
    call("get", "auth/password/reset", **{"X-Password-Reset-Key": "zz-abc-def"})
    assert only(entries, "authn_password_reset_fail")["reason"] == "unknown_user"
    entries.clear()
    call("post", "auth/password/reset", {"key": f"{key[:-1]}!", "password": token_urlsafe()})
    assert told(entries) == ["authn_password_reset_fail"]
    entry = only(entries, "authn_password_reset_fail")
    assert (entry["reason"], entry["seclog.target.id"]) == ("invalid_link", str(alice.pk))


def test_a_weak_new_password_is_refused(call, key, alice, entries, settings):
    """The key is good, the password is not."""
    settings.AUTH_PASSWORD_VALIDATORS = [
        {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 9}}
    ]
    entries.clear()
    call("post", "auth/password/reset", {"key": key, "password": "short"})
    entry = only(entries, "authn_password_reset_fail")
    assert (entry["reason"], entry["seclog.target.id"]) == ("weak_password", str(alice.pk))


def test_a_wrong_reset_code_is_told_once(call, alice, entries, settings):
    """By code the library has a signal, and the input refuses as well."""
    settings.ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
    call("post", "auth/password/request", {"email": "alice@example.org"})
    entries.clear()
    call("post", "auth/password/reset", {"key": "nonsense", "password": token_urlsafe()})
    assert told(entries) == ["authn_password_reset_fail"]
    assert only(entries, "authn_password_reset_fail")["reason"] == "invalid_code"


@BOTH
def test_a_change_and_a_refused_one(call, kind, logged_in, password, alice, entries):
    """The password of today must be right; the app gets a new token for the old one."""
    call("post", "account/password/change", {"current_password": "wrong", "new_password": token_urlsafe()})
    entry = only(entries, "authn_password_change_fail")
    assert (entry["user.id"], entry["reason"]) == (str(alice.pk), "wrong_password")
    assert told(entries) == ["authn_password_change_fail"]
    entries.clear()
    old = dict(call.tokens)
    call("post", "account/password/change", {"current_password": password, "new_password": token_urlsafe()})
    changed = ["authn_password_change"]
    assert sorted(told(entries)) == changed + ["authn_token_refreshed"] * (old != call.tokens)
    assert (old != call.tokens) == (kind == "app")


def test_addresses_are_ways_in(call, logged_in, alice, entries):
    """Added, made the first, removed: what was and what is."""
    call("post", "account/email", {"email": "alice2@example.org"})
    call("patch", "account/email", {"email": "alice2@example.org", "primary": True})
    call("post", "account/email", {"email": "alice3@example.org"})
    call("delete", "account/email", {"email": "alice3@example.org"})
    changes = [(e["seclog.change.field"], e["seclog.change.old"], e["seclog.change.new"]) for e in entries]
    assert changes == [
        ("email_address", None, "alice2@example.org"),
        ("email", "alice@example.org", "alice2@example.org"),
        ("email_address", None, "alice3@example.org"),
        ("email_address", "alice3@example.org", None),
    ]


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_session_token_is_told(call, entries):
    """Made up, or of a session that is over: the API answers 410."""
    call.tokens["session_token"] = token_urlsafe()
    assert call("get", "auth/session").status_code == 410
    assert told(entries) == ["authn_token_invalid"]
    entry = only(entries, "authn_token_invalid")
    assert (entry["reason"], entry["seclog.token.type"]) == ("unknown_session", "session_token")
    assert call.tokens["session_token"] not in str(entries)


def test_a_token_of_a_finished_session_is_known_by_its_hash(login, call, entries):
    """The hash of the refused token is that of the one given out."""
    login()
    given = only(entries, "authn_token_created")["seclog.token.id_hash"]
    token = call.tokens["session_token"]
    call("delete", "auth/session")
    call.tokens["session_token"] = token
    call("get", "auth/session")
    assert only(entries, "authn_token_invalid")["seclog.token.id_hash"] == given


def test_jwts_are_told_from_issue_to_reuse(jwt, login, call, alice, entries):
    """Issued in pairs, refreshed with old and new, and a used one is a reuse."""
    login()
    issued = {e["seclog.token.type"]: e for e in entries if e["event.name"] == "authn_token_created"}
    assert set(issued) == {"session_token", "jwt_access", "jwt_refresh"}
    used = call.tokens["refresh_token"]
    entries.clear()
    call("post", "tokens/refresh", {"refresh_token": used})
    entry = only(entries, "authn_token_refreshed")
    assert told(entries) == ["authn_token_refreshed"]
    assert (entry["user.id"], entry["seclog.token.id_hash"]) == (
        str(alice.pk),
        issued["jwt_refresh"]["seclog.token.id_hash"],
    )
    assert entry["seclog.token.new_id_hash"] != entry["seclog.token.id_hash"]
    entries.clear()
    call("post", "tokens/refresh", {"refresh_token": used})
    assert told(entries) == ["authn_token_reuse"]
    assert only(entries, "authn_token_reuse")["seclog.token.id_hash"] == entry["seclog.token.id_hash"]
    assert used not in str(entries)


def test_bad_jwts_are_told(jwt, login, call, entries):
    """No token at all, one of the wrong kind, and a bad bearer."""
    login()
    entries.clear()
    for token in ("nonsense", call.tokens["access_token"]):
        call("post", "tokens/refresh", {"refresh_token": token})
        entry = only(entries, "authn_token_invalid")
        assert (entry["reason"], entry["seclog.token.type"]) == ("malformed", "jwt_refresh")
        entries.clear()
    call.tokens.clear()
    call("get", "auth/session", Authorization="Bearer nonsense")
    assert only(entries, "authn_token_invalid")["seclog.token.type"] == "jwt_access"


def test_a_refresh_after_the_logout_is_invalid(jwt, login, call, entries):
    """The session is over, and with it its tokens."""
    login()
    token = call.tokens["refresh_token"]
    call("delete", "auth/session")
    call.tokens.clear()
    entries.clear()
    call("post", "tokens/refresh", {"refresh_token": token})
    assert only(entries, "authn_token_invalid")["reason"] == "unknown_session"
