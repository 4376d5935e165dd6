"""The libraries around Django need a project of their own, and so a process of their own: one for all their tests.

In the main run each file here is one test, which asks that process. To run a file by itself, in this process:
`DJANGO_SETTINGS_MODULE=neighbours.settings pytest tests/adapters/integrations/test_axes.py`.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SETTINGS = "neighbours.settings"
REPORT = "SECLOG_NEIGHBOURS_REPORT"
IS_HERE = os.environ.get("DJANGO_SETTINGS_MODULE") == SETTINGS


class Elsewhere(pytest.Module):
    """A file whose tests run in the other process."""

    def collect(self):
        yield pytest.Function.from_parent(self, name="in_their_own_process", callobj=in_their_own_process)

    def _getobj(self):
        return sys.modules[__name__]


def pytest_pycollect_makemodule(module_path, parent):
    """Leave the files here to the other process."""
    return None if IS_HERE else Elsewhere.from_parent(parent, path=module_path)


def pytest_runtest_logreport(report):
    """In the other process: note what came of each test."""
    path = os.environ.get(REPORT)
    if path and (report.when == "call" or report.outcome != "passed"):
        line = {"test": report.nodeid, "outcome": report.outcome, "text": str(report.longrepr or "")}
        with Path(path).open("a") as file:
            print(json.dumps(line), file=file)


def in_their_own_process(request, tmp_path_factory):
    """Every test of this file passes in a project that has the libraries."""
    files = tuple(sorted({str(item.path) for item in request.session.items if isinstance(item.parent, Elsewhere)}))
    code, output, reports = _run(files, tmp_path_factory.getbasetemp() / "neighbours.jsonl")
    mine = [report for report in reports if Path(report["test"].partition("::")[0]).name == request.path.name]
    failed = [report for report in mine if report["outcome"] == "failed"]
    assert not failed, "\n\n".join(f"{report['test']}\n{report['text']}" for report in failed)
    if not mine:
        assert code in {0, 5}, output  # 5: every file was skipped
    if all(report["outcome"] == "skipped" for report in mine):
        pytest.skip(mine[0]["text"] if mine else "a library is not installed")


@cache
def _run(files, report):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, REPORT: str(report)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nomigrations",
        "--continue-on-collection-errors",
        *files,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    reports = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    return done.returncode, done.stdout[-8000:] + done.stderr[-4000:], reports


if IS_HERE:

    @pytest.fixture(autouse=True)
    def _started(client, entries):
        """The start of the app, told with the first request, belongs to no test."""
        client.get("/nowhere/")
        entries.clear()

    @pytest.fixture
    def commit(django_capture_on_commit_callbacks):
        """Run what waits for a commit: a test's own transaction never commits."""
        return lambda: django_capture_on_commit_callbacks(execute=True)
