"""Verification: whatever is changed in a closed segment is found, named by its first line, with expected and found."""

import re
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal.made import Clock, closed_segment, dead_segment, record, recorder_at, segments
from seclog.errors import NotAJournalError
from seclog.journal.check import check_file, check_journal
from seclog.journal.line import first_link, seal_line
from seclog.journal.verify import Problem, verify_segment


@dataclass(frozen=True)
class Sample:
    """A closed segment: its id, its bytes, and its lines."""

    id: str
    data: bytes

    @property
    def lines(self):
        return self.data.splitlines(keepends=True)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = closed_segment(tmp_path_factory.mktemp("journal"), 4)
    return Sample(path.stem, path.read_bytes())


def broken_at(sample, lines):
    """Return the problem that verification finds in changed lines."""
    report = verify_segment(sample.id, b"".join(lines))
    return report.problem


def resealed(segment_id, bodies):
    """Write lines by the rules: what somebody could do who rewrites a whole segment."""
    head, lines = first_link(segment_id), []
    for seq, body in enumerate(bodies, 1):
        line, head = seal_line(body, seq, head)
        lines.append(line)
    return b"".join(lines)


def bodies(sample):
    return [line.partition(b',"seclog.seq":')[0] for line in sample.lines]


# ── what is fine ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_untouched_segment_is_ok(sample):
    """Everything that is known about it, whole but for the entries."""
    report = verify_segment(sample.id, sample.data)
    assert (report.problem, report.torn, report.notes, report.state, report.entries, report.size) == (
        None, 0, (), "stopped", 6, len(sample.data),
    )  # fmt: skip
    assert report.first["event.name"] == "audit_log_started"
    assert report.last["event.name"] == "audit_log_stopped"
    assert report.head == report.last["seclog.hash"]


def test_a_dead_segment_is_told_from_a_stopped_one(tmp_path):
    """It ends without its stop record; that is no break."""
    report = check_file(dead_segment(tmp_path))
    assert (report.verdict, report.segment.state, report.segment.entries) == ("OK", "died", 4)


def test_a_live_segments_unfinished_line_is_being_written(tmp_path):
    """The same bytes are torn once the writer is gone."""
    recorder = recorder_at(tmp_path)
    record(recorder, 2)
    path = recorder.sink.segment_path
    with path.open("ab") as file:
        file.write(b'{"schema":"seclog/1","timest')
    assert (check_file(path).verdict, check_file(path).segment.state) == ("OK", "live")
    recorder.sink._abandon()
    report = check_file(path)
    assert (report.verdict, report.segment.torn, report.segment.entries) == ("TRUNCATED", 28, 3)


def test_a_clock_that_was_set_back_is_a_note(tmp_path):
    """The order of the chain is the truth; the times only look strange."""
    clock = Clock()
    recorder = recorder_at(tmp_path, clock=clock)
    record(recorder, 1)
    clock.forward(-3600)
    record(recorder, 1)
    clock.forward(-1)
    record(recorder, 1)
    report = check_file(recorder.sink.segment_path)
    assert (report.verdict, report.segment.notes) == ("OK", ("line 3: the clock was set back by 3600 s",))
    recorder.sink.close()


def test_notes_are_few(tmp_path):
    """A clock that jumps all day does not fill the report."""
    clock = Clock()
    recorder = recorder_at(tmp_path, clock=clock)
    for i in range(100):
        clock.forward(100 if i % 2 else -100)
        record(recorder, 1)
    assert len(check_file(recorder.sink.segment_path).segment.notes) == 20
    recorder.sink.close()


# ── what is not ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_changed_byte_is_found_in_its_line(sample):
    """Each byte of the file, changed in three ways: the first broken line is that line (a newline: or the next)."""
    number = 0
    for at in range(len(sample.data)):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(sample.data)
            changed[at] ^= flip
            report = verify_segment(sample.id, bytes(changed))
            line = sample.data.count(b"\n", 0, at) + 1
            if at == len(sample.data) - 1:  # the last newline: an unfinished line, nothing is claimed of it
                assert (report.problem, report.entries, report.torn > 0) == (None, line - 1, True)
            else:
                assert report.problem is not None, (at, flip)
                assert report.problem.line == line, (at, flip)
                assert report.entries == line - 1
            number += 1
    assert number == 3 * len(sample.data)


