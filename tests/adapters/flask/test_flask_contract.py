"""The contract in Flask: as a server calls the app, and through Flask's own test client."""

import logging
from urllib.parse import unquote_to_bytes

import pytest

from adapters.browsers import Answer, Browser, WSGIBrowser
from adapters.contract import AdapterContract
from adapters.flask.contract_app import HAS_CSRF, create_app


class ClientBrowser(Browser):
    """Flask's test client."""

    def __init__(self, app, **about):
        super().__init__(**about)
        self.app = app

    def fork(self, **changes):
        return type(self)(self.app, **{"peer": self.peer, "agent": self.agent, **changes})

    def send(self, request):
        response = self._open(request, buffered=False)
        body, raised = b"", None
        try:
            for chunk in response.iter_encoded():
                body += chunk
        except Exception as error:
            raised = error
        finally:
            response.close()
        headers = [(name.lower(), value) for name, value in response.headers]
        return Answer(response.status_code, headers, body, raised)

    def first_chunk(self, request):
        response = self._open(request, buffered=False)
        try:
            return next(iter(response.iter_encoded()))
        finally:
            response.close()

    def _open(self, request, **about):
        client = self.app.test_client(use_cookies=False)
        client.environ_base = {"REMOTE_ADDR": request.peer}  # without werkzeug's own user agent
        path = unquote_to_bytes(request.path).decode("latin-1")
        return client.open(
            query_string=request.query,
            method=request.method,
            headers=[pair for pair in request.headers if pair[0] != "content-length"],
            data=request.body or None,
            environ_overrides={"PATH_INFO": path},  # as it is: the client takes `//nowhere` for a host
            **about,
        )


class FlaskContract(AdapterContract):
    """What both ways have in common."""

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
    WITHOUT = frozenset({"websocket", "session_hash"} | (set() if HAS_CSRF else {"csrf"}))
    ORDERS_ROUTE = "/orders/<int:id>/"
    Browser = WSGIBrowser

    @pytest.fixture(autouse=True)
    def _quiet(self):
        logging.getLogger("contract").setLevel(logging.CRITICAL)  # Flask logs what nobody handles

    @pytest.fixture
    def browser(self):
        browser = self.Browser(create_app())
        browser.get("/")  # with the first request a process tells of its start
        return browser

    @pytest.fixture
    def bare(self):
        return self.Browser(create_app(watched=False))


class TestFlask(FlaskContract):
    pass


class TestFlaskClient(FlaskContract):
    Browser = ClientBrowser
