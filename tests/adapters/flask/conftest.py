"""What the tests of the Flask adapter share: an app, and what was recorded of its requests."""

from secrets import token_urlsafe

import pytest
from flask import Flask

from seclog.adapters.flask import SecLog


@pytest.fixture
def make_app(entries):
    """Return a function that makes an app with seclog."""

    def make(name="shop", **about):
        app = Flask(name, static_folder=None)
        app.config.update(SECRET_KEY=token_urlsafe())
        app.logger.disabled = True
        SecLog(app, **about)
        return app

    return make


@pytest.fixture
def app(make_app):
    """An app with seclog."""
    return make_app()


@pytest.fixture
def client(app):
    """Its test client."""
    return app.test_client()


@pytest.fixture
def told(entries):
    """Return a function that gives what was recorded since its last call, without what a process tells of its start."""

    def since():
        found = [entry for entry in entries if not entry["event.name"].startswith("sys_")]
        entries.clear()
        return found

    return since


@pytest.fixture
def names(told):
    """Return a function that gives the names of what was recorded since its last call."""
    return lambda: [entry["event.name"] for entry in told()]
