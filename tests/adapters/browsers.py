"""Browsers: framework-free clients of an app in this process (WSGI, ASGI), and what all browsers have in common.

    browser = WSGIBrowser(app)                 # or ASGIBrowser(app)
    answer = browser.post("/login/", form={"username": "alice", "password": "…"})
    answer.status, answer.header("location"), answer.body

A binding with a framework's own test client subclasses `Browser` and writes `send` (and `first_chunk`).
"""

import asyncio
import io
import json as jsonlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import unquote_to_bytes, urlencode

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOST = "testserver"


@dataclass
class Request:
    """What is sent. `target` is the path with its query, percent-encoded as on the wire."""

    method: str
    target: str
    headers: list
    body: bytes
    peer: str

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return self.target.partition("?")[2]

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Answer:
    """What came back: names of headers in lower case, in their order; and what the app raised into the server."""

    status: int | None
    headers: list
    body: bytes
    raised: BaseException | None = field(default=None, compare=False)

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def text(self):
        return self.body.decode()


class Browser:
    """Keeps cookies, has an address and a user agent.

    Args:
        peer: the address that the connection comes from.
        agent: its user agent.
    """

    is_async = False
    """Whether requests that run at the same time are tasks of one loop instead of threads."""

    def __init__(self, peer="198.51.100.7", agent=FIREFOX):
        self.peer = peer
        self.agent = agent
        self.cookies = {}

    # ── what a kind of browser brings ───────────────────────────────────────────────────────────────────────

    def send(self, request):
        """Send a request, read the whole answer, and end the response as a server does."""
        raise NotImplementedError

    def first_chunk(self, request):
        """Send a request, read the first chunk of the body, hang up, and return the chunk."""
        raise NotImplementedError

    def fork(self, **changes):
        """Return another browser of the same app."""
        raise NotImplementedError

    def send_together(self, requests):
        """Send requests at the same time; answers in their order."""
        with ThreadPoolExecutor(max(1, len(requests))) as pool:
            return list(pool.map(self.send, requests))

    def settle(self):
        """Wait for what the app still does after its answers."""
        for thread in threading.enumerate():
            if thread.name.startswith("contract-background"):
                thread.join(10)

    def close(self):
        """Free what the browser holds."""

    # ── what all have ───────────────────────────────────────────────────────────────────────────────────────

    def get(self, path, **about):
        return self.request("GET", path, **about)

    def post(self, path, **about):
        return self.request("POST", path, **about)

    def request(self, method, path, **about):
        answer = self.send(self.made(method, path, **about))
        for key, value in answer.headers:
            if key == "set-cookie":
                for name, morsel in SimpleCookie(value).items():
                    if morsel.value and morsel["max-age"] != "0" and morsel["max-age"] != 0:
                        self.cookies[name] = morsel.value
                    else:
                        self.cookies.pop(name, None)
        return answer

    def close_early(self, path, **about):
        return self.first_chunk(self.made("GET", path, **about))

    def together(self, requests):
        """Send many GET requests at the same time: (path, headers, peer) each."""
        return self.send_together(
            [self.made("GET", path, headers=headers, peer=peer) for path, headers, peer in requests]
        )

    def made(self, method, path, *, headers=None, form=None, json=None, body=b"", content_type=None, peer=None):
        """Return the request."""
        if form is not None:
            body, content_type = urlencode(form).encode(), content_type or "application/x-www-form-urlencoded"
        elif json is not None:
            body, content_type = jsonlib.dumps(json).encode(), content_type or "application/json"
        sent = {"host": HOST, "user-agent": self.agent}
        sent |= {key.lower(): value for key, value in (headers or {}).items()}
        if content_type is not None:
            sent["content-type"] = content_type
        if body:
            sent["content-length"] = str(len(body))
        if self.cookies and "cookie" not in sent:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        pairs = [(key, value) for key, value in sent.items() if value is not None]
        return Request(method, path, pairs, body, peer or self.peer)


# ── WSGI ────────────────────────────────────────────────────────────────────────────────────────────────────────


