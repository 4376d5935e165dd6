"""`seclog.denied` in Flask: the app says why, and the one entry says with what status it ended."""

import pytest
from flask import Response, abort, stream_with_context

import seclog

REFUSED = {"permission": "order.read", "target_type": "order", "target_id": 7}


def refusing(app, answer):
    """Add a view that refuses and answers."""

    def view():
        seclog.denied("not_owner", **REFUSED)
        return answer()

    app.add_url_rule("/order", "order", view, methods=["GET", "POST"])


def boom():
    raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "status"),
    [(lambda: ("no", 403), 403), (lambda: abort(404), 404), (lambda: "sorry", 200), (boom, 500)],
    ids=["403", "404", "200", "exception"],
)
def test_one_entry_with_the_status(app, client, told, answer, status):
    """Whatever the answer is: one entry, with what the app said and what the client got."""
    refusing(app, answer)
    client.get("/order")
    [entry] = told()
    assert (entry["event.name"], entry["reason"], entry["http.response.status_code"]) == (
        "authz_fail",
        "not_owner",
        status,
    )
    assert (entry["seclog.permission"], entry["seclog.target.type"], entry["seclog.target.id"]) == (
        "order.read",
        "order",
        "7",
    )
    assert (entry["http.route"], entry["http.request.method"]) == ("/order", "GET")


def test_the_last_word_of_the_app_counts(app, client, told):
    """Said twice, it is still one entry."""

    def view():
        seclog.denied("first")
        with seclog.actor("policy"):  # also from within a job of the request
            seclog.denied("second")
        return "no", 403

    app.add_url_rule("/", "view", view)
    client.get("/")
    assert [entry["reason"] for entry in told()] == ["second"]


def test_what_is_refused_while_the_answer_leaves_is_recorded_at_once(app, client, told):
    """Nobody decides about the request any more."""

    def chunks():
        yield b"one"
        seclog.denied("row_filtered")
        yield b"two"

    app.add_url_rule("/", "view", lambda: Response(stream_with_context(chunks())))
    assert client.get("/").data == b"onetwo"
    assert [entry["reason"] for entry in told()] == ["row_filtered"]
