"""Family 9 in Flask: the app's configuration, from one start to the next."""

from datetime import timedelta
from secrets import token_urlsafe

import pytest
from flask import Flask

from conftest import whole
from seclog import api
from seclog.adapters.flask import SecLog
from seclog.assembly import Installation
from seclog.settings import Settings


@pytest.fixture
def start(entries, tmp_path):
    """Start an app whose configuration is compared; return what was told of the difference."""
    before = api.installed()
    sink = before.recorder.sink
    common = {"SECRET_KEY": token_urlsafe(), "MODE": object}

    def start(name="shop", **config):
        settings = Settings(directory=tmp_path, service="shop")
        api._installed = Installation(settings, pseudonym_key="a key for tests only")
        api._installed.recorder.sink = sink
        app = Flask(name)
        app.config.update({**common, **config})
        entries.clear()
        SecLog(app)
        app.test_client().get("/favicon.ico")
        return [entry for entry in entries if entry["event.name"] != "sys_startup"]

    yield start
    api._installed = before


def test_a_changed_setting_as_a_whole(start):
    """What changed is one entry: flags and numbers in clear, other values as a keyed digest, secrets not at all."""
    key = token_urlsafe()
    assert start() == []
    assert start() == []
    [entry] = start(SECRET_KEY=key, SESSION_COOKIE_NAME="sid", MAX_CONTENT_LENGTH=1000)
    old, new = entry.pop("seclog.change.old"), entry.pop("seclog.change.new")
    assert (old["MAX_CONTENT_LENGTH"], new["MAX_CONTENT_LENGTH"]) == (None, 1000)
    assert old["SESSION_COOKIE_NAME"].startswith("digest:") and new["SESSION_COOKIE_NAME"].startswith("digest:")
    assert old["SESSION_COOKIE_NAME"] != new["SESSION_COOKIE_NAME"]
    assert (old["SECRET_KEY"], new["SECRET_KEY"]) == ("[redacted]", "[redacted]")
    assert key not in str((old, new))
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "config_changed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Configuration changed",
        "service.name": "shop",
        "seclog.target.name": "flask.config",
        "seclog.change.field": ["MAX_CONTENT_LENGTH", "SECRET_KEY", "SESSION_COOKIE_NAME"],
        "seclog.count": 3,
    }


@pytest.mark.parametrize(
    ("name", "before", "after", "field"),
    [
        ("DEBUG", False, True, "DEBUG"),
        ("TESTING", False, True, "TESTING"),
        ("SESSION_COOKIE_SECURE", True, False, "SESSION_COOKIE_SECURE"),
        ("SESSION_COOKIE_HTTPONLY", True, False, "SESSION_COOKIE_HTTPONLY"),
        ("WTF_CSRF_ENABLED", True, False, "WTF_CSRF_ENABLED"),
        ("SESSION_COOKIE_SAMESITE", "Lax", "None", "SESSION_COOKIE_SAMESITE:strict_or_lax"),
        (
            "PERMANENT_SESSION_LIFETIME", timedelta(days=1), timedelta(days=365), "PERMANENT_SESSION_LIFETIME:seconds",
        ),
    ],
)  # fmt: skip
def test_less_protection_is_told_as_such(start, name, before, after, field):
    """A setting that protects less than before is of high severity; the way back is not."""
    start(**{name: before})
    [entry] = start(**{name: after})
    assert (entry["severity"], entry["reason"], entry["seclog.change.weakened"]) == ("high", "weakened", [field])
    [entry] = start(**{name: before})
    assert entry["severity"] == "medium"


def test_two_apps_of_one_service(start, tmp_path):
    """Two apps have a file each, and do not take each other's settings for a change."""
    for _ in range(2):
        assert start("shop", MAX_CONTENT_LENGTH=1) == []
        assert start("back-office", MAX_CONTENT_LENGTH=2) == []
    assert {path.name for path in tmp_path.glob("settings-*.json")} == {
        "settings-shop.json",
        "settings-shop-back-office.json",
    }
