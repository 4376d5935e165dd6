"""Settings: merged in order, checked once, and every refusal says which key, what was expected, and what came."""

import pickle
from pathlib import Path
from secrets import token_hex

import pytest

from seclog.errors import ConfigurationError
from seclog.settings import KEYS, Settings, WatchSettings

SECRET = token_hex(8)


def load(mapping=None, environ=None, **options):
    return Settings.load(mapping, environ=environ or {}, **options)


GOOD = {
    "directory": ("/var/lib/seclog", Path("/var/lib/seclog")),
    "fallback_directory": (Path("/tmp/seclog"), Path("/tmp/seclog")),
    "service": ("shop", "shop"),
    "version": ("1.2", "1.2"),
    "environment": ("production", "production"),
    "trusted_proxies": (["10.0.0.0/8", "::1", "unix"], ("10.0.0.0/8", "::1", "unix")),
    "watch_models": ({"shop.Tax": ["rate"], "shop.Site": "*"}, {"shop.Tax": ("rate",), "shop.Site": ()}),
    "redact_keys": (("salary",), ("salary",)),
    "ignore_paths": (["/healthz"], ("/healthz",)),
    "sensitive_paths": ([], ()),
    "ack": ("disk", "disk"),
    "on_failure": ("block", "block"),
    "watch": ({"interval_seconds": 2}, WatchSettings(True, 2.0)),
    "retention_days": (400, 400),
    "log_entries": (True, True),
    "record_unknown_usernames": (True, True),
    "pseudonym_key": (SECRET, SECRET),
}


def test_the_table_of_good_values_is_complete():
    """Each key is tried below."""
    assert set(GOOD) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_a_good_value_is_taken_and_its_source_is_known(key):
    """Each key arrives, and nothing else changes."""
    given, expected = GOOD[key]
    settings = load({key: given})
    assert getattr(settings, key) == expected
    assert settings.sources == {key: "SECLOG"}
    others = [other for other in KEYS if other != key]
    assert [getattr(settings, other) for other in others] == [getattr(Settings(), other) for other in others]


PATH = "a path, or None to write to the logger only"
TEXT = "a text of 1 to 128 characters"
TEXTS = "a list of texts"
WRONG = [
    ("directory", 7, f"SECLOG['directory'] must be {PATH}, got int"),
    ("fallback_directory", [SECRET], f"SECLOG['fallback_directory'] must be {PATH}, got list"),
    ("service", "", f"SECLOG['service'] must be {TEXT}, got str"),
    ("service", None, f"SECLOG['service'] must be {TEXT}, got NoneType"),
    ("service", "s" * 129, f"SECLOG['service'] must be {TEXT}, got str"),
    ("version", 1.5, f"SECLOG['version'] must be {TEXT}, got float"),
    ("environment", b"x", f"SECLOG['environment'] must be {TEXT}, got bytes"),
    ("trusted_proxies", "10.0.0.0/8", f"SECLOG['trusted_proxies'] must be {TEXTS}, got str"),
    ("trusted_proxies", [7], f"SECLOG['trusted_proxies'] must be {TEXTS}; each item, got int"),
    (
        "trusted_proxies",
        ["*"],
        'SECLOG[\'trusted_proxies\'] must be a list of networks such as "10.0.0.0/8", or "unix", got another text;'
        " to trust every peer would let any client choose its address",
    ),
    ("watch_models", 7, f"SECLOG['watch_models'] must be {TEXTS}, got int"),
    ("watch_models", ["Tax"], "SECLOG['watch_models'] must name models as \"app_label.Model\""),
    ("watch_models", {"shop.Tax": 7}, f"SECLOG['watch_models'] must be {TEXTS}, got int"),
    ("watch_models", {7: "*"}, "SECLOG['watch_models'] must name models as \"app_label.Model\""),
    ("redact_keys", {"salary": 1}, f"SECLOG['redact_keys'] must be {TEXTS}, got dict"),
    ("redact_keys", [""], f"SECLOG['redact_keys'] must be {TEXTS}; each item, got str"),
    ("ignore_paths", ["healthz"], "SECLOG['ignore_paths'] must be a list of path prefixes that begin with '/'"),
    ("sensitive_paths", ["^/p"], "SECLOG['sensitive_paths'] must be a list of path prefixes that begin with '/'"),
    ("ack", "disc", 'SECLOG[\'ack\'] must be "kernel" or "disk", got str'),
    ("ack", ["disk"], 'SECLOG[\'ack\'] must be "kernel" or "disk", got list'),
    ("on_failure", True, 'SECLOG[\'on_failure\'] must be "degrade" or "block", got bool'),
    ("watch", "on", "SECLOG['watch'] must be True, False or a mapping, got str"),
    ("watch", {"enabled": 1}, "SECLOG['watch']['enabled'] must be True or False, got int"),
    ("watch", {"interval": 1}, "SECLOG['watch']['interval'] is not a setting; known: enabled, interval_seconds"),
    *(
        (
            "watch",
            {"interval_seconds": value},
            f"SECLOG['watch']['interval_seconds'] must be a positive number (of seconds, 3600 at most), got {name}",
        )
        for value, name in [
            ("1", "str"),
            (0, "int"),
            (-1.5, "float"),
            (True, "bool"),
            (float("nan"), "float"),
            (1e9, "float"),
        ]
    ),
    *(
        (
            "retention_days",
            value,
            f"SECLOG['retention_days'] must be a whole number of days, 1 at least, or None to keep everything, got {name}",
        )
        for value, name in [("1", "str"), (0, "int"), (1.5, "float"), (True, "bool")]
    ),
    ("log_entries", 1, "SECLOG['log_entries'] must be True or False, got int"),
    ("record_unknown_usernames", "yes", "SECLOG['record_unknown_usernames'] must be True or False, got str"),
    ("pseudonym_key", SECRET.encode(), "SECLOG['pseudonym_key'] must be a text of 16 to 1024 characters, got bytes"),
    ("pseudonym_key", SECRET[:15], "SECLOG['pseudonym_key'] must be a text of 16 to 1024 characters, got str"),
]


