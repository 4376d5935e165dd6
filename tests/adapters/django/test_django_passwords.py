"""Family 2 in Django: a password that is reset or changed is one entry, whoever does it and by whichever way."""

import json
import re
from datetime import datetime, timedelta
from io import StringIO
from secrets import token_urlsafe

import pytest
from django.contrib import admin
from django.contrib.auth import authenticate, get_user_model, views
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.core.management import call_command
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from conftest import whole

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def set_by_code(request):
    user = get_user_model().objects.get(username=request.POST["username"])
    user.set_password(request.POST["password"])
    user.save()
    return HttpResponse("done")


class OwnResetForm(PasswordResetForm):
    """A project's own search, which does not call Django's."""

    def get_users(self, email):
        return list(get_user_model().objects.filter(username=email.partition("@")[0]))

    def send_mail(self, *args, **kwargs):
        assert isinstance(self.get_users(self.cleaned_data["email"]), list)  # asked again, and still a list
        super().send_mail(*args, **kwargs)


def reset_view(**options):
    return views.PasswordResetView.as_view(
        template_name="form.html",
        email_template_name="registration/password_reset_email.html",
        success_url="/",
        **options,
    )


def as_seen(view):
    """A view that asks who is logged in."""

    def seen(request):
        bool(request.user.is_authenticated)
        return view(request)

    return seen


urlpatterns = [
    path("reset/", reset_view()),
    path("seen-reset/", as_seen(reset_view())),
    path("own-reset/", reset_view(form_class=OwnResetForm)),
    path(
        "reset/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(template_name="form.html", success_url="/"),
        name="password_reset_confirm",
    ),
    path(
        "entering-reset/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(template_name="form.html", success_url="/", post_reset_login=True),
    ),
    path("change/", views.PasswordChangeView.as_view(template_name="form.html", success_url="/")),
    path("set/", set_by_code),
    path("admin/", admin.site.urls),
    path("", lambda request: HttpResponse("home")),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", "alice@example.org", password)


@pytest.fixture
def root():
    return get_user_model().objects.create_superuser("root")


@pytest.fixture(autouse=True)
def _nothing_but_passwords(client, alice, entries):
    """What came before the test (start-up, the user's creation) is not looked at."""
    client.get("/")
    entries.clear()


@pytest.fixture
def link(client, alice, entries):
    """A reset link, from the e-mail."""
    client.post("/reset/", {"email": "alice@example.org"})
    entries.clear()
    return re.search(r"http://testserver(/reset/\S+)", mail.outbox[0].body)[1]


def of_passwords(entries):
    return [e for e in entries if e["event.name"].startswith("authn_password")]


# ── reset requested ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reset_request_for_a_known_address_names_its_user(client, alice, entries):
    """The one who asks is not known, so the user is the target, not the actor; the outcome is open."""
    client.post("/reset/", {"email": "alice@example.org"}, headers={"User-Agent": "Firefox"})
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_password_reset_request",
        "event.id": "<id>",
        "event.outcome": "unknown",
        "severity": "low",
        "message": "Password reset requested",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "reset/",
        "url.path": "/reset/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
        "seclog.known": True,
    }
    assert len(mail.outbox) == 1


def test_a_reset_request_for_an_unknown_address_is_told_apart_in_the_log_only(client, entries):
    """The answer is the same for every address; the unknown address is written as a keyed pseudonym."""
    known = client.post("/reset/", {"email": "alice@example.org"})
    unknown = client.post("/reset/", {"email": "nobody@example.org"})
    assert (known.status_code, known.url, known.content) == (
        unknown.status_code,
        unknown.url,
        unknown.content,
    )
    entry = entries[1]
    assert (entry["event.name"], entry["event.outcome"]) == ("authn_password_reset_request", "unknown")
    assert (entry["seclog.known"], entry["reason"]) == (False, "unknown_user")
    assert entry["user.name"].startswith("unknown:") and "nobody@" not in json.dumps(entry)
    assert len(entries) == 2


