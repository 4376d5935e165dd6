"""Looks inside a text: patterns, ``key=value`` pairs, JSON, XML, percent-encoding, base64.

The text comes in raw (control characters included) and goes out with its secrets replaced by marks; the
rest stays readable. Whatever is decoded is looked into again, a few levels deep. A decoded form that holds
a secret and cannot be put back is masked whole.

Work is linear in the length of the text, which the redactor has bounded before.
"""

import base64
import binascii
import json
import re
from typing import Final
from urllib.parse import quote, unquote_plus

from seclog.redaction.gate import Gate, any_in, shape_of
from seclog.redaction.keys import KeyRules, Verdict, looks_random
from seclog.redaction.patterns import BASE64_STARTS, PATTERNS
from seclog.redaction.text import MASK, mark

_MAX_DEPTH: Final = 4  # base64 in JSON in a query string in a referer: enough for what apps really do
TRIVIAL: Final = frozenset(
    (
        *("", "none", "null", "nil", "undefined", "empty", "missing", "required", "invalid"),
        *("true", "false", "yes", "no", "on", "off"),
    )
)  # what stands after "password:" without being one

_KEY_CHARS: Final = r"A-Za-z0-9_.%$\-\[\]"
# A key, closing quotes, a separator. The left edge is outside the key's own characters, so each run is
# tried once.
_PAIR: Final = re.compile(
    rf"(?:^|[^{_KEY_CHARS}])([A-Za-z_%$\-\[\]][{_KEY_CHARS}]{{0,127}})"
    r"[\"'\\]{0,4}\s{0,3}(=>|[:=>])[ \t]{0,3}",
    re.ASCII,
)
_FLAG: Final = re.compile(r"(?:^|\s)--?([A-Za-z][A-Za-z0-9_-]{1,40})[ \t]{1,3}([^\s-]\S*)", re.ASCII)
_MULTIPART: Final = re.compile(
    r"[ ;]name=\"([^\"\r\n]{1,128})\"[^\r\n]{0,256}\r?\n(?:[^\r\n]{1,256}\r?\n){0,3}\r?\n([^\r\n]+)",
    re.ASCII,
)
_OPEN_QUOTE: Final = re.compile(r"[bBuUrRfF]{0,2}(\\{0,3}[\"'])", re.ASCII)
_MAYBE_VALUE: Final = re.compile(r"[\"']?([^\s&;,\"'<>]{16,2048})", re.ASCII)
_BARE: Final = re.compile(r"[^\s&;,\"'<>]*", re.ASCII)
_BARE_MORE: Final = re.compile(r"[&;,]+[^\s&;,=\"'<>{}\[\]]+", re.ASCII)
_WORDY: Final = re.compile(r"[^\r\n&;\"'<>]*", re.ASCII)
_LINE: Final = re.compile(r"[^\r\n\"']*", re.ASCII)
_MARK: Final = re.compile(r"\[redacted(?::[a-z0-9_]+)?\]?", re.ASCII)
_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}", re.ASCII)
_PERCENT_RUN: Final = re.compile(r"[^\s&=;\"'<>]+", re.ASCII)
_BASE64_RUN: Final = re.compile(
    rf"(?:^|[^A-Za-z0-9]|\\[nrt])((?:{'|'.join(BASE64_STARTS)})[A-Za-z0-9+/_-]{{8,}}={{0,2}})", re.ASCII
)
_MANY_ESCAPES: Final = 2000
_MANY_MAYBES: Final = 50  # nobody writes that many codes into one text: from here on they are masked unseen
_BRACKETS: Final = {"{": "}", "[": "]", "(": ")"}
_KEEP_IN_QUOTE: Final = "[]/:@?,;"  # what stays readable when a masked text is percent-encoded again


