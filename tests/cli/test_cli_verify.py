"""`seclog verify`: the verdict on a whole journal, and the exact place where it does not verify."""

import fcntl
import json
import re

import pytest

from cli.journals import LOGINS, forge, record
from seclog.cli import verify as module
from seclog.journal.line import TAIL_WIDTH, link


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_ok(script, directory):
    """A journal as it was written is OK, exit code 0, and the verdict says what it rests on."""
    code, out, err = script("verify", directory)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"verify: OK — 1 segment, 6 entries, \d\.\d kB; chain only, no seal yet\n", out)


def test_one_file(cli, segment):
    """A single segment can be verified."""
    assert cli("verify", segment)[0] == 0


@pytest.mark.parametrize(("size", "text"), [(1, "1 B"), (999, "999 B"), (2_100_000, "2.1 MB"), (3e12, "3,000.0 GB")])
def test_sizes(size, text):
    """Sizes are decimal."""
    assert module._size(size) == text


def test_a_flipped_byte(cli, segment):
    """A changed byte is BROKEN: file, line, expected and found are named, exit code 1."""
    content = lines(segment)
    content[2] = content[2].replace(b"alice", b"malic")
    segment.write_bytes(b"".join(content))
    code, out, err = cli("verify", segment.parent)
    body = content[2].rstrip(b"\n")[:-TAIL_WIDTH]
    expected = link(_hash(content[1]), body).hex()
    found = _hash(content[2]).hex()
    assert (code, err) == (1, "")
    problem, closing = out.splitlines()
    assert problem == (
        f"BROKEN {segment} line 3: the hash does not fit: this line, or the one before it, was changed, removed or "
        f"inserted; expected {expected}, found {found}"
    )
    assert re.fullmatch(r"verify: BROKEN — 1 segment, 2 entries, .* kB, 1 broken; chain only, no seal yet", closing)


def test_every_flipped_bit_is_found(cli, segment):
    """Whichever byte of a segment is changed, verification does not say OK."""
    content = segment.read_bytes()
    for place in range(0, len(content), 41):
        segment.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert cli("verify", segment.parent)[0] != 0, place


def test_a_deleted_line(cli, segment):
    """A line that is missing in the middle is BROKEN where the next one stands."""
    content = lines(segment)
    del content[2]
    segment.write_bytes(b"".join(content))
    code, out, _ = cli("verify", segment.parent)
    assert code == 1
    assert f"BROKEN {segment} line 3: the hash does not fit" in out


def test_two_swapped_lines(cli, segment):
    """Two lines in the wrong order are BROKEN at the first of them."""
    content = lines(segment)
    content[1], content[2] = content[2], content[1]
    segment.write_bytes(b"".join(content))
    code, out, _ = cli("verify", segment.parent)
    assert code == 1
    assert f"BROKEN {segment} line 2:" in out


def test_an_inserted_line(cli, segment):
    """A copied line is BROKEN."""
    content = lines(segment)
    segment.write_bytes(b"".join([*content[:3], content[2], *content[3:]]))
    assert cli("verify", segment.parent)[0] == 1


def test_a_renamed_segment(cli, segment):
    """A segment under another name is BROKEN at its first line: the chain begins with the name."""
    segment.rename(segment.with_name("20200101T000000Z-1-00000000.jsonl"))
    code, out, _ = cli("verify", segment.parent)
    assert code == 1
    assert "20200101T000000Z-1-00000000.jsonl line 1: the hash does not fit" in out


def test_a_missing_segment(cli, tmp_path):
    """A segment that another one follows, and that no entry says was retired, is BROKEN."""
    gone = "20260101T000000Z-1-00000001"
    entry = ("2026-01-01T01:00:00.000001Z", "one")
    start = {"seclog.segment.previous.id": gone}
    forge(tmp_path / "journal" / "h", "20260101T010000Z-1-00000002", entry, start=start)
    code, out, _ = cli("verify", tmp_path)
    assert code == 1
    assert out.splitlines()[0] == (
        f"BROKEN {gone}: this segment is missing, or no segment any more; expected because 20260101T010000Z-1-00000002 follows it"
    )
    assert "1 missing" in out.splitlines()[1]


def test_a_torn_tail_in_a_directory_is_truncated(cli, segment):
    """An unfinished last line of a dead process is TRUNCATED, exit code 2, and the rest is counted."""
    segment.write_bytes(segment.read_bytes()[:-40])
    code, out, err = cli("verify", segment.parent)
    assert (code, err) == (2, "")
    finding, closing = out.splitlines()
    assert re.fullmatch(
        rf"TRUNCATED {segment}: ends within entry 6 \(\d+ bytes of it\), and its writer is gone", finding
    )
    assert re.match(r"verify: TRUNCATED — 1 segment, 5 entries, .*, 1 truncated;", closing)


