"""A process of the Django project that does what it is told: an expression a line in, its value as JSON out."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "faults.apps.settings"

import django

django.setup()

from django.core.management import CommandError, call_command  # noqa: E402
from django.test import Client  # noqa: E402

from seclog import api  # noqa: E402
from seclog.watch import Watch  # noqa: E402

__all__ = ["api", "resource", "signal"]  # for the expressions

_client = []
_watch = []


def get(path, agent=""):
    """Send a request through the whole project and return (status, body)."""
    _client[:] = _client or [Client(raise_request_exception=True)]
    answer = _client[0].get(path, headers={"user-agent": agent})
    return answer.status_code, answer.content.decode()


def record(count=1, size=0):
    """Record by a request; return how many entries it was told to be on disk. Anything but a 200 is an error."""
    status, body = get(f"/record?n={count}&size={size}")
    assert status == 200, status
    return len(body.split())


def mount(*arguments):
    """Mount, in the namespace of this process."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def fill(folder):
    """Leave no free block in a file system."""
    with Path(folder, "filling").open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass


def free(folder):
    """Take that back."""
    Path(folder, "filling").unlink()


def limit_file_size(size):
    """Set RLIMIT_FSIZE."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def segment():
    """Return the segment that is written now, if one is."""
    path = api.installed().journal.segment_path
    return path and str(path)


def recover():
    """Do what the watch does for dead processes; return how many segments it closed."""
    if not _watch:
        _watch.append(Watch.at(Path(os.environ["SECLOG_DIRECTORY"]), api.installed().recorder))
    return sum(done.closed for done in _watch[0].recover_dead())


def check():
    """Return what `manage.py check` says."""
    said = io.StringIO()
    try:
        call_command("check", stdout=said, stderr=said)
    except CommandError as error:
        return str(error)
    return said.getvalue()


def close():
    """Shut seclog down, as at exit."""
    api.installed().shut_down("exit")


def main():
    """Do what comes in."""
    print(json.dumps(os.getpid()), flush=True)
    for line in sys.stdin:
        print(json.dumps(eval(line)), flush=True)


if __name__ == "__main__":
    main()