class Inside:
    """Finds and masks the secrets in one text. Holds no state of its own; safe from threads."""

    __slots__ = ("_may_hide", "_may_match", "_rules")

    def __init__(self, rules: KeyRules, gate: Gate) -> None:
        self._rules = rules
        self._may_hide = gate.may_hide
        self._may_match = gate.may_match

    def mask(self, text: str, found: list[str], depth: int = 0) -> str:
        """Return the text with its secrets masked.

        Args:
            text: Any string, raw.
            found: Receives every secret that was masked, decoded, for propagation.
            depth: How many encodings were taken off already.
        """
        if depth > _MAX_DEPTH or not self._may_hide(text):
            return text
        if text.lstrip()[:1] in ("{", "["):
            masked = self._json(text, found, depth)
            if masked is not None:
                return masked
        may_match = self._may_match(text)
        if may_match:
            text = self._patterns(text, found)
        if "=" in text or ":" in text or "</" in text:
            text = self._pairs(text, found)
        if "--" in text:
            text = self._groups(_FLAG, text, found)
        if "%" in text:
            text = self._percent(text, found, depth)
        return self._base64(text, found, depth) if may_match else text

    # -- patterns ------------------------------------------------------------------------------------------

    def _patterns(self, text: str, found: list[str]) -> str:
        shape = shape_of(text)
        for row in PATTERNS:
            if not (any_in(row.gates, text) or any_in(row.shapes, shape) or row.peeks):
                continue
            parts: list[str] = []
            done = 0
            for match in row.pattern.finditer(text):
                secret = match[1]
                length = len(secret) if row.check is None else row.check(secret)
                if not secret.strip() or not length or secret.startswith("[redacted"):
                    continue
                found.append(secret[:length])
                parts += (text[done : match.start(1)], mark(row.kind))
                done = match.start(1) + length
            if parts:
                text = "".join(parts) + text[done:]
                shape = shape_of(text)
        return text

    # -- key=value, key: value, "key": "value", <key>value</key> -------------------------------------------

    def _pairs(self, text: str, found: list[str]) -> str:
        if "form-data" in text:
            text = self._groups(_MULTIPART, text, found)
        parts: list[str] = []
        done = position = maybes = 0
        while match := _PAIR.search(text, position):
            # The separator may be the left edge of the next key: look again from there.
            position = match.end(2) - 1
            key = match[1]
            verdict = self._rules.decide_in_text(key)
            if verdict is Verdict.OPEN:
                continue
            maybes += verdict is Verdict.MAYBE
            if verdict is Verdict.MAYBE and maybes <= _MANY_MAYBES:
                # No search for far ends: this value may be left as it is, and the next key begins inside it.
                value = _MAYBE_VALUE.match(text, match.end())
                if value is None or not looks_random(unquote_plus(value[1])):
                    continue
                start, end = value.span(1)
            else:
                start, end = self._value_span(text, key, match)
            secret = text[start:end]
            if secret.strip().lower() in TRIVIAL or _MARK.fullmatch(secret):
                continue
            found.append(secret)
            if "%" in secret or "+" in secret:
                found.append(unquote_plus(secret))
            parts += (text[done:start], MASK)
            done = position = end
        return "".join(parts) + text[done:] if parts else text

    def _value_span(self, text: str, key: str, match: re.Match[str]) -> tuple[int, int]:
        """Find where the value of a secret key begins and ends. In doubt it is longer, never shorter."""
        start = match.end()
        separator = match[2]
        if separator == ">":
            if text[match.start(1) - 1 : match.start(1)] != "<":
                return start, start  # a comparison, an e-mail quote, a prompt
            end = text.find("<", start)
            return start, len(text) if end < 0 else end
        quoted = _OPEN_QUOTE.match(text, start)
        if quoted:
            return quoted.end(), _closing_quote(text, quoted.end(), quoted[1])
        if text[start : start + 1] in _BRACKETS and not text.startswith("[redacted", start):
            return start, _closing_bracket(text, start)
        if self._rules.is_wordy(key):
            line = _LINE if separator == ":" else _WORDY
            return start, _end_of(line, text, start)
        end = _end_of(_BARE, text, start)
        while more := _BARE_MORE.match(text, end):
            # "a&b" may be a password with an ampersand; "&b=" is the next pair.
            if text.startswith("=", more.end()):
                break
            end = max(more.end(), _end_of(_BARE, text, more.end()))
        while end > start and text[end - 1] in ")]}.":
            end -= 1
        return start, end

    def _groups(self, pattern: re.Pattern[str], text: str, found: list[str]) -> str:
        """Mask group 2 wherever group 1 is a secret key."""

        def replace(match: re.Match[str]) -> str:
            value = match[2]
            if value.startswith("[redacted") or self._rules.decide_in_text(match[1]) is not Verdict.SECRET:
                return match[0]
            found.append(value)
            return match[0][: match.start(2) - match.start()] + MASK

        return pattern.sub(replace, text)

    # -- encodings -----------------------------------------------------------------------------------------

    def _percent(self, text: str, found: list[str], depth: int) -> str:
        if not _PERCENT.search(text):
            return text

        def replace(match: re.Match[str]) -> str:
            run = match[0]
            if "%" not in run:
                return run
            decoded = unquote_plus(run)
            if decoded == run:
                return run
            masked = self.mask(decoded, found, depth + 1)
            return run if masked == decoded else quote(masked, safe=_KEEP_IN_QUOTE, errors="replace")

        if text.count("%") > _MANY_ESCAPES:
            # Run by run would take a hostile text too long: look at it decoded as a whole.
            decoded = unquote_plus(text)
            masked = self.mask(decoded, found, depth + 1)
            return text if masked == decoded else masked
        return _PERCENT_RUN.sub(replace, text)

    def _base64(self, text: str, found: list[str], depth: int) -> str:
        if not any(start in text for start in BASE64_STARTS):
            return text

        def replace(match: re.Match[str]) -> str:
            decoded = _decode_base64(match[1])
            if decoded is None or self.mask(decoded, found, depth + 1) == decoded:
                return match[0]
            found.append(match[1])
            return match[0][: match.start(1) - match.start()] + mark("base64")

        return _BASE64_RUN.sub(replace, text)

    def _json(self, text: str, found: list[str], depth: int) -> str | None:
        """Mask a JSON document; return None when it is none (or too deep), to be read as plain text."""
        try:
            document = json.loads(text, object_pairs_hook=_every_pair)
            before = len(found)
            masked = self._json_node(document, found, depth, secret=False)
            return text if len(found) == before else json.dumps(masked, ensure_ascii=False)
        except (ValueError, RecursionError):
            return None

    def _json_node(self, node: object, found: list[str], depth: int, *, secret: bool) -> object:
        if isinstance(node, dict):
            masked: dict[str, object] = {}
            named = secret or self._names_a_secret(node)
            for key, value in node.items():
                verdict = self._rules.decide(key)
                maybe = verdict is Verdict.MAYBE and isinstance(value, str) and looks_random(value)
                hidden = secret or verdict is Verdict.SECRET or maybe or (named and key == "value")
                masked[self.mask(key, found, depth + 1)] = self._json_node(value, found, depth, secret=hidden)
            return masked
        if isinstance(node, list):
            return [self._json_node(item, found, depth, secret=secret) for item in node]
        if secret:
            if node is None or isinstance(node, bool) or node == "":
                return node
            found.append(str(node))
            return MASK
        if isinstance(node, str):
            return self.mask(node, found, depth + 1)
        if type(node) is int and node >= 10**12 and (digits := self._patterns(str(node), found)) != str(node):
            return digits
        return node

    def _names_a_secret(self, node: dict[str, object]) -> bool:
        """Recognise ``{"name": "password", "value": "…"}``, as form builders and HAR files write it."""
        name = node.get("name", node.get("key"))
        return "value" in node and isinstance(name, str) and self._rules.decide(name) is Verdict.SECRET


