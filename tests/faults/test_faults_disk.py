"""A disk that says no: the app answers all the same, what was acknowledged is there, and what was lost is counted."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faults import records
from faults.servers import eventually
from faults.services import namespace, need, strace

pytest.importorskip("django")


@pytest.fixture
def small_disk(drive, directory, tmp_path):
    """A driven process with a file system of 256 kB of its own under the journal's directory."""
    prefix, problem = namespace()
    need(problem)
    directory.mkdir()

    def start(size="256k", **environment):
        process = drive(prefix, **environment)
        process.ask(f'mount("-t", "tmpfs", "-o", "size={size}", "tmpfs", "{directory}")')
        return process

    return start


def numbers(directory):
    """Return the numbers of the recorded entries, in their order on disk."""
    return [int(entry["seclog.target.id"]) for entry in records.events(directory, "sensitive_read")]


def failures(directory):
    """Return what the journal says about failures of its own: (reason, dropped, delayed)."""
    found = records.events(directory, "audit_log_delivery_failed")
    return [(entry["reason"], entry["seclog.dropped"], entry.get("seclog.delayed")) for entry in found]


# ── the directory ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_directory_is_made(drive, directory):
    """The directory and its parents are made, for the owner alone, and nothing is told as a failure."""
    process = drive(SECLOG_DIRECTORY=str(directory / "deep" / "er"))
    assert process.ask("record(3)") == 3
    assert process.end() == 0
    made = directory / "deep" / "er"
    [segment] = records.segments(made)
    modes = [path.stat().st_mode & 0o777 for path in (made, segment.parent, segment, made / "pseudonym.key")]
    assert modes == [0o700, 0o700, 0o600, 0o600]
    assert numbers(made) == [0, 1, 2]
    assert failures(made) == []
    records.assert_verifies(made)
    assert "Traceback" not in process.said()


def test_a_file_in_place_of_the_directory_costs_no_request(drive, directory):
    """Requests are answered, `manage.py check` names the file, and recording begins once the file is gone."""
    directory.write_text("not a directory")
    process = drive()
    assert process.ask("record(3)") == 0
    assert "seclog.E003" in process.ask("check()")
    assert process.said().count('"seclog.unrecorded":true') == 3 + 1  # and the start of the process
    directory.unlink()
    time.sleep(1.1)
    assert process.ask("record(2)") == 2
    assert process.end() == 0
    assert numbers(directory) == [0, 1, 2, 3, 4]
    assert failures(directory) == [("ENOTDIR", 0, 4)]
    records.assert_verifies(directory)


def test_a_read_only_mount_costs_no_request(drive, directory):
    """Requests are answered, `manage.py check` says why, and recording begins once the mount can be written."""
    prefix, problem = namespace()
    need(problem)
    directory.mkdir()
    process = drive(prefix)
    process.ask(f'mount("-t", "tmpfs", "-o", "ro,size=256k", "tmpfs", "{directory}")')
    assert process.ask("record(3)") == 0
    assert "Read-only file system" in process.ask("check()")
    process.ask(f'mount("-o", "remount,rw", "{directory}")')
    time.sleep(1.1)
    assert process.ask("record(2)") == 2
    process.ask("close()")
    assert numbers(process.sees(directory)) == [0, 1, 2, 3, 4]
    assert failures(process.sees(directory)) == [("EROFS", 0, 4)]
    records.assert_verifies(process.sees(directory))


@pytest.mark.parametrize("gone", ["journal", "."])
def test_a_directory_removed_while_running_is_made_anew_and_told(drive, directory, gone):
    """A new segment is begun, and says which segment is gone and how many entries were in it."""
    process = drive()
    assert process.ask("record(3)") == 3
    lost = process.ask("segment()")
    shutil.rmtree(directory / gone)
    assert eventually(lambda: process.ask("segment()") not in (lost, None))
    assert process.ask("record(2)") == 2
    assert process.end() == 0
    [told] = records.events(directory, "audit_log_delivery_failed")
    assert told["reason"] == "segment_removed_or_changed"
    assert lost.endswith(told["seclog.segment.lost.id"] + ".jsonl")
    assert told["seclog.segment.lost.count"] == told["seclog.dropped"] == 5  # with the starts of segment and process
    assert numbers(directory) == [3, 4]
    records.assert_verifies(directory)


