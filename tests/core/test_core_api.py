"""What app code calls: right in every kind of function, and harmless whatever it is given."""

import asyncio
import inspect
import json
import logging
import re
from secrets import token_urlsafe
from types import SimpleNamespace

import pytest

from conftest import whole
from seclog import (
    EventType,
    NotRecordedError,
    actor,
    admin_action,
    api,
    change,
    configure,
    emit,
    export,
    login_failed,
    login_succeeded,
    sensitive,
)
from seclog.assembly import Installation
from seclog.context import Scope, enter, leave
from seclog.journal.check import check_journal
from seclog.settings import Settings
from seclog.testing import recorded


@pytest.fixture
def entries():
    """Entries of an installation of our own, so that they are the same with and without a framework."""
    before = api._installed
    api._installed = Installation(Settings(directory=None, service="shop"), pseudonym_key=token_urlsafe(16))
    with recorded() as found:
        yield found
    api._installed.shut_down()
    api._installed = before


@pytest.fixture
def unconfigured(monkeypatch):
    monkeypatch.setattr(api, "_installed", None)
    monkeypatch.setattr(api, "_said_unconfigured", False)


def facts(entry):
    """Return what an entry says beyond its head."""
    head = ("schema", "timestamp", "event.id", "event.outcome", "severity", "message", "service.name")
    return {key: value for key, value in entry.items() if key not in head}


class Unprintable:
    """An object of the app's that fails at whatever it is asked."""

    def __str__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None
    __repr__ = __str__


# ── emit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_emit_writes_a_whole_entry(entries):
    """Head from the catalogue, fields by their names in an entry."""
    event_id = emit(EventType.SENSITIVE_READ, target_type="patients", target_id=17, count=2)
    assert entries[0]["event.id"] == event_id
    assert whole(entries[0]) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "sensitive_read",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "Sensitive data read",
        "service.name": "shop",
        "seclog.target.type": "patients",
        "seclog.target.id": "17",
        "seclog.count": 2,
    }


def test_emit_takes_what_the_catalogue_says_only_as_a_default(entries):
    """Outcome, severity, message and reason may be given."""
    emit("sensitive_read", outcome="failure", severity="high", message="Somebody tried", reason="no_consent")
    assert whole(entries[0]) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "sensitive_read",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "high",
        "message": "Somebody tried",
        "reason": "no_consent",
        "service.name": "shop",
    }


def test_a_wrong_outcome_or_severity_takes_the_default(entries):
    """The two are closed sets; everything downstream relies on it."""
    emit("sensitive_read", outcome="so-so", severity="terrible")
    assert (entries[0]["event.outcome"], entries[0]["severity"]) == ("success", "low")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("target_id", "seclog.target.id"),
        ("target_type", "seclog.target.type"),
        ("user_id", "user.id"),
        ("user_name", "user.name"),
        ("client_address", "client.address"),
        ("file_name", "file.name"),
        ("error_type", "error.type"),
        ("change_old", "seclog.change.old"),
        ("rule_id", "seclog.rule.id"),
        ("auth_method", "seclog.auth.method"),
        ("count", "seclog.count"),
        ("distance_km", "seclog.distance_km"),
        ("http.route", "http.route"),
        ("seclog.count", "seclog.count"),
        ("target_", "seclog.target_"),
        ("", "seclog."),
    ],
)
def test_names_of_fields(entries, given, name):
    """Keyword arguments hold no dots: the first underscore of a known group stands for one."""
    emit("sensitive_read", **{given: "x"})
    assert facts(entries[0]) == {"event.name": "sensitive_read", name: "x"}


def test_an_unknown_type_is_recorded_and_marked(entries, caplog):
    """A slip of the pen must not lose the event; it is told once."""
    emit("sensitive_raed", count=1)
    emit("sensitive_raed", count=2)
    assert [facts(e) for e in entries] == [
        {"event.name": "sensitive_raed", "seclog.unknown_type": True, "seclog.count": n} for n in (1, 2)
    ]
    assert [e["event.outcome"] for e in entries] == ["unknown", "unknown"]
    assert len([r for r in caplog.records if "unknown event type" in r.getMessage()]) == 1


