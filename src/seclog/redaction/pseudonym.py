"""Keyed pseudonyms: the same value gives the same name, and the name does not give the value back."""

import hashlib
import hmac

_MIN_KEY_BYTES = 16


class Pseudonymizer:
    """Turns session ids, unknown user names and the like into stable 32-digit names.

    HMAC-SHA256 (RFC 2104) over ``purpose + 0x00 + value``, cut to 16 bytes. The purpose keeps the same
    value under two purposes from being linkable. Safe from threads and from the event loop.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take the secret key.

        Args:
            key: At least 16 random bytes; whoever holds them can test guesses against a pseudonym.

        Raises:
            ValueError: The key is too short to resist guessing.
        """
        if len(key) < _MIN_KEY_BYTES:
            raise ValueError(f"a pseudonym key must have at least {_MIN_KEY_BYTES} bytes, got {len(key)}")
        self._key = bytes(key)

    def __call__(self, purpose: str, value: str) -> str:
        """Return the pseudonym of a value for one purpose, 32 hex digits.

        Args:
            purpose: What the pseudonym is for, for example ``"session"``.
            value: The value to hide. Lone surrogates are allowed: values come from hostile clients.
        """
        text = purpose.encode("utf-8", "surrogatepass") + b"\x00" + value.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)[:16].hex()
