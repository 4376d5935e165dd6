"""`seclog tail`: the last entries of all segments by time, and those to come."""

import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli.journals import ENVIRONMENT, LOGINS, SCRIPT, forge, record
from seclog.events.event import Event

WRITER = """
import sys, seclog
installation = seclog.configure({"directory": sys.argv[1], "watch": False})
seclog.emit("config_changed", reason=sys.argv[2])
installation.shut_down()
"""

MANY = """
import sys, seclog
installation = seclog.configure({"directory": sys.argv[1], "watch": False})
for number in range(3000):
    seclog.emit("config_changed", reason=f"{sys.argv[2]}{number}")
    if number % 300 == 0:
        installation.journal.close("rotated")
installation.shut_down()
"""


def names(out):
    return [line.split()[3] for line in out.splitlines()]


def test_one_line_an_entry(script, directory):
    """A pipe gets one line for each entry, oldest first, without any colour."""
    code, out, err = script("tail", directory)
    assert (code, err) == (0, "")
    assert names(out) == [
        "audit_log_started",
        "authn_login_fail",
        "authn_login_success",
        "config_changed",
        "sys_shutdown",
        "audit_log_stopped",
    ]
    assert "\x1b" not in out


def test_number_of_lines(cli, directory):
    """-n takes that many of the last entries; 0 takes none."""
    assert names(cli("tail", directory, "-n", 2)[1]) == ["sys_shutdown", "audit_log_stopped"]
    assert cli("tail", directory, "-n", 0) == (0, "", "")
    assert len(cli("tail", directory, "-n", 500)[1].splitlines()) == 6


@pytest.mark.parametrize("command", ["tail", "events", "verify"])
def test_a_fallback_directory_in_use_is_mentioned(script, directory, tmp_path, command):
    """Where no directory is named, nobody must overlook what was written in trouble; an empty one is no news."""
    fallback = tmp_path / "fallback"
    settings = {"SECLOG_DIRECTORY": str(directory), "SECLOG_FALLBACK_DIRECTORY": str(fallback)}
    assert script(command, **settings)[2] == ""
    record(fallback, *LOGINS)
    code, _, err = script(command, **settings)
    assert (code, err.count(str(fallback)), len(err.splitlines())) == (0, 1, 1)
    assert script(command, fallback, **settings)[2] == ""


def test_hosts_are_merged_by_time(cli, tmp_path):
    """Entries of several hosts and processes come in the order of time, whichever segment they are in."""
    forge(
        tmp_path / "journal" / "a",
        "20260101T000000Z-1-00000001",
        ("2026-01-01T00:00:00.000001Z", "one"),
        ("2026-01-01T00:00:03.000000Z", "three"),
    )
    forge(
        tmp_path / "journal" / "b",
        "20260101T000001Z-2-00000002",
        ("2026-01-01T00:00:02.000000Z", "two"),
        ("2026-01-01T00:00:04.000000Z", "four"),
    )
    shown = names(cli("tail", tmp_path)[1])
    assert [name for name in shown if not name.startswith("audit_")] == ["one", "two", "three", "four"]
    assert names(cli("tail", tmp_path, "-n", 3)[1]) == ["audit_log_stopped", "four", "audit_log_stopped"]


def test_the_last_lines_are_found_beyond_one_block(cli, tmp_path):
    """Entries larger than what is read at a time are found from the end of the file all the same."""
    record(tmp_path, *[Event(type="authn_login_fail", reason="x" * 40_000)] * 5)
    out = cli("tail", tmp_path, "-n", 4)[1]
    assert names(out) == ["authn_login_fail", "authn_login_fail", "sys_shutdown", "audit_log_stopped"]


def test_an_unfinished_line_waits(cli, segment):
    """A line that is being written is not shown, and nothing else is lost."""
    with segment.open("ab") as file:
        file.write(b'{"schema":"seclog/1","timest')
    assert len(cli("tail", segment)[1].splitlines()) == 6


