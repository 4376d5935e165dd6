"""`seclog events`: filters, forms, order."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from cli.journals import LOGINS, SCRIPT, forge, record
from seclog.events.event import Event

CONFIGURATION = ["audit_log_started", "config_changed", "audit_log_stopped"]


@pytest.fixture
def found(cli, directory):
    """The names of the entries that pass, without the journal's own records unless they are asked for."""

    def call(*args):
        code, out, err = cli("events", directory, *args, "--format", "json")
        assert (code, err) == (0, "")
        return [json.loads(line)["event.name"] for line in out.splitlines()]

    return call


def test_json_is_as_stored(script, directory, segment):
    """--format json gives each entry byte for byte as it is stored, one a line."""
    code, out, err = script("events", directory, "--format", "json")
    assert (code, err) == (0, "")
    assert out.encode() == segment.read_bytes()


def test_table_is_one_readable_line_an_entry(script, directory):
    """The table shows time, severity, type, outcome, user, address, request, reason and a short id."""
    code, out, err = script("events", directory, "--type", "authn_login_fail")
    [line] = out.splitlines()
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ medium   authn_login_fail         failure joebob1    198\.51\.100\.7    "
        r"POST /login/ 200 invalid_credentials [0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}",
        line,
    )


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--type", "config_changed"], ["config_changed"]),
        (["--type", "config_changed", "--type", "authn_login_fail"], ["authn_login_fail", "config_changed"]),
        (["--type", "authn_*"], ["authn_login_fail", "authn_login_success"]),
        (["--family", "1"], ["authn_login_fail", "authn_login_success"]),
        (["--family", "login"], ["authn_login_fail", "authn_login_success"]),
        (["--family", "Configuration"], CONFIGURATION),
        (
            ["--family", "new", "--family", "sess", "--family", "1"],
            ["authn_login_fail", "authn_login_success"],
        ),
        (["--user", "alice"], ["authn_login_success", "config_changed"]),
        (["--user", "3"], ["authn_login_fail"]),
        (["--user", ""], []),
        (["--address", "198.51.100.7"], ["authn_login_fail"]),
        (["--address", "198.51.100.0/24"], ["authn_login_fail"]),
        (["--address", "198.51.100.77/24"], ["authn_login_fail"]),
        (["--address", "2001:db8::/32"], ["authn_login_success"]),
        (["--address", "10.0.0.0/8"], []),
        (["--outcome", "failure"], ["authn_login_fail"]),
        (["--severity", "critical"], ["config_changed"]),
        (["--severity", "medium"], ["authn_login_fail", "config_changed"]),
        (["--text", "TAX_"], ["config_changed"]),
        (["--text", "198.51."], ["authn_login_fail"]),
        (["--user", "alice", "--severity", "high"], ["config_changed"]),
        (["--user", "alice", "--outcome", "failure"], []),
    ],
)
def test_filters(found, args, expected):
    """Each filter leaves what it says, several of one kind widen, different ones narrow."""
    assert found(*args) == expected


def test_limit_takes_the_newest_and_keeps_their_order(found):
    """--limit keeps the last matches, the newest last."""
    assert found("--limit", "2", "--user", "alice") == ["authn_login_success", "config_changed"]
    assert found("--limit", "1", "--user", "alice") == ["config_changed"]


@pytest.fixture
def days(tmp_path):
    """A journal with an entry a day ago, an hour ago, and five minutes ago."""
    now = datetime.now(UTC)
    folder = tmp_path / "seclog" / "journal" / "h"
    for number, ago in enumerate((timedelta(days=1), timedelta(hours=1), timedelta(minutes=5)), 1):
        moment = now - ago
        entry = (moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), f"event_{number}")
        forge(folder, f"{moment:%Y%m%dT%H%M%SZ}-1-0000000{number}", entry)
    return tmp_path / "seclog", now


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--since", "15m"], [3]),
        (["--since", "600s"], [3]),
        (["--since", "2h"], [2, 3]),
        (["--since", "7d"], [1, 2, 3]),
        (["--since", "1w", "--until", "2h"], [1]),
        (["--until", "2h"], [1]),
        (["--since", "0s"], []),
    ],
)
def test_spans(cli, days, args, expected):
    """--since and --until take spans back from now."""
    out = cli("events", days[0], "--type", "event_*", *args)[1]
    assert [int(line.split()[3][-1]) for line in out.splitlines()] == expected


