"""The line: its form is a promise to every reader, and never changes unnoticed."""

import hashlib
import json
import re
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclog.journal.line import MAX_LINE, TAIL_WIDTH, encode_entry, encode_object, first_link, link, seal_line

HEAD = b'{"schema":"seclog/1","timestamp":"2026-01-01T00:00:00.000000Z"'


# ── a strict reader of our own ───────────────────────────────────────────────────────────────────────────────────


def strict(text):
    """Parse JSON by the grammar of RFC 8259, and nothing else; a name that stands twice is an error."""
    value, at = _value(text, 0)
    assert at == len(text), "something behind the value"
    return value


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')


def _value(text, at):
    for word, meaning in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return meaning, at + len(word)
    if match := _STRING.match(text, at):
        return _text(match[0]), match.end()
    if match := _NUMBER.match(text, at):
        number = match[0]
        return (float(number) if set(number) & set(".eE") else int(number)), match.end()
    opening = text[at]
    assert opening in "[{", f"nothing begins with {opening!r}"
    closing, at, items = {"[": "]", "{": "}"}[opening], at + 1, []
    while text[at] != closing:
        if items:
            assert text[at] == ","
            at += 1
        if opening == "{":
            match = _STRING.match(text, at)
            assert text[match.end()] == ":"
            value, at = _value(text, match.end() + 1)
            items.append((_text(match[0]), value))
        else:
            value, at = _value(text, at)
            items.append(value)
    if opening == "[":
        return items, at + 1
    assert len(dict(items)) == len(items), "a name stands twice"
    return dict(items), at + 1


def _text(token):
    escapes = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
    plain = re.sub(
        r"\\(u([0-9a-fA-F]{4})|.)", lambda m: chr(int(m[2], 16)) if m[2] else escapes.get(m[1], m[1]), token[1:-1]
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16")


# ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_golden_vector():
    """Two lines of a known segment, with their hashes computed by hand: any change here is a new schema."""
    segment = "20260101T000000Z-1-0123abcd"
    one = b'{"schema":"seclog/1","a":1,"seclog.seq":1'
    two = b'{"schema":"seclog/1","b":"\\u00e4","seclog.seq":2'
    start = hashlib.sha256(b"seclog/1 segment 20260101T000000Z-1-0123abcd").digest()
    hash_one = hashlib.sha256(b"\x00" + start + one).hexdigest()
    hash_two = hashlib.sha256(b"\x00" + bytes.fromhex(hash_one) + two).hexdigest()
    assert hash_two == "94736b0353d97e92576729b4857d6e4ae9767ab296e7e17b54700f39edb3d5e6"

    line_one, head = seal_line(b'{"schema":"seclog/1","a":1', 1, first_link(segment))
    line_two, head = seal_line(b'{"schema":"seclog/1","b":"\\u00e4"', 2, head)
    assert line_one == one + b',"seclog.hash":"' + hash_one.encode() + b'"}\n'
    assert line_two == two + b',"seclog.hash":"' + hash_two.encode() + b'"}\n'
    assert head.hex() == hash_two


def test_the_tail_has_a_fixed_width():
    """So that a reader finds it from the end, whatever is in the line."""
    for seq in (1, 10**9):
        line, digest = seal_line(HEAD, seq, b"\x00" * 32)
        assert line[-1 - TAIL_WIDTH :] == b',"seclog.hash":"' + digest.hex().encode() + b'"}\n'
        assert (
            digest
            == link(b"\x00" * 32, line[: -1 - TAIL_WIDTH])
            == sha256(b"\x00" * 33 + line[: -1 - TAIL_WIDTH]).digest()
        )


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), inner, max_size=5),
    ),
    max_leaves=30,
)
taken = ("schema", "timestamp", "seclog.seq", "seclog.hash")
fields = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=128).filter(lambda name: name not in taken), json_values, max_size=20
)  # fmt: skip


