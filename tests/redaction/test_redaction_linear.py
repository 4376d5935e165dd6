"""No input makes redaction slow: the worst text is a few milliseconds a pattern, whatever it is made of."""

import time

import pytest

from seclog.redaction import Limits, Redactor
from seclog.redaction.patterns import PATTERNS

LONGEST = Limits().max_scan  # no text that is longer meets a pattern
# Usual is 1 to 5 ms. The bound leaves room for a busy machine and still catches anything quadratic, which takes seconds.
BOUND_SECONDS = 0.1

SEEDS = [
    *(
        "a",
        "A",
        "0",
        " ",
        "-",
        "_",
        ".",
        "/",
        "=",
        "aA0-",
        "A0 ",
        "eyJ-",
        "eyJa.",
        "4111 1111 1111 1112 ",
        "://a:",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "- ",
        "/reset/a",
        "/reset/a/b/c/d",
        "sk-",
        ".aaaaaa",
        "M.aaaaaa.",
        "DE00 AAAA ",
    ),
]


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: f"{row.kind}-{PATTERNS.index(row)}")
def test_every_pattern_is_linear(row):
    """The longest text, made of a row's own prefixes, and of anything, takes time in proportion to its length."""
    for seed in {
        *SEEDS,
        *row.gates,
        *(gate + "a" for gate in row.gates),
        *(gate + "0 " for gate in row.gates),
    }:
        text = (seed * (LONGEST // len(seed) + 1))[:LONGEST]
        started = time.process_time()
        for _ in row.pattern.finditer(text):
            pass
        assert time.process_time() - started < BOUND_SECONDS, seed


HOSTILE = {
    "maybe": "code=", "maybe brackets": "code=[", "secret brackets": "password=[", "escapes": "%41%3D ",
    "double escapes": "%2525", "jwt starts": "eyJ-", "pairs": "a=b&", "base64": "eyJhIjoxfQ ", "cards": "4111 1111 1111 1112 ",
    "urls": "://a:", "quotes": 'password="', "backslashes": "\\", "escaped quotes": '\\"', "tails": "password=a&b",
    "links": "/reset", "lists": "[", "objects": '{"a":', "flags": "--token ", "tags": "<code>", "multipart": 'form-data; name="x"',
    "iban": "DE00 ", "pem": "-----BEGIN PRIVATE KEY-----", "words": "a-", "colons": "a: ", "digits": "0", "peeks": ".aaaaaa",
}  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_work_grows_no_faster_than_the_text(piece):
    """Twice the text is about twice the work, on the whole careful road."""

    def seconds(size):
        best = 9.0
        for _ in range(3):
            started = time.process_time()
            Redactor(use_re2=False).redact({"body": (piece * (size // len(piece) + 1))[:size]})
            best = min(best, time.process_time() - started)
        return best

    small, large = seconds(16_000), seconds(64_000)
    assert large < max(10 * small, 0.05), (small, large)


def test_duplicate_json_keys_are_not_quadratic():
    """Ten thousand duplicates of one key cost no more than ten thousand keys."""
    body = "{" + ",".join('"a":1' for _ in range(10_000)) + "}"
    started = time.process_time()
    Redactor().redact({"body": body})
    assert time.process_time() - started < 2


def test_many_secrets_in_one_event():
    """Propagation is bounded, however many values are masked."""
    fields = {
        "tokens": [f"secret-{number}-!{'x' * 30}" for number in range(90)],
        "text": "%" + "a b+c\\&" * 4000,
    }
    started = time.process_time()
    out, masked = Redactor().redact({f"list{n}": fields for n in range(9)})
    assert masked >= 800
    assert time.process_time() - started < 2
    assert len(out) == 9
