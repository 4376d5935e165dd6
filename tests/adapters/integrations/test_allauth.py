"""django-allauth: logins told once, resets, second factors, social accounts."""

import re
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.http import HttpResponse
from django.urls import include, path

from neighbours.told import names, only

pytest.importorskip("allauth")

from allauth.account.internal.flows.password_reset_by_code import PasswordResetVerificationProcess
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def reset_by_code(request):
    """What the library's views do where resets go by code."""
    user = get_user_model().objects.filter(email=request.POST["email"]).first()
    process = PasswordResetVerificationProcess.initiate(request=request, user=user, email=request.POST["email"])
    if "wrong" in request.POST:
        process.record_invalid_attempt()
    return HttpResponse()


urlpatterns = [path("accounts/", include("allauth.urls")), path("reset-by-code/", reset_by_code)]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password, entries):
    alice = get_user_model().objects.create_user("alice", "alice@example.org", password)
    entries.clear()
    return alice


@pytest.fixture
def login(client, alice, password, entries):
    def login(password=password, name="alice"):
        response = client.post("/accounts/login/", {"login": name, "password": password})
        return response

    return login


def test_a_login_is_told_once(login, alice, entries):
    """The library has a signal of its own besides Django's."""
    login()
    assert names(entries) == ["authn_login_success"]
    entry = only(entries, "authn_login_success")
    assert (entry["user.id"], entry["seclog.auth.method"]) == (str(alice.pk), "password")


@pytest.mark.parametrize("only_allauth", [True, False])
def test_a_failed_login_knows_the_user(login, alice, entries, settings, only_allauth):
    """Also where the library's back end is the only one."""
    if only_allauth:
        settings.AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
    login(token_urlsafe())
    assert names(entries) == ["authn_login_fail"]
    entry = only(entries, "authn_login_fail")
    assert (entry["user.id"], entry["reason"]) == (str(alice.pk), "invalid_credentials")
    entries.clear()
    login(name="nobody")
    assert only(entries, "authn_login_fail")["reason"] == "unknown_user"
    assert "nobody" not in str(entries)


def test_a_login_beyond_the_limit_is_told(login, entries, settings):
    """The library refuses it with an ordinary page, and without a signal."""
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "1/m/key"}
    login(token_urlsafe())
    entries.clear()
    login(token_urlsafe())
    assert names(entries) == ["authn_login_fail"]
    assert only(entries, "authn_login_fail")["reason"] == "rate_limited"


def test_a_wrong_login_code_is_a_failure(client, alice, entries):
    """A login by a code in a mail; the right one is a login by that method."""
    client.post("/accounts/login/code/", {"email": "alice@example.org"})
    entries.clear()
    client.post("/accounts/login/code/confirm/", {"code": "nonsense"})
    entry = only(entries, "authn_login_fail")
    assert (entry["user.id"], entry["reason"], entry["seclog.auth.method"]) == (str(alice.pk), "invalid_code", "code")
    sent = re.search(r"^([A-Z0-9-]{5,})$", mail.outbox[-1].body, re.MULTILINE).group(1)
    entries.clear()
    client.post("/accounts/login/code/confirm/", {"code": sent})
    assert only(entries, "authn_login_success")["seclog.auth.method"] == "code"
    assert sent not in str(entries)


# ── password ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reset_from_request_to_end(client, alice, entries, commit):
    """Requested, and completed by the link; no change besides."""
    client.post("/accounts/password/reset/", {"email": "alice@example.org"})
    entry = only(entries, "authn_password_reset_request")
    assert (entry["seclog.target.id"], entry["seclog.known"]) == (str(alice.pk), True)
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[-1].body).group(1)
    form = client.get(link)["Location"]
    entries.clear()
    new = token_urlsafe()
    with commit():
        client.post(form, {"password1": new, "password2": new})
    assert "authn_password_reset_complete" in names(entries)
    assert "authn_password_change" not in names(entries)
    assert link.rsplit("-", 1)[-1].rstrip("/") not in str(entries)
    entries.clear()
    client.get(link)
    entry = only(entries, "authn_password_reset_fail")
    assert (entry["seclog.target.id"], entry["reason"]) == (str(alice.pk), "invalid_link")


def test_a_reset_for_nobody_is_told(client, alice, entries):
    """The answer is the same, the entry is not."""
    client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    entry = only(entries, "authn_password_reset_request")
    assert (entry["reason"], entry["seclog.known"]) == ("unknown_user", False)
    assert "nobody@" not in str(entries)


def test_a_bad_link_is_told(client, entries):
    """A made-up link is a page with status 200."""
    client.get("/accounts/password/reset/key/zz-abc-def/")
    assert only(entries, "authn_password_reset_fail")["reason"] == "unknown_user"


def test_a_reset_by_code(client, alice, entries):
    """Asked for, by somebody and by nobody, and a wrong code."""
    client.post("/reset-by-code/", {"email": "alice@example.org", "wrong": "1"})
    assert only(entries, "authn_password_reset_request")["seclog.target.id"] == str(alice.pk)
    assert only(entries, "authn_password_reset_fail")["reason"] == "invalid_code"
    entries.clear()
    client.post("/reset-by-code/", {"email": "nobody@example.org"})
    assert only(entries, "authn_password_reset_request")["reason"] == "unknown_user"