def _every_pair(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Keep the values of duplicate keys too: the one that a parser drops is still in the text."""
    node: dict[str, object] = {}
    number = 1
    for key, value in pairs:
        name = key
        while name in node:
            number += 1  # never reset: duplicates by the thousand must not take quadratic time
            name = f"{key}#{number}"
        node[name] = value
    return node


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _closing_quote(text: str, start: int, quote_mark: str) -> int:
    """Return where the closing quote is, or the end of the text: what lacks its end may be a secret too."""
    position = start
    while (position := text.find(quote_mark, position)) >= 0:
        before = position
        while before > start and text[before - 1] == "\\":
            before -= 1
        if (position - before) % 2 == 0:
            return position
        position += 1
    return len(text)


def _closing_bracket(text: str, start: int) -> int:
    """Return the position after the bracket that closes the one at start; brackets in quotes do not count."""
    opener, closer = text[start], _BRACKETS[text[start]]
    level = 0
    in_quote = ""
    escaped = False
    for position in range(start, len(text)):
        char = text[position]
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif in_quote:
            if char == in_quote:
                in_quote = ""
        elif char in "\"'":
            in_quote = char
        elif char == opener:
            level += 1
        elif char == closer:
            level -= 1
            if level == 0:
                return position + 1
    return len(text)


def _decode_base64(run: str) -> str | None:
    """Return the text that a run of base64 (either alphabet, padded or not) stands for, or None."""
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) % 4 == 1:
        body = body[:-1]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