def test_moments(cli, days):
    """--since and --until take ISO dates and times; without a zone they are UTC; until is exclusive."""
    directory, now = days
    [line] = cli("events", directory, "--type", "event_2", "--format", "json")[1].splitlines()
    exact = json.loads(line)["timestamp"]
    arguments = ("events", directory, "--type", "event_2")
    assert len(cli(*arguments, "--since", exact)[1].splitlines()) == 1
    assert len(cli(*arguments, "--since", exact.removesuffix("Z"))[1].splitlines()) == 1
    assert cli(*arguments, "--until", exact)[1] == ""
    east = (datetime.fromisoformat(exact) + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"
    assert len(cli(*arguments, "--since", east)[1].splitlines()) == 1
    assert len(cli(*arguments, "--since", f"{now - timedelta(days=2):%Y-%m-%d}")[1].splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--since", "yesterday"], "neither an ISO date or time nor a span"),
        (["--since", "99999999w"], "neither an ISO date or time nor a span"),
        (["--since", "0001-01-01T00:00:00+10:00"], "neither an ISO date or time nor a span"),
        (["--family", "11"], "is no family; there are: 1 login"),
        (["--family", ""], "is no family"),
        (["--address", "somewhere"], "neither an address nor a network"),
        (["--outcome", "fine"], "is not one of 'success'"),
        (["--severity", "grave"], "is not one of 'informational'"),
        (["--limit", "0"], "is not in the range"),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_options(cli, directory, args, words):
    """A wrong option is a sentence on standard error and exit code 2."""
    code, out, err = cli("events", directory, *args)
    assert (code, out) == (2, "")
    assert words in err and "Traceback" not in err


def test_a_type_that_the_catalogue_lacks_is_told_and_still_looked_for(cli, tmp_path):
    """A misspelt type gets a proposal; a type of the app's own is found."""
    record(tmp_path, Event(type="shop_refund"))
    code, out, err = cli("events", tmp_path, "--type", "shop_refund")
    assert (code, len(out.splitlines())) == (0, 1)
    assert err == "seclog: the catalogue has no type 'shop_refund'\n"
    assert "did you mean 'authn_login_fail'?" in cli("events", tmp_path, "--type", "authn_login_fial")[2]


def test_entries_of_a_segment_keep_their_order_when_the_clock_goes_back(cli, tmp_path):
    """Within a segment the chain's order counts, whatever the clock said."""
    forge(
        tmp_path / "journal" / "h",
        "20260101T000000Z-1-00000001",
        ("2026-01-01T00:00:05.000000Z", "one"),
        ("2026-01-01T00:00:01.000000Z", "two"),
        ("2026-01-01T00:00:06.000000Z", "three"),
    )
    out = cli("events", tmp_path)[1]
    assert [line.split()[3] for line in out.splitlines()][1:-1] == ["one", "two", "three"]


def test_memory_is_constant(tmp_path, script):
    """Entries stream: 50 MB of them pass through a process that may not hold them."""
    path = record(tmp_path, *LOGINS)
    line = path.read_bytes().splitlines(keepends=True)[1]
    path.write_bytes(path.read_bytes() + line * (50_000_000 // len(line)))
    program = ("sh", "-c", 'ulimit -v 400000; exec "$0" "$@" | tail -n 1')
    code, out, err = script(SCRIPT, "events", path, "--format", "json", program=program)
    assert (code, err) == (0, "")
    assert json.loads(out)["event.name"] == "authn_login_fail"
