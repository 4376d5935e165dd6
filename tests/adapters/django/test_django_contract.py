"""The contract in Django: through WSGI and ASGI as a server calls it, and through Django's own test clients."""

import asyncio
from contextlib import closing

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client, override_settings

from adapters.browsers import Answer, ASGIBrowser, Browser, WSGIBrowser
from adapters.contract import AdapterContract
from adapters.django import contract_app
from adapters.live import LiveContract

SORRY = f"{contract_app.__name__}.SorryMiddleware"


class ClientBrowser(Browser):
    """Django's test client."""

    def __init__(self, client=None, **about):
        super().__init__(**about)
        self.client = client or self.new_client()

    @staticmethod
    def new_client():
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        client.handler.load_middleware()
        return client

    def fork(self, **changes):
        return type(self)(self.client, **{"peer": self.peer, "agent": self.agent, **changes})

    def send(self, request):
        self.client.cookies.clear()
        response = self.client.generic(*self._arguments(request), **self._extra(request))
        body, raised = b"", None
        try:
            body = b"".join(response.streaming_content) if response.streaming else response.content
        except Exception as error:
            raised = error
        finally:
            response.close()
        return self._answer(response, body, raised)

    def first_chunk(self, request):
        response = self.client.generic(*self._arguments(request), **self._extra(request))
        try:
            return next(response.streaming_content)
        finally:
            response.close()

    @staticmethod
    def _arguments(request):
        return request.method, request.target, request.body, request.header("content-type") or ""

    @staticmethod
    def _extra(request):
        headers = [(name, value) for name, value in request.headers if name not in ("content-type", "content-length")]
        return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers} | {
            "REMOTE_ADDR": request.peer
        }

    @staticmethod
    def _answer(response, body, raised):
        headers = [(name.lower(), value) for name, value in response.headers.items()]
        headers += [("set-cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        return Answer(response.status_code, headers, body, raised)


class PeerClient(AsyncClient):
    """Django's own always connects from 127.0.0.1, and always sends a cookie header, however empty."""

    peer = "127.0.0.1"

    def _base_scope(self, **request):
        scope = super()._base_scope(**request)
        headers = [(name, value) for name, value in scope["headers"] if name != b"cookie" or value]
        return {**scope, "client": [self.peer, 51234], "headers": headers}


class AsyncClientBrowser(ClientBrowser):
    """Django's asynchronous test client."""

    is_async = True

    def __init__(self, client=None, runner=None, **about):
        super().__init__(client, **about)
        self.runner = runner or asyncio.Runner()

    @staticmethod
    def new_client():
        client = PeerClient(enforce_csrf_checks=True, raise_request_exception=False)
        client.handler.load_middleware(is_async=True)
        return client

    def fork(self, **changes):
        return type(self)(self.client, self.runner, **{"peer": self.peer, "agent": self.agent, **changes})

    def close(self):
        self.runner.close()

    def settle(self):
        async def others():
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                await asyncio.wait(left, timeout=10)

        self.runner.run(others())

    def send(self, request):
        return self.runner.run(self._send(request))

    def send_together(self, requests):
        async def all_of_them():
            return await asyncio.gather(*(self._send(request) for request in requests))

        return self.runner.run(all_of_them())

    def _respond(self, request):
        self.client.cookies.clear()
        self.client.peer = request.peer
        return self.client.generic(*self._arguments(request), **self._extra(request))

    async def _send(self, request):
        response = await self._respond(request)
        body, raised = b"", None
        try:
            if not response.streaming:
                body = response.content
            elif response.is_async:
                body = b"".join([chunk async for chunk in response.streaming_content])
            else:
                body = b"".join(response.streaming_content)
        except Exception as error:
            raised = error
        finally:
            response.close()
        return self._answer(response, body, raised)

    def first_chunk(self, request):
        async def first():
            response = await self._respond(request)
            try:
                return await anext(aiter(response.streaming_content))
            finally:
                response.close()

        return self.runner.run(first())

    @staticmethod
    def _extra(request):
        return {
            "headers": {
                name: value for name, value in request.headers if name not in ("content-type", "content-length", "host")
            }
        }


class DjangoContract(AdapterContract):
    """What the four ways have in common."""

    pytestmark = pytest.mark.django_db(transaction=True)  # what is not committed is not told

    WITHOUT = frozenset({"websocket", "send_raises"})  # Django never closes a response whose `send` raised
    ORDERS_ROUTE = "orders/<int:id>/"
    URLS = contract_app.SyncUrls

    @staticmethod
    def start():
        """Return a browser of the project as it is set up."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def project(self, _django_db_helper, settings):
        settings.ROOT_URLCONF = self.URLS
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, SORRY]
        contract_app.populate()
        return settings

    @pytest.fixture
    def browser(self, project):
        with closing(self.start()) as browser:
            yield browser

    @pytest.fixture
    def bare(self, project):
        middleware = [name for name in project.MIDDLEWARE if not name.startswith("seclog.")]
        with override_settings(MIDDLEWARE=middleware):
            started = self.start()
        with closing(started) as browser:
            yield browser


class TestDjangoWSGI(DjangoContract):
    @staticmethod
    def start():
        return WSGIBrowser(WSGIHandler())


class TestDjangoASGI(DjangoContract):
    URLS = contract_app.AsyncUrls

    @staticmethod
    def start():
        return ASGIBrowser(ASGIHandler())


class TestDjangoClient(DjangoContract):
    @staticmethod
    def start():
        return ClientBrowser()


class TestDjangoAsyncClient(DjangoContract):
    URLS = contract_app.AsyncUrls

    @staticmethod
    def start():
        return AsyncClientBrowser()


class TestDjangoGunicorn(LiveContract):
    APP = "adapters.django.contract_live:wsgi"
    SERVER = "gunicorn"
    PREPARE = "adapters.django.contract_live"


class TestDjangoUvicorn(LiveContract):
    APP = "adapters.django.contract_live:asgi"
    SERVER = "uvicorn"
    PREPARE = "adapters.django.contract_live"
    believed = "203.0.113.9"  # uvicorn believes a proxy on the same machine (--forwarded-allow-ips)
