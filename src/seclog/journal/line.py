r"""The line: one entry as one ASCII JSON object, linked to the line before it.

    line = body + ',"seclog.hash":"' + 64 hex digits + '"}\n'
    hash = SHA-256(0x00 || previous hash (32 bytes) || body bytes)

`body` begins with `{`, ends with `,"seclog.seq":N` and lacks the closing brace. Raw bytes are hashed, nothing is ever
serialised again to verify; the hash stands in a tail of fixed width, so that user data can never be taken for it.
"""

import hashlib
import json
import re
from binascii import hexlify
from typing import Final

import msgspec

SCHEMA: Final = "seclog/1"
MAX_LINE: Final = 64 * 1024
"""Bytes of a line at most, its newline included."""

HASH_FIELD: Final = b',"seclog.hash":"'
SEQ_FIELD: Final = b',"seclog.seq":'
TAIL_WIDTH: Final = len(HASH_FIELD) + 64 + len(b'"}')
"""Bytes from the start of the hash field to the end of the line, without the newline."""

_ROOM: Final = MAX_LINE - TAIL_WIDTH - len(SEQ_FIELD) - 24
_LEFT_OUT: Final = '"seclog.fields_left_out"'
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_encoder = msgspec.json.Encoder()


def first_link(segment_id: str) -> bytes:
    """Return what the first line of a segment is linked to. It names the segment, so files cannot be swapped."""
    return hashlib.sha256(b"seclog/1 segment " + segment_id.encode()).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """Return the hash of a line (32 bytes), given the hash before it."""
    return hashlib.sha256(b"\x00" + previous + body).digest()


def seal_line(body: bytes, seq: int, previous: bytes) -> tuple[bytes, bytes]:
    """Return (the complete line, its hash) for an encoded object without its closing brace."""
    body = b"%b%b%d" % (body, SEQ_FIELD, seq)
    digest = hashlib.sha256(b"\x00" + previous + body).digest()
    return b'%b%b%b"}\n' % (body, HASH_FIELD, hexlify(digest)), digest


def encode_entry(head: bytes, context: msgspec.Struct, fields: dict[str, object]) -> bytes:
    """Return `head`, a struct's fields and plain fields as one object, like `encode_object`; the usual case, fast.

    Args:
        head: as for `encode_object`.
        context: a struct without required fields that leaves out its defaults.
        fields: JSON-safe scalars, with no name that the struct writes too.
    """
    first, second = _encoder.encode(context), _encoder.encode(fields)
    if len(head) + len(first) + len(second) > _ROOM:
        return encode_object(head, {**msgspec.to_builtins(context), **fields})
    if len(first) == 2 or len(second) == 2:  # one of them is {}
        inner = (first if len(second) == 2 else second)[1:-1]
        body = b"%b,%b" % (head, inner) if inner else head
    else:
        body = b"%b,%b,%b" % (head, first[1:-1], second[1:-1])
    if body.isascii():
        return body
    body = _escaped(body)
    return body if len(body) <= _ROOM else encode_object(head, {**msgspec.to_builtins(context), **fields})


def encode_object(head: bytes, fields: dict[str, object]) -> bytes:
    """Return `head` plus the fields as ASCII JSON, without the closing brace, within a line's size. Never raises.

    Args:
        head: the beginning of an object, trusted ASCII JSON: `{"schema":"seclog/1",…` without a trailing comma.
        fields: JSON-safe values, as the redactor returns them.
    """
    try:
        encoded = _encoder.encode(fields)
    except Exception:  # noqa: BLE001 - an entry is never lost to its encoding
        encoded = _encode_anyhow(fields)
    if not encoded.isascii():
        encoded = _escaped(encoded)
    if len(head) + len(encoded) > _ROOM:
        encoded = _shrink(fields, _ROOM - len(head))
    if encoded == b"{}":
        return head
    return b"%b,%b" % (head, encoded[1:-1])


def _escaped(encoded: bytes) -> bytes:
    return _NOT_ASCII.sub(_escape, encoded.decode("utf-8")).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _encode_anyhow(fields: dict[str, object]) -> bytes:
    """Encode each field on its own and replace the one that cannot be: the others are kept."""
    pieces = []
    for key, value in fields.items():
        try:
            pieces.append(json.dumps(key) + ":" + json.dumps(value, allow_nan=False))
        except Exception:  # noqa: BLE001
            pieces.append(json.dumps(key) + ":" + json.dumps(f"[unencodable {type(value).__name__}]"))
    return ("{" + ",".join(pieces) + "}").encode("ascii")


def _shrink(fields: dict[str, object], room: int) -> bytes:
    """Replace the largest values by their beginning, size and digest until the object fits; then leave fields out."""
    encoded = {json.dumps(key): json.dumps(value) for key, value in fields.items()}
    values = dict(zip(encoded, fields.values(), strict=True))
    room -= len(_LEFT_OUT) + 12
    size = sum(len(key) + len(text) + 2 for key, text in encoded.items())
    for key, text in sorted(encoded.items(), key=lambda item: -len(item[1])):
        if size <= room:
            break
        value = values[key]
        start = value[:100] if isinstance(value, str) else ""
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        short = json.dumps(f"{start}…[cut: {len(text)} bytes, sha256 {digest}]")
        if len(short) < len(text):
            encoded[key] = short
            size -= len(text) - len(short)
    left_out = 0
    while size > room:
        key, text = encoded.popitem()
        size -= len(key) + len(text) + 2
        left_out += 1
    if left_out:
        encoded[_LEFT_OUT] = str(left_out)
    return ("{" + ",".join(f"{key}:{text}" for key, text in encoded.items()) + "}").encode("ascii")