def test_a_changed_word_names_expected_and_found(sample):
    """The hash that should stand there, and the one that does."""
    lines = sample.lines
    lines[2] = lines[2].replace(b'"seclog.count":2', b'"seclog.count":3')
    previous = bytes.fromhex(lines[1][-67:-3].decode())
    body = lines[2][: lines[2].rindex(b',"seclog.hash"')]
    assert broken_at(sample, lines) == Problem(
        line=3,
        what="the hash does not fit: this line, or the one before it, was changed, removed or inserted",
        expected=sha256(b"\x00" + previous + body).hexdigest(),
        found=lines[2][-67:-3].decode(),
    )


@pytest.mark.parametrize("at", range(5))
def test_a_deleted_line_breaks_the_next(sample, at):
    """Anywhere but at the end."""
    lines = sample.lines
    del lines[at]
    assert broken_at(sample, lines).line == at + 1


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("what", ["again", "foreign", "empty"])
def test_an_inserted_line_is_found(sample, at, what):
    """One of its own lines again, anybody's line, or nothing but a newline."""
    lines = sample.lines
    new = {"again": lines[at], "foreign": b'{"event.name":"authz_fail"}\n', "empty": b"\n"}[what]
    lines.insert(at, new)
    assert broken_at(sample, lines).line == at + (2 if what == "again" else 1)


@pytest.mark.parametrize("at", range(5))
def test_two_swapped_lines_are_found(sample, at):
    """Every pair of neighbours."""
    lines = sample.lines
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    assert broken_at(sample, lines).line == at + 1


@pytest.mark.parametrize("line", [b"x" * 5 + b"\n", b"\x00" * 200 + b"\n", b'"}\n', b'{"a":1}\r\n'])
def test_a_line_that_is_no_entry_says_so(sample, line):
    """Without its hash at the end."""
    problem = broken_at(sample, [*sample.lines[:2], line])
    assert (problem.line, problem.what) == (3, "the line does not end with its hash")


@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_edit_goes_unnoticed(sample, data):
    """Any piece of the file replaced by any bytes: broken, or torn or cut at the very end, but never whole."""
    start = data.draw(st.integers(0, len(sample.data)))
    end = data.draw(st.integers(start, len(sample.data)))
    new = data.draw(st.one_of(st.binary(max_size=80), st.sampled_from([*sample.lines, b"\n", b""])))
    changed = sample.data[:start] + new + sample.data[end:]
    if changed == sample.data:
        return
    report = verify_segment(sample.id, changed)
    assert report.problem is not None or report.torn or report.state == "died"
    kept = b"".join(sample.lines[: report.entries])
    assert changed.startswith(kept), "only what is untouched is claimed"


@pytest.mark.parametrize("cut", [1, 2, 40, 80, 200])
def test_a_cut_inside_the_last_line_is_torn_and_not_ok(tmp_path, cut):
    """The writer is gone, the line is not whole."""
    path = closed_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    report = check_file(path)
    assert (report.verdict, report.segment.entries, report.segment.state) == ("TRUNCATED", 4, "died")


def test_a_renamed_segment_breaks_at_its_first_line(sample):
    """The chain begins with the name."""
    problem = verify_segment("20260101T000000Z-1-00000000", sample.data).problem
    assert (problem.line, problem.what.partition(":")[0]) == (1, "the hash does not fit")


def test_a_resealed_segment_under_another_name_is_told_by_its_start_record(sample):
    """Whoever seals anew must also change what the start record says."""
    other = "20260101T000000Z-1-00000000"
    assert verify_segment(other, resealed(other, bodies(sample))).problem == Problem(
        1, "the start record names another segment", other, sample.id
    )


def test_a_segment_without_its_start_record(sample):
    """Sealed anew from the second line on."""
    assert verify_segment(sample.id, resealed(sample.id, bodies(sample)[1:])).problem == Problem(
        1, "the segment does not begin with its start record", "audit_log_started", "authz_fail"
    )


def test_a_stop_record_that_counts_other_lines(sample):
    """A line taken out before the end, everything sealed anew: the count tells."""
    kept = bodies(sample)
    del kept[2]
    assert verify_segment(sample.id, resealed(sample.id, kept)).problem == Problem(
        5, "the stop record counts other lines", "5", "6"
    )