def test_a_segment_changed_while_running_is_left_and_found_by_verify(drive, directory):
    """Somebody writes into the segment: recording goes on in a new one that says so, and verify finds the place."""
    process = drive()
    assert process.ask("record(3)") == 3
    changed = process.ask("segment()")
    with Path(changed).open("ab") as file:
        file.write(b'{"schema":"seclog/1","event.name":"forged"}\n')
    assert eventually(lambda: process.ask("segment()") != changed)
    successor = process.ask("segment()")
    assert process.ask("record(2)") == 2
    assert process.end() == 0
    assert numbers(directory) == [0, 1, 2, 3, 4]
    report = records.report(directory)
    assert {file.path.name: file.segment.problem and file.segment.problem.line for file in report.files} == {
        Path(changed).name: 6,
        Path(successor).name: None,
    }


# ── full disks ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_delays_entries_and_loses_none(small_disk, directory):
    """While the disk is full requests are answered; then what waited is written in its order, and told."""
    process = small_disk()
    assert process.ask("record(5)") == 5
    process.ask(f'fill("{directory}")')
    written = process.ask("record(60)")
    assert written < 20  # what was left of the segment's last block
    process.ask(f'free("{directory}")')
    assert process.ask("record(5)") == 5
    process.ask("close()")
    seen = process.sees(directory)
    assert numbers(seen) == list(range(70))
    assert failures(seen) == [("ENOSPC", 0, 60 - written)]
    assert len(records.segments(seen)) == 1
    records.assert_verifies(seen)
    assert "Traceback" not in process.said()


def test_a_long_full_disk_drops_the_oldest_and_counts_them(small_disk, directory):
    """The memory for waiting entries is bounded: what did not fit is counted in the chain, to the number."""
    process = small_disk(size="2M")
    assert process.ask("record(5)") == 5
    process.ask(f'fill("{directory}")')
    written = process.ask("record(3000)")
    process.ask(f'free("{directory}")')
    assert process.ask("record(5)") == 5
    process.ask("close()")
    seen = process.sees(directory)
    there = numbers(seen)
    dropped = 3010 - len(there)
    assert dropped == 3000 - written - 1000
    assert there == sorted(there)
    assert there[: 5 + written] == list(range(5 + written))
    assert failures(seen) == [("ENOSPC", dropped, 1000)]
    [stopped] = records.events(seen, "audit_log_stopped")
    assert stopped["seclog.dropped"] == dropped
    records.assert_verifies(seen)
    assert process.said().count('"seclog.unrecorded":true') == 100


def test_waiting_entries_are_written_without_a_further_event(small_disk, directory):
    """When the disk has room again, what waits is written by the background, not by the next request."""
    process = small_disk()
    assert process.ask("record(1)") == 1
    process.ask(f'fill("{directory}")')
    process.ask("record(60)")
    process.ask(f'free("{directory}")')
    assert eventually(lambda: len(numbers(process.sees(directory))) == 61)
    assert eventually(lambda: len(failures(process.sees(directory))) == 1)
    process.ask("close()")
    records.assert_verifies(process.sees(directory))


def test_an_exit_while_the_disk_is_full_says_what_is_lost(small_disk, directory):
    """A process that ends with waiting entries says on standard error how many are not in the record."""
    process = small_disk()
    assert process.ask("record(1)") == 1
    process.ask(f'fill("{directory}")')
    written = process.ask("record(60)")
    assert process.ask("close()") is None
    records.assert_verifies(process.sees(directory))
    assert "Traceback" not in process.said()
    assert f"{60 - written + 1} entries could not be recorded" in process.said()  # and the shutdown's own


