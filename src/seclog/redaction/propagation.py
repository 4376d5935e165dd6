"""A value masked in one place of an event is masked everywhere else in it, in its encoded forms too.

A password is masked under its key, and the exception text of the same event quotes it without any key: only
knowing the value finds it there.
"""

import html
import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

from seclog.redaction.inside import TRIVIAL
from seclog.redaction.patterns import PATTERNS
from seclog.redaction.text import MASK, mark

MIN_LENGTH: Final = 4  # shorter values would punch holes into everything
_WHOLE_WORD_BELOW: Final = 8  # a PIN is masked as a word, not inside a trace id
_MAX_SECRETS: Final = 256
_QUOTES: Final = "\"'"
# A password "redacted" must not turn the marks themselves into marks of marks.
_MARKS: Final = MASK + "".join(mark(row.kind) for row in PATTERNS) + mark("base64")


def worth_masking(secret: str) -> str:
    """Return the secret without the quotes around it; "" when it is too short or common to look for."""
    plain = secret.strip()
    if len(plain) > 2 and plain[0] == plain[-1] and plain[0] in _QUOTES:
        plain = plain[1:-1]  # a traceback holds repr(value)
    if len(plain) < MIN_LENGTH or plain.lower() in TRIVIAL or plain in _MARKS or "[redacted" in plain:
        return ""
    return plain


def encoded_forms(plain: str, everything: str) -> list[str]:
    """Return the encoded ways to write a secret, of those encodings that occur in the event at all."""
    forms: list[str] = []
    if plain.isascii() and plain.isalnum():
        return forms
    if "%" in everything or "+" in everything:
        printable = plain.encode("utf-8", "replace").decode()
        once, plus = quote(printable, safe=""), quote_plus(printable)
        forms += [quote(printable), once, plus, quote(once, safe=""), quote(plus, safe="")]
    if "\\" in everything:
        forms += [json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]]
        forms += [repr(plain)[1:-1], repr(repr(plain)[1:-1])[1:-1]]
    if "&" in everything:
        forms.append(html.escape(plain))
    return forms


class Propagation:
    """The secrets of one event."""

    __slots__ = ("_plain",)

    def __init__(self) -> None:
        self._plain: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._plain)

    def remember(self, secret: str) -> None:
        """Add a secret; one that is too short or too common to be looked for is left out."""
        plain = worth_masking(secret)
        if plain and len(self._plain) < _MAX_SECRETS:
            self._plain[plain] = None

    def holds(self, text: str) -> bool:
        """Say whether a text is exactly one of the secrets."""
        return text in self._plain

    def forms_in(self, texts: Iterable[str]) -> list[str]:
        """Return the forms that occur in the texts, longest first: none leaves half a longer one behind."""
        if not self._plain:
            return []
        everything = "\n".join(texts)
        forms = dict.fromkeys(self._plain)
        for plain in self._plain:
            forms.update(dict.fromkeys(encoded_forms(plain, everything)))
        return sorted((form for form in forms if form in everything), key=len, reverse=True)


def mask_forms(text: str, forms: list[str]) -> str:
    """Replace every form that occurs in the text."""
    for form in forms:
        if form in text:
            text = text.replace(form, MASK) if len(form) >= _WHOLE_WORD_BELOW else _mask_word(text, form)
    return text


def _mask_word(text: str, word: str) -> str:
    parts: list[str] = []
    done = position = 0
    while (position := text.find(word, position)) >= 0:
        end = position + len(word)
        if text[position - 1 : position].isalnum() or text[end : end + 1].isalnum():
            position += 1
            continue
        parts += (text[done:position], MASK)
        done = position = end
    return "".join(parts) + text[done:]
