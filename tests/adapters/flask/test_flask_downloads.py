"""Family 5 in Flask: files and streams that leave, and how they end."""

import io
from contextlib import closing

import pytest
from flask import Flask, Response, make_response, send_file, stream_with_context

from conftest import whole
from seclog import api
from seclog.adapters.flask import SecLog
from seclog.assembly import Installation
from seclog.settings import Settings
from seclog.testing import recorded

CHUNKS = (b"a" * 10, "é" * 5, b"b" * 10)
ATTACHED = {"Content-Disposition": "attachment; filename=rows.csv"}
SIZE = 30


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "report.csv"
    path.write_bytes(b"x" * 5000)
    return path


@pytest.fixture
def rows(app):
    app.add_url_rule("/rows", "rows", lambda: Response(iter(CHUNKS), headers=ATTACHED))


def test_a_sent_file_as_a_whole(app, client, told, file):
    """A file is one entry, at once, with the bytes that it promises."""
    app.add_url_rule("/report/<int:pk>", "report", lambda pk: send_file(file, as_attachment=True))
    with client.get("/report/7", headers={"User-Agent": "Firefox"}) as response:
        assert response.data == b"x" * 5000
    [entry] = told()
    for name in ("service.name", "deployment.environment.name"):
        entry.pop(name, None)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "data_download",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "File downloaded",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "/report/<int:pk>",
        "url.path": "/report/7",
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": "/report/7",
        "file.name": "report.csv",
        "seclog.bytes": 5000,
    }


def test_a_part_of_a_file(app, client, told, file):
    """A range is told with its bytes (206)."""
    app.add_url_rule("/report", "report", lambda: send_file(file, as_attachment=True))
    with client.get("/report", headers={"Range": "bytes=100-199"}) as response:
        assert (response.status_code, len(response.data)) == (206, 100)
    [entry] = told()
    assert (entry["seclog.bytes"], entry["seclog.file.range"]) == (100, "bytes 100-199/5000")


def test_a_file_that_is_shown(app, client, told, file):
    """`send_file` without `as_attachment` hands out a file too; a page with `inline` does not."""
    app.add_url_rule("/report", "report", lambda: send_file(file))
    app.add_url_rule("/page", "page", lambda: Response("page", headers={"Content-Disposition": "inline"}))
    client.get("/report").close()
    client.get("/page").close()
    [entry] = told()
    assert entry["url.path"] == "/report"


def test_a_file_that_the_client_has(app, client, told, file):
    """Nothing leaves with 304."""
    app.add_url_rule("/report", "report", lambda: send_file(file))
    with client.get("/report") as response:
        tag = response.headers["ETag"]
    told()
    with client.get("/report", headers={"If-None-Match": tag}) as response:
        assert response.status_code == 304
    assert told() == []


def test_the_server_may_still_send_the_file_itself(app, file):
    """The server's own wrapper of the file reaches it untouched (gunicorn's sendfile)."""

    class Wrapper:
        def __init__(self, opened, size=8192):
            self.opened = opened

    app.add_url_rule("/report", "report", lambda: send_file(file))
    environ = app.test_request_context("/report").request.environ | {"wsgi.file_wrapper": Wrapper}
    result = app(environ, lambda *about: None)
    assert isinstance(result, Wrapper)
    result.opened.close()


def test_a_file_from_memory(app, client, told):
    """A response whose body is in memory is told at once, with its length and its international name."""

    @app.get("/export")
    def export():
        response = make_response("a;b\n" * 10)
        response.headers["Content-Disposition"] = "attachment; filename=x; filename*=UTF-8''caf%C3%A9.csv"
        return response

    client.get("/export")
    [entry] = told()
    assert (entry["file.name"], entry["seclog.bytes"]) == ("café.csv", 40)


def test_a_stream(client, rows, told):
    """A generator is told when it ended, with the bytes that it gave."""
    response = client.get("/rows")
    assert told() == []
    assert len(response.data) == SIZE
    [entry] = told()
    assert (entry["seclog.bytes"], entry["event.outcome"], entry["http.route"]) == (SIZE, "success", "/rows")


