"""The contract through a real server: gunicorn or uvicorn with two workers, on a free loopback port.

A binding is a subclass of `LiveContract` that names the app and the server:

    class TestFlaskGunicorn(LiveContract):
        APP = "adapters.flask.contract_live:app"    # the contract app, as "module:attribute"
        SERVER = "gunicorn"                          # or "uvicorn"

The workers import the app, and the app sets seclog up with `contract_app.SETTINGS`; the environment says where the
journal is (`SECLOG_DIRECTORY`). `CONTRACT_FOLDER` is a folder that the workers share, for a database; `PREPARE` names
a module that is run in the same environment before the server starts. `contract_app.KEY` is the app's own secret, the
same in all workers.
"""

import http.client
import os
import re
import socket
import struct
import subprocess
import sys
from contextlib import closing
from uuid import uuid4

import pytest

from adapters.browsers import Answer, Browser
from adapters.contract_app import ALICE, BOB, CHUNKS, LARGE_BYTES, PASSWORD, REPORT, SECRET
from faults.servers import TESTS, Server, eventually, gunicorn, uvicorn
from seclog.journal.reader import find_segments, read_lines
from seclog.journal.verify import verify_segment

WORKERS = 2
PARALLEL = 40
PEER = "127.0.0.1"

COMMANDS = {
    "gunicorn": lambda app: gunicorn(app, "--threads", "8", workers=WORKERS),
    "uvicorn": lambda app: uvicorn(app, "--workers", str(WORKERS), "--lifespan", "auto"),
}


class LiveBrowser(Browser):
    """A client over real connections, one a request."""

    def __init__(self, port, **about):
        super().__init__(**about)
        self.port = port

    def fork(self, **changes):
        return LiveBrowser(self.port, **{"peer": self.peer, "agent": self.agent, **changes})

    def send(self, request):
        with closing(http.client.HTTPConnection(PEER, self.port, timeout=20)) as connection:
            answer = self._respond(connection, request)
            headers = [(name.lower(), value) for name, value in answer.getheaders()]
            try:
                return Answer(answer.status, headers, answer.read())
            except http.client.HTTPException as error:
                return Answer(answer.status, headers, b"", error)

    def first_chunk(self, request):
        connection = http.client.HTTPConnection(PEER, self.port, timeout=20)
        answer = self._respond(connection, request)
        chunk = answer.read(10)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer.close()
        connection.close()  # with a reset: the server's next write fails
        return chunk

    @staticmethod
    def _respond(connection, request):
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(request.body or None)
        return connection.getresponse()


class Live:
    """A running server, a browser of it, and its journal.

    Args:
        app: "module:attribute".
        server: "gunicorn" or "uvicorn".
        folder: where the journal and what the workers share is kept.
        prepare: a module that is run first, or None.
    """

    def __init__(self, app, server, folder, prepare=None):
        self.directory = folder / "seclog"
        environment = {"SECLOG_DIRECTORY": str(self.directory), "SECLOG_WATCH": "off", "CONTRACT_FOLDER": str(folder)}
        if prepare is not None:
            variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
            subprocess.run([sys.executable, "-m", prepare], env=variables, cwd=folder, check=True, timeout=60)
        self.server = Server(COMMANDS[server](app), folder / "server.log", environment)
        try:
            self.server.wait("/healthz")
        except BaseException:
            self.server.kill()
            raise

    def browser(self):
        return LiveBrowser(self.server.port)

    def segments(self):
        return find_segments(self.directory) if self.directory.exists() else []

    def entries(self):
        """Return all entries there are now."""
        return [line.entry() for segment in self.segments() for line in read_lines(segment)]

    def of(self, request_id, expected=1):
        """Return the entries of a request, as soon as there are as many as expected."""

        def found():
            mine = [entry for entry in self.entries() if entry.get("seclog.request.id") == request_id]
            return mine if len(mine) >= expected else None

        entries = eventually(found)
        assert entries is not None, f"no {expected} entries of {request_id}; the server said:\n{self.server.said()}"
        return entries


