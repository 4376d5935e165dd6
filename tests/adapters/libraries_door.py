"""The least of an adapter, for tests of libraries alone: a scope around each request, and its request-level event."""

from seclog import api
from seclog.adapters._scope import WebScope
from seclog.context import enter, leave


class Door:
    """What an adapter does for one request: a scope around it, one request-level event at its end."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        request = WebScope()
        token = enter(request)
        try:
            await self.app(scope, receive, send)
        finally:
            leave(token)
            token = enter(request)
            if request.candidate is not None:
                api.record(request.candidate[1])
            leave(token)