@pytest.mark.parametrize("name", ["", "a b", 'x","event.id":"1', "ä\n\x00", "x" * 10_000, "%s%n%d"])
def test_an_unknown_type_may_be_any_text(entries, name):
    """Nothing of it can break out of its place in the line."""
    emit(name)
    [entry] = entries
    assert re.fullmatch(r"[A-Za-z0-9_]{1,64}", entry["event.name"])
    assert entry["seclog.unknown_type"] is True


def test_before_configure_an_event_is_not_recorded_and_one_warning_says_so(unconfigured, caplog):
    """A library that is imported but not set up does no harm."""
    assert [emit("authz_fail"), login_failed("joe"), login_succeeded(1)] == [None, None, None]
    assert [r.getMessage() for r in caplog.records] == [
        "seclog: an event was emitted before seclog.configure(): it is not recorded"
    ]


FORGERIES = {
    "schema": "seclog/2",
    "timestamp": "1999-01-01T00:00:00.000000Z",
    "event.name": "sys_startup",
    "event.id": "0",
    "event.outcome": "success",
    "severity": "informational",
    "seclog.seq": 1,
    "seclog.hash": "0" * 64,
}


def test_reserved_names_cannot_be_forged(entries):
    """What only the recorder and the journal write is set aside when an app's data is called so, and kept."""
    names = FORGERIES.keys() - {"severity"}  # that one is an argument of emit
    for name in names:
        emit("authz_fail", **{name: FORGERIES[name]})
    assert [facts(entry) for entry in entries] == [
        {"event.name": "authz_fail", f"seclog.field.{name}": FORGERIES[name]} for name in names
    ]


def test_all_reserved_names_at_once(entries):
    """Also through an event whose fields have these names as they are."""
    api.record(api.Event(type="authz_fail", fields={**FORGERIES, "reason": "x"}))
    assert facts(entries[0]) == {
        "event.name": "authz_fail",
        "reason": "x",
        **{f"seclog.field.{name}": value for name, value in FORGERIES.items()},
    }


def test_reserved_names_are_harmless_within_a_value(entries):
    """Only the top level counts; what is inside a value stays there."""
    emit("authz_fail", params={"seclog.hash": "0", "deep": [{"event.id": "1"}]})
    assert facts(entries[0]) == {
        "event.name": "authz_fail",
        "seclog.params": {"seclog.hash": "0", "deep": [{"event.id": "1"}]},
    }


STRANGE = [Unprintable(), object(), float("nan"), 10**5000, b"\xff", {1: {2: {3}}}, "\udc80", lambda: 0]


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: type(value).__name__)
def test_any_value_is_recorded(entries, value):
    """The event is never lost to a field's value."""
    assert emit("authz_fail", thing=value) is not None
    [entry] = entries
    assert entry["seclog.thing"] is not None
    json.dumps(entry, allow_nan=False)


# ── login ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_of_ones_own_code_names_and_binds_the_user(entries):
    """What follows in the request is the user's."""
    scope = Scope()
    token = enter(scope)
    login_succeeded(7, "alice", method="passkey")
    emit("sensitive_read")
    leave(token)
    assert facts(entries[0]) == {
        "event.name": "authn_login_success",
        "user.id": "7",
        "user.name": "alice",
        "seclog.auth.method": "passkey",
    }
    assert facts(entries[1]) == {"event.name": "sensitive_read", "user.id": "7", "user.name": "alice"}


def test_a_failed_login_of_a_known_user(entries):
    """The name is written as it is."""
    login_failed("alice", user_id=7, auth_method="totp")
    assert facts(entries[0]) == {
        "event.name": "authn_login_fail",
        "reason": "invalid_credentials",
        "user.id": "7",
        "user.name": "alice",
        "seclog.auth.method": "totp",
    }


def test_a_failed_login_of_an_unknown_name_never_writes_it(entries):
    """People type their password into the name field: the same name gives the same pseudonym, no more."""
    typed = token_urlsafe(12)
    login_failed(typed, "unknown_user")
    login_failed(typed, "unknown_user")
    login_failed(f"{typed}x", "unknown_user")
    names = [entry["user.name"] for entry in entries]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("unknown:") for name in names)
    assert typed not in json.dumps(entries)


def test_an_identifier_of_any_kind_is_taken(entries):
    """A failing `__str__` is the app's bug, not the end of its login view."""
    login_failed(Unprintable(), user_id=Unprintable())
    login_succeeded(Unprintable(), Unprintable())
    api.bind_user(Unprintable(), Unprintable())
    assert [entry["event.name"] for entry in entries] == ["authn_login_fail", "authn_login_success"]


