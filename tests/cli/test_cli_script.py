"""The script as people start it: versions, help, pipes, terminals, what is missing, what is not a journal."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.journals import ENVIRONMENT, LOGINS, SCRIPT, record
from seclog import __version__
from seclog.cli import run
from seclog.cli.commands import seclog

MODULE = (sys.executable, "-m", "seclog")
COMMANDS = sorted(seclog.commands)


@pytest.mark.parametrize("program", [(SCRIPT,), MODULE], ids=["script", "module"])
def test_version(script, program):
    """`seclog --version` and `python -m seclog --version` say the version."""
    assert script("--version", program=program) == (0, f"seclog {__version__}\n", "")


def test_module_runs_commands(script, directory):
    """`python -m seclog` is the same program, exit codes included."""
    code, out, _ = script("verify", directory, program=MODULE)
    assert (code, out[:10]) == (0, "verify: OK")
    assert script("verify", directory / "nope", program=MODULE)[0] == 2


def test_version_imports_little(script):
    """--version loads neither cryptography nor YAML nor Django, and not rich."""
    code = (
        "import sys; from seclog.cli import run; run(['--version'])\n"
        "print(sorted({'cryptography', 'yaml', 'django', 'rich'} & set(sys.modules)))"
    )
    assert script("-c", code, program=(sys.executable,)) == (0, f"seclog {__version__}\n[]\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(cli, command):
    """Each command explains itself with an example."""
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert "Example:\n" in out and f"seclog {command}" in out


def test_help_says_the_exit_codes(cli):
    """The program's help documents every exit code."""
    out = cli("--help")[1]
    assert all(f"  {code}  " in out for code in (0, 1, 2, 70, 130, 141))
    assert cli("-h")[1] == out


@pytest.mark.parametrize("args", [["nonsense"], ["--nonsense"], ["tail", "a", "b"]])
def test_wrong_usage(cli, args):
    """Wrong usage is exit code 2."""
    code, _, err = cli(*args)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("library", ["click", "rich"])
def test_a_missing_extra_is_one_line(script, library, directory):
    """Without click (or, on a terminal, rich) one line says how to get it, exit code 2."""
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "sys.stdout.isatty = lambda: True\n"
        f"from seclog.cli import main; sys.argv[1:] = ['tail', {str(directory)!r}]; main()"
    )
    done = script("-c", code, program=(sys.executable,))
    assert done == (2, "", f'{library} is not installed: pip install "seclog[cli]"\n')


def test_a_pipe_needs_no_rich(script, directory):
    """In a pipe rich is not even loaded."""
    code = f"import sys; sys.modules['rich'] = None; from seclog.cli import run; sys.exit(run(['tail', {str(directory)!r}]))"
    assert script("-c", code, program=(sys.executable,))[0] == 0


def test_an_error_of_our_own_is_no_verdict(script, directory):
    """An unexpected exception is exit code 70, not 1, which would say BROKEN."""
    code = (
        "import sys, seclog.cli.session as s; s.Session.place = lambda *a: 1 / 0\n"
        "from seclog.cli import main; sys.argv[1:] = ['verify']; main()"
    )
    code, out, err = script("-c", code, program=(sys.executable,))
    assert (code, out) == (70, "")
    assert "ZeroDivisionError" in err


