"""Who changed it: a view that never looked at `request.user` changes roles and configuration."""

import asyncio
from secrets import token_urlsafe

import pytest
from django.contrib.auth import authenticate, get_user_model, update_session_auth_hash
from django.contrib.auth.models import Group
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.http import urlsafe_base64_encode

from djangoapp.models import Order, StoreSettings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

User = get_user_model()


def promote(request):
    user = User.objects.get(username="target")
    user.is_superuser = True
    user.save()
    return HttpResponse()


def promote_many(request):
    with transaction.atomic():
        User.objects.filter(username="target").update(is_staff=True)
    return HttpResponse()


def join(request):
    Group.objects.get().user_set.add(User.objects.get(username="target"))
    return HttpResponse()


def join_myself(request):
    User.objects.get(username="ann").groups.add(Group.objects.get())
    return HttpResponse()


def tax(request):
    settings = StoreSettings.objects.get()
    settings.tax_rate = 7
    settings.save()
    return HttpResponse()


async def atax(request):
    settings = await StoreSettings.objects.aget()
    settings.tax_rate = 7
    await settings.asave()
    return HttpResponse()


def new_password(request):
    user = User.objects.get(username="target")
    user.set_password(token_urlsafe())
    user.save()
    return HttpResponse()


def remove(request):
    User.objects.get(username="target").delete()
    return HttpResponse()


def disable_myself(request):
    user = User.objects.get(username="ann")
    user.is_active = False
    user.save()
    return HttpResponse()


def my_password(request):
    user = User.objects.get(username="ann")
    user.set_password(token_urlsafe())
    user.save()
    update_session_auth_hash(request, user)
    return HttpResponse()


def order(request):
    Order.objects.create(number="1")
    return HttpResponse()


def lock(request):
    """A failed login that locks the account it was tried on."""
    authenticate(request, username="target", password=token_urlsafe())
    user = User.objects.get(username="target")
    user.is_active = False
    user.save()
    return HttpResponse()


urlpatterns = [
    path(
        "reset/<uidb64>/<token>/",
        PasswordResetConfirmView.as_view(template_name="form.html", success_url="/"),
    ),
    *(
        path(f"{view.__name__}/", view)
        for view in (
            promote,
            promote_many,
            join,
            join_myself,
            tax,
            atax,
            new_password,
            remove,
            disable_myself,
            my_password,
            order,
            lock,
        )
    ),
]


@pytest.fixture
def ann():
    Group.objects.create(name="office")
    StoreSettings.objects.create(name="main")
    User.objects.create_user("target", password=token_urlsafe())
    return User.objects.create_user("ann")


@pytest.fixture
def client(ann, entries):
    client = Client()
    client.force_login(ann)
    entries.clear()
    return client


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


@pytest.mark.parametrize(
    ("view", "name"),
    [
        ("promote", "authz_change"),
        ("promote_many", "authz_change"),
        ("join", "group_member_added"),
        ("tax", "config_changed"),
        ("new_password", "authn_password_change"),
        ("remove", "user_deleted"),
    ],
)
def test_a_change_names_who_made_it(client, ann, entries, view, name):
    """The session is looked up for it."""
    client.get(f"/{view}/")
    entry = next(e for e in told(entries) if e["event.name"] == name)
    assert (entry["user.id"], entry["user.name"]) == (str(ann.pk), "ann")
    assert entry.get("seclog.self") is None
    assert entry.get("seclog.method", "admin") == "admin"


def test_a_change_of_oneself_says_so(client, entries):
    """Who acts is known before it is said on whom."""
    client.get("/join_myself/")
    client.get("/disable_myself/")
    assert [(entry["event.name"], entry["seclog.self"]) for entry in told(entries)] == [
        ("group_member_added", True),
        ("user_archived", True),
    ]


def test_a_changed_password_of_ones_own_ends_no_session(client, entries):
    """Looked up after the change, Django would not know the session any more, and end it."""
    client.get("/my_password/")
    entry = next(e for e in told(entries) if e["event.name"] == "authn_password_change")
    assert (entry["user.name"], entry["seclog.method"]) == ("ann", "self")
    assert "_auth_user_id" in client.session


def test_a_reset_by_somebody_who_is_logged_in_ends_no_session(client, ann, entries):
    """The confirm view needs its session after the password is saved."""
    ann.set_password(token_urlsafe())
    ann.save()
    client.force_login(ann)
    link = f"/reset/{urlsafe_base64_encode(str(ann.pk).encode())}/{default_token_generator.make_token(ann)}/"
    entries.clear()
    page = client.get(link)["Location"]
    new = token_urlsafe()
    assert client.post(page, {"new_password1": new, "new_password2": new}).status_code == 302
    assert "authn_password_reset_complete" in [entry["event.name"] for entry in told(entries)]


def test_an_async_view(ann, entries):
    """In the event loop it is looked up where the change is made: in a thread."""
    client = AsyncClient()
    client.force_login(ann)
    entries.clear()
    asyncio.run(client.get("/atax/"))
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.name"]) == ("config_changed", "ann")


def test_an_anonymous_change_costs_no_query(ann, entries):
    """Without a session there is nobody to look up."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        Client().get("/tax/")
    assert not any("session" in query["sql"] for query in queries)
    assert "user.id" not in told(entries)[0]


def test_a_save_that_changes_nothing_looks_nobody_up(client, entries):
    """A request that records nothing costs no query of ours, but the one that reads the row before."""
    client.get("/tax/")
    entries.clear()
    with CaptureQueriesContext(connection) as queries:
        client.get("/tax/")
    assert not any("django_session" in query["sql"] for query in queries)
    assert told(entries) == []


def test_what_is_not_watched_costs_no_query(client, entries):
    """A request that records nothing looks nobody up."""
    with CaptureQueriesContext(connection) as queries:
        client.get("/order/")
    assert len(queries) == 1
    assert told(entries) == []


def test_a_failed_login_looks_nobody_up(client, entries):
    """Whoever guesses passwords, with a session or without, costs no query and acts for nobody."""
    with CaptureQueriesContext(connection) as queries:
        client.get("/lock/")
    assert not any("django_session" in query["sql"] for query in queries)
    assert [entry["event.name"] for entry in told(entries)] == ["authn_login_fail", "user_archived"]
    assert "user.id" not in told(entries)[1]
