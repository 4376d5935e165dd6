"""Family 4 in Django, users: every change of a user row is one entry a field, and nothing is told twice or wrongly."""

import os
import subprocess
import sys
import textwrap
from secrets import token_urlsafe

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import update_last_login
from django.core import serializers
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.models import F, Value
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import path

from conftest import whole
from seclog import api
from seclog.adapters.django import groups, model_changes, users

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

User = get_user_model()


def promote(request, pk):
    """A view in which the acting user gives power to another one."""
    assert request.user.is_authenticated
    user = User.objects.get(pk=pk)
    user.is_superuser = True
    user.save()
    return HttpResponse("done")


async def apromote(request, pk):
    await request.auser()
    user = await User.objects.aget(pk=pk)
    user.is_staff = True
    await user.asave()
    return HttpResponse("done")


urlpatterns = [path("promote/<int:pk>/", promote), path("apromote/<int:pk>/", apromote)]


@pytest.fixture
def alice():
    return User.objects.create_user("alice", "alice@example.org", token_urlsafe())


@pytest.fixture
def bob():
    return User.objects.create_user("bob", "bob@example.org", token_urlsafe())


def told(entries):
    """Return what is decisive in each entry of family 4."""
    keys = (
        "event.name",
        "seclog.target.name",
        "seclog.change.field",
        "seclog.change.old",
        "seclog.change.new",
    )
    names = {"user_created", "user_updated", "user_archived", "user_enabled", "user_deleted", "authz_change"}
    return [tuple(e[key] for key in keys if key in e) for e in entries if e["event.name"] in names]


def test_created_user_is_told_with_its_roles(entries):
    """A new user is one entry that names its roles and never its password."""
    secret = token_urlsafe(20)
    root = User.objects.create_superuser("root", "root@example.org", secret)
    [entry] = [e for e in entries if e["event.name"] == "user_created"]
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "user_created",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "User created",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.target.id": str(root.pk),
        "seclog.target.name": "root",
        "seclog.target.roles": ["superuser", "staff"],
    }
    assert secret not in str(entries) and root.password not in str(entries)


def test_grant_in_a_request_names_actor_and_target(client, alice, bob, entries):
    """Power given in a request is one entry with old, new, direction, the acting user and the one who got it."""
    client.force_login(alice)
    entries.clear()
    client.post(f"/promote/{bob.pk}/", headers={"User-Agent": "Firefox"})
    [entry] = [e for e in entries if e["event.name"] != "sys_startup"]
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_change",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Privileges changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "promote/<int:pk>/",
        "url.path": f"/promote/{bob.pk}/",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": str(bob.pk),
        "seclog.target.name": "bob",
        "seclog.change.direction": "grant",
        "seclog.change.field": "is_superuser",
        "seclog.change.old": False,
        "seclog.change.new": True,
    }


def test_change_of_oneself_is_marked(client, alice, entries):
    """A user who gives power to himself is told apart."""
    client.force_login(alice)
    entries.clear()
    client.post(f"/promote/{alice.pk}/")
    [entry] = [e for e in entries if e["event.name"] != "sys_startup"]
    assert entry["seclog.self"] is True


def test_async_view_and_async_save(alice, bob, entries):
    """An async view's asave() is told with the acting user."""

    async def visit():
        client = AsyncClient()
        await client.aforce_login(alice)
        entries.clear()
        await client.post(f"/apromote/{bob.pk}/")

    async_to_sync(visit)()
    [entry] = [e for e in entries if e["event.name"] == "authz_change"]
    assert (entry["user.id"], entry["seclog.target.id"]) == (str(alice.pk), str(bob.pk))


def test_each_changed_field_is_one_entry(alice, entries):
    """Name, address, activity and roles changed in one save are told by what each means."""
    alice.email, alice.first_name, alice.is_active, alice.is_staff = "new@example.org", "Alice", False, True
    alice.save()
    assert told(entries) == [
        ("user_updated", "alice", "email", "alice@example.org", "new@example.org"),
        ("user_updated", "alice", "first_name", "", "Alice"),
        ("user_archived", "alice"),
        ("authz_change", "alice", "is_staff", False, True),
    ]


