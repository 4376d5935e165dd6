"""Family 9 in Django: configuration in the database, and the project's settings from one start to the next."""

import json
import os
import stat
import subprocess
import sys
from decimal import Decimal
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F
from django.utils.functional import lazystr

from conftest import whole
from djangoapp.models import StoreSettings
from seclog import api
from seclog.adapters import _settings_fingerprint as settings_fingerprint
from seclog.adapters.django import configuration, middleware
from seclog.assembly import Installation
from seclog.settings import Settings

db = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store():
    return StoreSettings.objects.create(name="main")


def changes(entries):
    """Return name, old and new of each change."""
    return [(e["seclog.target.name"], e.get("seclog.change.old"), e.get("seclog.change.new")) for e in entries]


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────


@db
def test_changed_field_whole_entry(store, entries):
    """A changed field of a watched model is one entry, old and new."""
    store.tax_rate = Decimal("7.00")
    store.save()
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "config_changed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Configuration changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.action": "change",
        "seclog.target.type": "djangoapp.StoreSettings",
        "seclog.target.name": "djangoapp.StoreSettings.tax_rate",
        "seclog.target.id": str(store.pk),
        "seclog.change.field": "tax_rate",
        "seclog.change.old": "19.00",
        "seclog.change.new": "7.00",
    }


@db
def test_created_and_deleted_rows(entries):
    """A new row is told with its values, a deleted one with its last values."""
    store = StoreSettings.objects.create(name="second", enabled=False)
    store.delete()
    created, deleted = entries
    assert (created["seclog.action"], deleted["seclog.action"]) == ("create", "delete")
    assert created["seclog.target.name"] == deleted["seclog.target.name"] == "djangoapp.StoreSettings"
    assert created["seclog.change.new"]["name"] == deleted["seclog.change.old"]["name"] == "second"
    assert created["seclog.target.id"] == deleted["seclog.target.id"]


@db
def test_secrets_are_masked(store, entries):
    """A field named like a secret is told without its values, in a change and in a new row."""
    old, new, third = token_urlsafe(24), token_urlsafe(24), token_urlsafe(24)
    StoreSettings.objects.filter(pk=store.pk).update(payment_api_key=old)
    store.refresh_from_db()
    store.payment_api_key = new
    store.save()
    StoreSettings.objects.create(name="second", payment_api_key=third)
    assert [e["seclog.action"] for e in entries] == ["change", "change", "create"]
    assert not any(secret in json.dumps(entries) for secret in (old, new, third))


@db
def test_bulk_operations(store, entries):
    """update(), with values and expressions, and the bulk methods are told row by row."""
    StoreSettings.objects.update(enabled=False, name="main")
    StoreSettings.objects.update(tax_rate=F("tax_rate") + 1)
    store.refresh_from_db()
    store.name = "renamed"
    StoreSettings.objects.bulk_update([store], ["name"])
    StoreSettings.objects.bulk_create([StoreSettings(name="third")])
    assert changes(entries)[:3] == [
        ("djangoapp.StoreSettings.enabled", True, False),
        ("djangoapp.StoreSettings.tax_rate", "19.00", "20.00"),
        ("djangoapp.StoreSettings.name", "main", "renamed"),
    ]
    assert entries[3]["seclog.action"] == "create" and len(entries) == 4


@db
def test_equal_values_in_another_type_are_no_change(store, entries):
    """A form's text "19" is the number 19: no event."""
    store.tax_rate, store.enabled = "19", "True"
    store.save()
    assert entries == []


@db
def test_rolled_back_configuration_leaves_nothing(store, entries):
    """A change that was rolled back was none."""
    with pytest.raises(RuntimeError), transaction.atomic():
        store.enabled = False
        store.save()
        raise RuntimeError
    assert entries == []


def installation_watching(**models):
    return Settings(directory=None, watch_models={label.replace("__", "."): names for label, names in models.items()})


@db
def test_only_the_named_fields(store, entries, monkeypatch):
    """Where fields are named, the others are ordinary data, and saving only those costs no query."""

    class Named:
        settings = installation_watching(djangoapp__StoreSettings=("tax_rate",))

    monkeypatch.setattr(configuration.api, "installed", lambda: Named)
    configuration.connect()
    monkeypatch.undo()
    try:
        store.name, store.tax_rate = "other", Decimal(5)
        store.save()
        assert changes(entries) == [("djangoapp.StoreSettings.tax_rate", "19.00", "5")]
    finally:
        configuration.connect()


