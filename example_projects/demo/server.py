"""The app under test: its state directory, made anew; its seed; and gunicorn, which ends when we end."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from example_projects.demo.apps import App

MARKER = ".seclog-demo"
"""Only a directory that holds this file, or nothing, or that lies in the checkout's own `.demo`, is ever emptied."""

OURS = Path(__file__).resolve().parents[2] / ".demo"
"""Git-ignored and made for demos; an example started by hand leaves its state here as well."""

LAUNCH = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Linux: a SIGTERM if the demo is killed. A server left behind would write into the next demo's journal."""

START_SECONDS = 60
STOP_SECONDS = 10


class DemoError(Exception):
    """Something stands in the way; the message says what, and what to do."""


def ends_with_us(*command: str) -> tuple[str, ...]:
    """Return a command that ends when this process does, however it ends."""
    return (sys.executable, "-c", LAUNCH, *command)


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the demo's lock: two demos must not share a state directory.

    Raises:
        DemoError: another demo holds it.
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    with (state.parent / f".{state.name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise DemoError(
                f"another demo is running in {state} (process {file.read().strip() or 'unknown'}): "
                "stop it with Ctrl-C, or use --state for a second one"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def fresh(state: Path) -> None:
    """Empty the state directory, or make it.

    Raises:
        DemoError: there is something else in it.
    """
    is_ours = (state / MARKER).exists() or state.parent == OURS
    if state.exists() and (not state.is_dir() or (any(state.iterdir()) and not is_ours)):
        raise DemoError(f"{state} exists and is not a demo's: it is left alone; choose another --state")
    if state.exists():
        shutil.rmtree(state)
    state.mkdir(mode=0o700, parents=True)
    (state / MARKER).touch()
    (state / "shop").mkdir(mode=0o700)


def seed(app: App, state: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Fill the app's database and return {name: id}.

    Raises:
        DemoError: the seed failed.
    """
    done = subprocess.run(
        app.seed,
        cwd=app.folder,
        env=_environment(state),
        input=json.dumps(dict(secrets)),
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise DemoError(f"the shop could not be filled:\n{_tail(done.stderr)}")
    return {name: str(value) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}


def listen(port: int) -> socket.socket:
    """Return a listening loopback socket, on a free port if `port` is 0. The server inherits it: no race.

    Raises:
        DemoError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "no such port"
        raise DemoError(f"port {port} cannot be used ({why}): leave --port out to get a free one") from None
    listener.listen(128)
    return listener


class Server:
    """gunicorn with the app on it; a context manager that ends it.

    Args:
        app: the example project.
        state: its state directory.
        port: the port to listen on; 0 for a free one.
    """

    def __init__(self, app: App, state: Path, port: int = 0) -> None:
        self._app = app
        self._state = state
        self.log = state / "shop" / "server.log"
        self._listener = listen(port)
        self.port: int = self._listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a person finds the app."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            DemoError: it does not start; the message holds the end of its log.
        """
        fd = self._listener.fileno()
        with self.log.open("wb") as log, self._listener:
            self._process = subprocess.Popen(
                ends_with_us(*self._app.serve(fd)),
                cwd=self._app.folder,
                env=_environment(self._state),
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is ours; we end the server in order
            )
        self._wait_until_it_answers()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
            ):
                connection.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                if connection.recv(1):
                    return
            time.sleep(0.05)
        code = self._process.poll() if self._process is not None else None
        why = "did not answer in time" if code is None else f"ended at once (exit code {code})"
        raise DemoError(f"the server {why}; the end of {self.log}:\n{_tail(self.log.read_text(errors='replace'))}")

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server and its workers: in order, and by force if that takes too long."""
        self._listener.close()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass  # too slow, or an impatient second Ctrl-C: by force
        with suppress(ProcessLookupError):  # the workers are in its session's group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(state: Path) -> dict[str, str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SECLOG_", "DJANGO_", "FLASK_", "GUNICORN_"))
    }
    return clean | {
        "DEMO_STATE": str(state),
        "DEMO_PUBLIC_COMPUTER_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
    }


def _tail(text: str, last: int = 12) -> str:
    """Return the end of a log, and before it the errors that came earlier: the first is often the cause."""
    lines = text.strip().splitlines()
    causes = [line for line in lines[:-last] if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return "\n".join(f"    {line}" for line in [*dict.fromkeys(causes), *lines[-last:]]) or "    (empty)"