def test_a_disk_full_from_the_start_is_survived(small_disk, directory):
    """Nothing can be begun: requests are answered, and all is recorded once there is room."""
    process = small_disk()
    process.ask(f'fill("{directory}")')
    assert process.ask("record(3)") == 0
    process.ask(f'free("{directory}")')
    time.sleep(1.1)
    assert process.ask("record(2)") == 2
    process.ask("close()")
    assert numbers(process.sees(directory)) == [0, 1, 2, 3, 4]
    records.assert_verifies(process.sees(directory))


def test_a_full_disk_does_not_break_a_rotation(small_disk, directory):
    """A new segment that cannot be begun leaves the entries waiting, and no file that is no segment."""
    process = small_disk()
    assert process.ask("record(5)") == 5
    process.ask(f'fill("{directory}")')
    process.ask("setattr(api.installed().journal, '_max_bytes', 1)")
    process.ask("record(3)")
    process.ask("setattr(api.installed().journal, '_max_bytes', 2**20)")
    process.ask(f'free("{directory}")')
    time.sleep(1.1)
    assert process.ask("record(2)") == 2
    process.ask("close()")
    seen = process.sees(directory)
    assert numbers(seen) == list(range(10))
    records.assert_verifies(seen)
    assert [path.name for path in seen.glob("journal/*/.*")] == []


def test_the_fallback_directory_takes_over_and_says_why(small_disk, directory, tmp_path):
    """With a second directory nothing waits: the entries stand there, after a record that names the reason."""
    second = tmp_path / "second"
    process = small_disk(SECLOG_FALLBACK_DIRECTORY=str(second))
    assert process.ask("record(5)") == 5
    process.ask(f'fill("{directory}")')
    assert process.ask("record(60)") == 60
    process.ask(f'free("{directory}")')
    process.ask("setattr(api.installed().journal, '_max_bytes', 1)")
    assert process.ask("record(1)") == 1
    process.ask("setattr(api.installed().journal, '_max_bytes', 2**20)")
    assert process.ask("record(2)") == 2
    process.ask("close()")
    seen = process.sees(directory)
    assert sorted(numbers(seen) + numbers(second)) == list(range(68))
    assert {65, 66, 67} <= set(numbers(seen))  # a rotation returns to the first directory
    assert failures(second)[0] == ("ENOSPC", 0, 0)
    records.assert_verifies(seen)
    records.assert_verifies(second)


