"""What the watch knows, in one SQLite file: how far it has read, who uses what, and what it has yet to tell.

One transaction a step: the cursor, what was learned and the events to write become durable together, or not at all.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from seclog.errors import SeclogError
from seclog.events.event import Event

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS cursor (
    segment TEXT PRIMARY KEY, offset INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (
    service TEXT, user TEXT, kind TEXT, value TEXT, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
    PRIMARY KEY (service, user, kind, value)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, event BLOB NOT NULL);
"""
VERSION: Final = 1
MAX_VALUES: Final = 1000
"""Values of one kind kept for one user: a user with a thousand devices is told about no more."""


class LaterVersionError(SeclogError):
    """A later version of seclog wrote what this one is to read."""


class Knowledge:
    """The watch's memory. For one thread of one process: the holder of the watch's lock.

    Args:
        path: the SQLite file; made with mode 0600 if missing.

    Raises:
        sqlite3.OperationalError: the file cannot be opened or written.
        sqlite3.DatabaseError: the file is damaged, or no database.
        LaterVersionError: a later version of seclog wrote it.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LaterVersionError(f"{path} was written by a later version of seclog ({version} > {VERSION})")
            self._db.executescript(f"{_TABLES} PRAGMA user_version = {VERSION};")
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Make everything in the block durable together when it ends, or nothing when it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ── cursor ───────────────────────────────────────────────────────────────────────────────────────────────

    def cursor(self) -> dict[str, int]:
        """Return the offset reached in each segment."""
        return dict(self._db.execute("SELECT segment, offset FROM cursor"))

    def advance(self, reached: dict[str, int]) -> None:
        """Remember the offsets; segments that are gone are forgotten."""
        self._db.executemany(
            "INSERT INTO cursor (segment, offset) VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET offset = excluded.offset",
            reached.items(),
        )
        gone = [(segment,) for segment in self.cursor().keys() - reached.keys()]
        self._db.executemany("DELETE FROM cursor WHERE segment = ?", gone)

    def closed(self) -> set[str]:
        """Return the segments that need no more looking after."""
        return {row[0] for row in self._db.execute("SELECT segment FROM cursor WHERE closed")}

    def mark_closed(self, segment: str) -> None:
        """Say that a segment needs no more looking after."""
        self._db.execute(
            "INSERT INTO cursor (segment, offset, closed) VALUES (?, 0, 1) ON CONFLICT (segment) DO UPDATE SET closed = 1",
            (segment,),
        )

    # ── what users use ───────────────────────────────────────────────────────────────────────────────────────

    def learn(self, service: str, user: str, kind: str, value: str, moment: str) -> bool:
        """Remember a value of a user.

        Returns:
            True if it is new, and others of its kind were known before.
        """
        key = (service, user, kind)
        changed = self._db.execute(
            "UPDATE known SET last_seen = max(last_seen, ?) WHERE service = ? AND user = ? AND kind = ? AND value = ?",
            (moment, *key, value),
        ).rowcount
        if changed:
            return False
        before = self._db.execute(
            "SELECT count(*) FROM known WHERE service = ? AND user = ? AND kind = ?", key
        ).fetchone()[0]
        if before >= MAX_VALUES:
            return False
        self._db.execute("INSERT INTO known VALUES (?, ?, ?, ?, ?, ?)", (*key, value, moment, moment))
        return bool(before)

    # ── what is yet to be told ───────────────────────────────────────────────────────────────────────────────

    def owe(self, events: Iterable[Event]) -> None:
        """Remember events that must be written. An id that is owed already is not owed twice."""
        rows = [(event.id, msgspec.json.encode(event)) for event in events]
        self._db.executemany("INSERT OR IGNORE INTO outbox (id, event) VALUES (?, ?)", rows)

    def owed(self) -> list[Event]:
        """Return the events that must be written, oldest first."""
        rows = self._db.execute("SELECT event FROM outbox ORDER BY number LIMIT 1000")
        return [msgspec.json.decode(row[0], type=Event) for row in rows]

    def told(self, event_id: str) -> None:
        """Say that an event is written."""
        self._db.execute("DELETE FROM outbox WHERE id = ?", (event_id,))