# ── decorators ───────────────────────────────────────────────────────────────────────────────────────────────────


def answer(status=200):
    return SimpleNamespace(status_code=status)


async def call(function, *args, **kwargs):
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def forms(decorate, body):
    """Yield a decorated body in each form that app code has: name, and a callable to call it."""

    @decorate
    def function(*args, pk=None):
        return body()

    @decorate
    async def coroutine(*args, pk=None):
        await asyncio.sleep(0)
        return body()

    class Service:
        @decorate
        def method(self, pk=None):
            return body()

        @decorate
        async def async_method(self, pk=None):
            return body()

        @staticmethod
        @decorate
        def static(pk=None):
            return body()

        @classmethod
        @decorate
        def of_class(cls, pk=None):
            return body()

    @decorate
    class View:
        def dispatch(self, request, pk=None):
            return body()

    @decorate
    class AsyncView:
        async def _handle(self, pk):
            return body()

        def dispatch(self, request, pk=None):
            return self._handle(pk)

    @decorate
    class FlaskView:
        def dispatch_request(self, pk=None):
            return body()

    service = Service()
    yield from {
        "function": function,
        "coroutine": coroutine,
        "method": service.method,
        "async method": service.async_method,
        "static method": service.static,
        "class method": service.of_class,
        "view": lambda pk: View().dispatch(None, pk=pk),
        "async view": lambda pk: AsyncView().dispatch(None, pk=pk),
        "flask view": lambda pk: FlaskView().dispatch_request(pk=pk),
    }.items()


FORMS = [name for name, _ in forms(lambda subject: subject, answer)]


def of(decorate, form, body=answer):
    return dict(forms(decorate, body))[form]


@pytest.mark.parametrize("form", FORMS)
def test_sensitive_is_recorded_in_every_form(entries, form):
    """Functions, coroutines, methods, and views by class."""
    result = asyncio.run(call(of(sensitive("patients", id_kwarg="pk"), form), pk=17))
    assert result.status_code == 200
    assert [facts(entry) for entry in entries] == [
        {"event.name": "sensitive_read", "seclog.target.type": "patients", "seclog.count": 1, "seclog.target.id": "17"}
    ]


