"""For tests, the user's and ours: what was recorded, in memory, as plain dictionaries.

with recorded() as entries:
client.post("/login/", {...})
assert entries[0]["event.name"] == "authn_login_fail"
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from seclog import api
from seclog.assembly import Installation
from seclog.settings import Settings


class MemorySink:
    """Keeps entries in a list. What it keeps went through the whole pipeline, redaction and encoding included."""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []
        self.redacted = 0

    def append(self, body: bytes, *, keep: bool = True) -> bool:
        """Decode and keep an entry."""
        self.entries.append(json.loads(body + b"}"))
        return True


@contextmanager
def recorded(settings: Settings | None = None) -> Iterator[list[dict[str, object]]]:
    """Collect the entries of the block instead of writing them.

    Uses the installation of this process if there is one (an adapter's), else makes one from `settings`.
    """
    installation = api.installed()
    made = None
    if installation is None:
        made = installation = Installation(settings or Settings(directory=None), pseudonym_key=os.urandom(16).hex())
        api.install(installation)
    before = installation.recorder.sink
    sink = MemorySink()
    installation.recorder.sink = sink
    try:
        yield sink.entries
    finally:
        installation.recorder.sink = before
        if made is not None:
            api.install(None)