@db
def test_a_watched_user_model_is_told_by_both_families(entries, monkeypatch):
    """The user model may be configuration too: each family tells its own, and a password's hash is masked."""

    class Watching:
        settings = installation_watching(auth__User=("password", "is_staff"))

    monkeypatch.setattr(configuration.api, "installed", lambda: Watching)
    configuration.connect()
    monkeypatch.undo()
    try:
        user = get_user_model().objects.create_user("alice", password=token_urlsafe())
        hashes = {user.password}
        user.set_password(token_urlsafe())
        user.is_staff = True
        user.save()
        hashes.add(user.password)
        names = [e["seclog.target.name"] for e in entries if e["event.name"] == "config_changed"]
        assert names == ["auth.User", "auth.User.password", "auth.User.is_staff"]
        assert [e["event.name"] for e in entries].count("authz_change") == 1
        assert not any(value in str(entries) for value in hashes)
    finally:
        configuration.connect()


def test_unknown_models_and_fields_are_found():
    """What watch_models names and the project does not have is found, for `manage.py check`."""
    settings = installation_watching(
        djangoapp__StoreSettings=("tax_rate", "nope"), djangoapp__Missing=(), elsewhere__Thing=()
    )
    assert configuration.unknown_models(settings) == [
        "djangoapp.StoreSettings.nope",
        "djangoapp.Missing",
        "elsewhere.Thing",
    ]
    assert configuration.unknown_models(installation_watching(djangoapp__StoreSettings=())) == []


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def start(tmp_path, entries):
    """Start the app: compare its settings with those of the last start; return the entries of this start."""

    def start(**ours):
        installation = Installation(
            Settings(directory=tmp_path, service="shop/api", **ours), pseudonym_key="a key for tests only"
        )
        entries.clear()
        configuration.compare_settings(installation)
        return list(entries)

    return start


@pytest.fixture
def state(tmp_path):
    return tmp_path / "settings-shop_api.json"


def test_the_middleware_compares_at_start(monkeypatch, entries):
    """The comparison runs where the app starts to serve, once a worker."""
    compared = []
    monkeypatch.setattr(middleware, "compare_settings", compared.append)
    monkeypatch.setattr(middleware, "_started", None)
    middleware.SecurityEventMiddleware(lambda request: None)
    middleware.SecurityEventMiddleware(lambda request: None)
    assert compared == [api.installed()]


def test_first_start_and_same_start_are_silent(start, state):
    """The first start has nothing to compare with, and an unchanged one nothing to tell."""
    assert start() == []
    assert start() == []
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert state.stat().st_size < 20_000


def test_changed_setting_is_told_by_name(start, settings, state):
    """A changed setting is told by name, with keyed digests for its values; no value is on disk."""
    settings.PAYMENT_USER = secret = token_urlsafe()
    start()
    settings.PAYMENT_USER = second = token_urlsafe()
    settings.SESSION_COOKIE_AGE = 60
    [entry] = start()
    old, new = entry.pop("seclog.change.old"), entry.pop("seclog.change.new")
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "config_changed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Configuration changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.target.name": "django.settings",
        "seclog.change.field": ["PAYMENT_USER", "SESSION_COOKIE_AGE"],
        "seclog.count": 2,
    }
    assert (old["SESSION_COOKIE_AGE"], new["SESSION_COOKIE_AGE"]) == (1209600, 60)
    assert old["PAYMENT_USER"].startswith("digest:") and old["PAYMENT_USER"] != new["PAYMENT_USER"]
    assert not any(value in state.read_text() + str((old, new)) for value in (secret, second))


@pytest.mark.parametrize(
    ("name", "before", "after", "field"),
    [
        ("DEBUG", False, True, "DEBUG"),
        ("SESSION_COOKIE_SECURE", True, False, "SESSION_COOKIE_SECURE"),
        ("CSRF_COOKIE_HTTPONLY", True, False, "CSRF_COOKIE_HTTPONLY"),
        ("SECURE_HSTS_SECONDS", 3600, 0, "SECURE_HSTS_SECONDS"),
        ("SECURE_SSL_REDIRECT", True, False, "SECURE_SSL_REDIRECT"),
        ("ALLOWED_HOSTS", ["shop.example"], ["shop.example", "*"], "ALLOWED_HOSTS:*"),
        (
            "MIDDLEWARE",
            ["django.middleware.csrf.CsrfViewMiddleware", "a.b"],
            ["a.b"],
            "MIDDLEWARE:django.middleware.csrf.CsrfViewMiddleware",
        ),
        ("AUTH_PASSWORD_VALIDATORS", [{"NAME": "a"}], [], "AUTH_PASSWORD_VALIDATORS:count"),
    ],
)
def test_weakened_protection(start, settings, name, before, after, field):
    """A start with less protection than the last one is of high severity and says what is weaker; the way back is not."""
    setattr(settings, name, before)
    start()
    setattr(settings, name, after)
    [entry] = start()
    assert (entry["severity"], entry["reason"], entry["seclog.change.weakened"]) == (
        "high",
        "weakened",
        [field],
    )
    assert entry["seclog.change.field"] == [field]
    setattr(settings, name, before)
    [entry] = start()
    assert entry["severity"] == "medium" and "reason" not in entry


