"""The bridge to the stdlib's logging, in its three directions."""

import json
import logging
import logging.config
from io import StringIO
from secrets import token_urlsafe

import pytest

from seclog import actor, api, configure, emit
from seclog.journal.reader import find_segments
from seclog.logging import EventHandler, JSONFormatter, LoggerSink
from seclog.settings import Settings


@pytest.fixture
def stream():
    return StringIO()


@pytest.fixture
def log():
    """A logger of its own, left as it was found."""
    logger = logging.getLogger("app.orders")
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def json_log(log, stream):
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    return log


# ── JSONFormatter ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "formatter",
    [
        {"()": "seclog.logging.JSONFormatter"},
        {"class": "seclog.logging.JSONFormatter"},
        {"class": "seclog.logging.JSONFormatter", "format": "%(levelname)s %(message)s", "datefmt": "%H", "style": "%"},
    ],
    ids=["factory", "class", "class with a format"],
)
def test_it_fits_into_an_existing_dictconfig(log, stream, formatter):
    """The line in LOGGING that names the formatter changes, nothing else."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": formatter},
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json", "stream": stream}},
            "loggers": {"app.orders": {"handlers": ["out"], "level": "INFO", "propagate": False}},
        }
    )
    log.warning("order %d is late", 7, extra={"order": 7})
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "schema": "seclog/1",
        "severity": "medium",
        "message": "order 7 is late",
        "log.logger": "app.orders",
        "order": 7,
    }


@pytest.mark.parametrize(
    ("level", "severity"),
    [(10, "informational"), (20, "informational"), (25, "informational"), (30, "medium"), (40, "high"), (50, "critical"), (99, "critical"), (1, "informational")],
)  # fmt: skip
def test_levels_become_severities(json_log, stream, level, severity):
    """Every number has one."""
    json_log.setLevel(1)
    json_log.log(level, "x")
    assert lines(stream)[0]["severity"] == severity


def test_the_requests_context_is_added(json_log, stream):
    """An app's own line can be found by the same fields as an entry."""
    with actor("cron:x"):
        json_log.info("x")
    assert lines(stream)[0]["seclog.actor"] == "cron:x"


def test_secrets_are_masked_wherever_they_are(json_log, stream):
    """In the message, in an extra, in a traceback."""
    secret = token_urlsafe(24)
    try:
        raise ValueError(f"password={secret}")
    except ValueError:
        json_log.exception("login with password=%s", secret, extra={"password": secret, "deep": {"token": secret}})
    assert secret not in stream.getvalue()
    assert "ValueError" in lines(stream)[0]["error.stack"]


def test_one_record_is_one_ascii_line(json_log, stream):
    """No newline, control character or foreign letter gets through as it is."""
    json_log.info("a\nb\x00ä\u2028\udc80", extra={"k\ny": "v\r\n"})
    assert stream.getvalue().isascii()
    assert len(stream.getvalue().splitlines()) == 1


class Unprintable:
    """Fails when asked for its text."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [("%d items", ("x",), "%d items"), ("%s %s", ("x",), "%s %s"), (Unprintable(), (), "[unprintable Unprintable]"), (7, (), "7")],
    ids=["wrong type", "too few", "unprintable", "number"],
)  # fmt: skip
def test_what_a_record_carries_never_breaks_it(log, message, arguments, shown):
    """A wrong format string loses nothing."""
    extra = {"thing": Unprintable(), "nan": float("nan"), "loop": [...]}
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, message, arguments, None, extra=extra)
    assert json.loads(JSONFormatter().format(record))["message"] == shown


def test_extras_cannot_take_the_names_of_the_head(json_log, stream):
    """What the formatter knows itself stays."""
    json_log.info("x", extra={"schema": "mine", "severity": "none", "timestamp": "never"})
    [line] = lines(stream)
    assert (line["schema"], line["severity"]) == ("seclog/1", "informational")
    assert line["timestamp"].startswith("20")


def test_an_entry_is_passed_through_as_it_is(stream):
    """The logger `seclog` with this formatter gives exactly the entries."""
    logger = logging.getLogger("seclog")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert LoggerSink().append(b'{"schema":"seclog/1","severity":"high","x":1')
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert stream.getvalue() == '{"schema":"seclog/1","severity":"high","x":1}\n'


# ── EventHandler ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_log_record_that_names_an_event_becomes_one(log, entries):
    """Message and extras come along."""
    log.addHandler(EventHandler())
    log.warning("refused %s", "alice", extra={"seclog_event": "authz_fail", "target_id": 17, "reason": "closed"})
    [entry] = entries
    assert (entry["event.name"], entry["message"], entry["seclog.target.id"], entry["reason"]) == (
        "authz_fail",
        "refused alice",
        "17",
        "closed",
    )
    assert not any(key.startswith(("seclog.lineno", "seclog.args", "seclog.seclog")) for key in entry)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def logged_exception(log, error, **about):
    """Log an exception as apps do, with an event's name."""
    log.addHandler(EventHandler())
    try:
        raise error
    except Exception:
        log.exception("refund failed", extra={"seclog_event": "app_unhandled_exception", **about})


