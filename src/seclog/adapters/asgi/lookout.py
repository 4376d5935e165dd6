"""Looks out for the client while a file leaves: some servers take every chunk for a client that is gone, and only
`receive` says so (`http.disconnect`).

Looks only where the request has no body, so that nothing is read from the client for the sake of a log, and gives the
app whatever it found.
"""

import asyncio
from typing import Final

from seclog.adapters.asgi.startup import Message, Receive

_GONE: Final = "http.disconnect"


class Lookout:
    """Stands between the server's `receive` and the app's.

    Args:
        receive: the server's.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._found: list[Message] = []
        self._waiting: asyncio.Future[Message] | None = None

    def sees_nobody(self) -> bool:
        """Tell whether the client is gone, as far as the server has said so by now. Waits for nothing."""
        if self._waiting is not None and self._waiting.done():
            waiting, self._waiting = self._waiting, None
            if not waiting.cancelled() and waiting.exception() is None:
                self._found.append(waiting.result())
        if any(message["type"] == _GONE for message in self._found):
            return True
        if self._waiting is None:
            self._waiting = self._ask()
        return False

    def _ask(self) -> "asyncio.Future[Message] | None":
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another kind of event loop
            return None
        return asyncio.ensure_future(self._receive(), loop=loop)

    async def receive(self) -> Message:
        """Return what the server has for the app, in its order."""
        if self._found:
            return self._found.pop(0)
        waiting, self._waiting = self._waiting, None
        return await (self._receive() if waiting is None else waiting)

    def close(self) -> None:
        """Stop looking."""
        if self._waiting is not None:
            self._waiting.cancel()
