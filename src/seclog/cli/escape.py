r"""What may reach a terminal: text in which nothing is a command, nothing is hidden, nothing turns the order.

Entries hold what attackers sent. A terminal obeys control characters, shows right-to-left text in another
order than it stands, and shows nothing for zero-width characters; here each becomes its escape (`\x1b`).
"""

import re
from typing import Final

# Python's notion of "printable" leaves out control, format (bidi, zero width), surrogate, private, unassigned
# characters, and all separators but the space. These are printable, and show as nothing:
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def escape(text: str) -> str:
    """Return the text with every character escaped that a terminal would obey, hide or reorder."""
    if text.isascii() and text.isprintable():
        return text
    shown = text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)
    return _INVISIBLE.sub(lambda found: _escaped(found[0]), shown)


def escape_json(raw: bytes) -> bytes:
    r"""Return a JSON line that is safe on a terminal and says the same: `\u009b` instead of the character.

    What this library wrote is ASCII and comes back as it is; only a foreign or changed file does not.
    """
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    return re.sub(r"[^\x20-\x7e]", _json_escaped, raw.decode("utf-8", "backslashreplace")).encode("ascii")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
