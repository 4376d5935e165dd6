"""Input that nobody means well with, through real servers: the app answers, each event stands once, verify says OK."""

import re
import signal
import socket
import struct
from contextlib import closing

import pytest

from faults import records
from faults.servers import eventually, gunicorn, uvicorn

pytest.importorskip("django")
SERVERS = {
    "gunicorn": ("gunicorn", gunicorn("faults.apps.project:wsgi", "--threads", "4")),
    "uvicorn": ("uvicorn", uvicorn("faults.apps.project:asgi", "--no-proxy-headers")),
}
ENDED = (0, -signal.SIGTERM)  # uvicorn gives itself the signal again that it was stopped with


@pytest.fixture(params=SERVERS)
def server(request, serve):
    """The test project under a real server."""
    library, command = SERVERS[request.param]
    pytest.importorskip(library)
    return serve(command)


@pytest.fixture
def settled(server, directory):
    """Stop the server after a request that must still work; the journal is whole then. Returns what it caused."""

    def settle():
        status, body = server.get("/record?n=1")
        assert (status, len(body)) == (200, 36)
        assert server.stop() in ENDED
        assert "the app is not affected" not in server.said()  # what seclog says about errors of its own
        records.assert_verifies(directory)
        raw = b"".join(path.read_bytes() for path in records.segments(directory))
        assert set(raw) <= {10, *range(32, 127)}
        events = records.events(directory)
        others = [entry for entry in events if entry["event.id"] != body.decode()]
        assert len(others) == len(events) - 1
        return others

    return settle


class Answers:
    """What came back: the statuses, and which of them the app gave (not its server)."""

    def __init__(self, received):
        self.received = received
        heads = re.split(rb"(?=HTTP/1\.1 \d{3})", received)[1:]
        self.statuses = [int(head[9:12]) for head in heads]
        self.by_app = [int(head[9:12]) for head in heads if b"x-content-type-options" in head.lower()]


def request(path=b"/record", *headers, method=b"GET", body=b"", host=b"127.0.0.1"):
    """Return a request as bytes, with these header lines."""
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def assert_told(events, answers):
    """Assert that each request that recorded something, or was refused by the app, is told once, and nothing else."""
    told = sorted(entry["http.response.status_code"] for entry in events if "http.response.status_code" in entry)
    statuses = [status for answer in answers for status in answer.by_app]
    assert told == sorted(status for status in statuses if status >= 400)
    assert len(events) - len(told) == statuses.count(200)


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_header_of_100_kb_is_refused_or_cut_and_one_of_7_kb_recorded(server, settled):
    """What the server lets through is recorded, cut or whole; what it refuses never reaches the app."""
    too_large = Answers(server.raw(request(b"/record", b"User-Agent: Agent " + b"y " * 50_000)))
    assert too_large.by_app == [200] or all(400 <= status < 500 for status in too_large.statuses)
    large = Answers(server.raw(request(b"/record", b"User-Agent: Agent " + b"y " * 3500)))
    assert large.by_app == [200]
    events = settled()
    assert len(events) == len(too_large.by_app) + 1
    assert all(entry["user_agent.original"].startswith("Agent y y y") for entry in events)
    assert max(len(entry["user_agent.original"]) for entry in events) < 10_000


HOSTILE = {
    "controls": b"evil\x01\x02\x08\x7fagent",
    "escape": b"\x1b[2J\x1b]0;owned\x07 agent",
    "tab": b"a\tb",
    "latin": b"caf\xe9 \x80\x9b31m",
    "surrogate": b"lone \xed\xa0\x80 surrogate",
    "invalid": b"\xff\xfe\xc3\x28",
    "json": b'","event.name":"forged","seclog.hash":"' + b"0" * 64 + b'"}',
    "bidi": "abc\u202egnp.exe\u2028line".encode(),
    "jndi": b"${jndi:ldap://127.0.0.1/a}",
    "newline": b"agent\\n{}%0a%0d",
    "bare-return": b"agent\rX: y",
    "null": b"a\x00b",
}


@pytest.mark.parametrize(
    "header", [b"User-Agent", b"X-Request-ID", b"X-Forwarded-For", b"Referer", b"traceparent", b"Cookie"]
)
def test_hostile_header_values_are_recorded_as_one_harmless_line(server, settled, header):
    """Control characters, escapes, surrogates, invalid UTF-8 and JSON in a header: one entry each, in plain ASCII."""
    answers = [Answers(server.raw(request(b"/record", header + b": " + value))) for value in HOSTILE.values()]
    assert all(len(answer.statuses) <= 1 for answer in answers)
    assert sum(answer.by_app == [200] for answer in answers) >= 8
    events = settled()
    assert_told(events, answers)
    assert {entry["event.name"] for entry in events} <= {"sensitive_read", "api_client_error", "input_validation_fail"}