def test_order_and_addresses_are_no_change(start, settings):
    """A set in another order, a lazy text and an object that prints its address are the same at the next start."""

    class Thing:
        pass

    settings.A_SET, settings.A_TEXT, settings.A_THING = (
        {"a", "b", "c"},
        lazystr("x"),
        [Thing(), test_unknown_models_and_fields_are_found],
    )
    start()
    settings.A_SET, settings.A_TEXT, settings.A_THING = (
        {"c", "a", "b"},
        lazystr("x"),
        [Thing(), test_unknown_models_and_fields_are_found],
    )
    assert start() == []


def test_added_and_removed_settings(start, settings):
    """A setting that appears or goes away has one value only."""
    start()
    settings.BRAND_NEW = 1
    [entry] = start()
    assert (entry["seclog.change.field"], entry["seclog.change.old"]) == (["BRAND_NEW"], {"BRAND_NEW": None})
    del settings.BRAND_NEW
    [entry] = start()
    assert entry["seclog.change.new"] == {"BRAND_NEW": None}


def test_own_settings_are_told_apart(start):
    """A change of seclog's own settings is a change of the record itself."""
    start()
    [entry] = start(ignore_paths=("/quiet/",))
    assert entry["event.name"] == "audit_log_config_changed"
    assert len(entry["seclog.change.old"]) == len(entry["seclog.change.new"]) == 16
    assert entry["seclog.change.old"] != entry["seclog.change.new"]


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff", b"[]", b'{"version": 1, "key": 3}', b'{"version": 2}'])
def test_unreadable_state_counts_as_the_first_start(start, state, garbage):
    """A broken file is not an error: it is replaced."""
    state.write_bytes(garbage)
    assert start() == []
    assert json.loads(state.read_text())["version"] == 1
    assert start() == []


def test_a_lost_key_is_not_a_change_of_every_setting(start, state, settings):
    """Digests under another key say nothing; what is kept in clear is still compared."""
    start()
    kept = json.loads(state.read_text())
    state.write_text(json.dumps({**kept, "key": "another", "digests": {}, "clear": {**kept["clear"], "DEBUG": True}}))
    [entry] = start()
    assert (entry["seclog.change.field"], entry["severity"]) == (["DEBUG"], "medium")


def test_without_a_directory_nothing_is_compared(tmp_path, entries, monkeypatch):
    """Where nothing may be written there is no last start."""
    monkeypatch.chdir(tmp_path)
    configuration.compare_settings(Installation(Settings(directory=None), pseudonym_key="a key for tests only"))
    configuration.compare_settings(None)
    assert entries == [] and list(tmp_path.iterdir()) == []


def test_a_held_lock_does_not_hang_the_start(start, state, monkeypatch, caplog):
    """A stopped process that holds the lock costs a bounded wait and a comparison, not the start."""
    monkeypatch.setattr(settings_fingerprint, "LOCK_SECONDS", 0.05)
    holder = settings_fingerprint.FileLock(state.with_suffix(".lock"))
    assert holder.acquire()
    assert start() == []
    holder.release()
    assert "were not compared" in caplog.text and not state.exists()


WORKER = """
import sys
from pathlib import Path
from django.conf import settings
settings.configure(DEBUG=sys.argv[2] == "on")
from seclog import api
from seclog.adapters.django.settings_fingerprint import compare_settings
from seclog.settings import Settings
compare_settings(api.configure(Settings(directory=Path(sys.argv[1]), service="shop", pseudonym_key="k" * 32)))
"""


def test_four_workers_starting_together_tell_it_once(tmp_path):
    """Workers agree under a lock: one entry for all of them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    for debug in ("off", "on"):
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), debug], env=environment) for _ in range(4)
        ]
        assert [worker.wait(30) for worker in workers] == [0] * 4
    lines = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    [entry] = [line for line in lines if line["event.name"] == "config_changed"]
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == ({"DEBUG": False}, {"DEBUG": True})
