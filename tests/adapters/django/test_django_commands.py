"""Family 10 in Django, commands: who did it from the shell, and that users were changed there; never an argument."""

import io
import os
import pwd
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from conftest import whole
from seclog.context import current

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

User = get_user_model()
ACCOUNT = pwd.getpwuid(os.getuid()).pw_name


class Retire(BaseCommand):
    """A command of an app that changes a user."""

    def add_arguments(self, parser):
        parser.add_argument("username")
        parser.add_argument("--reason", default="")
        parser.add_argument("--fail", action="store_true")

    def handle(self, *args, **options):
        User.objects.filter(username=options["username"]).update(is_active=False)
        if options["fail"]:
            raise CommandError("no")
        return "retired"


class Quiet(BaseCommand):
    """A command that changes no user."""

    def handle(self, *args, **options):
        self.seen = current()


class Outer(BaseCommand):
    """A command that calls another one."""

    def handle(self, *args, **options):
        call_command(named(Retire, "retire"), "alice", stdout=io.StringIO())


def named(kind, name):
    """Return a command as if it came from the module of that name."""
    command = type(kind.__name__, (kind,), {"__module__": f"shop.management.commands.{name}"})()
    return command


def retire(request):
    assert request.user.is_authenticated
    call_command(named(Retire, "retire"), "alice", stdout=io.StringIO())
    return HttpResponse("done")


urlpatterns = [path("retire/", retire)]


@pytest.fixture
def alice():
    return User.objects.create_user("alice")


def runs(entries):
    return [e for e in entries if e["event.name"] == "admin_command_run"]


def test_command_that_changes_a_user(alice, entries):
    """The command and what it did name the command as actor and the account it ran under; no argument's value."""
    secret = token_urlsafe()
    call_command(named(Retire, "retire"), "alice", reason=secret, stdout=io.StringIO())
    change, run = entries
    assert (change["event.name"], change["seclog.actor"]) == ("user_archived", "command:retire")
    assert whole(run) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "admin_command_run",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "Administrative command run",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": "command:retire",
        "user.name": ACCOUNT,
        "seclog.actor": "command:retire",
        "seclog.command": "retire",
        "seclog.command.options": ["reason", "username"],
    }
    assert secret not in str(entries)


def test_command_that_changes_no_user_is_silent(entries):
    """A command that touches no user tells nothing, but runs under its name."""
    command = named(Quiet, "quiet")
    call_command(command)
    assert entries == []
    assert command.seen.actor == "command:quiet" and current() is None


def test_createsuperuser_and_changepassword(entries, monkeypatch):
    """Django's own commands for users tell; the password is nowhere."""
    secret = token_urlsafe(20)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", secret)
    call_command("createsuperuser", interactive=False, username="root", email="r@example.org", stdout=io.StringIO())
    assert [e["seclog.command"] for e in runs(entries)] == ["createsuperuser"]
    [created] = [e for e in entries if e["event.name"] == "user_created"]
    assert (created["seclog.target.name"], created["user.id"]) == ("root", "command:createsuperuser")
    monkeypatch.setattr(
        "django.contrib.auth.management.commands.changepassword.Command._get_pass",
        lambda *a, **k: secret[::-1],
    )
    entries.clear()
    call_command("changepassword", "root", stdout=io.StringIO())
    assert secret not in str(entries) and secret[::-1] not in str(entries)
    changed = any(e["event.name"] == "authn_password_change" for e in entries)
    assert [e["seclog.command"] for e in runs(entries)] == (["changepassword"] if changed else [])


@pytest.mark.parametrize("name", ["migrate", "runserver", "test"])
def test_silent_commands(alice, entries, name):
    """Commands in which something else runs do not tell of themselves."""
    call_command(named(Retire, name), "alice", stdout=io.StringIO())
    assert [e["event.name"] for e in entries] == ["user_archived"]


def test_failed_command(alice, entries):
    """A command that fails after it changed a user is told as a failure."""
    with pytest.raises(CommandError):
        call_command(named(Retire, "retire"), "alice", fail=True)
    [run] = runs(entries)
    assert (run["event.outcome"], run["error.type"]) == ("failure", "CommandError")
    assert current() is None


def test_command_in_a_request_keeps_the_request(client, alice, entries):
    """A command called in a request names the user and address of the request, and the command."""
    root = User.objects.create_user("root")
    client.force_login(root)
    entries.clear()
    client.get("/retire/")
    told = [e for e in entries if e["event.name"] in {"user_archived", "admin_command_run"}]
    assert len(told) == 2
    for entry in told:
        assert (entry["user.id"], entry["user.name"], entry["client.address"]) == (
            str(root.pk),
            "root",
            "127.0.0.1",
        )
        assert (entry["seclog.actor"], entry["url.path"]) == ("command:retire", "/retire/")


def test_command_inside_a_transaction(alice, entries):
    """A command inside a transaction is told once that is committed, and not if it is rolled back."""
    with pytest.raises(RuntimeError), transaction.atomic():
        call_command(named(Retire, "retire"), "alice", stdout=io.StringIO())
        raise RuntimeError
    assert entries == []
    with transaction.atomic():
        call_command(named(Retire, "retire"), "alice", stdout=io.StringIO())
        assert entries == []
    assert [e["event.name"] for e in entries] == ["user_archived", "admin_command_run"]
    assert entries[1]["seclog.actor"] == "command:retire"


def test_command_that_calls_a_command(alice, entries):
    """The command that did it is told; the one that called it did nothing itself."""
    call_command(named(Outer, "outer"))
    assert [e["seclog.command"] for e in runs(entries)] == ["retire"]
