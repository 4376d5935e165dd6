"""Servers that are gone when the test is, whatever happened in it."""

import random

import pytest

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