def test_enabled_and_revoked(alice, entries):
    """The way back is told too: enabled, and a revoked role."""
    User.objects.filter(pk=alice.pk).update(is_active=False, is_staff=True)
    alice.refresh_from_db()
    entries.clear()
    alice.is_active, alice.is_staff = True, False
    alice.save()
    assert [e["event.name"] for e in entries] == ["user_enabled", "authz_change"]
    assert entries[1]["seclog.change.direction"] == "revoke"


def test_renamed_user_is_told_under_the_new_name(alice, entries):
    """After a change of the login name the target's name is the new one, and the old one is the old value."""
    alice.username = "alicia"
    alice.save()
    assert told(entries) == [("user_updated", "alicia", "username", "alice", "alicia")]


def test_save_without_a_change_is_silent(alice, entries):
    """A save that changes no watched field is not an event."""
    alice.save()
    assert entries == []


def test_last_login_is_silent_and_costs_no_query(alice, entries, django_assert_num_queries):
    """Django saves last_login at each login: no entry, no read before."""
    with django_assert_num_queries(1):
        update_last_login(None, alice)
    assert entries == []


def test_update_fields_are_respected(alice, entries):
    """What update_fields leaves out is not saved, so it is not told."""
    alice.is_superuser, alice.first_name = True, "Alice"
    alice.save(update_fields=["first_name"])
    assert told(entries) == [("user_updated", "alice", "first_name", "", "Alice")]


def test_deferred_fields(alice, entries, django_assert_num_queries):
    """A user loaded with only() is compared with the row, and named, without loading the rest."""
    user = User.objects.only("is_staff").get(pk=alice.pk)
    user.is_staff = True
    with django_assert_num_queries(2):
        user.save()
    assert told(entries) == [("authz_change", "alice", "is_staff", False, True)]


def test_value_computed_by_the_database(alice, entries):
    """An expression is told by the value that it had in the end."""
    alice.first_name = Value("Computed")
    alice.save()
    assert told(entries) == [("user_updated", "alice", "first_name", "", "Computed")]


def test_rolled_back_changes_leave_nothing(alice, entries):
    """A transaction that fails leaves no entry of creation, change or deletion."""
    with pytest.raises(RuntimeError), transaction.atomic():
        alice.is_staff = True
        alice.save()
        User.objects.create_user("mallory")
        User.objects.filter(pk=alice.pk).update(is_superuser=True)
        User.objects.get(pk=alice.pk).delete()
        raise RuntimeError
    assert entries == []


def test_inner_rollback_leaves_only_the_outer_change(alice, entries):
    """A savepoint that is rolled back takes its own changes with it and no others."""
    with transaction.atomic():
        alice.first_name = "Alice"
        alice.save()
        with pytest.raises(RuntimeError), transaction.atomic():
            User.objects.filter(pk=alice.pk).update(is_superuser=True)
            raise RuntimeError
    assert told(entries) == [("user_updated", "alice", "first_name", "", "Alice")]


def test_committed_change_is_told_in_the_scope_it_was_made_in(alice, entries):
    """A change made as one actor and committed later still names that actor."""
    with transaction.atomic(), api.actor("cron:cleanup"):
        alice.is_active = False
        alice.save()
    [entry] = entries
    assert (entry["event.name"], entry["seclog.actor"]) == ("user_archived", "cron:cleanup")
    assert entry["user.id"] == "cron:cleanup"


def test_deleted_user(alice, entries):
    """A deletion is one entry with the name that is no longer to be found."""
    pk = alice.pk
    alice.delete()
    [entry] = entries
    assert (entry["event.name"], entry["seclog.target.id"], entry["seclog.target.name"]) == (
        "user_deleted",
        str(pk),
        "alice",
    )


def test_deleted_by_queryset(alice, bob, entries):
    """A bulk deletion is one entry a user."""
    User.objects.all().delete()
    assert sorted(told(entries)) == [("user_deleted", "alice"), ("user_deleted", "bob")]


