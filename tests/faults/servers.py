"""Real servers on free loopback ports, in process groups of their own, so that nothing outlives a test."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

TESTS = Path(__file__).parents[1]
START_SECONDS = 30
STOP_SECONDS = 20


class Server:
    """A server process and the workers it starts.

    Args:
        command: what to run; "{port}" stands for the port.
        log: the file that gets standard output and error.
        environment: variables to add.
    """

    def __init__(self, command, log, environment):
        self.port = free_port()
        self.log = log
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SECLOG_")}
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [argument.format(port=self.port) for argument in command],
                env={**clean, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **environment},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self, path="/ping"):
        """Wait until it answers."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                if self.get(path)[0] == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.said()}")

    def get(self, path, headers=None, method="GET", body=None, timeout=20):
        """Send one request on a connection of its own and return (status, body); the body is complete.

        Raises:
            OSError: the answer did not arrive completely.
        """
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            try:
                connection.request(method, path, body=body, headers=headers or {})
                answer = connection.getresponse()
                return answer.status, answer.read()
            except http.client.HTTPException as error:
                raise ConnectionError(str(error)) from error

    def raw(self, data, timeout=20):
        """Send bytes as they are, and return everything that comes back until the server closes."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            try:
                connection.sendall(data)
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionError:
                pass  # refused in the middle: what came until then is the answer
        return received

    def workers(self):
        """Return the ids of the worker processes that live now."""
        try:
            listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in listed.split()]

    def stop(self, signal_number=signal.SIGTERM):
        """Ask the server to end, wait for it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"the server did not stop:\n{self.said()}") from None
        return self.process.returncode

    def kill(self):
        """End everything that the server started, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def said(self):
        """Return the end of what the server wrote."""
        return self.log.read_text(errors="replace")[-6000:]


def gunicorn(application, *options, workers=1):
    """Return the command of a gunicorn. Its temporary files need no disk, its worker limit is a short one."""
    return [
        *(sys.executable, "-m", "gunicorn", application, "--bind", "127.0.0.1:{port}", "--workers", str(workers)),
        *("--graceful-timeout", "5", "--worker-tmp-dir", "/dev/shm", "--no-control-socket", *options),
    ]


def uvicorn(application, *options):
    """Return the command of a uvicorn."""
    return [
        *(sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", "{port}"),
        *("--lifespan", "off", "--timeout-graceful-shutdown", "5", *options),
    ]


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(condition, seconds=5.0, pause=0.05):
    """Wait until a condition holds, for a bounded time, and return what it returned last."""
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(pause)
    return found


def opened(pid):
    """Return the names of the files that a process has open at this moment."""
    found = []
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            found.append(str(file.readlink()))
    except FileNotFoundError:
        pass  # it was closed, or the process ended, while we looked
    return found
