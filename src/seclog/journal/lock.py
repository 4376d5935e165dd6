"""A lock file: flock on a path, given up by death and by fork. It elects the one watch of a host."""

import fcntl
import os
import weakref
from pathlib import Path


class FileLock:
    """An exclusive lock between processes. Safe over fork: the child never holds it.

    Args:
        path: the lock file; made if missing, never removed (removing it would let two holders in).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        _LOCKS.add(self)

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._fd >= 0

    def is_in_place(self) -> bool:
        """Tell whether the lock that is held is that of the file which stands there now: its folder may be removed."""
        try:
            return self._fd >= 0 and os.path.samestat(os.fstat(self._fd), self.path.stat())
        except OSError:
            return False

    def acquire(self) -> bool:
        """Try to take the lock, without waiting. Return whether it is held now.

        Raises:
            OSError: the file cannot be opened.
        """
        if self._fd >= 0:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back. Safe to call when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_LOCKS: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _release_in_child() -> None:
    """The lock belongs to the open file, which a fork shares: a child that kept it would hold it for a dead parent."""
    for lock in list(_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