def test_a_weak_new_password_is_refused(client, alice, entries):
    """The link is good, the password is not."""
    client.post("/accounts/password/reset/", {"email": "alice@example.org"})
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[-1].body).group(1)
    form = client.get(link)["Location"]
    entries.clear()
    client.post(form, {"password1": "one-password-1", "password2": "another"})
    entry = only(entries, "authn_password_reset_fail")
    assert (entry["seclog.target.id"], entry["reason"]) == (str(alice.pk), "weak_password")


def test_a_change_and_a_refused_one(client, login, alice, password, entries, commit):
    """The old password must be right."""
    login()
    entries.clear()
    new = token_urlsafe()
    client.post("/accounts/password/change/", {"oldpassword": "wrong", "password1": new, "password2": new})
    entry = only(entries, "authn_password_change_fail")
    assert (entry["user.id"], entry["reason"]) == (str(alice.pk), "wrong_password")
    entries.clear()
    with commit():
        client.post("/accounts/password/change/", {"oldpassword": password, "password1": new, "password2": new})
    assert only(entries, "authn_password_change")["seclog.method"] == "self"


# ── second factors ───────────────────────────────────────────────────────────────────────────────────────────────


def code(secret):
    counters = list(yield_hotp_counters_from_time())  # the middle one is now; its neighbours are tolerated
    return format_hotp_value(hotp_value(secret, counters[len(counters) // 2]))


@pytest.fixture
def secret(client, login, password, entries, commit):
    """A user with an app that makes codes."""
    login()
    client.post("/accounts/reauthenticate/", {"password": password})
    entries.clear()
    secret = client.get("/accounts/2fa/totp/activate/").context["form"].secret
    with commit():
        client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
    return secret


def test_a_new_factor_is_told(secret, alice, entries):
    """The app, and the recovery codes that come with it."""
    told = [(e["event.name"], e["user.id"], e["seclog.auth.factor"]) for e in entries if "mfa" in e["event.name"]]
    assert sorted(told) == [
        ("authn_mfa_enrolled", str(alice.pk), "recovery_codes"),
        ("authn_mfa_enrolled", str(alice.pk), "totp"),
    ]


def test_a_login_with_a_second_factor(client, secret, login, alice, entries):
    """Wrong code, right code, then the login, by its first method."""
    cache.clear()  # the code was used at the activation
    client.logout()
    entries.clear()
    login()
    assert names(entries) == []
    right = code(secret)
    client.post("/accounts/2fa/authenticate/", {"code": str((int(right) + 1) % 10**6).zfill(6)})
    entry = only(entries, "authn_mfa_fail")
    assert (entry["user.id"], entry["reason"], entry["seclog.auth.factor"]) == (str(alice.pk), "invalid_code", "totp")
    entries.clear()
    client.post("/accounts/2fa/authenticate/", {"code": right})
    assert names(entries) == ["authn_mfa_success", "authn_login_success"]
    entry = only(entries, "authn_login_success")
    assert (entry["seclog.auth.method"], entry["seclog.auth.factor"]) == ("password", "totp")


def test_new_recovery_codes_are_told(client, secret, alice, entries, commit):
    """Old ones are worth nothing then."""
    entries.clear()
    with commit():
        client.post("/accounts/2fa/recovery-codes/generate/")
    entry = only(entries, "authn_mfa_enrolled")
    assert (entry["reason"], entry["seclog.auth.factor"]) == ("regenerated", "recovery_codes")


def test_a_removed_factor_is_told(client, secret, alice, entries):
    """The app, and the codes that go with it."""
    entries.clear()
    client.post("/accounts/2fa/totp/deactivate/")
    told = {(e["event.name"], e["seclog.auth.factor"]) for e in entries if "mfa" in e["event.name"]}
    assert told == {("authn_mfa_removed", "totp"), ("authn_mfa_removed", "recovery_codes")}


# ── social ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def social(client):
    def social(action=None, **data):
        go = client.post("/accounts/dummy/login/" + ("?process=connect" if data.pop("connect", None) else ""))[
            "Location"
        ]
        return client.post(go, {"action": action} if action else {"id": "7", "email": "bob@example.org", **data})

    return social


def test_a_social_login_names_its_provider(social, entries):
    """Not a password, whatever Django's back end is called."""
    social()
    assert "authn_login_success" in names(entries)
    entry = only(entries, "authn_login_success")
    assert (entry["seclog.auth.method"], entry["seclog.auth.provider"]) == ("social", "dummy")


def test_a_cancelled_social_login_is_a_failure(social, entries):
    """The provider sent the user back without a proof."""
    social("cancel")
    entry = only(entries, "authn_login_fail")
    assert (entry["reason"], entry["seclog.auth.provider"]) == ("cancelled", "dummy")


def test_a_connected_account_is_another_way_in(client, login, social, alice, entries):
    """Connecting and disconnecting change the user."""
    login()
    entries.clear()
    social(connect=True, email="alice@example.org")
    entry = only(entries, "user_updated")
    assert (entry["seclog.change.field"], entry["seclog.change.new"]) == ("social_account", "dummy")
    entries.clear()
    from allauth.socialaccount.models import SocialAccount

    client.post("/accounts/3rdparty/", {"account": SocialAccount.objects.get().pk})
    assert only(entries, "user_updated")["seclog.change.old"] == "dummy"
