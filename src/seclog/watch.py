"""LOOP 2: the watch. One a host, in the background: it reads what was recorded and tells what it means.

    journal ──► read (cursor) ──► recognise ──► remember ──► tell (back into the journal)

Sealing, rules, alerts and shipping take their place in `step`, between reading and telling. It can be killed at any
point: the cursor, what was learned and what is owed become durable in one transaction, and what is owed carries an id
derived from its source, by which a restarted watch sees whether it was already written.
"""

import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from seclog.detection import newcomers
from seclog.errors import NotAJournalError
from seclog.events.event import Event
from seclog.events.types import EventType
from seclog.journal.lock import FileLock
from seclog.journal.reader import Reader, is_live
from seclog.journal.recovery import Recovered, recover, sweep_unborn
from seclog.journal.retention import retire
from seclog.journal.writer import host_folder
from seclog.knowledge import Knowledge
from seclog.recorder import Recorder

internal_log = logging.getLogger("seclog.internal")

STEP_ENTRIES: Final = 5000
TICK_SECONDS: Final = 0.5
"""A tick gives up after this time, so that the journal's pulse in the same thread is not kept waiting."""
RECOVERY_SECONDS: Final = 5
RETENTION_SECONDS: Final = 3600


class Step(msgspec.Struct, frozen=True):
    """What one step did.

    Args:
        read: entries read.
        derived: events derived from them.
        told: events written into the journal.
    """

    read: int
    derived: int
    told: int