SMUGGLED = request(b"/record?n=1", b"X-Smuggled: 1")
DUPLICATES = {
    "two lengths": request(b"/record", b"Content-Length: 0", b"Content-Length: 5", method=b"POST", body=b"abcde"),
    "length and chunked": request(
        *(b"/record", b"Content-Length: 4", b"Transfer-Encoding: chunked"), method=b"POST", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "odd chunked": request(b"/record", b"Transfer-Encoding: xchunked", method=b"POST", body=b"0\r\n\r\n" + SMUGGLED),
    "chunk size": request(b"/record", b"Transfer-Encoding: chunked", method=b"POST", body=b"-1\r\n\r\n"),
    "two hosts": request(b"/record", b"Host: evil.example"),
    "space before colon": request(b"/record", b"Content-Length : 5", method=b"POST", body=b"abcde"),
    "folded": request(b"/record", b"X-Folded: a", b"\tb: c"),
    "underscore": request(b"/record", b"X_Forwarded_For: 203.0.113.9", b"X-Forwarded-For: 198.51.100.1"),
    "two agents": request(b"/record", b"User-Agent: one", b"User-Agent: two"),
    "two request ids": request(b"/record", b"X-Request-ID: aaaaaaaa", b"X-Request-ID: bbbbbbbb"),
    "absolute target": request(b"http://evil.example/record"),
    "other host": request(b"/record", host=b"evil.example"),
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


def test_ambiguous_requests_are_told_as_often_as_the_app_answered(server, settled):
    """Duplicate and contradictory headers: whatever the server makes of them, each answer of the app has its entry."""
    answers = [Answers(server.raw(data, timeout=10)) for data in DUPLICATES.values()]
    events = settled()
    assert_told(events, answers)
    assert {entry["client.address"] for entry in events} == {"127.0.0.1"}


# ── paths and bodies ─────────────────────────────────────────────────────────────────────────────────────────────

PATHS = [b"%00", b"%ed%a0%80", b"%ff%fe", b"%1b[31m", b"..%2f..%2fetc", b"%e2%80%ae", b"a" * 3000]


@pytest.mark.parametrize(("prefix", "status"), [(b"/echo/", 200), (b"/nowhere/", 404)])
def test_hostile_paths_are_answered_and_recorded_only_where_they_fail(server, settled, prefix, status):
    """Null bytes, surrogates and line ends in the path: a view gets them, and a 404 is one entry with a safe path."""
    answers = [Answers(server.raw(request(prefix + path))) for path in PATHS]
    assert [answer.by_app for answer in answers] == [[status]] * len(PATHS)
    no_match = Answers(server.raw(request(b"/echo/a%0d%0aSet-Cookie:x")))
    assert no_match.by_app == [404]
    events = settled()
    assert [entry["event.name"] for entry in events] == ["api_client_error"] * (1 + (status == 404) * len(PATHS))
    assert all(entry["url.path"].startswith(("/nowhere/", "/echo/a")) for entry in events)


BODIES = {
    "form as json": (b"/json", b"application/json", b"a=1&b=2", 400),
    "binary as json": (b"/json", b"application/json", bytes(range(256)), 400),
    "utf-16 as json": (b"/json", b"application/json; charset=utf-8", '{"a":1}'.encode("utf-16")[1:], 400),
    "binary as form": (b"/form", b"application/x-www-form-urlencoded", bytes(range(256)) * 4, 200),
    "json as form": (b"/form", b"application/x-www-form-urlencoded", b'{"a":[1,2]}', 200),
    "no boundary": (b"/form", b"multipart/form-data", b"--x\r\n\r\n", 400),
    "wrong boundary": (b"/form", b"multipart/form-data; boundary=x", b"--y\r\nnothing", 200),
    "unknown charset": (b"/form", b"application/x-www-form-urlencoded; charset=cat", b"a=1", 200),
    "odd content type": (b"/form", b"\xff\xfe; q", b"a=1", 200),
    "many fields": (b"/form", b"application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(2000)), 400),
    "deep json": (b"/nowhere", b"application/json", b"[" * 50_000, 404),
}


def test_bodies_that_are_not_what_their_type_says(server, settled):
    """A body that cannot be parsed costs what the app says it costs: its own answer, and one entry for a refusal."""
    answers = {}
    for name, (path, content_type, body, _) in BODIES.items():
        headers = (b"Content-Type: " + content_type, b"Content-Length: %d" % len(body))
        answers[name] = Answers(server.raw(request(path, *headers, method=b"POST", body=body)))
    assert {name: answer.by_app for name, answer in answers.items()} == {
        name: [status] for name, (*_, status) in BODIES.items()
    }
    events = settled()
    refused = [status for (*_, status) in BODIES.values() if status >= 400]
    assert sorted(entry["http.response.status_code"] for entry in events) == sorted(refused)


# ── large bodies, and clients that leave ─────────────────────────────────────────────────────────────────────────

BOUNDARY = "seclog-fault-test"
MEGABYTES = 50


def multipart(megabytes):
    """Return (headers, total size, pieces) of an upload of one file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    size = len(head) + megabytes * 2**20 + len(tail)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(size)}

    def pieces():
        yield head
        for _ in range(megabytes * 16):
            yield b"\x00" * 65536
        yield tail

    return headers, size, pieces


def upload(server, path):
    """Upload, also where the server closes before it has read everything: then there may be no answer to read."""
    headers, _, pieces = multipart(MEGABYTES)
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        try:
            connection.sendall(request(path, *lines, method=b"POST"))
            for piece in pieces():
                connection.sendall(piece)
        except ConnectionError:
            pass
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionError:
            pass
    return Answers(received)


def growth(server, path):
    """Upload and return (the answers, by how many MB the process has grown at its highest)."""
    before = int(server.get("/memory")[1])
    answers = upload(server, path)
    return answers, (int(server.get("/memory")[1]) - before) / 1024


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(("path", "status"), [(b"/upload", 200), (b"/json", 400), (b"/nowhere", 404)])
def test_an_upload_of_50_mb_costs_no_memory_because_of_seclog(serve, directory, name, path, status):
    """The process grows by no more than without seclog, whether the app takes the upload, refuses it or has no view."""
    library, command = SERVERS[name]
    pytest.importorskip(library)
    bare = serve(command, FAULTS_BARE="1")
    bare_answers, bare_growth = growth(bare, path)
    bare.stop()
    server = serve(command)
    answers, with_growth = growth(server, path)
    assert server.stop() in ENDED
    assert {*bare_answers.statuses, *answers.statuses} <= {status}
    assert with_growth < bare_growth + 8
    assert with_growth < MEGABYTES / 2
    events = records.events(directory)
    if status == 200:
        assert [(entry["event.name"], entry["seclog.count"]) for entry in events] == [
            ("sensitive_create", MEGABYTES * 2**20)
        ]
    else:
        assert [entry["http.response.status_code"] for entry in events] == [status]
    records.assert_verifies(directory)


def leave(connection):
    """Close with a reset, as a client that is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_client_that_leaves_in_mid_download_is_recorded_as_aborted(server, settled, directory):
    """The download's entry says that it was aborted, and how far it came."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(request(b"/download?mb=40"))
        received = 0
        while received < 4 * 2**20:
            received += len(connection.recv(65536))
        leave(connection)
    assert eventually(lambda: records.events(directory))
    [entry] = settled()
    assert (entry["event.name"], entry["event.outcome"], entry["reason"]) == ("data_download", "failure", "aborted")
    assert entry["file.name"] == "report.bin"
    assert 2**20 < entry["seclog.bytes"] < 40 * 2**20


def test_a_whole_download_is_recorded_as_a_success(server, settled):
    """The same download to its end: success, with all its bytes."""
    assert len(server.get("/download?mb=2")[1]) == 2 * 2**20
    [entry] = settled()
    assert (entry["event.name"], entry["event.outcome"]) == ("data_download", "success")
    assert entry["seclog.bytes"] == 2 * 2**20


@pytest.mark.parametrize("path", [b"/upload", b"/json"])
def test_a_client_that_leaves_in_mid_upload_harms_nothing(server, settled, path):
    """Half an upload: the app goes on, nothing is recorded as if it had come, and one entry at most tells of it."""
    headers, _, pieces = multipart(2)
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(request(path, *lines, method=b"POST"))
        for number, piece in enumerate(pieces()):
            if number == 16:
                break
            connection.sendall(piece)
        leave(connection)
    events = settled()
    assert [entry["event.name"] for entry in events if entry["event.name"] == "sensitive_create"] == []
    assert len(events) <= 1
