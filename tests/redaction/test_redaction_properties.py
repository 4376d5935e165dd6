"""What holds for every input, hostile ones included."""

import copy
import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclog.redaction import MASK, Limits, Redactor, scrub
from seclog.redaction.gate import re2_gate, stdlib_gate
from seclog.redaction.patterns import PATTERNS
from seclog.redaction.propagation import mask_forms

re2 = pytest.importorskip("re2")

CANARY = "c4n4ry" + "-Zx9'q&7"
PLAIN, FAST = Redactor(use_re2=False), Redactor(use_re2=True)


class Nasty:
    """Raises wherever it is touched."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __len__ = __iter__ = __hash__ = __eq__ = __bool__ = __str__


class Recursive:
    def __str__(self):
        return str(self)


class Stand:
    """Stands for a hostile object until Hypothesis, which touches its values, is done with them."""

    def __init__(self, thing):
        self.make = thing


def plant(value):
    """Put the hostile objects in place of their stands."""
    if type(value) is Stand:
        return value.make()
    if type(value) is dict:
        return {key: plant(member) for key, member in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plant, value))
    return value


# Pieces that the tables react to, glued in any order, find more than random characters do.
GATES = sorted({gate for row in PATTERNS for gate in row.gates})
PIECES = st.sampled_from(
    [*GATES, *"=:;&%,'\"\\{}[]()<>/?@-_. \n\r\t\x00|", "password", "token", "code", "name", "value", "eyJ", "%25", "%3D", "A1b2C3d4",
     "0123", "4111111111111111", "\ud800", "é", "\u2028", "hunter2", "[redacted]", "</", "--", "DE89", "form-data;"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=14).map("".join))
LEAVES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**12, max_value=10**20),
    st.floats(),
    st.binary(max_size=20),
    st.decimals(),
    st.uuids(),
    st.datetimes(),
    st.complex_numbers(),
    st.sampled_from([Stand(Nasty), Stand(Recursive), Stand(object), Stand(lambda: 10**5000), Stand(lambda: Nasty)]),
    st.sampled_from([object, len, ..., range(3)]),
)
KEYS = st.one_of(TEXTS, st.sampled_from(["password", "user.name", "code", "key", "seclog.change.field", "note"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(KEYS, inner),
        st.dictionaries(st.one_of(KEYS, st.integers(), st.none(), st.binary(max_size=4)), inner, max_size=4),
    ),
    max_leaves=12,
)
EVENTS = st.dictionaries(KEYS, VALUES, max_size=8)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def assert_json_safe(value):
    """Exact built-in types only, finite numbers, no control characters."""
    assert type(value) in (dict, list, str, int, float, bool, type(None))
    if type(value) is dict:
        for key, member in value.items():
            assert type(key) is str
            assert scrub(key) == key
            assert_json_safe(member)
    elif type(value) is list:
        for member in value:
            assert_json_safe(member)
    elif type(value) is str:
        assert scrub(value) == value
    elif type(value) is float:
        assert math.isfinite(value)
    elif type(value) is int:
        assert -(2**63) <= value < 2**64


@settings(max_examples=400, deadline=None)
@given(EVENTS)
def test_never_raises_and_always_encodes(fields):
    """Any objects in, a bounded JSON document out, the same from both engines and from both roads."""
    fields = plant(fields)
    out, masked = PLAIN.redact(fields)
    assert "seclog.redaction.error" not in out
    assert_json_safe(out)
    assert masked >= 0
    assert depth_of(out) <= Limits().max_depth + 2
    assert msgspec.json.decode(msgspec.json.encode(out)) == json.loads(json.dumps(out, allow_nan=False)) == out
    assert FAST.redact(fields) == (out, masked)
    assert Redactor(use_re2=False).redact(fields) == (out, masked)
    assert PLAIN.redact(fields) == (out, masked)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, st.one_of(TEXTS, st.lists(TEXTS), st.dictionaries(TEXTS, TEXTS)), max_size=6))
def test_input_is_not_mutated(fields):
    """The caller's objects are left as they were."""
    before = copy.deepcopy(fields)
    PLAIN.redact(fields)
    assert fields == before


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.sampled_from(["password", "api_key", "X-Auth-Token", "Cookie"]), TEXTS, KEYS)
def test_canary_under_a_secret_key_is_nowhere(fields, key, around, other):
    """A value under a secret key is in no value, key, query, JSON text or traceback of the whole output."""
    fields = {
        **plant(fields),
        key: CANARY,
        other + "!": [
            around + CANARY,
            {"repr": repr(CANARY), "json": json.dumps([CANARY]), around + CANARY: 1},
        ],
        "form": {"nested": {key: [CANARY]}},
    }
    out, masked = PLAIN.redact(fields)
    assert masked >= 1
    assert out[key] == MASK
    written = json.dumps(out, ensure_ascii=False)
    for form in (CANARY, json.dumps(CANARY)[1:-1], CANARY.replace("'", "\\'"), CANARY.replace("'", "%27")):
        assert form not in written


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_text_is_stable(text):
    """What was redacted holds nothing more to redact: a second pass finds no new secret."""
    once = PLAIN.text(text)
    assert FAST.text(text) == once
    assert PLAIN.text(once).count("[redacted") <= once.count("[redacted") + 1


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_gates_never_miss(text):
    """Neither gate keeps a text from a pattern that would match it, and both engines match the same."""
    for row in PATTERNS:
        found = [match[1] for match in row.pattern.finditer(text)]
        if found and any(row.check is None or row.check(secret) for secret in found):
            assert stdlib_gate_looks(text) == (True, True, True)
            assert re2_gate_looks(text) == (True, True, True)


STDLIB, RE2 = stdlib_gate(), re2_gate()


def stdlib_gate_looks(text):
    return STDLIB.may_hide(text), STDLIB.may_need_work(text), STDLIB.may_match(text)


def re2_gate_looks(text):
    return RE2.may_hide(text), RE2.may_need_work(text), RE2.may_match(text)


@settings(max_examples=200, deadline=None)
@given(TEXTS.filter(lambda text: text.isascii()))
def test_patterns_mean_the_same_in_re2(text):
    """Every pattern is in the syntax that RE2 and ``re`` share and finds the same spans in both."""
    for row, compiled in zip(PATTERNS, COMPILED, strict=True):
        assert [m.span(1) for m in compiled.finditer(text)] == [m.span(1) for m in row.pattern.finditer(text)], row.kind


COMPILED = [re2.compile(row.pattern.pattern) for row in PATTERNS]


@given(st.text("ab -", max_size=30), st.text("ab", min_size=4, max_size=9))
def test_a_masked_form_is_gone(text, form):
    """After replacing, a long form does not occur any more; a short one not as a word."""
    masked = mask_forms(text, [form])
    if len(form) >= 8:
        assert form not in masked.replace(MASK, "|")
    else:
        assert form not in masked.replace("-", " ").replace(MASK, " ").split()