def test_the_table_of_wrong_values_is_complete():
    """Each key is refused below for at least one wrong value."""
    assert {key for key, _, _ in WRONG} == set(KEYS)


@pytest.mark.parametrize(("key", "value", "message"), WRONG)
def test_a_wrong_value_is_refused_with_key_expectation_and_type(key, value, message):
    """The message is exact, and never holds the value."""
    with pytest.raises(ConfigurationError) as caught:
        load({key: value})
    assert str(caught.value) == message
    assert caught.value.key.split(".")[0] == key
    assert SECRET[:15] not in message


def test_an_unknown_key_says_what_was_meant():
    """A slip of the pen costs one look, not an evening."""
    with pytest.raises(ConfigurationError, match=r"^SECLOG\['servce'\] is not a setting; did you mean 'service'\?$"):
        load({"servce": "shop"})
    with pytest.raises(ConfigurationError, match=r"^SECLOG\['zzz'\] is not a setting; known: directory, "):
        load({"zzz": 1})
    with pytest.raises(ConfigurationError, match=r"^SECLOG\[.sources.\] is not a setting"):
        load({"sources": {}})


def test_an_unknown_key_of_any_kind_is_refused_in_one_short_line():
    """A key may be anything, of any length."""
    for key in (7, None, "k" * 10_000):
        with pytest.raises(ConfigurationError) as caught:
            load({key: 1})
        assert len(str(caught.value)) < 500


def test_settings_that_are_no_mapping_are_refused():
    """`SECLOG = [...]` is named as what it is."""
    with pytest.raises(ConfigurationError, match=r"^SECLOG must be a mapping of settings, got list$"):
        load([("service", "shop")])


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_directory_means_logger_only(nothing):
    """Both ways to say it."""
    assert load({"directory": nothing}).directory is None


def test_the_watch_is_switched_without_losing_its_interval():
    """True and False change one thing only."""
    settings = load({"watch": {"interval_seconds": 5}}, {"SECLOG_WATCH": "off"})
    assert settings.watch == WatchSettings(enabled=False, interval_seconds=5.0)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "seclog.toml"
        path.write_text(text)
        return {"SECLOG_CONFIG": str(path)}

    return write


def test_environment_overrides_file_overrides_mapping_overrides_default(toml):
    """Each layer wins over the one before, key by key."""
    environ = toml('version = "file"\nenvironment = "file"\n[watch]\ninterval_seconds = 3\n')
    settings = load(
        {"service": "mapping", "version": "mapping", "environment": "mapping"},
        {**environ, "SECLOG_ENVIRONMENT": "variable"},
        defaults={"service": "default", "directory": "/default"},
    )
    path = environ["SECLOG_CONFIG"]
    assert settings == Settings(
        directory=Path("/default"),
        service="mapping",
        version="file",
        environment="variable",
        watch=WatchSettings(interval_seconds=3.0),
    )
    assert settings.sources == {
        "directory": "default",
        "service": "SECLOG",
        "version": path,
        "environment": "SECLOG_ENVIRONMENT",
        "watch": path,
    }


def test_a_table_named_seclog_is_taken(toml):
    """The settings may share a file with others, such as pyproject.toml."""
    assert load(None, toml('[other]\nx = 1\n[seclog]\nservice = "shop"\n')).service == "shop"


def test_a_wrong_value_in_a_file_names_the_file(toml):
    """The reader knows where to look."""
    environ = toml("ack = 1")
    with pytest.raises(ConfigurationError) as caught:
        load(None, environ)
    assert str(caught.value) == f'{environ["SECLOG_CONFIG"]}[\'ack\'] must be "kernel" or "disk", got int'


