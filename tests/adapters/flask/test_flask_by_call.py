"""What the app's own code has told of a request or a session is not told again by a hook."""

import time

import pytest
from flask import abort, session

import seclog


@pytest.mark.parametrize("kind", ["input_validation_fail", "authz_fail", "malicious_csrf"])
def test_a_refusal_told_by_the_app_is_told_once(app, client, names, kind):
    """The app says why it refuses: the status adds nothing of the same or a lesser rank."""

    @app.post("/")
    def refuse():
        seclog.emit(kind, reason="by_call")
        abort(403 if kind == "authz_fail" else 400)

    client.post("/")
    assert names() == [kind]


def test_what_weighs_more_than_a_call_is_told_as_well(app, client, names):
    """An attack tool is one, whatever the app said of the form it sent."""

    @app.post("/")
    def refuse():
        seclog.emit("input_validation_fail", reason="by_call")
        abort(400)

    client.post("/", headers={"User-Agent": "sqlmap/1.9"})
    assert names() == ["input_validation_fail", "malicious_attack_tool"]


def test_a_session_that_the_app_ends_for_its_age_is_no_logout(app, client, told):
    """The app has a deadline of its own, and tells that it is over: one entry, with the session's hash."""

    @app.post("/enter")
    def enter():
        session.update(user_id=7, session_id="of-this-session", until=time.time() - 1)
        return ""

    @app.get("/")
    def end():
        if time.time() > session["until"]:
            seclog.emit("session_expired", reason="expired")
            session.clear()
        return ""

    client.post("/enter")
    told()
    client.get("/")
    [entry] = told()
    assert (entry["event.name"], entry["user.id"], entry["reason"]) == ("session_expired", "7", "expired")
    assert entry["seclog.session.id_hash"]