def test_the_exception_of_a_log_record_comes_along_redacted(log, entries):
    """`log.exception(…)`: its type, and what it says without the secrets in it."""
    secret = token_urlsafe(24)
    logged_exception(log, ValueError(f"refused: password={secret}"))
    [entry] = entries
    assert (entry["error.type"], entry["message"]) == ("ValueError", "refund failed")
    assert entry["seclog.error.message"].startswith("refused: ")
    assert secret not in json.dumps(entry)


def test_an_exception_that_cannot_be_printed(log, entries):
    """It is named by its type; the handler does not fail."""
    logged_exception(log, Mute())
    [entry] = entries
    assert (entry["error.type"], entry["seclog.error.message"]) == ("Mute", "[unprintable Mute: RuntimeError]")


def test_what_the_app_says_of_the_error_stands(log, entries):
    """An extra of that name is the app's own word; and a log record without an exception has no error."""
    logged_exception(log, ValueError(), error_type="Refused")
    log.error("x", exc_info=(None, None, None), extra={"seclog_event": "authz_fail"})
    assert [entry.get("error.type") for entry in entries] == ["Refused", None]


@pytest.mark.parametrize("extra", [None, {"seclog_event": None}, {"seclog_event": 7}])
def test_other_log_records_are_left_alone(log, entries, extra):
    """Only a record that names an event is one."""
    log.addHandler(EventHandler())
    log.warning("x", extra=extra)
    assert entries == []


def test_the_handler_fits_into_dictconfig(log, entries):
    """By its class's name."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"events": {"class": "seclog.logging.EventHandler"}},
            "loggers": {"app.orders": {"handlers": ["events"]}},
        }
    )
    log.error("x", extra={"seclog_event": "authz_fail"})
    assert [entry["event.name"] for entry in entries] == ["authz_fail"]


# ── LoggerSink ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("severity", "level"), [("informational", 20), ("low", 20), ("medium", 30), ("high", 40), ("critical", 50)]
)
def test_severities_become_levels(caplog, severity, level):
    """So that the app's own handlers can filter."""
    caplog.set_level(logging.DEBUG, "seclog")
    assert LoggerSink().append(b'{"severity":"%b"' % severity.encode())
    assert [(record.levelno, record.name) for record in caplog.records] == [(level, "seclog")]


def test_a_logger_that_is_off_says_that_nothing_was_written(caplog):
    """The sink does not claim what it did not do."""
    caplog.set_level(logging.CRITICAL, "seclog")
    assert not LoggerSink().append(b'{"severity":"low"')


@pytest.fixture
def configured(monkeypatch):
    monkeypatch.setattr(api, "_installed", None)
    yield lambda **settings: configure(Settings.load({"watch": False, **settings}, environ={}))
    api.install(None)


def test_log_entries_mirrors_what_is_on_disk(configured, caplog, tmp_path):
    """The logger gets each entry of the app's; the journal's control records stay in the journal."""
    caplog.set_level(logging.INFO, "seclog")
    configured(directory=tmp_path, log_entries=True)
    emit("authz_fail", count=1)
    [record] = [record for record in caplog.records if record.name == "seclog"]
    [segment] = find_segments(tmp_path)
    on_disk = json.loads(segment.read_bytes().splitlines()[1])
    assert (
        json.loads(record.getMessage()).items()
        == {key: value for key, value in on_disk.items() if key not in ("seclog.seq", "seclog.hash")}.items()
    )


def test_without_a_directory_nothing_is_written_to_the_disk(configured, caplog, tmp_path, monkeypatch):
    """A read-only container."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "seclog")
    installation = configured(directory=None)
    emit("authz_fail")
    assert installation.journal is None
    assert list(tmp_path.iterdir()) == []
    assert len(caplog.records) == 1