def test_a_reset_request_is_not_told_as_that_of_who_is_logged_in(client, alice, root, entries):
    """Who is logged in asks for somebody else: the names do not mix."""
    client.force_login(root)
    client.get("/admin/")
    entries.clear()
    with_user = {"email": "alice@example.org"}
    client.post("/seen-reset/", with_user)
    [entry] = entries
    assert (entry["user.name"], entry["seclog.session.user_id"]) == ("alice", str(root.pk))
    assert "user.id" not in entry


def test_a_reset_request_needs_no_query_of_ours(client, entries, django_assert_num_queries):
    """Whom the form found is seen by listening to its own search."""
    with django_assert_num_queries(1):
        client.post("/reset/", {"email": "nobody@example.org"})
    assert len(entries) == 1


def test_a_forms_own_search_is_listened_to(client, alice, entries):
    """A project may look for users in its own way."""
    client.post("/own-reset/", {"email": "alice@elsewhere.example"})
    client.post("/own-reset/", {"email": "nobody@elsewhere.example"})
    assert [e["seclog.known"] for e in entries] == [True, False]
    assert entries[0]["seclog.target.id"] == str(alice.pk)


def test_an_inactive_users_address_is_as_good_as_unknown(client, alice, entries):
    """No link is sent, so nobody was found."""
    get_user_model().objects.filter(pk=alice.pk).update(is_active=False)
    entries.clear()
    client.post("/reset/", {"email": "alice@example.org"})
    assert [e["seclog.known"] for e in entries] == [False]


def test_a_mistyped_address_is_no_request(client, entries):
    """What is not an address asks for nothing."""
    client.post("/reset/", {"email": "alice"})
    assert of_passwords(entries) == []


# ── reset completed or failed ────────────────────────────────────────────────────────────────────────────────────


def new_password(client, link, first, second=None):
    form_page = client.get(link)
    return client.post(form_page.url, {"new_password1": first, "new_password2": second or first})


def test_a_completed_reset_is_one_entry(client, alice, link, entries):
    """It is not told as a change as well; neither link, token nor password are anywhere."""
    chosen = token_urlsafe()
    response = new_password(client, link, chosen)
    assert response.status_code == 302 and authenticate(username="alice", password=chosen)
    [entry] = entries
    assert {k: v for k, v in whole(entry).items() if k not in {"schema", "timestamp", "event.id"}} == {
        "event.name": "authn_password_reset_complete",
        "event.outcome": "success",
        "severity": "low",
        "message": "Password reset completed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "reset/<uidb64>/<token>/",
        "url.path": entry["url.path"],
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
    }
    token = link.split("/")[-2]
    assert token not in json.dumps(entries) and chosen not in json.dumps(entries)


def test_a_reset_that_logs_in_is_also_a_login(client, alice, link, entries):
    """The reset comes first; the login is not called one by password."""
    new_password(client, "/entering-" + link[1:], token_urlsafe())
    names = [e["event.name"] for e in entries]
    assert names == ["authn_password_reset_complete", "authn_login_success", "session_created"]
    assert entries[1]["seclog.auth.method"] == "direct"


def test_opening_a_good_link_is_no_event(client, link, entries):
    """It is answered with a redirect to a page without the token, and that page with a form."""
    client.get(link, follow=True)
    assert entries == []


def test_a_forged_link_is_a_failure_and_its_token_is_not_written(client, alice, link, entries):
    """The target is known from the link; the token in the path is masked."""
    forged = link[:-3] + "zz/"
    client.get(forged)
    [entry] = entries
    assert (entry["event.name"], entry["event.outcome"]) == ("authn_password_reset_fail", "failure")
    assert (entry["reason"], entry["seclog.target.id"]) == ("invalid_link", str(alice.pk))
    assert entry["url.path"] == "/".join([*link.split("/")[:-2], "[redacted]", ""])
    assert forged.split("/")[-2] not in json.dumps(entries)


def test_a_link_that_no_view_has_seen_yet_is_masked_as_well(client, link, entries):
    """A request that a middleware refuses has a path, but no named parameters yet."""
    client.get(link, headers={"Host": "evil.example"})
    assert entries[0]["http.response.status_code"] == 400
    assert link.split("/")[-2] not in json.dumps(entries)


