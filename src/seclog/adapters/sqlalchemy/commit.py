"""After the commit: what a session did waits for it; a rollback, of a savepoint or of all, leaves nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Session

from seclog.adapters._hooks import contained, safely, tell
from seclog.context import Scope, current, enter, leave
from seclog.errors import NotRecordedError
from seclog.events import Event

INFO: Final = "seclog"
Told = Event | Callable[[], Event]
"""An event, or what makes it once everything is known (a new row's key)."""


def after_commit(session: Any, told: Told) -> None:
    """Tell an event once what a session does is committed; never, if it is rolled back.

    Args:
        session: a session, sync or async, or what yields one when called (`db.session`).
        told: the event, or a function that makes it then.
    """
    if not isinstance(session, Session):
        session = getattr(session, "sync_session", None) or session()
        session = getattr(session, "sync_session", session)
    listen()
    pending_of(session).add(told)


@dataclass(slots=True)
class Pending:
    """What a session did and has not committed yet. Kept in the session's own `info`, so that it ends with it."""

    session: Any
    events: list[tuple[Any, Told, Scope | None]] = field(default_factory=list)
    relations: list[tuple[Any, Any, str | None]] = field(default_factory=list)
    committed: list[tuple[Told, Scope | None]] = field(default_factory=list)

    def add(self, told: Told) -> None:
        """Queue an event under the transaction, or the savepoint, that it happens in."""
        inside = self.session.get_nested_transaction() or self.session.get_transaction()
        self.events.append((inside, told, current()))


def pending_of(session: Any) -> Pending:
    """Return what a session did and has not committed yet."""
    found: Pending | None = session.info.get(INFO)
    if found is None:
        found = session.info[INFO] = Pending(session)
    return found


def listen() -> None:
    """Listen to what becomes of the transactions of all sessions. Called as often as one likes."""
    for name, listener in (("after_commit", _after_commit), ("after_transaction_end", _after_end)):
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)


@safely
def _after_commit(session: Any) -> None:
    """A savepoint's release comes here too: what happened in it is as true as the transaction around it."""
    pending: Pending | None = session.info.get(INFO)
    if pending is None:
        return
    savepoint = session.get_nested_transaction()
    if savepoint is None:
        pending.committed += [(told, scope) for _, told, scope in pending.events]
        pending.events.clear()
        return
    outer = savepoint.parent
    while outer.parent is not None and not outer.nested:
        outer = outer.parent
    pending.events = [(outer if of is savepoint else of, told, scope) for of, told, scope in pending.events]


@safely
def _after_end(session: Any, transaction: Any) -> None:
    """What was not committed when its transaction or savepoint ends did not happen.

    What was is told from here and not from the commit itself: the session can read again now, should anybody want to.
    """
    pending: Pending | None = session.info.get(INFO)
    if pending is None:
        return
    pending.relations.clear()  # left over from a flush that failed
    pending.events = [queued for queued in pending.events if queued[0] is not transaction]
    if transaction.parent is None:
        pending.events.clear()
        committed, pending.committed = pending.committed, []
        for told, scope in committed:
            _tell(told, scope)


def _tell(told: Told, scope: Scope | None) -> None:
    token = enter(scope)
    try:
        with contained("telling after the commit"):
            tell(told if isinstance(told, Event) else told())
    except NotRecordedError:
        pass  # the scope knows, and the request is refused; what is committed cannot be undone
    finally:
        leave(token)
