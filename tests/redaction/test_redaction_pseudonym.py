"""Keyed pseudonyms."""

import hashlib
import hmac

import pytest

from seclog.redaction import Pseudonymizer


def test_pseudonym_is_hmac_sha256_of_purpose_and_value():
    """The construction is the documented one, so that another program can repeat it."""
    key = bytes(range(32))
    expected = hmac.new(key, b"session\x00abc", hashlib.sha256).hexdigest()[:32]
    assert Pseudonymizer(key)("session", "abc") == expected


def test_purposes_and_keys_are_unlinkable():
    """The same value has another name under another purpose or key."""
    one, two = Pseudonymizer(b"k" * 32), Pseudonymizer(b"K" * 32)
    assert len({one("a", "v"), one("b", "v"), two("a", "v"), one("a", "w")}) == 4


def test_hostile_value():
    """A lone surrogate gives a pseudonym like any other text."""
    assert len(Pseudonymizer(b"k" * 32)("user", "\ud800")) == 32


def test_short_key_is_refused():
    """A key that could be guessed is an error at start-up."""
    with pytest.raises(ValueError, match="at least 16 bytes, got 3"):
        Pseudonymizer(b"abc")