def test_a_used_link_is_a_failure(client, link, entries):
    """A link is good once."""
    new_password(client, link, token_urlsafe())
    entries.clear()
    client.get(link)
    assert [(e["event.name"], e["reason"]) for e in entries] == [("authn_password_reset_fail", "invalid_link")]


def test_an_expired_link_is_a_failure(client, alice, entries, monkeypatch):
    """A link that came too late is told from a forged one."""
    long_ago = datetime.now() - timedelta(days=30)
    with monkeypatch.context() as patch:
        patch.setattr(default_token_generator, "_now", lambda: long_ago)
        token = default_token_generator.make_token(alice)
    from django.utils.http import urlsafe_base64_encode

    client.get(f"/reset/{urlsafe_base64_encode(str(alice.pk).encode())}/{token}/")
    assert [(e["event.name"], e["reason"]) for e in entries] == [("authn_password_reset_fail", "expired_link")]


def test_a_link_for_nobody_is_a_failure(client, entries):
    """The user may be deleted, or never have been."""
    client.get("/reset/AAAA/abc-def/")
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_password_reset_fail", "unknown_user")
    assert "seclog.target.id" not in entry


@pytest.mark.parametrize(
    ("first", "second", "reason", "code"),
    [
        ("a1!xZp", None, "weak_password", "password_too_short"),
        ("correct horse", "battery staple", "password_mismatch", "password_mismatch"),
        ("", "", "incomplete", "required"),
    ],
)
def test_a_refused_new_password_is_a_failed_reset(client, alice, link, entries, settings, first, second, reason, code):
    """The link is good, the password is not: which rule refused it is told, never the password."""
    settings.AUTH_PASSWORD_VALIDATORS = [
        {
            "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
            "OPTIONS": {"min_length": 9},
        }
    ]
    new_password(client, link, first, second)
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_password_reset_fail", reason)
    assert code in entry["seclog.validation.codes"] and entry["seclog.target.id"] == str(alice.pk)
    assert not first or first not in json.dumps(entry)


# ── change ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_by_oneself(client, alice, password, entries):
    """Actor and target are the same."""
    client.force_login(alice)
    entries.clear()
    chosen = token_urlsafe()
    client.post("/change/", {"old_password": password, "new_password1": chosen, "new_password2": chosen})
    [entry] = of_passwords(entries)
    assert {k: v for k, v in whole(entry).items() if k not in {"schema", "timestamp", "event.id"}} == {
        "event.name": "authn_password_change",
        "event.outcome": "success",
        "severity": "low",
        "message": "Password changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "change/",
        "url.path": "/change/",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
        "seclog.method": "self",
    }
    assert chosen not in json.dumps(entries) and password not in json.dumps(entries)


def test_a_wrong_old_password_is_a_failed_change(client, alice, entries):
    """Whoever sits at the open session does not know the password."""
    client.force_login(alice)
    entries.clear()
    chosen, wrong = token_urlsafe(), token_urlsafe()
    client.post("/change/", {"old_password": wrong, "new_password1": chosen, "new_password2": chosen})
    [entry] = entries
    assert (entry["event.name"], entry["event.outcome"]) == ("authn_password_change_fail", "failure")
    assert (entry["reason"], entry["seclog.method"]) == ("wrong_password", "self")
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(alice.pk), str(alice.pk))
    assert chosen not in json.dumps(entry) and wrong not in json.dumps(entry)


def test_a_weak_new_password_is_a_failed_change(client, alice, password, entries, settings):
    """The old password was right, the new one is refused."""
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"}]
    client.force_login(alice)
    entries.clear()
    client.post("/change/", {"old_password": password, "new_password1": "8462957", "new_password2": "8462957"})
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_password_change_fail", "weak_password")
    assert entry["seclog.validation.codes"] == ["password_entirely_numeric"]


def test_a_change_by_an_admin_names_both(client, alice, root, entries):
    """The actor is the admin, the target is the user."""
    client.force_login(root)
    entries.clear()
    chosen = token_urlsafe()
    form = {"usable_password": "true", "password1": chosen, "password2": chosen}
    client.post(f"/admin/auth/user/{alice.pk}/password/", form)
    [entry] = of_passwords(entries)
    assert (entry["event.name"], entry["seclog.method"]) == ("authn_password_change", "admin")
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(root.pk), str(alice.pk))