def test_queryset_update_tells_what_really_changed(alice, bob, entries, django_assert_num_queries):
    """update() on the user model is told for the rows whose value changed, at the price of one SELECT."""
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    entries.clear()
    with django_assert_num_queries(2):
        User.objects.update(is_staff=True)
    assert told(entries) == [("authz_change", "alice", "is_staff", False, True)]


def test_queryset_update_of_other_fields_costs_nothing(alice, entries, django_assert_num_queries):
    """update() of fields that are not watched reads nothing and tells nothing."""
    with django_assert_num_queries(1):
        User.objects.update(last_login=None, password="")
    assert entries == []


def test_queryset_update_of_other_models_costs_nothing(entries, django_assert_num_queries):
    """update() and bulk_create() of other models stay as they are."""
    from djangoapp.models import Order

    with transaction.atomic(), django_assert_num_queries(1):
        Order.objects.bulk_create([Order(number="1"), Order(number="2")])
    with django_assert_num_queries(1):
        assert Order.objects.update(total=F("total") + 1) == 2
    assert entries == []


def test_queryset_update_with_an_expression(alice, entries):
    """update() with an expression is told by the value that the database computed."""
    User.objects.update(first_name=F("username"))
    assert told(entries) == [("user_updated", "alice", "first_name", "", "alice")]


def test_queryset_update_through_a_dressed_up_queryset(alice, entries):
    """What a queryset carries for reading (locks, prefetches, deferred fields) does not disturb."""
    rows = User.objects.select_for_update().prefetch_related("groups").only("pk").order_by("email")
    rows.distinct().update(is_active=False)
    User.objects.values("email").update(first_name="Alice")
    assert told(entries) == [("user_archived", "alice"), ("user_updated", "alice", "first_name", "", "Alice")]


def test_queryset_update_that_django_refuses(alice, entries, caplog):
    """What update() refuses is refused by Django, in its own words, and by nobody before."""
    with pytest.raises(TypeError, match="slice"):
        User.objects.all()[:1].update(is_active=False)
    with pytest.raises(FieldDoesNotExist):
        User.objects.update(nonsense=1)
    assert entries == [] and "seclog" not in caplog.text


def test_async_update(alice, entries):
    """aupdate() is told like update()."""
    async_to_sync(User.objects.filter(pk=alice.pk).aupdate)(is_active=False)
    assert told(entries) == [("user_archived", "alice")]


def test_bulk_update(alice, bob, entries):
    """bulk_update() is told for each changed row."""
    alice.is_superuser = True
    User.objects.bulk_update([alice, bob], ["is_superuser"])
    assert told(entries) == [("authz_change", "alice", "is_superuser", False, True)]


def test_bulk_create(entries):
    """bulk_create() sends no signal, and is told for each user."""
    User.objects.bulk_create([User(username="a"), User(username="b", is_staff=True)])
    assert [(e["seclog.target.name"], e["seclog.target.roles"]) for e in entries] == [
        ("a", []),
        ("b", ["staff"]),
    ]
    assert all(e["event.outcome"] == "success" for e in entries)


def test_bulk_create_ignoring_conflicts_claims_nothing(alice, entries):
    """With ignore_conflicts nobody knows which rows are new: the outcome is unknown, and says why."""
    User.objects.bulk_create([User(username="alice"), User(username="c")], ignore_conflicts=True)
    assert [(e["event.outcome"], e["reason"]) for e in entries] == [("unknown", "ignore_conflicts")] * 2


def test_many_rows_are_bounded(entries, monkeypatch):
    """Beyond a bound the rows are counted, so that one statement cannot flood the journal."""
    monkeypatch.setattr(model_changes, "MAX_ROWS", 2)
    User.objects.bulk_create([User(username=f"u{i}") for i in range(5)])
    assert [e.get("seclog.count") for e in entries] == [None, None, 3]
    entries.clear()
    User.objects.update(is_active=False)
    assert [(e["event.name"], e.get("seclog.count")) for e in entries] == [
        ("user_archived", None),
        ("user_archived", None),
        ("user_archived", 3),
    ]