def test_a_blocking_app_refuses_what_it_cannot_record_and_recovers(small_disk, directory):
    """With on_failure="block" a request that cannot be recorded gets 503, others go on, and all is well afterwards."""
    process = small_disk(SECLOG_ON_FAILURE="block")
    assert process.ask("get('/record')")[0] == 200
    process.ask(f'fill("{directory}")')
    statuses = [process.ask("get('/record')")[0] for _ in range(40)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {200, 503}
    assert process.ask("get('/ping')") == [200, "pong"]
    process.ask(f'free("{directory}")')
    assert process.ask("get('/record')")[0] == 200
    process.ask("close()")
    seen = process.sees(directory)
    accepted = statuses.count(200)
    assert numbers(seen) == [*range(1 + accepted), 41]
    [(reason, dropped, delayed)] = failures(seen)
    assert (reason, delayed) == ("ENOSPC", 0)
    assert dropped >= statuses.count(503)
    records.assert_verifies(seen)


def test_the_watch_survives_a_full_disk_and_tells_once(small_disk, directory):
    """What the watch could not remember or tell while the disk was full, it tells afterwards, and once."""
    process = small_disk(SECLOG_WATCH="on", SECLOG_WATCH_INTERVAL_SECONDS="0.02")
    firefox, chrome = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0"
    assert process.ask(f"get('/login?user=17', {firefox!r})")[0] == 200
    process.ask(f'fill("{directory}")')
    for number in range(20):
        assert process.ask(f"get('/login?user={number}', {chrome!r})")[0] == 200
    time.sleep(0.2)
    process.ask(f'free("{directory}")')
    seen = process.sees(directory)
    assert eventually(lambda: records.events(seen, "authn_new_device"), 10)
    time.sleep(0.2)
    process.ask("close()")
    assert [entry["user.id"] for entry in records.events(seen, "authn_new_device")] == ["17"]
    assert len(records.events(seen, "authn_login_success")) == 21
    records.assert_verifies(seen)


def test_recovery_on_a_full_disk_loses_no_evidence(small_disk, drive, directory, tmp_path):
    """A torn tail that cannot be kept in quarantine stays where it is, and is kept once there is room."""
    elsewhere = tmp_path / "elsewhere"
    dying = drive(SECLOG_DIRECTORY=str(elsewhere))
    dying.ask("record(3)")
    die_in_mid_write(dying)
    [torn] = records.segments(elsewhere)
    content = torn.read_bytes()

    process = small_disk()
    assert process.ask("record(1)") == 1
    assert process.ask("recover()") == 0
    process.ask(f'subprocess.run(["cp", "{torn}", "{directory}"]).returncode')
    process.ask(f'fill("{directory}")')
    moved = Path(process.ask("segment()")).parent / torn.name
    assert process.ask(f'subprocess.run(["mv", "{directory / torn.name}", "{moved}"]).returncode') == 0
    assert process.ask("recover()") == 0
    assert process.sees(moved).read_bytes() == content
    process.ask(f'free("{directory}")')
    assert process.ask("recover()") == 1
    process.ask("close()")
    seen = process.sees(directory)
    assert records.assert_quarantined(seen) == 1
    records.assert_verifies(seen)


def test_a_recovery_that_is_killed_is_finished_by_the_next(drive, directory):
    """Killed after it has cut the tail off: the next one closes the segment, and its stop record tells of the tail."""
    dying = drive()
    dying.ask("record(3)")
    die_in_mid_write(dying)
    killed = drive()
    killed.ask("setattr(api.installed().recorder, 'encode_control', lambda *_: os.kill(os.getpid(), signal.SIGKILL))")
    killed.tell("recover()")
    assert killed.process.wait(30) == -signal.SIGKILL
    [torn] = records.segments(directory)
    assert torn.read_bytes().endswith(b"}\n")
    assert drive().ask("recover()") == 1
    assert records.assert_quarantined(directory) == 1
    records.assert_verifies(directory)


# ── limits, and errors of the file ───────────────────────────────────────────────────────────────────────────────


def test_a_limit_of_the_files_size_begins_new_segments(drive, directory):
    """RLIMIT_FSIZE makes short writes: they are cut back, and recording goes on in the next file without a loss."""
    process = drive()
    process.ask("limit_file_size(20_000)")
    assert process.ask("record(200)") == 200
    process.ask("limit_file_size(resource.RLIM_INFINITY)")
    assert process.end() == 0
    assert sorted(numbers(directory)) == list(range(200))
    assert set(failures(directory)) == {("EFBIG", 0, 0)}
    assert len(records.segments(directory)) > 3
    records.assert_verifies(directory)


def die_in_mid_write(process):
    """Let the kernel kill a process a hundred bytes into its next line."""
    process.ask("signal.signal(signal.SIGXFSZ, signal.SIG_DFL) and None")
    size = Path(process.ask("segment()")).stat().st_size
    process.ask(f"limit_file_size({size + 100})")
    process.tell("record(1)")
    assert process.process.wait(30) == -signal.SIGXFSZ


def test_a_death_in_mid_write_leaves_a_tail_that_recovery_keeps(drive, directory):
    """Killed by the kernel within a line: all before it verifies, and the next process puts the tail in quarantine."""
    process = drive()
    assert process.ask("record(3)") == 3
    die_in_mid_write(process)
    report = records.report(directory)
    assert [(file.verdict, file.segment.torn, file.segment.state) for file in report.files] == [
        ("TRUNCATED", 100, "died")
    ]

    successor = drive(SECLOG_WATCH="on")
    assert successor.ask("record(2)") == 2
    assert eventually(lambda: records.report(directory).verdict == "OK")
    assert successor.end() == 0
    assert numbers(directory) == [0, 1, 2, 0, 1]
    assert records.assert_quarantined(directory) == 1
    records.assert_verifies(directory)


@pytest.fixture
def inject():
    """Make system calls on a process's files fail: `inject(process, path, "write:error=EIO:when=1")`."""
    need(strace())
    running = []

    def start(process, path, *faults):
        command = ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(process.pid)]
        command += ["-P", str(path)] if path else []
        for fault in faults:
            command += ["-e", f"inject={fault}"]
        command += ["-e", "trace=" + ",".join(fault.partition(":")[0] for fault in faults)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        attached = Path(f"/proc/{process.pid}/status")
        assert eventually(lambda: f"TracerPid:\t{running[-1].pid}" in attached.read_text())
        return running[-1]

    def stop(tracer):
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)

    start.stop = stop
    yield start
    for tracer in running:
        if tracer.poll() is None:
            tracer.kill()
            tracer.wait()
        tracer.stderr.close()