@given(fields)
def test_any_safe_fields_make_one_line_that_all_readers_read_alike(found):
    """ASCII, one newline, at the end; json, msgspec and a strict parser agree; and nothing is lost."""
    line, digest = seal_line(encode_object(HEAD, found), 7, b"\x01" * 32)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b'"}\n')
    assert len(line) <= MAX_LINE
    text = line.decode("ascii").rstrip("\n")
    expected = {
        "schema": "seclog/1",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        **found,
        "seclog.seq": 7,
        "seclog.hash": digest.hex(),
    }
    assert json.loads(text) == msgspec.json.decode(line) == strict(text) == expected
    assert list(strict(text)) == list(expected)


class Who(msgspec.Struct, omit_defaults=True):
    """A context as the recorder has it."""

    name: str | None = None
    path: str | None = None


@given(
    st.builds(Who, name=st.none() | st.text(max_size=50), path=st.none() | st.text(max_size=50)),
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=5, max_size=20), st.text(max_size=50), max_size=5
    ),
)
def test_the_fast_road_writes_what_the_other_writes(who, found):
    """Struct and fields in one go, or merged first: the same bytes, also of lone surrogates' remains."""
    try:
        fast = encode_entry(HEAD, who, found)
    except UnicodeEncodeError:  # lone surrogates take the careful road in the recorder: redaction scrubs them
        return
    assert fast == encode_object(HEAD, {**msgspec.to_builtins(who), **found})


@pytest.mark.parametrize(
    "huge", ["x" * 70_000, "ä" * 20_000, "😀" * 10_000, "\\" * 40_000, ["x" * 100] * 1000, {"k" * 9: "v" * 66_000}]
)
def test_what_is_too_long_is_cut_and_says_so(huge):
    """The longest value first; the others stay whole; original length and digest are kept."""
    line, _ = seal_line(encode_object(HEAD, {"small": "kept", "huge": huge}), 1, b"\x00" * 32)
    entry = strict(line.decode().rstrip("\n"))
    assert len(line) <= MAX_LINE
    encoded = json.dumps(huge)
    assert entry["small"] == "kept"
    assert entry["huge"].endswith(f"…[cut: {len(encoded)} bytes, sha256 {sha256(encoded.encode()).hexdigest()[:16]}]")
    if isinstance(huge, str):
        assert entry["huge"].startswith(huge[:100])


def test_many_long_values_are_cut_until_they_fit():
    """As many as needed, and no more."""
    found = {f"k{i}": f"{i:03}" * 1000 for i in range(100)}
    line, _ = seal_line(encode_object(HEAD, found), 1, b"\x00" * 32)
    assert len(line) <= MAX_LINE
    kept = [
        value for value in strict(line.decode().rstrip("\n")).values() if isinstance(value, str) and len(value) == 3000
    ]
    assert 10 < len(kept) < 25


def test_very_many_short_values_fit_too():
    """`encode_object` keeps to a line's size whatever it is given."""
    line, _ = seal_line(encode_object(HEAD, {f"k{i}": "x" * 10 for i in range(5000)}), 1, b"\x00" * 32)
    assert len(line) <= MAX_LINE


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**70, "\udc80", object(), {1: object()}, b"\xff"], ids=repr
)
def test_a_value_that_cannot_be_encoded_is_named_and_the_others_are_kept(value):
    """The redactor lets none of these through; if one comes all the same, the entry is not lost."""
    line, _ = seal_line(encode_object(HEAD, {"bad": value, "good": "kept"}), 1, b"\x00" * 32)
    entry = json.loads(line)
    assert entry["good"] == "kept"
    assert "bad" in entry


def test_no_fields_leave_the_head_as_it_is():
    """An empty object adds nothing, and no comma."""
    assert encode_object(HEAD, {}) == encode_entry(HEAD, Who(), {}) == HEAD
    assert encode_entry(HEAD, Who(name="a"), {}) == HEAD + b',"name":"a"'
    assert encode_entry(HEAD, Who(), {"b": 1}) == HEAD + b',"b":1'
