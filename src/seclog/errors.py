"""What can go wrong, for callers.

SeclogError
├── ConfigurationError   a setting is wrong; raised at start-up, never in a request
├── MissingExtraError    an optional dependency is not installed; says which extra brings it
├── NotRecordedError     an event could not be recorded, and `on_failure="block"` says that this must be known
└── NotAJournalError     the given path or bytes are not a journal that this version can read
"""


class SeclogError(Exception):
    """The base of all errors of this library."""


class ConfigurationError(SeclogError):
    """A setting is wrong. The message names the key, what was expected, the received type, and the cure."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key

    @classmethod
    def expected(cls, key: str, expected: str, received: object, *, origin: str = "SECLOG") -> "ConfigurationError":
        """Build the usual message. The received value is not shown, only its type: it may be a secret.

        Args:
            key: the key, dotted for nested ones (`watch.interval_seconds`).
            expected: what the key must be, in words.
            received: the value that was given.
            origin: where it came from, for example `SECLOG` or the path of a TOML file.
        """
        path = "".join(f"[{part!r}]" for part in key.split("."))
        return cls(f"{origin}{path} must be {expected}, got {type(received).__name__}", key=key)


class MissingExtraError(SeclogError, ImportError):
    """An optional dependency is missing."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f'{library} is not installed: pip install "seclog[{extra}]"')


class NotRecordedError(SeclogError):
    """The event could not be recorded (only raised with `on_failure="block"`)."""


class NotAJournalError(SeclogError):
    """The path or the bytes are not a journal that this version can read."""
