"""The demo as a person runs it: a whole day, judged; and the judge can say no."""

import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

if not all(find_spec(name) for name in ("django", "rest_framework", "gunicorn", "rich")):
    pytest.skip("the demo needs django, djangorestframework, gunicorn and rich", allow_module_level=True)

from example_projects.demo import cast, leaks
from example_projects.demo.apps import APPS
from example_projects.demo.judge import judge
from example_projects.demo.play import Played
from example_projects.demo.steps import Entry, get, step
from example_projects.demo.story import day

CHECKOUT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "example_projects.demo"]
NEEDS = {
    "flask": ("flask", "flask_login", "flask_principal", "flask_wtf", "sqlalchemy"),
    "starlette": ("starlette", "uvicorn", "sqlalchemy", "itsdangerous", "multipart", "jinja2"),
    "fastapi": ("fastapi", "uvicorn", "sqlalchemy", "itsdangerous", "multipart", "jinja2"),
}
"""What an app needs besides; without it its day is skipped."""


def start(*arguments):
    """Start the demo in its own process group, without a terminal."""
    return subprocess.Popen(
        [*DEMO, *map(str, arguments)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module", params=sorted(APPS))
def whole_day(request, tmp_path_factory):
    """A demo with --exit that ran to its end: its exit code, its output and its state directory."""
    missing = [name for name in NEEDS.get(request.param, ()) if not find_spec(name)]
    if missing:
        pytest.skip(f"the {request.param} example needs {', '.join(missing)}")
    state = tmp_path_factory.mktemp("demo") / request.param
    process = start("--app", request.param, "--exit", "--state", state)
    output, _ = process.communicate(timeout=180)
    return process.returncode, output, state


def test_the_day_is_recorded_completely(whole_day):
    """All ten families are recorded with the right fields, no secret is on disk, and the chain verifies."""
    code, output, _ = whole_day
    assert re.fullmatch(r"demo: 10/10 families, \d+ entries, verify ok", output.splitlines()[-1]), output
    assert code == 0


def test_the_output_fits_eighty_columns_and_has_no_escapes(whole_day):
    """Without a terminal the output is plain; the tables and entries fit 80 columns."""
    _, output, state = whole_day
    assert "\x1b" not in output
    too_wide = [
        line for line in output.splitlines() if len(line) > 80 and str(state) not in line and "expected" not in line
    ]
    assert too_wide == []


def test_the_journal_stays_and_verifies_afterwards(whole_day):
    """`seclog verify <state>` finds the same journal later, with every segment ended in order."""
    from seclog.journal.check import check_journal

    _, output, state = whole_day
    report = check_journal(state)
    assert report.verdict == "OK"
    assert f"{report.entries} entries" in output.splitlines()[-1]
    assert {file.segment.state for file in report.files} == {"stopped"}


ALTERED = """
import sys
from dataclasses import replace
from example_projects.demo import __main__ as demo

story = demo.day

def one_scene(dialect):
    scene = next(scene for scene in story(dialect) if scene.title == "ana logs in")
    return (replace(scene, entries=(replace(scene.entries[0], user="somebody"), *scene.entries[1:])),)

demo.day = one_scene
demo.evidence.SETTLE_SECONDS = 1
gather = demo.evidence.gather

def leak_and_gather(state, day, secrets):
    (state / "shop" / "server.log").write_text(f"debug: password is {next(iter(secrets))}")
    return gather(state, day, secrets)

demo.evidence.gather = leak_and_gather
sys.exit(demo.main(["--exit", "--state", sys.argv[1]]))
"""


def test_a_wrong_expectation_and_a_leak_fail_the_demo(tmp_path):
    """Another user than expected, and a password in a log: both are told, nearest entry first, and the exit code is 1."""
    done = subprocess.run(
        [sys.executable, "-c", ALTERED, tmp_path / "state"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "NOT AS EXPECTED: ana logs in (family 1)" in done.stdout
    assert "  found     user.name: expected somebody, found ana\n" in done.stdout
    assert f"A SECRET IS ON DISK: ana password (raw) in {tmp_path}/state/shop/server.log, line 1" in done.stdout
    assert re.fullmatch(
        r"demo: 1/10 families, \d+ entries, verify ok, 1 mismatch, 1 secret on disk",
        done.stdout.splitlines()[-1],
    )


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path):
    """A given port that somebody else uses: one line with the cure, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--exit", "--state", tmp_path / "state", "--port", port)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output == f"demo: port {port} cannot be used (Address already in use): leave --port out to get a free one\n"


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path):
    """Only a demo's own directory is ever emptied."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "letters.txt").write_text("dear")
    process = start("--exit", "--state", tmp_path / "state")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is not a demo's: it is left alone" in output
    assert (tmp_path / "state" / "letters.txt").read_text() == "dear"


def test_ctrl_c_stops_the_shop_and_a_second_demo_is_refused(tmp_path):
    """While one demo runs, another with the same state is refused; Ctrl-C ends the first one and its server."""
    state = tmp_path / "state"
    first = start("--state", state)
    try:
        wait_for(lambda: (state / "shop" / "server.log").exists())
        second = start("--state", state)
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"process {first.pid}" in output
        first.send_signal(signal.SIGINT)
        output, _ = first.communicate(timeout=60)
    finally:
        if first.poll() is None:
            first.kill()
    assert first.returncode == 0
    assert output.splitlines()[-1] == "demo: stopped; the shop no longer runs"
    assert "Traceback" not in output
    assert not [pid for pid in Path("/proc").glob("[0-9]*/environ") if serves(pid, state)]


def serves(environ, state):
    try:
        return f"DEMO_STATE={state}".encode() in environ.read_bytes().split(b"\0")
    except OSError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("name", sorted(APPS))
def test_every_app_plays_the_same_scenes(name):
    """The apps differ in words and entries only: titles, people and requests are one story, all ten families in it."""
    django, own = day(APPS["django"].dialect), day(APPS[name].dialect)
    assert [(scene.title, scene.by, scene.do) for scene in own] == [(s.title, s.by, s.do) for s in django]
    assert APPS[name].dialect.words.keys() == APPS["django"].dialect.words.keys()


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_an_app_is_short(name):
    """All Python of a framework's folder is at most 150 lines, and the shop that they share knows no framework."""
    folder = CHECKOUT / "example_projects" / f"{name}_app"
    assert sum(len(file.read_text().splitlines()) for file in folder.rglob("*.py")) <= 150
    assert (folder / "README.md").exists()
    for file in (CHECKOUT / "example_projects" / "corner_shop").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (flask|starlette|fastapi|django|werkzeug)", file.read_text(), re.M), (
            file
        )


# ── the judge and the leak search, by themselves ─────────────────────────────────────────────────────────────────

SCENE = step(
    "a page",
    "mallory",
    get("/nothing/", 404),
    Entry("api_client_error", {"url.path": "/nothing/"}, status=404),
)
RECORDED = {
    "timestamp": "2026-01-01T00:00:01.000000Z",
    "event.name": "api_client_error",
    "event.outcome": "failure",
    "client.address": cast.DEVICES["mallory"].address,
    "user_agent.original": cast.DEVICES["mallory"].agent,
    "http.response.status_code": 404,
    "url.path": "/nothing/",
    "seclog.request.id": "demo-0001",
}


def played(scene=SCENE):
    return Played(scene, {}, "2026-01-01T00:00:00.000000Z", ["demo-0001"])


def test_the_judge_accepts_what_is_right():
    """An entry with every expected field counts for its family."""
    verdict = judge([played()], [RECORDED])
    assert (verdict.mismatches, verdict.families) == ([], [7])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client.address", "127.0.0.1"),
        ("event.outcome", "success"),
        ("http.response.status_code", 500),
        ("user.name", "ana"),
    ],
)
def test_the_judge_names_the_field_that_is_wrong(name, value):
    """A wrong address, outcome, status or user is a mismatch that names the field."""
    [mismatch] = judge([played()], [RECORDED | {name: value}]).mismatches
    [found] = mismatch.found
    assert found.startswith(f"{name}: expected ")