class WSGIBrowser(Browser):
    """Calls a WSGI app as a server does (PEP 3333)."""

    def __init__(self, app, **about):
        super().__init__(**about)
        self.app = app

    def fork(self, **changes):
        return WSGIBrowser(self.app, **{"peer": self.peer, "agent": self.agent, **changes})

    def send(self, request):
        body, result = b"", None
        started = []
        try:
            result = self.app(self._environ(request), self._starter(started))
            for chunk in result:
                body += chunk
        except Exception as error:
            return self._answer(started, body, error)
        finally:
            if hasattr(result, "close"):
                result.close()
        return self._answer(started, body)

    def first_chunk(self, request):
        result = self.app(self._environ(request), self._starter([]))
        try:
            return next(chunk for chunk in iter(result) if chunk)
        finally:
            if hasattr(result, "close"):
                result.close()

    @staticmethod
    def _starter(started):
        def start_response(status, headers, exc_info=None):
            started[:] = [(status, headers)]
            return lambda data: None

        return start_response

    @staticmethod
    def _answer(started, body, error=None):
        if not started:
            return Answer(None, [], body, error)
        status, headers = started[0]
        return Answer(int(status[:3]), [(key.lower(), value) for key, value in headers], body, error)

    @staticmethod
    def _environ(request):
        environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "QUERY_STRING": request.query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": request.peer,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for key, value in request.headers:
            name = key.upper().replace("-", "_")
            environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = value
        return environ


# ── ASGI ────────────────────────────────────────────────────────────────────────────────────────────────────────


class ASGIBrowser(Browser):
    """Calls an ASGI app as a server does (ASGI 3, HTTP and WebSocket), in a loop that lives as long as the browser."""

    is_async = True
    raises_when_gone = False
    """Whether `send` raises when the client is gone, as ASGI 2.4 allows; else it does nothing, as uvicorn's."""

    def __init__(self, app, runner=None, **about):
        super().__init__(**about)
        self.app = app
        self.runner = runner or asyncio.Runner()

    def fork(self, **changes):
        return ASGIBrowser(self.app, self.runner, **{"peer": self.peer, "agent": self.agent, **changes})

    def close(self):
        self.runner.close()

    def send(self, request):
        return self.runner.run(self._send(request))

    def send_together(self, requests):
        async def all_of_them():
            return await asyncio.gather(*(self._send(request) for request in requests))

        return self.runner.run(all_of_them())

    def settle(self):
        super().settle()

        async def others():
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                await asyncio.wait(left, timeout=10)

        self.runner.run(others())

    def websocket(self, path, texts=(), headers=None):
        """Connect, send texts, hang up; return all that the app sent, as ASGI messages."""
        request = self.made("GET", path, headers=headers)
        return self.runner.run(self._talk(request, list(texts)))

    def first_chunk(self, request):
        async def hang_up():
            gone, sent = asyncio.Event(), []
            given = [{"type": "http.request", "body": request.body, "more_body": False}]

            async def receive():
                if given:
                    return given.pop()
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message):
                if gone.is_set():
                    if self.raises_when_gone:
                        raise OSError("the client is gone")
                    return
                sent.append(message)
                if message["type"] == "http.response.body" and message.get("body"):
                    gone.set()

            try:
                await asyncio.wait_for(self.app(self._scope(request), receive, send), 10)
            except Exception as error:
                if not gone.is_set():
                    raise AssertionError("no chunk came") from error
            return next(message["body"] for message in sent if message.get("body"))

        return self.runner.run(hang_up())

    async def _send(self, request):
        sent, error = [], None
        given = [{"type": "http.request", "body": request.body, "more_body": False}]
        done = asyncio.Event()

        async def receive():
            if given:
                return given.pop()
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                done.set()

        async def in_its_own_context():
            await self.app(self._scope(request), receive, send)

        try:
            await asyncio.create_task(in_its_own_context())
        except Exception as raised:
            error = raised
        start = next((message for message in sent if message["type"] == "http.response.start"), None)
        body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        if start is None:
            return Answer(None, [], body, error)
        headers = [(key.decode("latin-1").lower(), value.decode("latin-1")) for key, value in start.get("headers", ())]
        return Answer(start["status"], headers, body, error)

    async def _talk(self, request, texts):
        sent = []
        given = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]

        async def receive():
            return given.pop(0) if given else {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            sent.append(message)

        scope = self._scope(request) | {"type": "websocket", "scheme": "ws", "subprotocols": []}
        del scope["method"]
        scope["extensions"] = {"websocket.http.response": {}}
        try:
            await asyncio.create_task(self.app(scope, receive, send))
        except Exception as error:
            sent.append({"type": "raised", "error": error})
        return sent

    @staticmethod
    def _scope(request):
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote_to_bytes(request.path).decode("utf-8", "replace"),
            "raw_path": request.path.encode("latin-1"),
            "query_string": request.query.encode("latin-1"),
            "root_path": "",
            "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in request.headers],
            "client": (request.peer, 51234),
            "server": (HOST, 80),
            "state": {},
            "extensions": {},
        }
