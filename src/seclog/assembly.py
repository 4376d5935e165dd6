"""Assembly: Settings in, a running Installation out. The only file that names concrete parts."""

import atexit
import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seclog import __version__
from seclog.context import AddressResolver
from seclog.errors import NotRecordedError
from seclog.events.catalogue import catalogue
from seclog.events.event import Event
from seclog.events.types import EventType
from seclog.journal.writer import Journal
from seclog.recorder import EntrySink, Recorder
from seclog.redaction import Pseudonymizer, Redactor
from seclog.settings import MIN_KEY_CHARACTERS, Settings

if TYPE_CHECKING:
    from seclog.watch import Watch

internal_log = logging.getLogger("seclog.internal")
KEY_FILE: Final = "pseudonym.key"
KEY_WIDTH: Final = 64


class Installation:
    """seclog as it runs in this process: the recorder, what it needs, and the background thread.

    Args:
        settings: what is in force.
        pseudonym_key: what the adapter can offer as a key for keyed hashes when the settings name none.
    """

    def __init__(self, settings: Settings, *, pseudonym_key: str | None = None) -> None:
        catalogue()  # read here: the first event may come in a request, or in the midst of somebody's import
        self.settings = settings
        self.pseudonym = Pseudonymizer(_key(settings, pseudonym_key))
        self.addresses = AddressResolver(settings.trusted_proxies)
        service = {
            "service.name": settings.service,
            "service.version": settings.version,
            "deployment.environment.name": settings.environment,
        }
        self.journal: Journal | None = None
        self.recorder = Recorder(
            _NowhereYet(),
            Redactor(extra_keys=settings.redact_keys),
            {key: value for key, value in service.items() if value},
            mirror=_logger_mirror() if settings.log_entries and settings.directory else None,
        )
        self.recorder.sink = self._sink()
        self._background: Background | None = None
        atexit.register(self.shut_down, "exit")

    def _sink(self) -> EntrySink:
        if self.settings.directory is None:
            from seclog.logging import LoggerSink

            return LoggerSink()
        directories = [self.settings.directory.absolute()]
        if self.settings.fallback_directory is not None:
            directories.append(self.settings.fallback_directory.absolute())
        self.journal = Journal(
            tuple(directories),
            self.recorder.encode_control,
            ack=self.settings.ack,
            on_failure=self.settings.on_failure,
            about={"seclog.version": __version__, "seclog.settings.digest": self.settings.digest()},
            on_open=self._run_background,
        )
        return self.journal

    def _run_background(self) -> None:
        """Called by the journal with every new segment, so after every fork too: a child has no thread yet."""
        assert self.journal is not None
        if self._background is None or self._background.pid != os.getpid():
            self._background = Background(
                self.journal, self._make_watch, self.settings.watch.interval_seconds, self.recorder.complain
            )
            try:
                self._background.start()
            except RuntimeError as error:  # no thread can be had: a limit, or the interpreter ends; tried again
                self._background = None
                self.recorder.complain("starting the background", error)

    def _make_watch(self) -> "Watch | None":
        if not self.settings.watch.enabled or self.settings.directory is None:
            return None
        from seclog.watch import Watch

        fallback = self.settings.fallback_directory
        return Watch.at(
            self.settings.directory.absolute(),
            self.recorder,
            retention_days=self.settings.retention_days,
            fallback=None if fallback is None else fallback.absolute(),
        )

    def unknown_name(self, name: str) -> str:
        """Return how a name that no user has is written: as a keyed pseudonym, unless the settings say otherwise."""
        if self.settings.record_unknown_usernames:
            return name
        return f"unknown:{self.pseudonym('user', name)[:16]}"

    def shut_down(self, reason: str = "exit") -> None:
        """Stop the background, and end the segment with its stop record. Safe to call twice."""
        atexit.unregister(self.shut_down)
        if self._background is not None and self._background.pid == os.getpid():
            self._background.stop()
        if self.journal is not None and self.journal.is_begun:
            try:
                self.recorder.record(Event(type=EventType.SYS_SHUTDOWN, reason=reason))
            except NotRecordedError as error:  # there is nobody left to refuse
                self.recorder.complain("the shutdown", error)
            self.journal.close(reason)


class Background(threading.Thread):
    """One daemon thread a process: the journal's pulse, and the watch if this process is elected."""

    def __init__(
        self,
        journal: Journal,
        make_watch: "Callable[[], Watch | None]",
        interval_seconds: float,
        complain: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(name="seclog", daemon=True)
        self.pid = os.getpid()
        self._journal = journal
        self._make_watch = make_watch
        self._interval = interval_seconds
        self._complain = complain
        self._wake = threading.Event()

    def run(self) -> None:
        """Pulse and watch until stopped. An error is counted and logged, and the next round tries again."""
        watch: Watch | None = None
        while not self._wake.wait(self._interval):
            try:
                self._journal.pulse()
                watch = watch or self._make_watch()
                if watch is not None:
                    watch.tick()
            except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
                self._complain("the watch", error)
        if watch is not None:
            watch.close()

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread and wait for it, for a bounded time."""
        self._wake.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(timeout)


class _NowhereYet:
    """Stands in for the sink during construction: the journal needs the recorder's encoder, and the other way round."""

    redacted = 0

    def append(self, body: bytes, *, keep: bool = True) -> bool:
        raise RuntimeError("the recorder has no sink yet")


def _logger_mirror() -> Callable[[bytes], object]:
    from seclog.logging import LoggerSink

    return LoggerSink().append


def _key(settings: Settings, offered: str | None) -> bytes:
    """Return the key of keyed hashes: the setting, else the adapter's, else one kept in the directory, else a new one."""
    for chosen in (settings.pseudonym_key, offered):
        if chosen and len(chosen) >= MIN_KEY_CHARACTERS:  # an app may live with a short SECRET_KEY; a pseudonym may not
            return chosen.encode("utf-8", "surrogatepass")
    if settings.directory is not None:
        try:
            return _kept_key(settings.directory / KEY_FILE)
        except OSError as error:
            internal_log.warning(
                "seclog: no key could be kept in %s (%s): keyed hashes will differ after a restart",
                settings.directory,
                error.strerror,
            )
    return os.urandom(32)


def _kept_key(path: Path) -> bytes:
    """Read the key, or make it. Processes that start together agree: a link is made whole or not at all.

    Raises:
        OSError: there is none, and none can be made.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.urandom(8).hex()}")  # a pid is not alone: containers share folders
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, os.urandom(32).hex().encode()) == KEY_WIDTH:
                os.link(fresh, path)
        except FileExistsError:
            pass  # another process was first
        finally:
            os.close(fd)
            fresh.unlink()
    key = path.read_bytes()
    if len(key) < KEY_WIDTH:
        raise OSError(errno.EINVAL, "the kept key is too short", str(path))
    return key
