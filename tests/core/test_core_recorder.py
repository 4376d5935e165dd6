"""The recorder: one pipeline, never an exception, and an entry in which only the recorder writes its own names."""

import json
import logging
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import whole
from seclog.context import Context, Scope
from seclog.errors import NotRecordedError
from seclog.events.event import Event
from seclog.events.fields import ENVELOPE, JOURNAL_FIELDS
from seclog.recorder import Recorder
from seclog.redaction import Redactor
from seclog.testing import MemorySink

NOON = 1_790_000_000_123_456_789
REDACTOR = Redactor()


class Memory(MemorySink):
    """Keeps bodies as they are, too."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def append(self, body, *, keep=True):
        self.bodies.append(body)
        return super().append(body)


def make(service=(("service.name", "shop"),), **options):
    return Recorder(Memory(), REDACTOR, dict(service), **{"clock": lambda: NOON, **options})


class Request(Scope):
    """A request with all that can be known."""

    __slots__ = ()

    def __init__(self, **known):
        super().__init__()
        self._context = Context(**known)


def pairs(body):
    """Return the top-level pairs of a body, double ones included."""
    return json.loads(body + b"}", object_pairs_hook=list)


def test_a_full_entry():
    """Head, service, context, fields: whole, in this order."""
    recorder = make([("service.name", "shop"), ("service.version", "1.2"), ("deployment.environment.name", "test")])
    scope = Request(
        user_id="7", user_name="alice", address="203.0.113.9", user_agent="Firefox", method="POST", path="/login/", status=200
    )  # fmt: skip
    event_id = recorder.record(Event(type="authn_login_fail", reason="unknown_user", fields={"seclog.count": 3}), scope)
    [entry] = recorder.sink.entries
    assert list(entry.items()) == [
        ("schema", "seclog/1"),
        ("timestamp", "2026-09-21T14:13:20.123456Z"),
        ("event.name", "authn_login_fail"),
        ("event.id", event_id),
        ("event.outcome", "failure"),
        ("severity", "medium"),
        ("message", "Login failed"),
        ("service.name", "shop"),
        ("service.version", "1.2"),
        ("deployment.environment.name", "test"),
        ("user.id", "7"),
        ("user.name", "alice"),
        ("client.address", "203.0.113.9"),
        ("user_agent.original", "Firefox"),
        ("http.request.method", "POST"),
        ("url.path", "/login/"),
        ("http.response.status_code", 200),
        ("reason", "unknown_user"),
        ("seclog.count", 3),
    ]


def test_the_id_is_a_uuid_of_version_7_with_the_entrys_time():
    """Ids of one process grow with time and never repeat."""
    recorder = make()
    ids = [recorder.record(Event(type="authz_fail")) for _ in range(3000)]
    assert len(set(ids)) == 3000
    for one in ids:
        assert one[14] == "7"
        assert one[19] in "89ab"
        assert int(one.replace("-", "")[:12], 16) == NOON // 1_000_000


def test_a_given_id_is_kept():
    """Derived events bring theirs."""
    recorder = make()
    given_id = "0" * 36
    assert recorder.record(Event(type="authn_new_ip", id=given_id)) == given_id
    assert recorder.sink.entries[0]["event.id"] == given_id


@pytest.mark.parametrize("field", ["user.id", "client.address", "http.route", "seclog.request.id", "trace_id"])
def test_an_events_own_field_wins_over_the_context(field):
    """Who logs in is not who was logged in; and the name stands there once."""
    recorder = make()
    scope = Request(user_id="context", address="192.0.2.1", route="x/", request_id="a" * 8, trace_id="b" * 32)
    recorder.record(Event(type="authn_login_success", fields={field: "203.0.113.9"}), scope)
    assert [value for name, value in pairs(recorder.sink.bodies[0]) if name == field] == ["203.0.113.9"]


def test_an_event_that_brings_its_service_is_of_that_service():
    """A derived entry belongs to the service of its source; nothing of ours is mixed in."""
    recorder = make([("service.name", "watcher"), ("service.version", "9")])
    recorder.record(Event(type="authn_new_ip", fields={"service.name": "shop"}))
    assert [(k, v) for k, v in pairs(recorder.sink.bodies[0]) if k.startswith("service.")] == [("service.name", "shop")]


def doubled(event, service):
    recorder = make(service)
    recorder.record(event)
    return [name for name, count in Counter(name for name, _ in pairs(recorder.sink.bodies[0])).items() if count > 1]


FULL = [("service.name", "shop"), ("service.version", "1.2"), ("deployment.environment.name", "test")]


@pytest.mark.parametrize(
    "event",
    [
        Event(type="authz_fail", fields={"service.version": "2"}),
        Event(type="authz_fail", fields={"deployment.environment.name": "prod"}),
        Event(type="authz_fail", fields={"message": "mine"}),
        Event(type="no_such_type", fields={"seclog.unknown_type": False}),
    ],
    ids=["version", "environment", "message", "unknown_type"],
)
def test_no_name_stands_twice_in_an_entry(event):
    """Two readers may see two different values where a name is doubled."""
    assert doubled(event, FULL) == []


RESERVED = [*ENVELOPE[:6], *JOURNAL_FIELDS]
names = st.one_of(
    st.text(max_size=30),
    st.sampled_from([*ENVELOPE, *JOURNAL_FIELDS, "user.id", "client.address", "seclog.field.schema"]),
    st.sampled_from(RESERVED).flatmap(lambda name: st.sampled_from([f"{name}\x00", f"\u200b{name}", f" {name}", name.upper(), f"{name}\udc80"])),
)  # fmt: skip
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50), st.binary(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(names, st.integers()), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(
    fields=st.dictionaries(names, values, max_size=8),
    agent=st.text(max_size=100),
    reason=st.one_of(st.none(), st.text()),
)
def test_nothing_that_comes_from_outside_can_write_the_recorders_names(fields, agent, reason):
    """Whatever names and values an event has: the head is ours, and no reserved name stands there twice."""
    recorder = make()
    event_id = recorder.record(
        Event(type="authz_fail", reason=reason, message="m", fields=fields), Request(user_agent=agent)
    )
    found = pairs(recorder.sink.bodies[0])
    assert [name for name, _ in found[:6]] == list(ENVELOPE[:6])
    assert dict(found[:6])["event.id"] == event_id
    counted = Counter(name for name, _ in found)
    assert all(counted[name] == 1 for name in ENVELOPE[:6])
    assert all(counted[name] == 0 for name in JOURNAL_FIELDS)
    assert [name for name, count in counted.items() if count > 1] == []
    assert recorder.errors == 0


def test_the_input_is_not_changed():
    """The app goes on with its own objects."""
    fields = {"password": "x" * 8, "deep": {"token": ["y" * 8]}, "schema": 1}
    before = json.dumps(fields)
    make().record(Event(type="authz_fail", fields=fields))
    assert json.dumps(fields) == before


def test_masked_values_are_counted():
    """The heartbeat tells how many."""
    recorder = make()
    recorder.record(Event(type="authz_fail", fields={"password": "x" * 8, "api_key": "y" * 8}))
    assert recorder.sink.redacted == 2


# ── our own failures ─────────────────────────────────────────────────────────────────────────────────────────────


class Broken:
    """Fails at everything."""

    redacted = 0

    def __getattr__(self, name):
        raise RuntimeError("broken")


class BrokenScope(Scope):
    """A scope that fails to be filled."""

    def fill(self):
        raise RuntimeError("broken")


def test_what_breaks_in_the_pipeline_leaves_the_remains():
    """At least what happened, and when, and that something is missing."""
    recorder = make()
    event_id = recorder.record(Event(type="authz_fail", fields={"seclog.count": 1}), BrokenScope())
    assert [whole(entry) for entry in recorder.sink.entries] == [
        {
            "schema": "seclog/1",
            "timestamp": "<time>",
            "event.name": "authz_fail",
            "event.id": "<id>",
            "event.outcome": "failure",
            "severity": "medium",
            "message": "Access denied",
            "service.name": "shop",
            "seclog.incomplete": "RuntimeError",
        }
    ]
    assert recorder.sink.entries[0]["event.id"] == event_id
    assert recorder.errors == 1


def test_a_broken_sink_costs_the_event_and_nothing_else(caplog):
    """None says that it is not written."""
    recorder = make()
    recorder.sink = Broken()
    assert recorder.record(Event(type="authz_fail")) is None
    assert recorder.errors == 2


def test_a_refused_event_is_none():
    """A sink that says no is believed."""
    recorder = make()
    recorder.sink.append = lambda body, keep: False
    assert recorder.record(Event(type="authz_fail")) is None


def test_block_is_the_one_exception():
    """And it comes through as it is, from the pipeline and from the remains."""

    def refuse(body, *, keep=True):
        raise NotRecordedError("the disk is full")

    recorder = make()
    recorder.sink.append = refuse
    for scope in (None, BrokenScope()):
        with pytest.raises(NotRecordedError):
            recorder.record(Event(type="authz_fail"), scope)


def test_complaints_are_counted_and_logged_once_a_minute(caplog, monkeypatch):
    """Also when somebody's LOGGING disabled our logger by accident."""
    recorder = make()
    now = [1000.0]
    monkeypatch.setattr("seclog.recorder.time.monotonic", lambda: now[0])
    logging.getLogger("seclog.internal").disabled = True
    for seconds in (0, 1, 58.9, 0.2, 1):
        now[0] += seconds
        recorder.complain("a test", RuntimeError("x"))
    assert [record.getMessage() for record in caplog.records] == [
        "seclog: a test failed, the app is not affected: RuntimeError (1 since start)",
        "seclog: a test failed, the app is not affected: RuntimeError (4 since start)",
    ]
    assert recorder.errors == 5


def test_the_mirror_gets_every_body_once():
    """The logging bridge beside the journal."""
    mirrored = []
    recorder = make(mirror=mirrored.append)
    recorder.record(Event(type="authz_fail"))
    assert mirrored == recorder.sink.bodies


def test_a_broken_mirror_does_not_record_twice():
    """The entry is on disk already: its remains beside it would be a second event that never happened."""

    def broken(body):
        raise RuntimeError("a handler of the app's logging")

    recorder = make(mirror=broken)
    event_id = recorder.record(Event(type="authz_fail"))
    assert [entry["event.id"] for entry in recorder.sink.entries] == [event_id]
    assert recorder.errors == 1


def test_eight_threads_record_at_once():
    """Ids stay unique and entries whole."""
    recorder = make()

    def work(number):
        for i in range(500):
            recorder.record(Event(type="authz_fail", fields={"seclog.thread": number, "seclog.i": i}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = recorder.sink.entries
    assert len({entry["event.id"] for entry in entries}) == 4000
    assert {(e["seclog.thread"], e["seclog.i"]) for e in entries} == {(t, i) for t in range(8) for i in range(500)}