@pytest.mark.service("strace")
def test_an_io_error_moves_on_to_a_new_segment(drive, directory, inject):
    """EIO at one write: the entry stands in a new segment, none is lost, and the record says what happened."""
    process = drive()
    assert process.ask("record(3)") == 3
    tracer = inject(process, process.ask("segment()"), "write:error=EIO:when=2")
    assert process.ask("record(5)") == 5
    inject.stop(tracer)
    assert process.end() == 0
    assert sorted(numbers(directory)) == list(range(8))
    assert failures(directory) == [("EIO", 0, 0)]
    assert len(records.segments(directory)) == 2
    records.assert_verifies(directory)


@pytest.mark.service("strace")
def test_a_full_disk_by_injection_keeps_the_order(drive, directory, inject):
    """ENOSPC at some writes of one segment: the entries wait and stand in the same segment in their order."""
    process = drive()
    assert process.ask("record(3)") == 3
    path = process.ask("segment()")
    tracer = inject(process, path, "write:error=ENOSPC:when=2..4")
    process.ask("record(10)")
    inject.stop(tracer)
    assert process.ask("record(1)") == 1
    assert process.end() == 0
    assert numbers(directory) == list(range(14))
    assert {reason for reason, _, _ in failures(directory)} == {"ENOSPC"}
    assert sum(delayed for _, _, delayed in failures(directory)) >= 1
    assert [str(path) for path in records.segments(directory)] == [path]
    records.assert_verifies(directory)


@pytest.mark.service("strace")
def test_a_failed_sync_is_never_retried_on_the_same_file(drive, directory, inject):
    """With ack="disk", EIO at fdatasync: the entry is acknowledged only after it stands in a new segment, synced."""
    process = drive(SECLOG_ACK="disk")
    assert process.ask("record(3)") == 3
    path = process.ask("segment()")
    tracer = inject(process, path, "fdatasync:error=EIO:when=1")
    assert process.ask("record(2)") == 2
    inject.stop(tracer)
    assert process.ask("segment()") != path
    assert process.end() == 0
    first, second = map(records.lines, records.segments(directory))
    doubted = first[-1]["event.id"]
    assert doubted in [entry["event.id"] for entry in second]
    assert sorted(set(numbers(directory))) == list(range(5))
    assert failures(directory) == [("EIO", 0, 0)]
    records.assert_verifies(directory)


def test_synced_recording_is_complete(drive, directory):
    """With ack="disk" the same stands on disk as without."""
    process = drive(SECLOG_ACK="disk")
    assert process.ask("record(50)") == 50
    assert process.end() == 0
    assert numbers(directory) == list(range(50))
    records.assert_verifies(directory)
