"""A process that is driven by a test, over pipes, in the file system that the test makes for it."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from faults.servers import TESTS

ANSWER_SECONDS = 60


class Driven:
    """A process of `faults.apps.driven`.

    Args:
        log: the file that gets its standard error.
        environment: variables to add.
        prefix: a command to run it with.
    """

    def __init__(self, log, environment, prefix=()):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SECLOG_")}
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "faults.apps.driven"],
                env={**clean, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), **environment},
                cwd=log.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.pid = self._answer()

    def _listen(self):
        for line in self.process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _answer(self):
        line = self._answers.get(timeout=ANSWER_SECONDS)
        assert line is not None, f"the process ended:\n{self.said()}"
        return json.loads(line)

    def ask(self, expression):
        """Evaluate an expression there and return its value."""
        self.tell(expression)
        return self._answer()

    def tell(self, expression):
        """Evaluate an expression there and wait for nothing."""
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def sees(self, path):
        """Return a path as this process sees it, with its own mounts."""
        return Path(f"/proc/{self.pid}/root{path}")

    def end(self):
        """Let it end by itself and return its exit code."""
        self.process.stdin.close()
        return self.process.wait(30)

    def kill(self):
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass

    def said(self):
        """Return what it wrote to standard error."""
        return self.log.read_text(errors="replace")
