"""`seclog show`: one entry in full, and whether it stands in a whole chain."""

import json
import re

import pytest

from cli.journals import forge, record
from seclog.events.event import Event


@pytest.fixture
def failure(segment):
    """The failed login, as stored."""
    return json.loads(segment.read_bytes().splitlines()[1])


def test_an_entry_in_full(script, directory, segment, failure):
    """Every field is shown, aligned, then what the catalogue knows, then where it stands and whether it verifies."""
    code, out, err = script("show", failure["event.id"], directory)
    assert (code, err) == (0, "")
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines() if line)
    assert {key: str(value) for key, value in failure.items()}.items() <= shown.items()
    assert {key: shown[key] for key in shown if key not in failure} == {
        "family": "1 login",
        "MITRE ATT&CK": "T1110",
        "OWASP ASVS": "16.3.1, 6.3.1",
        "PCI DSS": "10.2.1.4",
        "file": str(segment),
        "line": "2",
        "chain": "whole from the segment's start to this line (2 of 2 verify)",
    }
    assert len({len(line) - len(line.split("  ")[-1].lstrip()) for line in out.splitlines() if line}) == 1


def test_the_beginning_of_an_id_suffices(cli, directory, failure):
    """The short id of a readable line finds its entry."""
    assert failure["event.id"] in cli("show", failure["event.id"][:18], directory)[1]


def test_several_candidates_are_listed(cli, directory, failure):
    """An id that begins several entries is no answer: they are listed with their whole ids."""
    code, out, err = cli("show", failure["event.id"][:8], directory)
    assert (code, err) == (
        1,
        f"seclog: 6 entries have an id that begins with {failure['event.id'][:8]!r}: give more of it\n",
    )
    assert len(out.splitlines()) == 6
    assert failure["event.id"] in out


def test_a_whole_id_wins_over_one_that_it_begins(cli, tmp_path):
    """An id that is also the beginning of another is the entry of exactly this id."""
    record(tmp_path, Event(type="config_changed", id="derived-1"), Event(type="config_changed", id="derived-11"))
    code, out, _ = cli("show", "derived-1", tmp_path)
    assert code == 0
    assert re.search(r"event.id +derived-1\n", out)


def test_not_found(script, directory):
    """An id that nobody has is one line and exit code 1."""
    code, out, err = script("show", "ffffffff-0000", directory)
    assert (code, out) == (1, "")
    assert err == f"seclog: no entry under {directory} has an id that begins with 'ffffffff-0000'\n"


def test_too_short(cli, directory):
    """Fewer than 8 characters are refused."""
    code, _, err = cli("show", "0193", directory)
    assert code == 2
    assert "8 characters" in err


def test_a_broken_chain_is_told(cli, directory, segment, failure):
    """An entry after the place of a change is shown, with the place."""
    last = json.loads(segment.read_bytes().splitlines()[3])
    segment.write_bytes(segment.read_bytes().replace(b"joebob1", b"joebob2"))
    code, out, _ = cli("show", last["event.id"], directory)
    assert code == 0
    assert re.search(r"chain +BROKEN at line 2: the hash does not fit", out)


def test_an_entry_before_the_break_verifies(cli, directory, segment, failure):
    """Only the chain up to the entry counts."""
    segment.write_bytes(segment.read_bytes().replace(b"tax_rate", b"fax_rate"))
    assert "(2 of 2 verify)" in cli("show", failure["event.id"], directory)[1]


def test_an_unknown_type_and_nested_values(cli, tmp_path):
    """Nested values are shown as JSON; a type of the app's own has no catalogue facts."""
    nested = {"seclog.items": {"a": [1, None, "é"]}}
    path = forge(tmp_path, "20260101T000000Z-1-00000001", ("2026-01-01T00:00:00.000001Z", "own", nested))
    out = cli("show", f"{path.stem}-1", tmp_path)[1]
    assert re.search(r'seclog.items +{"a": \[1, null, "é"\]}\n', out)
    assert re.search(r"family +the catalogue does not have this type\n", out)