def new_id():
    """Return a request id that no other request has."""
    return uuid4().hex


class LiveContract:
    """What an adapter does behind a real server with two workers.

    Attributes:
        APP: "module:attribute".
        SERVER: "gunicorn" or "uvicorn".
        PREPARE: a module to run first, or None.
    """

    APP = ""
    SERVER = ""
    PREPARE = None

    @pytest.fixture(scope="class")
    @classmethod
    def live(cls, tmp_path_factory):
        live = Live(cls.APP, cls.SERVER, tmp_path_factory.mktemp("live"), cls.PREPARE)
        yield live
        live.server.kill()

    @pytest.fixture
    def browser(self, live):
        return live.browser()

    @staticmethod
    def log_in(browser, user):
        """Log in, and return the request's id."""
        given = new_id()
        form = {"username": user.name, "password": PASSWORD}
        assert browser.post("/login/", form=form, headers={"X-Request-ID": given}).status in (302, 303)
        return given

    def test_login(self, live, browser):
        """A login is on disk when its answer arrives: user, address, session."""
        entries = live.of(self.log_in(browser, ALICE), 2)
        assert {entry["event.name"] for entry in entries} == {"authn_login_success", "session_created"}
        assert {(entry["user.id"], entry["client.address"]) for entry in entries} == {(ALICE.id, PEER)}
        assert browser.get("/me/").body == b"alice"

    def test_login_failure(self, live, browser):
        """So is a failed login."""
        given = new_id()
        browser.post("/login/", form={"username": "bob", "password": new_id()}, headers={"X-Request-ID": given})
        [entry] = live.of(given)
        assert (entry["event.name"], entry["user.name"]) == ("authn_login_fail", "bob")

    def test_refusal(self, live, browser):
        """A refusal names who was refused, where, and by which worker's request."""
        self.log_in(browser, BOB)
        given = new_id()
        assert browser.get("/forbidden/", headers={"X-Request-ID": given}).status == 403
        [entry] = live.of(given)
        assert (entry["event.name"], entry["user.id"], entry["user.name"]) == ("authz_fail", *BOB)
        assert (entry["url.path"], entry["http.response.status_code"]) == ("/forbidden/", 403)
        assert entry["service.name"] == "contract"

    def test_unhandled_exception(self, live, browser):
        """The server answers 500, and the entry names the error, not its text."""
        given = new_id()
        assert browser.get("/boom/", headers={"X-Request-ID": given}).status == 500
        [entry] = live.of(given)
        assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", "adapters.contract_app.Boom")

    @pytest.mark.parametrize(
        ("path", "name", "content"),
        [("/download/", "orders.csv", REPORT), ("/stream/", "stream.csv", b"".join(CHUNKS))],
    )
    def test_download(self, live, browser, path, name, content):
        """A download arrives whole, and is one entry with its bytes."""
        given = new_id()
        assert browser.get(path, headers={"X-Request-ID": given}).body == content
        [entry] = live.of(given)
        assert (entry["event.name"], entry["file.name"], entry["seclog.bytes"]) == ("data_download", name, len(content))

    def test_aborted_download(self, live, browser):
        """A client that hangs up in the middle is one failed download with fewer bytes."""
        given = new_id()
        browser.close_early("/stream/large/", headers={"X-Request-ID": given})
        [entry] = live.of(given)
        assert (entry["event.name"], entry["event.outcome"], entry["reason"]) == ("data_download", "failure", "aborted")
        assert entry["seclog.bytes"] < LARGE_BYTES

    @pytest.mark.parametrize("path", ["/thread/", "/background/"])
    def test_work_elsewhere(self, live, browser, path):
        """Work in another thread, or after the answer, belongs to its request."""
        given = new_id()
        assert browser.get(path, headers={"X-Request-ID": given}).body == b"done"
        [entry] = live.of(given)
        assert (entry["event.name"], entry["url.path"]) == ("sensitive_update", path)
        assert entry["user.id"].startswith("worker-")

    def test_attack_tool(self, live, browser):
        """A known attack tool is one entry."""
        given = new_id()
        browser.get("/", headers={"X-Request-ID": given, "User-Agent": "sqlmap/1.8"})
        [entry] = live.of(given)
        assert (entry["event.name"], entry["seclog.tool"]) == ("malicious_attack_tool", "sqlmap")

    def test_the_peer_is_the_client(self, live, browser):
        """What a client claims about its address is not believed."""
        given = new_id()
        browser.get("/missing/", headers={"X-Request-ID": given, "X-Forwarded-For": "203.0.113.9"})
        assert live.of(given)[0]["client.address"] in (PEER, self.believed)

    believed = PEER
    """What the server itself makes of the header above, before any app sees the request."""

    def test_hostile_input(self, live, browser):
        """What servers let through is one entry, without control characters."""
        for path in (
            "/nowhere/%0d%0a%00%1b[2J/",
            "/nowhere/%ff%fe/",
            "/nowhere/" + "a" * 3000,
            "/missing/?a=%00&%ff=1",
        ):
            given = new_id()
            assert (
                browser.get(path, headers={"X-Request-ID": given, "User-Agent": "\xff\xfe" + "x" * 4000}).status == 404
            )
            [entry] = live.of(given)
            assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(str(value) for value in entry.values()))

    def test_parallel_users(self, live):
        """Users at the same time, over both workers: no entry has anything of another's."""
        browser = live.browser()
        ids = [new_id() for _ in range(PARALLEL)]
        answers = browser.together([
            (f"/slow/user-{n}/", {"X-Request-ID": ids[n], "User-Agent": f"agent/{n}"}, None) for n in range(PARALLEL)
        ])  # fmt: skip
        assert [answer.status for answer in answers] == [403] * PARALLEL
        for n, given in enumerate(ids):
            entries = live.of(given, 2)
            assert [entry["event.name"] for entry in entries] == ["sensitive_update", "authz_fail"]
            for entry in entries:
                assert (entry["user.id"], entry["user_agent.original"]) == (f"user-{n}", f"agent/{n}")
                assert entry["url.path"] == f"/slow/user-{n}/"

    def test_what_goes_well_is_quiet(self, live, browser):
        """Requests that go well leave nothing on disk."""
        ids = {path: new_id() for path in ("/", "/orders/7/", "/redirect/", "/healthz", "/healthz/down")}
        for path, given in ids.items():
            browser.get(path, headers={"X-Request-ID": given})
        last = new_id()
        browser.get("/missing/", headers={"X-Request-ID": last})
        live.of(last)
        assert not set(ids.values()) & {entry.get("seclog.request.id") for entry in live.entries()}

    def test_zz_the_end(self, live, browser):
        """A stopped server leaves intact, closed segments of its workers; no secret is in any of them."""
        given = new_id()
        browser.get(f"/missing/?password={PASSWORD}", headers={"X-Request-ID": given, "Authorization": SECRET})
        live.of(given)
        live.server.stop()
        segments = live.segments()
        written = [segment.read_bytes() for segment in segments]
        reports = [verify_segment(segment.stem, data) for segment, data in zip(segments, written, strict=True)]
        assert [report.problem for report in reports] == [None] * len(reports)
        assert all(report.torn == 0 for report in reports)
        assert {report.state for report in reports} <= (
            {"stopped"} if self.SERVER == "gunicorn" else {"stopped", "died"}  # uvicorn ends workers by the signal
        )
        assert not any(secret.encode() in data for data in written for secret in (PASSWORD, SECRET))
        pids = {entry["process.pid"] for entry in live.entries() if entry["event.name"] == "sys_startup"}
        assert len(pids) >= WORKERS
