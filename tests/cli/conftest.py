"""The command line, in this process, as a process of its own, and on a terminal; and a journal to read."""

import os
import pty
import subprocess

import pytest

from cli.journals import ENVIRONMENT, LOGINS, SCRIPT, record
from seclog.cli import run


@pytest.fixture
def directory(tmp_path):
    """A directory with one closed segment that holds `LOGINS`."""
    record(tmp_path / "seclog", *LOGINS)
    return tmp_path / "seclog"


@pytest.fixture
def segment(directory):
    """The one segment in `directory`."""
    [path] = directory.glob("journal/*/*.jsonl")
    return path


@pytest.fixture
def cli(capsys):
    """Run the command line in this process; gives exit code, standard output and standard error."""

    def call(*args, **options):
        code = run([str(arg) for arg in args], **options)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def script(tmp_path):
    """Run the installed script as a process of its own, with its output in pipes."""

    def call(*args, program=(SCRIPT,), cwd=None, **env):
        done = subprocess.run(
            [*program, *map(str, args)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            cwd=cwd or tmp_path,
            env={**ENVIRONMENT, **env},
        )
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def terminal(tmp_path):
    """Run the installed script on a terminal of 80 columns and return (exit code, everything it showed)."""

    def call(*args, **env):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [SCRIPT, *map(str, args)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=tmp_path,
            env={**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "25", **env},
        )
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:  # Linux tells the end of a terminal with EIO
            pass
        os.close(master)
        return process.wait(60), shown.decode()

    return call
