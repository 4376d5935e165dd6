"""channels: refused WebSockets, and logins inside of one."""

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore

from neighbours.told import names, only

pytest.importorskip("channels")

from channels.auth import login
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.security.websocket import OriginValidator

pytestmark = pytest.mark.django_db(transaction=True)


class Denying(AsyncWebsocketConsumer):
    async def connect(self):
        raise DenyConnection


class Closing(WebsocketConsumer):
    def connect(self):
        self.close(code=4403)


class Accepting(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "login":
            await login(self.scope, self.scope["who"], backend="django.contrib.auth.backends.ModelBackend")
        await self.close(code=4001)


def connect(application, send=None, **more):
    """Open a WebSocket, send one text if it is accepted, and close it; tell whether it was accepted."""
    scope = {
        "type": "websocket",
        "path": "/ws/orders/",
        "headers": [(b"user-agent", b"Firefox"), (b"origin", b"https://evil.example")],
        "client": ["203.0.113.7", 4711],
        **more,
    }

    async def talk():
        communicator = ApplicationCommunicator(application, scope)
        await communicator.send_input({"type": "websocket.connect"})
        answer = await communicator.receive_output()
        if answer["type"] == "websocket.accept" and send:
            await communicator.send_input({"type": "websocket.receive", "text": send})
            await communicator.receive_output()
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait()
        return answer["type"] == "websocket.accept"

    return async_to_sync(talk)()


@pytest.mark.parametrize("consumer", [Denying, Closing])
def test_a_refused_connection_is_told(consumer, entries):
    """By exception and by code, in async and in sync consumers."""
    assert not connect(consumer.as_asgi())
    assert names(entries) == ["authz_unauthenticated"]
    entry = only(entries, "authz_unauthenticated")
    assert entry["reason"] == "websocket_denied"
    assert (entry["client.address"], entry["url.path"], entry["http.request.method"]) == (
        "203.0.113.7",
        "/ws/orders/",
        "GET",
    )
    assert entry["user_agent.original"] == "Firefox"
    assert entry.get("seclog.websocket.close_code") == (4403 if consumer is Closing else None)


def test_who_is_logged_in_is_refused_by_name(entries):
    """It is a denial then."""
    alice = get_user_model().objects.create_user("alice")
    entries.clear()
    connect(Denying.as_asgi(), user=alice)
    assert only(entries, "authz_fail")["user.id"] == str(alice.pk)


def test_a_foreign_origin_is_a_denial(entries):
    """The validator of origins refuses before the consumer is asked."""
    assert not connect(OriginValidator(Accepting.as_asgi(), ["https://shop.example"]))
    assert only(entries, "authz_fail")["reason"] == "origin_mismatch"


def test_a_login_inside_a_connection_has_its_context(entries):
    """Django's signal comes without a request."""
    alice = get_user_model().objects.create_user("alice")
    entries.clear()
    connect(Accepting.as_asgi(), send="login", who=alice, session=SessionStore())
    entry = only(entries, "authn_login_success")
    assert (entry["user.id"], entry["client.address"], entry["url.path"]) == (
        str(alice.pk),
        "203.0.113.7",
        "/ws/orders/",
    )


def test_an_ordinary_connection_tells_nothing(entries):
    """Accepted, used, closed."""
    assert connect(Accepting.as_asgi(), send="hello")
    assert entries == []