@pytest.mark.parametrize(
    ("text", "message"), [("ack = ", "is not valid TOML"), ("seclog = 1", "seclog must be a table, got int")]
)
def test_a_file_that_is_no_settings_is_refused(toml, text, message):
    """Whatever is in it, the message names the file."""
    environ = toml(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(None, environ)
    assert environ["SECLOG_CONFIG"] in str(caught.value)


def test_a_file_that_is_binary_or_not_there_is_refused(tmp_path):
    """A missing file must not mean "no settings": somebody named it."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, message in [
        ("none.toml", "which cannot be read: No such file or directory"),
        (".", "Is a directory"),
        ("binary", "TOML"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            load(None, {"SECLOG_CONFIG": str(tmp_path / name)})


def test_variables_hold_every_kind_of_value():
    """Lists are separated by commas, flags have their usual words."""
    settings = load(
        None,
        {
            "SECLOG_DIRECTORY": "",
            "SECLOG_TRUSTED_PROXIES": "10.0.0.0/8, unix,",
            "SECLOG_WATCH_MODELS": "shop.Tax",
            "SECLOG_WATCH": "No",
            "SECLOG_WATCH_INTERVAL_SECONDS": "0.25",
            "SECLOG_LOG_ENTRIES": "ON",
            "SECLOG_UNRELATED": "ignored",
            "OTHER": "ignored",
        },
    )
    assert settings == Settings(
        directory=None,
        trusted_proxies=("10.0.0.0/8", "unix"),
        watch_models={"shop.Tax": ()},
        watch=WatchSettings(False, 0.25),
        log_entries=True,
    )
    assert settings.sources["watch"] == "SECLOG_WATCH_INTERVAL_SECONDS"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SECLOG_WATCH", "perhaps", "SECLOG_WATCH must be true or false, got another text"),
        ("SECLOG_ACK", "disc", 'SECLOG_ACK[\'ack\'] must be "kernel" or "disk", got str'),
        (
            "SECLOG_WATCH_INTERVAL_SECONDS",
            "soon",
            "SECLOG_WATCH_INTERVAL_SECONDS['watch']['interval_seconds'] must be a positive number"
            " (of seconds, 3600 at most), got str",
        ),
    ],
)
def test_a_wrong_variable_is_named(variable, text, message):
    """The message begins with the variable."""
    with pytest.raises(ConfigurationError) as caught:
        load(None, {variable: text})
    assert str(caught.value) == message


def test_the_process_environment_is_the_default(monkeypatch):
    """Without an explicit environment, the real one counts."""
    monkeypatch.setenv("SECLOG_SERVICE", "from-env")
    assert Settings.load().service == "from-env"


# ── shown, digest ────────────────────────────────────────────────────────────────────────────────────────────────


def test_shown_names_every_key_its_value_and_its_source():
    """What `seclog settings` prints: in order, whole."""
    settings = load({"watch_models": {"shop.Tax": ["rate"]}, "trusted_proxies": ["unix"]}, {"SECLOG_SERVICE": "shop"})
    assert settings.shown() == [
        ("directory", ".seclog", "default"),
        ("fallback_directory", "none", "default"),
        ("service", "shop", "SECLOG_SERVICE"),
        ("version", "none", "default"),
        ("environment", "none", "default"),
        ("trusted_proxies", "unix", "SECLOG"),
        ("watch_models", "shop.Tax(rate)", "SECLOG"),
        ("redact_keys", "none", "default"),
        ("ignore_paths", "none", "default"),
        ("sensitive_paths", "none", "default"),
        ("ack", "kernel", "default"),
        ("on_failure", "degrade", "default"),
        ("watch", "on, every 1 s", "default"),
        ("retention_days", "none", "default"),
        ("log_entries", "False", "default"),
        ("record_unknown_usernames", "False", "default"),
        ("pseudonym_key", "made and kept in the directory", "default"),
    ]


def test_no_view_of_the_settings_shows_the_secret():
    """Neither the table, nor the repr, nor the digest."""
    settings, other = load({"pseudonym_key": SECRET}), load({"pseudonym_key": token_hex(8)})
    assert ("pseudonym_key", "set (not shown)", "SECLOG") in settings.shown()
    assert SECRET not in repr(settings)
    assert settings.digest() == other.digest()


def test_the_digest_tells_settings_apart_and_not_where_they_come_from():
    """Sixteen hex digits over what is in force."""
    digest = load({"service": "shop"}).digest()
    assert digest == load(None, {"SECLOG_SERVICE": "shop"}).digest()
    assert digest != load({"service": "store"}).digest()
    assert len(bytes.fromhex(digest)) == 8


def test_the_digest_of_a_set_is_the_same_in_every_process():
    """The order of a set changes with the process's hash seed; the digest must not."""
    names = {f"key{i}" for i in range(50)}
    assert load({"redact_keys": names}).redact_keys == tuple(sorted(names))


def test_settings_are_frozen_and_picklable():
    """Nobody changes them at run time; a process pool may carry them."""
    settings = load({"service": "shop"})
    with pytest.raises(AttributeError):
        settings.service = "store"
    assert pickle.loads(pickle.dumps(settings)) == settings
