"""Programs that are not Python packages: where one is missing the test is skipped, unless CI says that it must be there."""

import os
import shutil
import subprocess
from functools import cache

import pytest


def need(problem):
    """Skip with the reason, if there is one; with SECLOG_REQUIRE_SERVICES=1, fail with it."""
    if problem is None:
        return
    if os.environ.get("SECLOG_REQUIRE_SERVICES") == "1":
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)


@cache
def namespace():
    """Return (the command before a command that runs it with mounts of its own, or why there is none)."""
    if shutil.which("unshare") is None:
        return [], "unshare (util-linux) is not installed"
    tried = ""
    for how in (["unshare", "-m"], ["unshare", "-rm"]):
        script = "mount -t tmpfs -o size=64k tmpfs /mnt"
        done = subprocess.run([*how, "sh", "-c", script], capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            return how, None
        tried = done.stderr.strip()
    return [], f"mounting in a namespace of one's own is not permitted: {tried}"


@cache
def strace():
    """Return why strace cannot be used, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-f", "-e", "trace=write", "-e", "inject=write:error=ENOSPC:when=9999", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return None if done.returncode == 0 else f"strace is not permitted: {done.stderr.strip()[-200:]}"
