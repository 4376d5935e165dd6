"""Servers that are gone when the test is, whatever happened in it."""

import random

import pytest

from faults.driven import Driven
from faults.servers import Server


@pytest.fixture
def directory(tmp_path):
    """Where the journal will be."""
    return tmp_path / "seclog"


@pytest.fixture
def serve(tmp_path, directory):
    """Start a server that records into `directory`: `serve(command, SECLOG_WATCH="off")`."""
    running = []

    def start(command, path="/ping", **environment):
        variables = {"SECLOG_DIRECTORY": str(directory), "SECLOG_WATCH": "off", **environment}
        running.append(Server(command, tmp_path / f"server{len(running)}.log", variables))
        return running[-1].wait(path)

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def chance():
    """Randomness that is the same in every run."""
    return random.Random(20261124)


@pytest.fixture
def drive(tmp_path, directory):
    """Start a driven process: `drive(SECLOG_ACK="disk")`; `drive(prefix)` runs it with a command."""
    running = []

    def start(prefix=(), **environment):
        variables = {
            "SECLOG_DIRECTORY": str(directory),
            "SECLOG_WATCH": "off",
            "SECLOG_WATCH_INTERVAL_SECONDS": "0.1",
            **environment,
        }
        running.append(Driven(tmp_path / f"driven{len(running)}.log", variables, prefix))
        return running[-1]

    yield start
    for driven in running:
        driven.kill()