def test_fixtures_are_skipped(alice, entries):
    """The raw saves of loaddata are not changes that somebody made."""
    text = serializers.serialize("json", [alice]).replace('"is_superuser": false', '"is_superuser": true')
    for item in serializers.deserialize("json", text):
        item.save()
    assert User.objects.get(pk=alice.pk).is_superuser
    assert entries == []


def test_connecting_twice_tells_once(alice, entries):
    """The hooks are idempotent."""
    users.connect()
    groups.connect()
    alice.is_staff = True
    alice.save()
    User.objects.update(is_staff=False)
    alice.groups.create(name="staff")
    assert [e["event.name"] for e in entries] == ["authz_change", "authz_change", "group_member_added"]


@pytest.mark.contains_errors
def test_a_broken_observer_does_not_break_the_save(alice, entries, monkeypatch):
    """An error of ours stays ours."""
    monkeypatch.setattr(model_changes, "_difference", lambda *args: 1 / 0)
    alice.is_staff = True
    alice.save()
    assert User.objects.filter(is_staff=True).update(is_staff=False) == 1
    assert not User.objects.get(pk=alice.pk).is_staff


PROJECT = """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50, AUTH_USER_MODEL="people.Person", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "people", "seclog.adapters.django"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", LOGGING_CONFIG=None,
    SECLOG={"directory": None, "service": "shop", "watch": False},
)
django.setup()
from django.db import connections, transaction
from people.models import Person
from seclog.testing import recorded
for alias in connections:
    with connections[alias].schema_editor() as editor:
        from django.contrib.auth.models import Group, Permission
        from django.contrib.contenttypes.models import ContentType
        for model in (ContentType, Permission, Group, Person):
            editor.create_model(model)
with recorded() as entries:
"""


def run_project(tmp_path, model, script):
    """Run a project with its own user model, in its own process; return what it prints."""
    people = tmp_path / "people"
    people.mkdir()
    (people / "__init__.py").touch()
    (people / "models.py").write_text(textwrap.dedent(model))
    (tmp_path / "project.py").write_text(PROJECT + textwrap.indent(textwrap.dedent(script), "    "))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "project.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "seclog" not in done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


def test_minimal_user_model(tmp_path):
    """A user model of its own, without flags, groups or e-mail, is watched for the fields it has."""
    model = """
        from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
        from django.db import models
        class Person(AbstractBaseUser):
            badge = models.CharField(max_length=10, unique=True)
            USERNAME_FIELD = "badge"
            objects = BaseUserManager()
        """
    script = """
        person = Person.objects.create(badge="p1")
        person.badge = "p2"
        person.save()
        Person.objects.filter(pk=person.pk).update(badge="p3")
        person.delete()
        for e in entries:
            print(e["event.name"], e["seclog.target.name"], e.get("seclog.change.old"))
        """
    assert run_project(tmp_path, model, script) == [
        "user_created p1 None",
        "user_updated p2 p1",
        "user_updated p3 p2",
        "user_deleted p2 None",
    ]


def test_extended_user_model_in_the_second_database(tmp_path):
    """A swapped AbstractUser is watched in whichever database it is written to, with that database's transactions."""
    model = """
        import uuid
        from django.contrib.auth.models import AbstractUser
        from django.db import models
        class Person(AbstractUser):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            email = models.EmailField(unique=True)
            USERNAME_FIELD = "email"
            REQUIRED_FIELDS = ["username"]
        """
    script = """
        person = Person.objects.db_manager("other").create_user("p", "p@example.org")
        group = Group.objects.using("other").create(name="staff")
        with transaction.atomic(using="other"):
            person.is_staff = True
            person.save(using="other")
            Person.objects.using("other").update(is_superuser=True)
            person.groups.add(group)
            print(len(entries))
        assert not Person.objects.exists()
        for e in entries:
            assert e["seclog.target.id"] == str(person.pk)
            print(e["event.name"], e["seclog.target.name"], e.get("seclog.change.field"), e.get("seclog.group.name"))
        """
    assert run_project(tmp_path, model, script) == [
        "1",
        "user_created p@example.org None None",
        "authz_change p@example.org is_staff None",
        "authz_change p@example.org is_superuser None",
        "group_member_added p@example.org None staff",
    ]
