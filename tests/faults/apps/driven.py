"""A process of the Django project that does what it is told: an expression a line in, its value as JSON out."""

import ctypes
import gc
import io
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "faults.apps.settings"

import django

django.setup()

from django.core.management import CommandError, call_command
from django.test import Client

import seclog
from seclog import api

DIRECTORY = Path(os.environ["SECLOG_DIRECTORY"])
_client = []


def get(path):
    """Send a request through the whole project and return (status, body)."""
    _client[:] = _client or [Client(raise_request_exception=True)]
    answer = _client[0].get(path)
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