def test_a_torn_file_is_one_line(cli, segment):
    """A single file that ends within an entry gets one line that says so."""
    segment.write_bytes(segment.read_bytes()[:-40])
    code, out, err = cli("verify", segment)
    assert (code, err) == (2, "")
    [line] = out.splitlines()
    assert line.startswith(f"verify: TRUNCATED — {segment}: ends within entry 6 (")


def test_a_cut_end_is_noted(cli, segment):
    """A missing stop record is told and changes no verdict: the chain cannot show that an end was cut off."""
    segment.write_bytes(b"".join(lines(segment)[:3]))
    code, out, _ = cli("verify", segment.parent)
    assert code == 0
    assert out.splitlines()[0] == (
        f"note {segment}: ends without a stop record: its process died, or its end was cut off"
    )


def test_a_clock_set_back_is_noted(cli, tmp_path):
    """A clock that was set back is told and changes no verdict."""
    path = forge(
        tmp_path / "journal" / "h",
        "20260101T000000Z-1-00000001",
        ("2026-01-01T00:00:05.000000Z", "one"),
        ("2026-01-01T00:00:01.000000Z", "two"),
    )
    code, out, _ = cli("verify", tmp_path)
    assert code == 0
    assert re.fullmatch(rf"note {path}: line 3: the clock was set back by 4(\.0)? s", out.splitlines()[0])


def test_a_live_segment_is_fine(cli, segment):
    """A segment that its writer holds may end within a line: it is being written."""
    segment.write_bytes(segment.read_bytes()[:-40])
    with segment.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, out, _ = cli("verify", segment.parent)
    assert (code, out[:12]) == (0, "verify: OK —")


def test_an_empty_segment(cli, directory, segment):
    """An empty segment is fine while its writer lives, who has just made it; else somebody may have emptied it."""
    empty = segment.with_name("20260101T000000Z-1-00000001.jsonl")
    empty.touch()
    code, out, _ = cli("verify", directory)
    assert (code, out.splitlines()[0]) == (2, f"UNREADABLE {empty}: is empty")
    with empty.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert cli("verify", directory)[0] == 0
        assert cli("verify", empty) == (2, "", f"seclog: {empty}: is empty\n")


def test_one_file_that_is_none_does_not_hide_the_others(cli, directory, segment):
    """What cannot be judged is 2; a break that is found all the same is 1."""
    bad = segment.with_name("20260101T000000Z-1-00000001.jsonl")
    bad.write_bytes(b"\x00\x01\x02\n")
    code, out, _ = cli("verify", directory)
    assert code == 2
    assert out.splitlines()[0] == f"UNREADABLE {bad}: is not a journal: it holds binary data"
    assert re.match(r"verify: UNREADABLE — 2 segments, 6 entries, .*, 1 unreadable;", out.splitlines()[1])
    segment.write_bytes(segment.read_bytes().replace(b"joebob1", b"joebob2"))
    code, out, _ = cli("verify", directory)
    assert code == 1
    assert "verify: BROKEN — 2 segments" in out


def test_json_report(script, directory, segment):
    """--json gives the whole report with the same exit code."""
    code, out, err = script("verify", directory, "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    head = report["segments"][0].pop("head")
    assert head == _hash(lines(segment)[-1]).hex()
    assert report == {
        "verdict": "OK",
        "exit_code": 0,
        "entries": 6,
        "bytes": segment.stat().st_size,
        "sealed": False,
        "segments": [
            {
                "path": str(segment),
                "id": segment.stem,
                "verdict": "OK",
                "state": "stopped",
                "entries": 6,
                "bytes": segment.stat().st_size,
                "torn_bytes": 0,
                "problem": None,
                "notes": [],
            }
        ],
        "missing": [],
        "unreadable": [],
    }


def test_json_report_of_a_break(cli, segment):
    """The report names the broken line."""
    segment.write_bytes(segment.read_bytes().replace(b"joebob1", b"joebob2"))
    code, out, _ = cli("verify", segment, "--json")
    report = json.loads(out)
    assert (code, report["verdict"], report["exit_code"]) == (1, "BROKEN", 1)
    assert report["segments"][0]["problem"]["line"] == 2
    assert sorted(report["segments"][0]["problem"]) == ["expected", "found", "line", "what"]


def test_what_the_library_wrote_is_ok_after_many_processes(cli, tmp_path):
    """Several segments are judged together."""
    for _ in range(3):
        record(tmp_path, *LOGINS)
    assert re.match(r"verify: OK — 3 segments, 18 entries,", cli("verify", tmp_path)[1])


def _hash(line):
    return bytes.fromhex(line.rstrip(b"\n")[-66:-2].decode())