def test_an_admin_who_mistypes_changes_nothing(client, alice, root, entries):
    """A refused change by an admin names both as well."""
    client.force_login(root)
    entries.clear()
    form = {"usable_password": "true", "password1": token_urlsafe(), "password2": token_urlsafe()}
    client.post(f"/admin/auth/user/{alice.pk}/password/", form)
    [entry] = of_passwords(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_password_change_fail", "password_mismatch")
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(root.pk), str(alice.pk))
    assert entry["seclog.method"] == "admin"


def test_an_admin_who_takes_the_password_away_is_recorded(client, alice, root, entries):
    """The user can no longer log in by password: that is a change, too."""
    client.force_login(root)
    entries.clear()
    client.post(f"/admin/auth/user/{alice.pk}/password/", {"usable_password": "false", "unset-password": "1"})
    [entry] = of_passwords(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_password_change", "password_disabled")
    assert entry["seclog.target.id"] == str(alice.pk)


def test_a_change_by_a_view_without_a_user_is_marked(client, alice, entries):
    """A home-made reset shows as what it is: somebody unnamed set the password."""
    client.post("/set/", {"username": "alice", "password": token_urlsafe()})
    [entry] = entries
    assert (entry["event.name"], entry["seclog.method"]) == ("authn_password_change", "anonymous")
    assert entry["seclog.target.id"] == str(alice.pk) and "user.id" not in entry


def test_a_change_by_code_outside_of_a_request(alice, entries):
    """A script has no user; the target is known."""
    alice.set_password(token_urlsafe())
    alice.save()
    [entry] = entries
    assert (entry["event.name"], entry["seclog.method"]) == ("authn_password_change", "system")
    assert entry["seclog.target.id"] == str(alice.pk)


def test_a_change_by_the_management_command(alice, entries, monkeypatch):
    """`changepassword` is a change by the system."""
    chosen = token_urlsafe()
    monkeypatch.setattr("getpass.getpass", lambda prompt="": chosen)
    call_command("changepassword", "alice", stdout=StringIO())
    [entry] = of_passwords(entries)
    assert (entry["event.name"], entry["seclog.method"]) == ("authn_password_change", "system")
    assert entry["seclog.target.id"] == str(alice.pk) and chosen not in json.dumps(entries)


# ── no change ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hash_upgrade_at_login_is_no_change(alice, password, entries, settings):
    """The same password, hashed anew."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    before = alice.password
    assert authenticate(username="alice", password=password).password != before
    assert of_passwords(entries) == []


def test_a_new_user_is_no_change(entries):
    """Who gets a first password is created, which is another event."""
    get_user_model().objects.create_user("bob", password=token_urlsafe())
    call_command("createsuperuser", username="carol", email="c@example.org", interactive=False, verbosity=0)
    assert of_passwords(entries) == []


def test_a_password_that_was_unusable_before_is_not_taken_away_again(alice, entries):
    """Some backends do it at every login."""
    alice.set_unusable_password()
    alice.save()
    assert [e["reason"] for e in of_passwords(entries)] == ["password_disabled"]
    alice.set_unusable_password()
    alice.save()
    assert len(of_passwords(entries)) == 1
    alice.set_password(token_urlsafe())
    alice.save()
    assert "reason" not in of_passwords(entries)[1]


def test_a_save_that_leaves_the_password_out_is_no_change(alice, entries):
    """`update_fields` decides what is written."""
    alice.set_password(token_urlsafe())
    alice.save(update_fields=["first_name"])
    assert of_passwords(entries) == []


def test_what_is_rolled_back_did_not_happen(alice, entries):
    """The entry waits for the commit."""
    with pytest.raises(RuntimeError), transaction.atomic():
        alice.set_password(token_urlsafe())
        alice.save()
        raise RuntimeError
    assert entries == []
    with transaction.atomic():
        alice.set_password(token_urlsafe())
        alice.save()
        assert entries == []
    assert [e["event.name"] for e in entries] == ["authn_password_change"]
