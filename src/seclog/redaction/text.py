"""Text that is safe to write: no control characters, no lone surrogates, and a length that is bounded.

The encoder escapes everything else to ASCII, so bidirectional marks and line separators may stay as they are.
"""

import hashlib
import re

MASK = "[redacted]"
"""What stands in place of a value that was masked because of its key, or because it was masked elsewhere."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PICTURES = 0x2400  # Unicode block Control Pictures: U+2400 + c shows the C0 control c
_EDGE = 512  # how far back a secret that was cut in two is looked for


def mark(kind: str) -> str:
    """Return what stands in place of a secret that was recognised by its form."""
    return f"[redacted:{kind}]"


def scrub(text: str) -> str:
    """Replace what could break a line, a terminal or a decoder, one character for one character.

    C0 controls become their control pictures (a line feed shows as U+240A: visible, harmless, nothing
    lost), DEL becomes U+2421, C1 controls and lone surrogates become U+FFFD.

    Args:
        text: Any string; a subclass comes back as an exact ``str``.
    """
    if text.isprintable():
        return text if type(text) is str else str.__str__(text)
    return _UNSAFE.sub(_picture, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def cut(text: str, limit: int) -> str:
    """Shorten a text to a number of characters and say how much is missing, with a digest of the whole.

    Args:
        text: Redacted text: the digest must not help to guess a secret.
        limit: Characters kept; the note comes on top.
    """
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[:limit]}…[cut: {len(text) - limit} characters, sha256 {digest}]"


def cut_before_scan(text: str, limit: int) -> str:
    """Shorten a text that is too long to be scanned, without leaving half a secret at its end.

    The last word is dropped (or the last 512 characters, when there is no space among them): it may be the
    first half of a secret that no pattern recognises any more. No digest here: this text has not been
    redacted.
    """
    if len(text) <= limit:
        return text
    edge = max(0, limit - _EDGE)
    spaces = [text.rfind(space, edge, limit) for space in (" ", "\n", "&")]
    kept = max(*spaces, 0 if limit < _EDGE else edge)
    return f"{text[:kept]}…[cut before scanning: {len(text) - kept} characters]"


def water_level(lengths: list[int], budget: int) -> int:
    """Return the length to which the longest texts must be cut so that all of them fit a budget.

    Short texts stay whole, however long the others are: a hostile body must not push the path or the user
    name out of its own record.

    Args:
        lengths: The length of every text, in characters.
        budget: Characters allowed in total.
    """
    if sum(lengths) <= budget:
        return budget
    left, count = budget, len(lengths)
    for length in sorted(lengths):
        if length * count > left:
            break
        left -= length
        count -= 1
    return left // max(count, 1)