def test_a_stream_with_the_request_context(app, client, told):
    """Flask's way to keep the request while a stream runs is not disturbed."""
    from flask import request

    @app.get("/rows")
    def rows():
        def lines():
            yield request.path.encode()
            yield b"end"

        return Response(stream_with_context(lines()), headers=ATTACHED)

    assert client.get("/rows").data == b"/rowsend"
    assert told()[0]["seclog.bytes"] == 8


def test_a_stream_with_a_promised_length(app, client, told):
    """Where the app says how long its stream is, the bytes are counted all the same."""
    app.add_url_rule("/rows", "rows", lambda: Response(iter(CHUNKS), headers={**ATTACHED, "Content-Length": "30"}))
    with closing(client.get("/rows", buffered=False)) as response:
        next(response.iter_encoded())
    [entry] = told()
    assert (entry["event.outcome"], entry["reason"]) == ("failure", "aborted")
    assert entry["seclog.bytes"] < SIZE


def test_an_aborted_stream_is_closed(app, client, told):
    """A client that leaves: the entry, and the app's generator is closed as ever."""
    ended = []

    def lines():
        try:
            yield b"1"
            yield b"2"
            yield b"3"
        finally:
            ended.append(True)

    app.add_url_rule("/rows", "rows", lambda: Response(lines(), headers=ATTACHED))
    with closing(client.get("/rows", buffered=False)) as response:
        next(response.iter_encoded())
    assert ended == [True]
    assert [entry["reason"] for entry in told()] == ["aborted"]


def test_call_on_close_is_still_called(app, client, told):
    """What the app wants done at the end is done."""
    done = []

    @app.get("/rows")
    def rows():
        response = Response(iter(CHUNKS), headers=ATTACHED)
        response.call_on_close(lambda: done.append(True))
        return response

    client.get("/rows").close()
    assert done == [True]
    assert len(told()) == 1


@pytest.mark.parametrize("header", ["X-Accel-Redirect", "X-Sendfile"])
def test_a_file_that_the_web_server_sends(app, client, told, header):
    """A file that is handed over to nginx or Apache is told by its name; how many bytes leave nobody knows here."""
    app.add_url_rule("/file", "file", lambda: Response("", headers={header: "/protected/plan%20b.pdf"}))
    client.get("/file")
    [entry] = told()
    assert entry["file.name"] == "plan b.pdf"
    assert "seclog.bytes" not in entry


def test_use_x_sendfile(app, client, told, file):
    """Flask's own setting for that."""
    app.config["USE_X_SENDFILE"] = True
    app.add_url_rule("/report", "report", lambda: send_file(file))
    client.get("/report").close()
    [entry] = told()
    assert entry["file.name"] == "report.csv"
    assert "seclog.bytes" not in entry


def test_static_files_are_no_data(make_app, told, tmp_path):
    """The app's own scripts and pictures are not told."""
    (tmp_path / "app.js").write_text("1")
    app = make_app()
    app.static_folder = str(tmp_path)
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    with app.test_client().get("/static/app.js") as response:
        assert response.status_code == 200
    assert told() == []


def test_a_body_from_memory_by_send_file(app, client, told):
    """`send_file` of bytes in memory."""
    app.add_url_rule("/m", "m", lambda: send_file(io.BytesIO(b"12345"), download_name="m.bin", as_attachment=True))
    client.get("/m").close()
    assert [(entry["file.name"], entry["seclog.bytes"]) for entry in told()] == [("m.bin", 5)]


def test_sensitive_paths():
    """Reads below a path that the settings name are told, with the longest prefix."""
    before = api.installed()
    settings = Settings(directory=None, sensitive_paths=("/patients/", "/patients/vip/"))
    api._installed = Installation(settings, pseudonym_key="a key for tests only")
    try:
        with recorded() as entries:
            app = Flask("clinic")
            SecLog(app)
            app.add_url_rule("/patients/vip/<int:pk>", "patient", lambda pk: "patient", methods=["GET", "POST"])
            client = app.test_client()
            client.get("/patients/vip/3")
            client.post("/patients/vip/3")
    finally:
        api._installed.shut_down("test")
        api._installed = before
    [entry] = [entry for entry in entries if entry["event.name"] != "sys_startup"]
    assert (entry["event.name"], entry["seclog.target.type"]) == ("sensitive_read", "/patients/vip/")
    assert entry["seclog.target.id"] == "/patients/vip/3"
