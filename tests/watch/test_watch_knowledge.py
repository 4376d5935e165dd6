"""What the watch knows: durable together or not at all."""

import sqlite3

import pytest

from seclog.events.event import Event
from seclog.knowledge import MAX_VALUES, VERSION, Knowledge, LaterVersionError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "watch.db"


@pytest.fixture
def knowledge(path):
    made = Knowledge(path)
    yield made
    made.close()


def reopened(path):
    return Knowledge(path)


def learn(knowledge, value, *, user="7", service="shop", kind="device", moment="2026-01-01"):
    return knowledge.learn(service, user, kind, value, moment)


def test_the_file_is_private(knowledge, path):
    """It says who logs in from where."""
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_first_value_is_nothing_to_tell_and_the_next_new_one_is(knowledge):
    """And each of them once."""
    assert [learn(knowledge, value) for value in ("a", "a", "b", "b", "a", "c")] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_users_services_and_kinds_are_apart(knowledge):
    """Each has its own first value."""
    learn(knowledge, "a")
    assert not learn(knowledge, "b", user="8")
    assert not learn(knowledge, "b", service="billing")
    assert not learn(knowledge, "b", kind="network")
    assert learn(knowledge, "b")


def test_an_attacker_cannot_fill_the_file(knowledge):
    """A user with a thousand devices is told about no more, and the known ones stay known."""
    with knowledge.step():
        told = [learn(knowledge, f"device {i}") for i in range(MAX_VALUES + 100)]
    assert told.count(True) == MAX_VALUES - 1
    assert not learn(knowledge, "device 0")
    [[count]] = knowledge._db.execute("SELECT count(*) FROM known")
    assert count == MAX_VALUES


def test_last_seen_never_goes_back(knowledge):
    """Entries of several segments come out of order."""
    for moment in ("2026-01-02", "2026-01-03", "2026-01-01"):
        learn(knowledge, "a", moment=moment)
    assert list(knowledge._db.execute("SELECT first_seen, last_seen FROM known")) == [("2026-01-02", "2026-01-03")]


def test_a_step_that_fails_leaves_no_trace(knowledge, path):
    """Cursor, knowledge and debts go together."""
    with pytest.raises(ZeroDivisionError), knowledge.step():
        knowledge.advance({"segment": 10})
        learn(knowledge, "a")
        knowledge.owe([Event(type="authn_new_ip", id="1")])
        _ = 1 // 0
    other = reopened(path)
    assert (other.cursor(), other.owed()) == ({}, [])
    assert not learn(other, "b")
    other.close()


def test_a_step_is_durable_when_it_ends(knowledge, path):
    """Another connection sees it."""
    with knowledge.step():
        knowledge.advance({"segment": 10})
        knowledge.owe([Event(type="authn_new_ip", id="1", fields={"user.id": "7"})])
    other = reopened(path)
    assert other.cursor() == {"segment": 10}
    assert other.owed() == [Event(type="authn_new_ip", id="1", fields={"user.id": "7"})]
    other.close()


def test_debts_are_paid_in_order_and_once(knowledge):
    """An id that is owed already is not owed twice."""
    with knowledge.step():
        knowledge.owe([Event(type="authn_new_ip", id=str(i)) for i in (3, 1, 2, 1)])
    assert [event.id for event in knowledge.owed()] == ["3", "1", "2"]
    knowledge.told("1")
    knowledge.told("1")
    assert [event.id for event in knowledge.owed()] == ["3", "2"]


def test_segments_that_are_gone_are_forgotten(knowledge):
    """Offset and closed mark together."""
    knowledge.advance({"a": 1, "b": 2})
    knowledge.mark_closed("a")
    knowledge.mark_closed("c")
    assert knowledge.closed() == {"a", "c"}
    knowledge.advance({"b": 5})
    assert (knowledge.cursor(), knowledge.closed()) == ({"b": 5}, set())


def test_advancing_keeps_the_closed_mark(knowledge):
    """A closed segment may still be read."""
    knowledge.mark_closed("a")
    knowledge.advance({"a": 7})
    assert (knowledge.cursor(), knowledge.closed()) == ({"a": 7}, {"a"})


def test_a_file_of_a_later_version_is_refused(path):
    """A downgrade must not write into what it does not know."""
    Knowledge(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(LaterVersionError, match="later version"):
        Knowledge(path)


def test_a_file_that_is_no_database_is_refused(path):
    """And left as it is."""
    path.write_bytes(b"x" * 5000)
    with pytest.raises(sqlite3.DatabaseError):
        Knowledge(path)
    assert path.read_bytes() == b"x" * 5000