def test_run_never_exits(capsys):
    """`run` returns its code, whatever happens: management commands rely on it."""
    assert [run(args) for args in (["--help"], ["--version"], ["nonsense"], ["verify", "/nowhere"])] == [
        0,
        0,
        2,
        2,
    ]
    assert run(["tail", "--help"], prog="manage.py seclog") == 0
    assert "Usage: manage.py seclog tail" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_closed_pipe_is_quiet(directory, form):
    """`seclog events | head -n 1` ends without a word, and not with 0: nobody read the rest."""
    record(directory, *LOGINS * 2000)
    done = subprocess.run(
        ["bash", "-c", f"{SCRIPT} events {directory} --format {form} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (141, "", 1)


@pytest.mark.parametrize("command", ["verify", "events", "catalogue"])
def test_an_output_that_fails(script, directory, command):
    """A full disk behind `> file` is one line and exit code 2."""
    args = [command] if command == "catalogue" else [command, directory]
    code, out, err = script(SCRIPT, *args, program=("sh", "-c", 'exec "$0" "$@" > /dev/full'))
    assert (code, out, err) == (2, "", "seclog: output: No space left on device\n")


def test_interrupted(directory):
    """Ctrl-C in a command that would have ended by itself is 130, without a traceback."""
    code = "import sys, seclog.cli.session as s, time; s.Session.place = lambda *a: print('on', flush=True) or time.sleep(60)\n"
    code += "from seclog.cli import main; sys.argv[1:] = ['verify']; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout.readline() == "on\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


# ── not a journal ───────────────────────────────────────────────────────────────────────────────────────────


BAD_FILES = {
    "empty": (b"", "is empty"),
    "binary": (b"\x7fELF\x00\x01\x02\x03" * 100, "is not a journal: it holds binary data"),
    "text": (b"127.0.0.1 - - GET /\n" * 10, "is not a journal: its first line is not an entry"),
    "other json": (b'{"a": 1}\n', "is not a journal: its first line is not an entry"),
    "json array": (b"[1, 2]\n", "is not a journal: its first line is not an entry"),
    "truncated": (b'{"schema":"seclog/1","timestamp":"2026-', "is truncated: it ends within its first entry"),
    "other schema": (
        b'{"schema":"seclog/9","timestamp":"2026"}\n',
        "has schema 'seclog/9'; this version reads 'seclog/1'",
    ),
}


@pytest.mark.parametrize(
    "command", [["verify"], ["tail"], ["tail", "-f"], ["events"], ["show", "00000000"]], ids=" ".join
)
@pytest.mark.parametrize("kind", BAD_FILES)
def test_what_is_not_a_journal_is_one_line(cli, tmp_path, command, kind):
    """A file that is no journal: one line on standard error that says what it is, exit code 2."""
    content, words = BAD_FILES[kind]
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    assert cli(*command, path) == (2, "", f"seclog: {path}: {words}\n")


@pytest.mark.parametrize("command", ["verify", "tail", "events"])
def test_places_without_a_journal(script, tmp_path, command):
    """No such path, a folder without segments, a device, a file that may not be read: one line, exit code 2."""
    assert script(command, "nope") == (2, "", "seclog: nope: there is no such file or directory\n")
    code, out, err = script(command, tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "holds no journal" in err
    assert script(command, "/dev/null") == (2, "", "seclog: /dev/null: is neither a file nor a directory\n")


@pytest.mark.parametrize("command", ["verify", "tail", "events"])
def test_a_segment_that_may_not_be_read(cli, segment, command, monkeypatch):
    """A segment of another user is one line, exit code 2."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)  # not chmod: root may read everything
    code, out, err = cli(command, segment.parent)
    assert (code, out, err) == (2, "", f"seclog: {segment}: cannot be read: Permission denied\n")


@pytest.mark.parametrize("command", ["tail", "events"])
def test_one_bad_segment_does_not_hide_the_others(cli, directory, segment, command):
    """Beside good segments a bad one is told, and an empty one (just made) is not."""
    bad = segment.with_name("20260101T000000Z-1-00000001.jsonl")
    bad.write_bytes(b"garbage\n")
    segment.with_name("20260101T000000Z-1-00000002.jsonl").touch()
    code, out, err = cli(command, directory)
    assert (code, len(out.splitlines())) == (0, 6)
    assert err == f"seclog: {bad}: is not a journal: its first line is not an entry\n"


def test_a_large_file_that_is_no_journal_is_not_read(script, tmp_path):
    """Somebody names a disk image: it is refused by its beginning."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(20_000_000_000)
    assert script("verify", path) == (2, "", f"seclog: {path}: is not a journal: it holds binary data\n")


# ── terminals ───────────────────────────────────────────────────────────────────────────────────────────────


def test_colours_on_a_terminal(terminal, directory):
    """On a terminal severities have colours."""
    code, shown = terminal("tail", directory)
    assert code == 0
    assert "\x1b[33mmedium" in shown


@pytest.mark.parametrize("command", [["tail"], ["catalogue"], ["settings"], ["verify"]], ids=" ".join)
def test_no_color(terminal, directory, command):
    """With NO_COLOR there is no colour, and no other style either."""
    code, shown = terminal(*command, SECLOG_DIRECTORY=str(directory), NO_COLOR="1")
    assert code == 0
    assert "\x1b[3" not in shown and "\x1b[1m" not in shown and "\x1b[9" not in shown


@pytest.mark.parametrize("command", [["catalogue"], ["settings"], ["catalogue", "authn_login_fail"]], ids=" ".join)
def test_tables_fit_80_columns(terminal, command):
    """Tables stay within the terminal's width."""
    code, shown = terminal(*command, NO_COLOR="1")
    assert code == 0
    assert max(len(line) for line in shown.replace("\r", "").splitlines()) <= 80


def test_progress_on_a_terminal(terminal, directory):
    """`verify` shows its progress on a terminal, and ends with the verdict."""
    code, shown = terminal("verify", directory)
    assert code == 0
    assert "━" in shown
    assert "chain only, no seal yet" in shown.splitlines()[-1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters(script, directory, encoding):
    """A locale without the characters shows their escapes; nothing fails."""
    code, out, err = script("verify", directory, PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")
    assert out.startswith("verify: OK \\u2014 1 segment")
