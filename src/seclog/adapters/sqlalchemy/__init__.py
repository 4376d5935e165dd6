"""SQLAlchemy: what a flush, a bulk update or a bulk delete changes in watched models: old → new, told after the commit.

In: `watch(User, "is_admin", "roles", family="role")`, once, when all models are defined. Out: one entry a changed
column, a role given or taken, a created or deleted row of configuration. Works with sync and async sessions, in Flask,
FastAPI and scripts; who acts comes from the scope that is current at the flush.

Old values are those of the attribute's history; where the history does not know them (the attribute was expired, or
its value changed in place) the row is read, inside the flush and before its UPDATE. `active_history` would know them
too, but reads at the assignment, which an async session does not allow: `user.role = …` would raise in the app.

Not seen: SQL that goes past the session, `bulk_update_mappings` and its like, writes to an association table itself,
and the relationships of rows that a bulk statement deletes.
Tested with SQLAlchemy 2.0.
"""

from seclog.errors import MissingExtraError

try:
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("SQLAlchemy", "sqlalchemy") from error

from seclog.adapters.sqlalchemy.commit import after_commit
from seclog.adapters.sqlalchemy.watching import forget, watch

__all__ = ["after_commit", "forget", "watch"]
