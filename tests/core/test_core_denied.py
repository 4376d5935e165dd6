"""What app code says outside of a request: a refusal, and pseudonyms of what must not be written."""

import threading
from secrets import token_urlsafe

import pytest

import seclog
from conftest import whole
from seclog import api
from seclog.api import NOT_CONFIGURED


class Mute:
    def __str__(self):
        raise RuntimeError


class Sly(str):
    """A text whose own methods fail, or say more than they should."""

    def encode(self, *args):
        raise RuntimeError(self)


@pytest.fixture
def unconfigured(monkeypatch):
    monkeypatch.setattr(api, "_installed", None)


# ── denied ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_of_a_request_a_refusal_is_recorded_at_once(entries):
    """A job or a command has no response to wait for: one whole entry, with the actor."""
    with seclog.actor("cron:invoices"):
        seclog.denied("not_owner", permission="invoice.send", target_type="invoice", target_id=17, rule_id=3)
        [entry] = entries
    for name in ("service.name", "deployment.environment.name"):  # as the project says in which the tests run
        entry.pop(name, None)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Access denied",
        "reason": "not_owner",
        "user.id": "cron:invoices",
        "seclog.permission": "invoice.send",
        "seclog.target.type": "invoice",
        "seclog.target.id": "17",
        "seclog.rule.id": "3",
        "seclog.actor": "cron:invoices",
    }


def test_a_refusal_of_what_cannot_be_printed(entries):
    """Neither a permission nor an id that fails to say what it is breaks the app."""
    seclog.denied(permission=Mute(), target_id=Mute())
    [entry] = entries
    assert entry["reason"] == "denied"
    assert entry["seclog.permission"] == entry["seclog.target.id"] == "[unprintable Mute: RuntimeError]"


# ── pseudonyms ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pseudonym_is_the_same_for_the_same_value_and_purpose(entries):
    """It can be compared, says nothing of the value, and links nothing across purposes."""
    token, other = token_urlsafe(24), token_urlsafe(24)
    made = seclog.pseudonym("token", token)
    assert made == seclog.pseudonym("token", token) == api.installed().pseudonym("token", token)
    assert len(made) == 32 and int(made, 16)
    assert len({made, seclog.pseudonym("token", other), seclog.pseudonym("session", token)}) == 3
    assert entries == []


def test_an_unknown_name_is_written_as_a_login_of_it_would_be(entries):
    """What the app writes by itself can be held against what seclog wrote."""
    name = token_urlsafe()
    seclog.login_failed(name, "unknown_user")
    assert seclog.unknown_name(name) == entries[0]["user.name"]
    assert name not in seclog.unknown_name(name)


def test_before_configure_there_is_no_pseudonym_and_never_the_value(unconfigured):
    """There is no key yet: a fixed text stands there."""
    assert seclog.pseudonym("token", token_urlsafe()) == NOT_CONFIGURED
    assert seclog.unknown_name(token_urlsafe()) == NOT_CONFIGURED


@pytest.mark.contains_errors
@pytest.mark.parametrize(
    "value",
    ["", "\x00\ud800", "a" * 1_000_000, b"bytes", None, 7, Mute(), Sly("secret")],
    ids=lambda v: type(v).__name__,
)
def test_any_value_gives_a_text_that_is_not_the_value(entries, value):
    """Hostile input, or a value of a wrong type, breaks nothing."""
    for made in (seclog.pseudonym("token", value), seclog.pseudonym(value, "x"), seclog.unknown_name(value)):
        assert type(made) is str
        assert len(made) < 64
        assert "secret" not in made


def test_pseudonyms_are_the_same_in_every_thread(entries):
    """The key is the process's."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(seclog.pseudonym("token", "x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {seclog.pseudonym("token", "x")} and len(found) == 8