def test_a_number_that_does_not_follow(sample):
    """The hash fits, the number is another."""
    line = sample.lines[0].replace(b',"seclog.seq":1,', b',"seclog.seq":7,')
    body = line[: line.rindex(b',"seclog.hash"')]
    digest = sha256(b"\x00" + first_link(sample.id) + body).hexdigest()
    forged = body + f',"seclog.hash":"{digest}"}}\n'.encode()
    assert verify_segment(sample.id, forged).problem == Problem(
        1, "the number does not follow the one before", "1", "7"
    )


@pytest.mark.parametrize("data", [b"", b"\n", b"x", b"\x00" * 1000, b"{}\n", b"\n" * 1000])
def test_any_bytes_are_judged_without_an_exception(data):
    """Verification is pure and total."""
    verify_segment("20260101T000000Z-1-00000000", data)


@given(st.binary(max_size=300))
def test_random_bytes_are_judged_without_an_exception(data):
    """And never verify as an entry."""
    assert verify_segment("20260101T000000Z-1-00000000", data).entries == 0


# ── how segments fit together ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three(tmp_path):
    """Three segments of one process, each naming the one before it: directory and paths, oldest first."""
    clock = Clock()
    recorder = recorder_at(tmp_path, clock=clock)
    for _ in range(3):
        record(recorder, 2)
        clock.forward(3600)
    recorder.sink.close()
    paths = segments(tmp_path)
    assert len(paths) == 3
    return tmp_path, paths


def test_a_missing_predecessor_is_a_break(three):
    """A whole file taken away leaves no trace in the others' chains; the next one's start record remembers it."""
    directory, paths = three
    paths[0].unlink()
    report = check_journal(directory)
    assert (report.verdict, report.missing) == ("BROKEN", (paths[0].stem,))
    assert [file.verdict for file in report.files] == ["OK", "OK"]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_lines_cut_off_the_end_of_a_predecessor_are_a_break(three, lines):
    """Its own chain holds; the next one's start record says how it ended."""
    directory, paths = three
    kept = paths[1].read_bytes().splitlines(keepends=True)
    whole = check_file(paths[1]).segment
    paths[1].write_bytes(b"".join(kept[:-lines]))
    report = check_journal(directory)
    assert [file.verdict for file in report.files] == ["OK", "BROKEN", "OK"]
    cut = check_file(paths[1]).segment
    assert report.files[1].segment.problem == Problem(
        4 - lines,
        f"the segment after it ({paths[2].stem}) says it ended otherwise",
        f"4 lines, hash {whole.head}",
        f"{4 - lines} lines, hash {cut.head}",
    )


def test_a_predecessor_that_was_written_anew_is_a_break(three):
    """Sealed by the rules, with the right count: its head is another."""
    directory, paths = three
    old = Sample(paths[0].stem, paths[0].read_bytes())
    changed = [body.replace(b'"seclog.count":1', b'"seclog.count":9') for body in bodies(old)]
    paths[0].write_bytes(resealed(old.id, changed))
    assert check_file(paths[0]).verdict == "OK"
    assert [file.verdict for file in check_journal(directory).files] == ["BROKEN", "OK", "OK"]


def test_words_about_a_retired_segment_do_not_excuse_it(three):
    """A client can send a parameter of that name; only an entry about a retirement counts."""
    directory, paths = three
    recorder = recorder_at(directory)
    record(recorder, 1, params={"seclog.retired.id": paths[0].stem})
    recorder.sink.close()
    paths[0].unlink()
    assert check_journal(directory).missing == (paths[0].stem,)


def test_a_file_that_is_no_segment_does_not_hide_the_others(three):
    """It is named, and the rest is verified."""
    directory, paths = three
    paths[0].write_bytes(b"\x00")
    with pytest.raises(NotAJournalError, match=re.escape(str(paths[0]))):
        check_journal(directory)
    named = []
    report = check_journal(directory, unreadable=lambda path, error: named.append(path))
    assert named == [paths[0]]
    assert len(report.files) == 2


def test_progress_is_told_in_bytes(three):
    """After each segment, up to the whole."""
    directory, paths = three
    told = []
    report = check_journal(directory, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (report.size, report.size)
    assert len(told) == len(paths)