class Watch:
    """The watch of one host.

    Args:
        folder: `journal/<host>`.
        recorder: writes what is derived.
        clock: seconds, monotonic.
        retention_days: the age at which a closed segment is removed; None keeps everything.
        fallback: the same folder below the fallback directory, if there is one: what was written there in trouble is
            read as well. Election and memory stay in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
        *,
        retention_days: int | None = None,
        fallback: Path | None = None,
    ) -> None:
        self._folder = folder
        self._fallback = fallback
        self._recorder = recorder
        self._clock = clock
        self._reader = Reader(folder) if fallback is None else Reader(folder, fallback)
        self._lock = FileLock(folder / "watch.lock")
        self._knowledge: Knowledge | None = None
        self._retention_days = retention_days
        self._recover_at = 0.0
        self._retire_at = 0.0

    @classmethod
    def at(
        cls, directory: Path, recorder: Recorder, *, retention_days: int | None = None, fallback: Path | None = None
    ) -> "Watch":
        """Return the watch of this host's journal under a directory, and under a fallback directory."""
        return cls(
            host_folder(directory),
            recorder,
            retention_days=retention_days,
            fallback=None if fallback is None else host_folder(fallback),
        )

    def tick(self) -> None:
        """Run for the host if elected: as many steps as there is work, for a bounded time."""
        if self._lock.held and not self._lock.is_in_place():
            self.close()  # the folder was removed, and what is known with it; another watch may stand in the new one
        if not self._lock.held and not self._start():
            return
        try:
            self._work(self._clock() + TICK_SECONDS)
        except BaseException:  # what was told but not noted is looked up before anything more is told
            self.close()
            raise

    def _work(self, until: float) -> None:
        if self._clock() >= self._recover_at:
            self._recover_at = self._clock() + RECOVERY_SECONDS
            self.recover_dead()
        if self._retention_days is not None and self._clock() >= self._retire_at:
            self._retire_at = self._clock() + RETENTION_SECONDS
            retire(self._reader.segments(), self._retention_days, datetime.now(UTC), self._recorder.record)
        while self.step().read == STEP_ENTRIES and self._clock() < until:
            pass

    def step(self, limit: int = STEP_ENTRIES) -> Step:
        """Read, recognise, remember, tell: one visible pipeline."""
        knowledge = self._open()
        lines, reached = self._reader.read(knowledge.cursor(), limit)
        entries = sorted(filter(None, map(_entry, lines)), key=lambda entry: str(entry.get("timestamp")))
        with knowledge.step():
            derived = [event for entry in entries for event in self._recognise(entry, knowledge)]
            knowledge.owe(derived)
            knowledge.advance(reached)
        return Step(len(lines), len(derived), self._tell())

    def close(self) -> None:
        """Give the election back."""
        if self._knowledge is not None:
            self._knowledge.close()
            self._knowledge = None
        self._lock.release()

    # ── the stations ─────────────────────────────────────────────────────────────────────────────────────────

    def _recognise(self, entry: dict[str, Any], knowledge: Knowledge) -> list[Event]:
        try:
            events = list(newcomers.recognise(entry, knowledge))
        except Exception as error:  # noqa: BLE001 - one strange entry must not stop the watch
            self._recorder.complain("recognising", error)
            return []
        for event in events:
            event.id = derived_id(str(entry.get("event.id")), str(event.type))
        return events

    def _tell(self) -> int:
        """Write what is owed. What cannot be written stays owed, and is not kept in the journal's memory as well."""
        knowledge = self._open()
        told: list[str] = []
        try:
            for event in knowledge.owed():
                event_id = self._recorder.record(event, keep=False)
                if event_id is None:
                    break
                told.append(event_id)
        finally:
            if told:
                with knowledge.step():
                    for event_id in told:
                        knowledge.told(event_id)
        return len(told)

    def recover_dead(self) -> list[Recovered]:
        """Close what dead processes left open, and tell what is broken."""
        knowledge = self._open()
        closed = knowledge.closed()
        done = []
        for path in self._reader.segments():
            if path.stem in closed:
                continue
            try:
                with path.open("rb") as file:
                    if is_live(file.fileno()):
                        continue
                recovered = recover(path, self._recorder.encode_control)
            except (BlockingIOError, FileNotFoundError):
                continue
            except OSError as error:
                self._recorder.complain("recovery", error)
                continue
            with knowledge.step():
                if recovered is not None and recovered.problem is not None:
                    knowledge.owe([_integrity_failure(recovered)])
                knowledge.mark_closed(path.stem)
            if recovered is not None:
                done.append(recovered)
        for folder in (self._folder, self._fallback):
            if folder is not None:
                sweep_unborn(folder)
        return done

    # ── election and start ───────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> bool:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._lock.acquire():
            return False
        try:
            self._reconcile()
        except BaseException:  # a watch that does not know what was told must not begin to tell
            self.close()
            raise
        return True

    def _open(self) -> Knowledge:
        if self._knowledge is None:
            path = self._folder / "watch.db"
            try:
                self._knowledge = Knowledge(path)
            except sqlite3.OperationalError:
                raise  # locked, full or not permitted: the next tick may find it better
            except sqlite3.DatabaseError as error:
                self._recorder.complain("the watch's memory, which is set aside and learned anew,", error)
                path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
                self._knowledge = Knowledge(path)
                self._learn_anew(self._knowledge)
        return self._knowledge

    def _learn_anew(self, knowledge: Knowledge) -> None:
        """Learn from what was recorded, without telling again what it meant."""
        lines = None
        while lines is None or lines:
            lines, reached = self._reader.read(knowledge.cursor(), STEP_ENTRIES)
            with knowledge.step():
                for entry in filter(None, map(_entry, lines)):
                    self._recognise(entry, knowledge)
                knowledge.advance(reached)

    def _reconcile(self) -> None:
        """Forget what a killed watch still owed but had already written.

        It can only stand behind the cursor, since the cursor was durable before anything was told.
        """
        knowledge = self._open()
        owed = {event.id for event in knowledge.owed()}
        cursor = knowledge.cursor()
        while owed:
            lines, cursor = self._reader.read(cursor, STEP_ENTRIES)
            for line in lines:
                entry = _entry(line)
                if entry is not None and entry.get("event.id") in owed:
                    knowledge.told(str(entry["event.id"]))
            if not lines:
                return


def derived_id(source: str, kind: str) -> str:
    """Return the id of a derived event: the same for the same source and type, in the form of a UUID version 8."""
    digest = hashlib.sha256(f"seclog derived\x00{source}\x00{kind}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def _entry(line: Any) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = line.entry()
    except NotAJournalError:
        return None  # a torn or foreign line: verification and recovery speak about those
    return entry


def _integrity_failure(recovered: Recovered) -> Event:
    problem = recovered.problem
    assert problem is not None
    return Event(
        type=EventType.AUDIT_INTEGRITY_FAIL,
        message=f"The record does not verify: {problem.what}",
        reason="chain_broken",
        id=derived_id(recovered.segment, EventType.AUDIT_INTEGRITY_FAIL),
        fields={
            "seclog.segment.id": recovered.segment,
            "seclog.line": problem.line,
            "seclog.source.seq": problem.line,  # an intact segment's n-th line is its n-th entry
            "seclog.expected": problem.expected,
            "seclog.actual": problem.found,
        },
    )