@pytest.mark.parametrize("action", ["create", "read", "update", "delete"])
def test_sensitive_records_each_kind_of_access(entries, action):
    """The action chooses the type."""
    sensitive("patients", action=action, count=len)(lambda: [1, 2, 3])()
    assert facts(entries[0]) == {
        "event.name": f"sensitive_{action}",
        "seclog.target.type": "patients",
        "seclog.count": 3,
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("decorate", [sensitive("patients"), export("orders")], ids=["sensitive", "export"])
def test_what_failed_is_no_access(entries, form, decorate):
    """A refusal or an error gave nothing away; the app's exception arrives unchanged."""
    asyncio.run(call(of(decorate, form, lambda: answer(404)), pk=1))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(call(of(decorate, form, lambda: 1 // 0), pk=1))
    assert entries == []


@pytest.mark.parametrize("form", FORMS)
def test_export_is_recorded_in_every_form(entries, form):
    """With rows and format, as far as known."""
    asyncio.run(call(of(export("orders", rows=lambda result: result.status_code, format="csv"), form), pk=1))
    assert [facts(entry) for entry in entries] == [
        {"event.name": "data_export", "seclog.target.type": "orders", "seclog.count": 200, "seclog.format": "csv"}
    ]


@pytest.mark.parametrize("form", FORMS)
def test_an_admin_action_is_recorded_with_its_outcome(entries, form):
    """Success, a refusal, and an exception: an attempt counts too."""
    decorate = admin_action("refund", target_type="order", id_kwarg="pk")
    asyncio.run(call(of(decorate, form), pk=17))
    asyncio.run(call(of(decorate, form, lambda: answer(500)), pk=17))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(call(of(decorate, form, lambda: 1 // 0), pk=17))
    known = {
        "event.name": "authz_admin",
        "seclog.action": "refund",
        "seclog.target.id": "17",
        "seclog.target.type": "order",
    }
    assert [(entry["event.outcome"], facts(entry)) for entry in entries] == [
        ("success", known),
        ("failure", known),
        ("failure", {**known, "error.type": "ZeroDivisionError"}),
    ]


def test_a_decorated_function_keeps_its_face(entries):
    """Name, documentation, signature, and whether it is a coroutine function."""

    def view(request, pk: int = 3):
        """Show."""

    async def async_view(request):
        pass

    decorated = sensitive("patients")(view)
    assert (decorated.__name__, decorated.__doc__, inspect.signature(decorated)) == (
        "view",
        "Show.",
        inspect.signature(view),
    )
    assert inspect.iscoroutinefunction(sensitive("patients")(async_view))
    assert not inspect.iscoroutinefunction(decorated)


def test_wrong_use_of_a_decorator_fails_at_import():
    """Loud where a developer sees it, not in a request."""
    with pytest.raises(ValueError, match="action must be one of create, read, update, delete, got 'look'"):
        sensitive("patients", action="look")
    with pytest.raises(TypeError, match="Plain has no dispatch method"):
        sensitive("patients")(type("Plain", (), {}))
    with pytest.raises(TypeError, match="expected a function or a view class, got int"):
        sensitive("patients")(7)


def test_a_count_that_fails_does_not_break_the_answer(entries):
    """The app's own counting is contained, and the entry says so."""
    assert export("orders", rows=lambda result: 1 // 0)(lambda: "csv")() == "csv"
    assert entries[0]["seclog.count"] == "[count failed: ZeroDivisionError]"


@pytest.mark.contains_errors
def test_an_answer_that_fails_when_looked_at_is_given_back(entries):
    """A status property that raises is the app's; looking at it must not break the answer."""

    class Answer:
        @property
        def status_code(self):
            raise RuntimeError

    made = Answer()
    assert sensitive("patients")(lambda: made)() is made
    assert api.installed().recorder.errors == 1


def test_a_target_that_cannot_be_printed_does_not_break_the_call(entries):
    """The id is the app's object."""
    sensitive("patients", id_kwarg="pk")(lambda pk: None)(pk=Unprintable())
    assert entries[0]["seclog.target.id"] == "[unprintable Unprintable: RuntimeError]"


# ── change ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_is_recorded_old_to_new(entries):
    """With the subject as target and field."""
    with actor("alice"), change("tax_rate", target_id=3) as both:
        both.old, both.new = 19, 7
    assert facts(entries[0]) == {
        "event.name": "config_changed",
        "user.id": "alice",
        "seclog.actor": "alice",
        "seclog.target.name": "tax_rate",
        "seclog.target.id": "3",
        "seclog.change.field": "tax_rate",
        "seclog.change.old": 19,
        "seclog.change.new": 7,
    }


def test_a_changed_secret_is_masked(entries):
    """Its name says what it is."""
    old, new = token_urlsafe(12), token_urlsafe(12)
    with change("smtp_password") as both:
        both.old, both.new = old, new
    assert old not in json.dumps(entries)
    assert new not in json.dumps(entries)
    assert entries[0]["seclog.target.name"] == "smtp_password"


def test_no_change_is_no_entry(entries):
    """Equal values, or a block that raised."""
    with change("tax_rate") as both:
        both.old = both.new = 7
    with pytest.raises(ZeroDivisionError), change("tax_rate") as both:
        both.old, both.new = 1, 1 // 0
    assert entries == []


def test_values_that_cannot_be_compared_count_as_changed(entries):
    """Arrays and foreign types raise when compared; the app's block must not."""
    with change("matrix", target_id=Unprintable()) as both:
        both.old, both.new = Unprintable(), 1
    assert entries[0]["event.name"] == "config_changed"


# ── the key of pseudonyms ────────────────────────────────────────────────────────────────────────────────────────


def pseudonym(directory, offered=None, **settings):
    """Return what a value is called by an installation that is made for this and ended."""
    installation = Installation(
        Settings.load({"directory": directory, "watch": False, **settings}, environ={}), pseudonym_key=offered
    )
    installation.shut_down()
    return installation.pseudonym("session", "value")


def test_a_key_is_made_and_kept_when_nobody_has_one(tmp_path):
    """The same pseudonyms after a restart; the file is private."""
    assert pseudonym(tmp_path) == pseudonym(tmp_path) != pseudonym(tmp_path / "other")
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_the_setting_wins_over_the_adapters_key_over_the_kept_one(tmp_path):
    """And nothing is kept where a key is given."""
    one, two = token_urlsafe(16), token_urlsafe(16)
    assert pseudonym(tmp_path, two, pseudonym_key=one) == pseudonym(tmp_path, one)
    assert pseudonym(tmp_path, two) != pseudonym(tmp_path, one)
    assert not (tmp_path / "pseudonym.key").exists()
    assert pseudonym(tmp_path) not in {pseudonym(tmp_path, one), pseudonym(tmp_path, two)}


def test_a_short_key_of_the_app_is_not_used(tmp_path):
    """A project's SECRET_KEY may be "test": the app starts, and the pseudonyms have a key of their own."""
    assert pseudonym(tmp_path, "test") == pseudonym(tmp_path)


def test_a_directory_that_takes_no_key_is_survived(tmp_path, caplog):
    """Told once, with what it means."""
    (tmp_path / "file").write_text("")
    assert pseudonym(tmp_path / "file") != pseudonym(tmp_path / "file")
    assert "keyed hashes will differ after a restart" in caplog.text


# ── configure, block, shutdown ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def configured(tmp_path, unconfigured):
    """Set seclog up as a script would, with a journal."""

    def make(**settings):
        return configure(
            Settings.load({"directory": tmp_path, "service": "shop", "watch": False, **settings}, environ={})
        )

    yield make
    api.install(None)


def test_a_shutdown_is_recorded_before_the_segment_ends(configured, tmp_path):
    """The last words: an entry about it, and the stop record."""
    installation = configured(version="1.2")
    emit("authz_fail")
    path = installation.journal.segment_path
    installation.shut_down("test")
    installation.shut_down("again")
    names = [json.loads(line)["event.name"] for line in path.read_bytes().splitlines()]
    assert names == ["audit_log_started", "authz_fail", "sys_shutdown", "audit_log_stopped"]
    last = json.loads(path.read_bytes().splitlines()[2])
    assert facts(last).items() >= {"event.name": "sys_shutdown", "service.version": "1.2", "reason": "test"}.items()
    assert check_journal(tmp_path).verdict == "OK"


def test_a_new_configuration_ends_the_one_before(configured, tmp_path):
    """Two segments, both closed."""
    configured()
    emit("authz_fail")
    configured(service="store")
    emit("authz_fail")
    api.install(None)
    report = check_journal(tmp_path)
    assert [file.segment.state for file in report.files] == ["stopped", "stopped"]
    assert sorted(file.segment.first["service.name"] for file in report.files) == ["shop", "store"]


def test_nothing_is_made_before_the_first_event(configured, tmp_path):
    """A management command that records nothing leaves no segment."""
    configured()
    assert not (tmp_path / "journal").exists()


def test_block_refuses_what_cannot_be_recorded(configured, tmp_path):
    """The one exception that app code may see; and the request is told."""
    told = []

    class Request(Scope):
        def not_recorded(self):
            told.append(True)

    (tmp_path / "journal").write_text("a file where the folder should be")
    configured(on_failure="block")
    token = enter(Request())
    try:
        with pytest.raises(NotRecordedError, match=r"^the entry is not on disk: "):
            emit("authz_fail")
        with pytest.raises(NotRecordedError):
            sensitive("patients")(lambda: None)()
    finally:
        leave(token)
    assert told == [True, True]


def test_degrade_never_raises(configured, tmp_path, capfd):
    """The app never notices; the entry waits, and is shown on stderr."""
    (tmp_path / "journal").write_text("a file where the folder should be")
    configured()
    assert emit("authz_fail", count=1) is None
    assert '"seclog.count":1,"seclog.unrecorded":true}' in capfd.readouterr().err


def test_entries_go_to_the_logger_without_a_directory(unconfigured, caplog):
    """Containers with read-only disks: the logger `seclog` gets each entry, once."""
    caplog.set_level(logging.INFO, "seclog")
    configure({"directory": None, "service": "shop"})
    emit("authz_fail", count=1)
    api.install(None)
    [record] = [record for record in caplog.records if record.name == "seclog"]
    assert facts(json.loads(record.getMessage())) == {"event.name": "authz_fail", "seclog.count": 1}
