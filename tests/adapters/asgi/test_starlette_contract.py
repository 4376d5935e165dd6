"""The contract in Starlette: as a server calls the app, through Starlette's test client, and with either door."""

from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from adapters.asgi.contract_app import as_middleware, create_starlette
from adapters.browsers import Answer, ASGIBrowser, Browser
from adapters.contract import AdapterContract, keeping_installation
from seclog import api
from seclog.adapters.asgi import install


class ClientBrowser(Browser):
    """Starlette's test client, with the lifespan: one loop for all requests."""

    def __init__(self, app, client=None, **about):
        super().__init__(**about)
        self.app = app
        self.stack = ExitStack()
        self.client = client or self.stack.enter_context(TestClient(app, follow_redirects=False))

    def fork(self, **changes):
        return type(self)(self.app, self.client, **{"peer": self.peer, "agent": self.agent, **changes})

    def close(self):
        with keeping_installation():
            api._installed = None  # some tests leave a journal behind that refuses
            self.stack.close()

    def send(self, request):
        client, transport = self.client, self.client._transport
        transport.client = (request.peer, 51234)
        transport.raise_server_exceptions = request.path == "/stream/broken/"
        client.headers.clear()
        client.cookies.clear()
        headers = [(key, value.encode("latin-1")) for key, value in request.headers]
        try:
            url = f"http://testserver{request.target}"
            response = client.request(request.method, url, headers=headers, content=request.body or None)
        except Exception as error:
            return Answer(None, [], b"", error)
        pairs = [(key.decode().lower(), value.decode("latin-1")) for key, value in response.headers.raw]
        return Answer(response.status_code, pairs, response.content)


class ASGIContract(AdapterContract):
    """What all ASGI bindings have in common."""

    BY_CALL = frozenset(
        [
            "login_failure",
            "password_change",
            "password_reset",
            "token_created",
            "token_invalid",
            "role_change",
            "config_change",
            "validation",
        ]
    )
    GUESSED = frozenset({"login_success"})
    WITHOUT = frozenset({"csrf", "session_hash"})
    ORDERS_ROUTE = "/orders/{id:int}/"
    create = staticmethod(create_starlette)
    door = staticmethod(install)

    @pytest.fixture
    def browser(self):
        browser = self.start(self.create(door=self.door))
        browser.get("/")  # with the first request a process tells of its start
        yield browser
        browser.close()

    @pytest.fixture
    def bare(self):
        browser = self.start(self.create(watched=False))
        yield browser
        browser.close()

    @staticmethod
    def start(app):
        return ASGIBrowser(app)


class TestStarlette(ASGIContract):
    pass


class TestStarletteMiddleware(ASGIContract):
    door = staticmethod(as_middleware)


class TestStarletteClient(ASGIContract):
    """What the test client can do: no paths or headers that it refuses itself, no hanging up, no bare messages."""

    WITHOUT = ASGIContract.WITHOUT | {"websocket"}

    @staticmethod
    def start(app):
        return ClientBrowser(app)

    test_aborted_download = test_aborted_download_where_send_raises = None
    test_parallel_users = None
