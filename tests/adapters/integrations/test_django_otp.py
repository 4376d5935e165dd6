"""django-otp and django-two-factor-auth: second factors used, refused, enrolled and removed; one entry each."""

from secrets import token_urlsafe
from time import time

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.views import LoginView
from django.urls import include, path

from conftest import whole
from neighbours.told import names, only

pytest.importorskip("django_otp")
pytest.importorskip("two_factor")

import django_otp
from django_otp.forms import OTPAuthenticationForm
from django_otp.oath import TOTP, totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from two_factor.urls import urlpatterns as two_factor_urls

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [
    path("", include(two_factor_urls)),
    path("otp-login/", LoginView.as_view(template_name="form.html", authentication_form=OTPAuthenticationForm)),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password, entries):
    alice = get_user_model().objects.create_user("alice", password=password)
    entries.clear()
    return alice


@pytest.fixture
def device(alice, entries, commit):
    with commit():
        device = TOTPDevice.objects.create(user=alice, name="default", confirmed=True)
    entries.clear()
    return device


def code(device):
    generator = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    generator.time = time()
    return str(generator.token()).zfill(6)


def wrong(device):
    return str((int(code(device)) + 1) % 10**6).zfill(6)


def test_a_login_with_a_code_is_told(client, alice, password, device, entries):
    """The second factor and the login are one entry each."""
    data = {"username": "alice", "password": password, "otp_device": device.persistent_id, "otp_token": code(device)}
    client.post("/otp-login/", data)
    assert names(entries) == ["authn_mfa_success", "authn_login_success"]
    entry = only(entries, "authn_mfa_success")
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_mfa_success",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": entry["severity"],
        "message": entry["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "otp-login/",
        "url.path": "/otp-login/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.factor": "totp",
    }


def test_a_wrong_code_is_told(client, alice, password, device, entries):
    """The right password with a wrong code."""
    data = {"username": "alice", "password": password, "otp_device": device.persistent_id, "otp_token": wrong(device)}
    client.post("/otp-login/", data)
    entry = only(entries, "authn_mfa_fail")
    assert (entry["user.id"], entry["reason"], entry["seclog.auth.factor"]) == (str(alice.pk), "invalid_code", "totp")
    assert "authn_login_success" not in names(entries)


def test_enrolment_is_when_a_device_is_confirmed(alice, entries, commit):
    """A device that waits for its first code is no factor yet."""
    with commit():
        device = TOTPDevice.objects.create(user=alice, confirmed=False)
    assert entries == []
    with commit():
        device.confirmed = True
        device.save()
    entry = only(entries, "authn_mfa_enrolled")
    assert (entry["user.id"], entry["seclog.auth.factor"]) == (str(alice.pk), "totp")
    entries.clear()
    with commit():
        device.delete()
    entry = only(entries, "authn_mfa_removed")
    assert (entry["seclog.target.id"], entry["seclog.auth.factor"]) == (str(alice.pk), "totp")


def test_trying_all_devices_is_one_attempt(alice, device, entries):
    """What does not fit on one device may fit on the next."""
    backup = StaticDevice.objects.create(user=alice, name="backup")
    backup.token_set.create(token="abcdefgh")
    entries.clear()
    django_otp.match_token(alice, "abcdefgh")
    assert names(entries) == ["authn_mfa_success"]
    assert entries[0]["seclog.auth.factor"] == "recovery_codes"
    entries.clear()
    django_otp.match_token(alice, "nothing")
    assert names(entries) == ["authn_mfa_fail"]


def test_two_factor_login(client, alice, password, device, entries):
    """The wizard of django-two-factor-auth: password, then code; its own signal tells nothing twice."""
    step = {"login_view-current_step": "auth", "auth-username": "alice", "auth-password": password}
    client.post("/account/login/", step)
    assert names(entries) == []
    client.post("/account/login/", {"login_view-current_step": "token", "token-otp_token": wrong(device)})
    assert names(entries) == ["authn_mfa_fail"]
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    entries.clear()
    client.post("/account/login/", {"login_view-current_step": "token", "token-otp_token": code(device)})
    assert names(entries) == ["authn_mfa_success", "authn_login_success"]


def test_two_factor_setup_and_disable(client, alice, entries, commit):
    """A new factor from the wizard, and its end."""
    client.force_login(alice)
    entries.clear()
    response = client.post("/account/two_factor/setup/", {"setup_view-current_step": "welcome"})
    if "method" in str(response.context["wizard"]["steps"].current):
        client.post("/account/two_factor/setup/", {"setup_view-current_step": "method", "method-method": "generator"})
    session = client.session
    raw = next(
        value["extra_data"]["keys"]["generator"] for name, value in session.items() if name.startswith("wizard_")
    )
    with commit():
        data = {"setup_view-current_step": "generator", "generator-token": str(totp(bytes.fromhex(raw))).zfill(6)}
        client.post("/account/two_factor/setup/", data)
    assert "authn_mfa_enrolled" in names(entries)
    entries.clear()
    with commit():
        client.post("/account/two_factor/disable/", {"understand": "on"})
    assert "authn_mfa_removed" in names(entries)
