"""What attackers put into entries and files reaches a terminal as text, and nothing but text."""

import json
import unicodedata

import pytest

from cli.journals import forge, record
from seclog.cli import readable
from seclog.cli.escape import escape, escape_json
from seclog.events.event import Event

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m"
BIDI = "user\u202etxt.exe\u2066x\u2069"
ZERO_WIDTH = "al\u200bi\u200dce\ufeff"
NASTY = f"a\r\nb\x00{ESCAPES}{BIDI}{ZERO_WIDTH}\x7f\x85\x9b\u2028\u2029\u061c\U000e0041\u3164\ufe0f"
HIDDEN = {c for c in NASTY if not c.isprintable()} | {"\u3164", "\ufe0f"}


def harmless(text):
    return not HIDDEN & (set(text) - {"\n"})


def test_every_character_that_a_terminal_obeys_or_hides_is_escaped():
    """Controls, bidi marks, zero-width and other format characters, separators and surrogates never pass."""
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert escape(character).isascii() and escape(character).startswith("\\"), hex(code)


def test_ordinary_text_stays():
    """Letters of all scripts, spaces and backslashes are shown as they are."""
    for text in ("Zoë Müller", "日本語 テスト", "Ünïcode ✓", "C:\\Users", "[red]bold[/red]", "שלום"):
        assert escape(text) == text


def test_json_on_a_terminal_says_the_same():
    """Escaped JSON is the same JSON."""
    raw = json.dumps({"x": "é\u202e\x9b\U0001f600\x7f"}, ensure_ascii=False).encode()
    assert escape_json(raw).isascii()
    assert b"\x7f" not in escape_json(raw)
    assert json.loads(escape_json(raw)) == json.loads(raw)


@pytest.fixture
def hostile(tmp_path):
    """A segment with raw controls in every field, as somebody with write access could make it."""
    entry = {
        "event.outcome": NASTY,
        "severity": NASTY,
        "reason": NASTY,
        "user.name": f"[red]{NASTY}[/red]",
        "client.address": NASTY,
        "http.request.method": NASTY,
        "url.path": "/" + "[bold]" * 20 + NASTY,
        "http.response.status_code": [NASTY],
        "user_agent.original": NASTY,
        NASTY: {NASTY: NASTY},
        "seclog.target.id": {"a": NASTY},
        "seclog.target.type": NASTY,
        "seclog.change.field": NASTY,
        "seclog.change.old": NASTY,
        "seclog.change.new": NASTY,
        "file.name": NASTY,
    }
    return forge(tmp_path, "20260101T000000Z-1-00000001", ("2026-01-01T00:00:00.000001Z", NASTY, entry))


@pytest.mark.parametrize("command", [["tail"], ["events"], ["events", "--text", "owned"]])
def test_hostile_entries_in_a_pipe(script, hostile, command):
    """Each entry is one line without a single control or invisible character, markup as it was sent."""
    code, out, _ = script(*command, hostile)
    assert code == 0
    assert harmless(out)
    assert len(out.splitlines()) == len(out.split("\n")) - 1 == (1 if "--text" in command else 3)
    assert "[red]a\\r\\nb\\x00\\x1b]0;owned" in out


def test_hostile_entries_in_full(script, hostile):
    """`show` escapes names and values."""
    code, out, _ = script("show", f"{hostile.stem}-1", hostile)
    assert code == 0
    assert harmless(out)
    assert "[red]a\\r\\nb\\x00\\x1b]0;owned" in out


@pytest.mark.parametrize("command", ["tail", "events", "show"])
def test_hostile_entries_on_a_terminal(terminal, hostile, command):
    """On a terminal the only control sequences are our own colours, and markup in data colours nothing."""
    args = [command, f"{hostile.stem}-1"] if command == "show" else [command]
    code, shown = terminal(*args, hostile)
    assert code == 0
    without_ours = _without_colours(shown)
    assert harmless(without_ours.replace("\r\n", "\n"))
    assert "[red]a" in without_ours


def test_what_the_library_records_of_a_hostile_client(script, tmp_path):
    """The same through the whole library: a user agent of escape sequences, 60 kB of it."""
    fields = {
        "user_agent.original": (NASTY + "[red]") * 1200,
        "user.name": BIDI,
        "url.path": "/" + "x" * 60_000,
    }
    record(tmp_path, Event(type="authn_login_fail", fields=fields))
    code, out, _ = script("tail", tmp_path)
    assert code == 0
    assert harmless(out)
    assert len(out.splitlines()) == 4
    assert max(map(len, out.splitlines())) < 400
    code, out, _ = script("show", out.splitlines()[1].split()[-1], tmp_path)
    assert code == 0
    assert harmless(out)


def test_json_stays_as_stored(script, hostile):
    """Machines get what is on disk."""
    assert script("events", hostile, "--format", "json")[1].encode() == hostile.read_bytes()


def test_hostile_file_names(script, tmp_path):
    """Names of files and hosts are escaped too, in messages and reports."""
    folder = tmp_path / "journal" / "h\x1b[2J\u202e"
    path = forge(folder, "20260101T000000Z-1-00000001", ("2026-01-01T00:00:00.000001Z", "one"))
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    code, out, _ = script("verify", tmp_path)
    assert code == 1
    assert harmless(out)
    code, _, err = script("verify", folder / "nope\n\x1b[2J")
    assert (code, err.count("\n")) == (2, 1)
    assert harmless(err)


def test_a_readable_line_of_anything():
    """The readable line stands entries without fields and with values of any kind."""
    assert readable.line({}).startswith("None")
    odd = {
        "timestamp": 7,
        "event.name": None,
        "severity": [1],
        "event.id": {},
        "user.name": 3.5,
        "reason": True,
    }
    assert "3.5" in readable.line(odd)


def _without_colours(shown):
    import re

    return re.sub(r"\x1b\[[\d;]*m", "", shown)