def test_the_judge_wants_silence_from_an_ordinary_request():
    """A step that expects nothing is wrong if anything was recorded."""
    [mismatch] = judge([played(replace(SCENE, entries=()))], [RECORDED]).mismatches
    assert "nothing" in mismatch.expected


def test_the_judge_refuses_what_is_told_twice():
    """An entry that no expectation claims is wrong, as the one too many of a request is."""
    [mismatch] = judge([played()], [RECORDED, RECORDED | {"event.id": "another"}]).mismatches
    assert (mismatch.expected, mismatch.found) == ("nothing else", ("api_client_error",))


def test_the_judge_leaves_room_for_what_the_watch_adds():
    """Findings that the watch derives from a request's entries may come in any number."""
    assert judge([played()], [RECORDED, RECORDED | {"event.name": "malicious_excess_404"}]).mismatches == []


def test_the_judge_says_what_was_not_learned():
    """An entry that names a value which no scene has learned is wrong, in so many words; the rest is judged."""
    unknown = Entry("authz_admin", target=(None, "{kim}"))
    verdict = judge([played(replace(SCENE, entries=(unknown, *SCENE.entries)))], [RECORDED])
    [mismatch] = verdict.mismatches
    assert (mismatch.family, mismatch.title, mismatch.expected) == (10, "a page", "authz_admin")
    assert mismatch.found == ("cannot be judged: no scene has learned kim",)
    assert (verdict.expected[10], verdict.met[10], verdict.families) == (1, 0, [7])


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("form", ["raw", "in JSON", "URL-encoded", "hex", "base64"])
def test_a_secret_is_found_in_every_form(tmp_path, form, before):
    """A planted secret is found raw, encoded and inside a longer base64 text, and reported without being repeated."""
    import base64
    import json
    from urllib.parse import quote

    secret = f'{cast.password()}"é'
    text = {
        "raw": before + secret,
        "in JSON": json.dumps(before + secret),
        "URL-encoded": quote(before + secret, safe=""),
        "hex": (before + secret).encode().hex(),
        "base64": base64.b64encode(f"{before}{secret}zzz".encode()).decode(),
    }[form]
    file = tmp_path / "some.log"
    file.write_text(f"first line\n{text}\n")
    [leak] = leaks.find_leaks({secret: "ana's password"}, [file])
    assert (leak.label, leak.form, leak.line) == ("ana's password", form, 2)
    assert secret not in str(leak)
