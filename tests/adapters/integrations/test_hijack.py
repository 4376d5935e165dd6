"""django-hijack: who works as whom, from when to when, and who it really is in between."""

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import include, path

from neighbours.told import names, only

pytest.importorskip("hijack")

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def forbidden(request):
    assert request.user.is_authenticated
    return HttpResponse("no", status=403)


urlpatterns = [path("hijack/", include("hijack.urls")), path("forbidden/", forbidden)]


@pytest.fixture
def admin():
    return get_user_model().objects.create_superuser("root")


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def hijacked(client, admin, alice, entries):
    client.force_login(admin)
    entries.clear()
    client.post("/hijack/acquire/", {"user_pk": alice.pk})


def test_an_impersonation_names_both(hijacked, admin, alice, entries):
    """The administrator acts, the user is the target, and the user did not log in."""
    assert names(entries) == ["admin_impersonation_start"]
    entry = only(entries, "admin_impersonation_start")
    assert (entry["user.id"], entry["user.name"]) == (str(admin.pk), "root")
    assert (entry["seclog.target.id"], entry["seclog.target.name"]) == (str(alice.pk), "alice")
    assert entry["reason"] == "hijack"


def test_every_entry_in_between_names_the_impersonator(client, hijacked, admin, alice, entries):
    """What is done as the user is not the user's doing."""
    entries.clear()
    client.get("/forbidden/")
    entry = only(entries, "authz_fail")
    assert entry["user.id"] == str(alice.pk)
    assert entry["seclog.impersonator.id"] == str(admin.pk)


def test_the_end_is_told_and_ends_it(client, hijacked, admin, alice, entries):
    """After the release the administrator is nobody else."""
    entries.clear()
    client.post("/hijack/release/")
    assert names(entries) == ["admin_impersonation_stop"]
    entry = only(entries, "admin_impersonation_stop")
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(admin.pk), str(alice.pk))
    entries.clear()
    client.get("/forbidden/")
    assert only(entries, "authz_fail")["user.id"] == str(admin.pk)
    assert "seclog.impersonator.id" not in only(entries, "authz_fail")


def test_a_user_may_not_hijack(client, alice, admin, entries):
    """A refused impersonation is refused access."""
    client.force_login(alice)
    entries.clear()
    client.post("/hijack/acquire/", {"user_pk": admin.pk})
    assert names(entries) == ["authz_fail"]