def test_a_line_that_is_no_entry_is_told(cli, segment):
    """What somebody wrote into a segment is not passed over in silence."""
    with segment.open("ab") as file:
        file.write(b"\x1b]0;gotcha\x07\n")
    code, out, err = cli("tail", segment)
    assert (code, len(out.splitlines())) == (0, 6)
    assert err == f"seclog: {segment}: a line is not an entry; `seclog verify` says where\n"


@pytest.fixture
def follower(directory):
    """`seclog tail -f` in a process of its own."""
    process = subprocess.Popen(
        [SCRIPT, "tail", "-f", "-n", "1", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    watchdog = threading.Timer(60, process.kill)  # a line that never comes fails the test instead of hanging it
    watchdog.start()
    yield process
    watchdog.cancel()
    process.kill()
    process.communicate()


def test_follow_sees_new_segments_of_other_processes(follower, directory, segment):
    """-f shows what other processes write into segments that did not exist when it began, on other hosts too."""
    assert "audit_log_stopped" in follower.stdout.readline()
    subprocess.run([sys.executable, "-c", WRITER, str(directory), "first"], check=True, env=ENVIRONMENT)
    assert [follower.stdout.readline().split()[3] for _ in range(4)] == [
        "audit_log_started",
        "config_changed",
        "sys_shutdown",
        "audit_log_stopped",
    ]
    forge(directory / "journal" / "other", "20260101T000000Z-1-00000001", ("2026-01-01T00:00:00.000001Z", "far"))
    assert [follower.stdout.readline().split()[3] for _ in range(3)] == [
        "audit_log_started",
        "far",
        "audit_log_stopped",
    ]


def test_follow_misses_and_repeats_nothing(follower, directory):
    """While two processes write as fast as they can, over many segments, each entry is shown once."""
    follower.stdout.readline()
    writers = [
        subprocess.Popen([sys.executable, "-c", MANY, str(directory), name], env=ENVIRONMENT) for name in ("a", "b")
    ]
    awaited = {f"{name}{number}" for name in ("a", "b") for number in range(3000)}
    shown = []
    while len(shown) < len(awaited):
        line = follower.stdout.readline().split()
        if line[3] == "config_changed":
            shown.append(line[-2])
    assert set(shown) == awaited
    for name in ("a", "b"):
        own = [item for item in shown if item.startswith(name)]
        assert own == sorted(own, key=lambda item: int(item[1:]))
    assert [writer.wait(30) for writer in writers] == [0, 0]


def test_follow_waits_for_the_rest_of_a_line(follower, segment):
    """A line that is written in two steps is shown once, when it is whole."""
    follower.stdout.readline()
    whole = segment.read_bytes().splitlines(keepends=True)[2]
    with segment.open("ab", buffering=0) as file:
        file.write(whole[:100])
        time.sleep(0.6)
        file.write(whole[100:])
    assert "authn_login_success" in follower.stdout.readline()


def test_follow_survives_retention(follower, directory, segment):
    """When all segments are retired, -f waits for the next."""
    follower.stdout.readline()
    segment.unlink()
    time.sleep(0.6)
    record(directory, LOGINS[0])
    assert "audit_log_started" in follower.stdout.readline()


def test_control_c_ends_quietly(follower):
    """Ctrl-C is the ordinary end of -f: exit code 0, no traceback."""
    follower.stdout.readline()
    time.sleep(0.3)
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=20)
    assert (follower.returncode, out, err) == (0, "", "")


def test_files_stay_few(cli, tmp_path):
    """Years of segments are read with few open files: each is opened in its time."""
    for day in range(1, 29):
        for hour in range(10):
            start = f"202601{day:02}T{hour:02}0000Z"
            moment = f"2026-01-{day:02}T{hour:02}:00:00.000001Z"
            forge(tmp_path / "journal" / "h", f"{start}-1-0000{day:02}{hour:02}", (moment, "one"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
    try:
        code, out, _ = cli("events", tmp_path, "--type", "one")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (code, len(out.splitlines())) == (0, 280)
