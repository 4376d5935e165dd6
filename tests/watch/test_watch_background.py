"""The background: one daemon thread a process, started with the first segment, in every forked child anew."""

import os
import threading
import time

import pytest

from journal.made import entries_of, names_of, segments
from seclog.assembly import Background, Installation
from seclog.events.event import Event
from seclog.settings import Settings
from watch.worlds import HOME, LINUX, WORK


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def install(tmp_path):
    made = []

    def start(**settings):
        found = Settings.load({"directory": tmp_path, "watch": {"interval_seconds": 0.01}, **settings}, environ={})
        made.append(Installation(found))
        return made[-1]

    yield start
    for installation in made:
        installation.shut_down()


def login(installation, address):
    fields = {"user.id": "7", "user_agent.original": LINUX.format(140), "client.address": address}
    installation.recorder.record(Event(type="authn_login_success", fields=fields))


def test_a_login_from_a_new_network_is_told_without_any_set_up(install, tmp_path):
    """Record, watch, tell: the whole loop in one process."""
    installation = install()
    login(installation, HOME)
    login(installation, WORK)
    wait_for(lambda: "authn_new_ip" in names_of(segments(tmp_path)[0]))
    installation.shut_down()
    names = names_of(segments(tmp_path)[0])
    assert names.count("authn_new_ip") == 1
    assert names[-2:] == ["sys_shutdown", "audit_log_stopped"]


def test_no_thread_before_the_first_entry(install):
    """A process that records nothing runs nothing."""
    install()
    assert "seclog" not in {thread.name for thread in threading.enumerate()}


def test_the_watch_can_be_switched_off(install, tmp_path):
    """`seclog watch` runs elsewhere: the thread keeps the pulse only."""
    installation = install(watch={"enabled": False, "interval_seconds": 0.01})
    login(installation, HOME)
    assert installation._background.is_alive()
    assert installation._make_watch() is None
    time.sleep(0.05)
    assert not list(tmp_path.rglob("watch.*"))


def test_shutting_down_ends_the_thread_and_gives_the_election_back(install, tmp_path):
    """The next process need not wait."""
    installation = install()
    login(installation, HOME)
    wait_for(lambda: list(tmp_path.rglob("watch.db")))
    thread = installation._background
    installation.shut_down()
    assert not thread.is_alive()
    successor = install()
    login(successor, WORK)
    wait_for(lambda: any("authn_new_ip" in names_of(path) for path in segments(tmp_path)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_thread_of_its_own(install, tmp_path):
    """With its first segment."""
    installation = install(watch={"enabled": False, "interval_seconds": 0.01})
    login(installation, HOME)
    child = os.fork()
    if child == 0:
        try:
            login(installation, WORK)
            alive = installation._background.pid == os.getpid() and installation._background.is_alive()
            installation.shut_down()
            os._exit(0 if alive else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert installation._background.pid == os.getpid()
    assert len(segments(tmp_path)) == 2
    assert len({entries_of(path)[0]["process.pid"] for path in segments(tmp_path)}) == 2


def test_an_error_of_a_round_is_counted_and_the_next_round_works(install):
    """A damaged database must not end the heartbeat."""
    complaints, pulses = [], []

    class Pulse:
        def pulse(self):
            pulses.append(1)

    class Broken:
        def tick(self):
            raise RuntimeError("damaged")

        def close(self):
            complaints.append("closed")

    thread = Background(Pulse(), Broken, 0.001, lambda where, error: complaints.append(where))
    thread.start()
    wait_for(lambda: len(pulses) > 3)
    thread.stop()
    assert not thread.is_alive()
    assert complaints[:2] == ["the watch"] * 2
    assert complaints[-1] == "closed"


def test_stopping_from_within_itself_does_not_wait_for_itself():
    """An exit handler may run in any thread."""
    stopped = []

    class Pulse:
        def pulse(self):
            thread.stop()
            stopped.append(True)

    thread = Background(Pulse(), lambda: None, 0.001, lambda where, error: None)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert stopped == [True]
