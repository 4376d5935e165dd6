"""The lock file: one holder on the host, and death or fork gives it back."""

import os
import subprocess
import sys
import time

import pytest

from seclog.journal.lock import FileLock

HOLD = """
import sys, time
from pathlib import Path
from seclog.journal.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "watch.lock"


@pytest.fixture
def other(path):
    """Start another process that holds the lock until it is killed."""
    running = []

    def start():
        running.append(subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True))
        return running[-1], running[-1].stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_one_holds_it_and_another_waits_for_its_turn(path):
    """Without waiting: the answer is yes or no."""
    one, two = FileLock(path), FileLock(path)
    assert (one.acquire(), two.acquire()) == (True, False)
    assert (one.held, two.held) == (True, False)
    one.release()
    assert two.acquire()
    two.release()


def test_taking_and_giving_twice_is_harmless(path):
    """Both are statements about a state."""
    lock = FileLock(path)
    assert (lock.acquire(), lock.acquire()) == (True, True)
    lock.release()
    lock.release()
    assert not lock.held


def test_the_file_is_private_and_stays(path):
    """Removing it would let two holders in."""
    lock = FileLock(path)
    lock.acquire()
    lock.release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_between_processes_death_gives_it_back(path, other):
    """Even by kill -9."""
    process, answer = other()
    lock = FileLock(path)
    assert (answer, lock.acquire()) == ("True", False)
    process.kill()
    process.wait()
    assert lock.acquire()
    assert other()[1] == "False"
    lock.release()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_never_holds_it(path):
    """A child that lives on must not hold the lock of its dead parent."""
    lock = FileLock(path)
    lock.acquire()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)  # until the parent lets go
        os._exit(0 if not lock.held else 1)
    os.close(ours)
    lock.release()
    again = FileLock(path)
    deadline = time.monotonic() + 5
    while not again.acquire() and time.monotonic() < deadline:  # the child may not have run its first step yet
        time.sleep(0.01)
    assert again.held
    os.write(theirs, b"x")
    os.close(theirs)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again.release()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    """The caller says what that means."""
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "none" / "watch.lock").acquire()
