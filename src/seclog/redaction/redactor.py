"""The redactor: two roads from untrusted fields to fields that may be written.

The **quick road** takes almost every event: keys known to be open, short scalars, and one look over the texts not seen
before. Whatever is not plainly harmless takes the **careful road**: gather the values and mask by key, look inside
the texts, mask what was found everywhere else, make safe and cut. Both give the same result.

Redaction never raises and never changes its input. Safe from threads and from the event loop.
"""

import logging
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final

import msgspec

from seclog.redaction.gate import best_gate
from seclog.redaction.inside import Inside
from seclog.redaction.jsonsafe import elements, leaf, members, type_name
from seclog.redaction.keys import KeyRules, Verdict, looks_random, words_of
from seclog.redaction.propagation import Propagation, mask_forms
from seclog.redaction.text import MASK, cut, cut_before_scan, scrub, water_level

_log = logging.getLogger("seclog.internal")

_MEMO_CAP: Final = 4096  # entries in each memo; keys and texts come from clients
_MEMO_TEXT: Final = 256  # characters of a text that is worth remembering as clean
_CARD_MIN: Final = 10**12  # the shortest card number has 13 digits
_INT_MIN: Final = -(2**63)
_JOINT: Final = "|"  # printable, in no gate, and no part of any word
_FIELD_KEY: Final = "seclog.change.field"
_CHANGED_KEYS: Final = ("seclog.change.old", "seclog.change.new")


class Limits(msgspec.Struct, frozen=True):
    """How much of an event is looked at and kept. All figures are upper bounds.

    Attributes:
        max_text: Characters of one text.
        max_items: Members of one container.
        max_depth: Containers within containers.
        max_nodes: Values in a whole event.
        max_total_text: Characters of all texts of an event together.
        max_key: Characters of a key.
        max_scan: Characters looked at in a whole event; longer texts are cut before they are scanned.
    """

    max_text: int = 4096
    max_items: int = 100
    max_depth: int = 8
    max_nodes: int = 1000
    max_total_text: int = 32768
    max_key: int = 128
    max_scan: int = 65536


_DEFAULT_LIMITS: Final = Limits()


class Redactor:
    """Takes the secrets out of the untrusted part of an entry and makes it safe to write."""

    __slots__ = ("_clean", "_clean_max", "_gate", "_inside", "_limits", "_open_keys", "_rules")

    def __init__(
        self, extra_keys: Iterable[str] = (), limits: Limits = _DEFAULT_LIMITS, use_re2: bool | None = None
    ) -> None:
        """Build the tables.

        Args:
            extra_keys: The user's own secret key names; matched whole or as the last words of a key, in any case.
            limits: How much of an event is looked at and kept.
            use_re2: Whether the gate runs on google-re2; None takes it when it can be imported. Results are the same.

        Raises:
            ImportError: ``use_re2`` is True and google-re2 is not installed.
        """
        self._rules = KeyRules(extra_keys)
        self._limits = limits
        self._gate = best_gate(use_re2)
        self._inside = Inside(self._rules, self._gate.may_hide)
        self._clean_max = min(_MEMO_TEXT, limits.max_text)
        self._clean: set[str] = set()  # texts that hold no secret and need no change
        self._open_keys: set[str] = set()  # keys that hold no secret and need no change

    def redact(self, fields: Mapping[str, object]) -> tuple[dict[str, object], int]:
        """Redact the whole untrusted part of an entry.

        Args:
            fields: Flat dotted keys; values of any kind, nested and hostile included.

        Returns:
            A new dict of JSON-safe values, and the number of values that were masked.
        """
        try:
            quick = self._quick(fields)
            return (quick, 0) if quick is not None else _Event(self).redact(fields)
        except Exception as error:  # noqa: BLE001  (a logger must not break its host; nothing unredacted may pass)
            _log.warning("redaction failed (%s); the fields were withheld", type_name(error))
            return {"seclog.redaction.error": type_name(error)}, 1

    def text(self, value: str) -> str:
        """Redact one string on its own.

        Args:
            value: Any string.

        Returns:
            The string with its secrets masked, without control characters, at most ``max_text`` long plus a note.
        """
        try:
            masked, _ = _Event(self).redact({"text": value})
            return str(masked["text"])
        except Exception as error:  # noqa: BLE001  (see redact)
            _log.warning("redaction failed (%s); the text was withheld", type_name(error))
            return f"[unprintable {type_name(value)}]"

    def _quick(self, fields: Mapping[str, object]) -> dict[str, object] | None:
        """Return the fields as they are when nothing in them needs a change, else None. The hot loop."""
        limits = self._limits
        size = len(fields)
        if type(fields) is not dict or size > limits.max_items or not self._open_keys.issuperset(fields):
            return None
        out = fields.copy()
        clean = self._clean
        fresh: list[str] = []
        for value in out.values():
            kind = type(value)
            if kind is str:
                if value not in clean:
                    fresh.append(value)
            elif kind is int:
                if not _INT_MIN <= value < _CARD_MIN:
                    return None
            elif kind is float:
                if not isfinite(value):
                    return None
            elif value is not None and kind is not bool:
                return None
        if not fresh:
            return out
        # One look over all new texts together is much cheaper than one look each.
        joined = _JOINT.join(fresh)
        room = limits.max_total_text - size * (_MEMO_TEXT + limits.max_key)
        if len(joined) > limits.max_text or len(joined) > room:
            return None
        if self._gate.may_need_work(joined) and not all(self._is_clean(text) for text in fresh):
            return None
        self._remember_clean(fresh if len(joined) <= self._clean_max else self._short(fresh))
        return out

    def _is_clean(self, text: str) -> bool:
        return text.isprintable() and self._inside.mask(text, []) == text

    def _short(self, texts: Iterable[str]) -> list[str]:
        return [text for text in texts if len(text) <= self._clean_max]

    def _remember_clean(self, texts: list[str]) -> None:
        clean = self._clean
        if len(clean) + len(texts) > _MEMO_CAP:
            clean.clear()
        clean.update(texts)

    def _remember_open(self, key: str) -> None:
        if len(self._open_keys) >= _MEMO_CAP:
            self._open_keys.clear()
        self._open_keys.add(key)


class _Event:
    """One event on the careful road; lives for one call."""

    __slots__ = (
        "_budget",
        "_inside",
        "_limits",
        "_masked",
        "_path",
        "_redactor",
        "_rules",
        "_secrets",
        "_texts",
    )

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._rules = redactor._rules
        self._inside = redactor._inside
        self._limits = redactor._limits
        self._budget = self._limits.max_nodes
        self._path: list[int] = []  # ids of the containers we are inside of
        self._secrets = Propagation()
        self._texts: dict[str, str] = {}  # raw text -> what is written
        self._masked = 0

    def redact(self, fields: Mapping[str, object]) -> tuple[dict[str, object], int]:
        tree = self._gather(fields, 0)
        if not isinstance(tree, dict):
            return {"seclog.redaction.error": str(tree)}, 1
        self._hide_changed_secret(tree)
        self._look_inside()
        self._fit()
        out = {name: self._finish(value) for name, value in self._named(tree, top=True)}
        if type(fields) is dict:
            for key in fields.keys() & out.keys():
                if type(key) is str and key not in _CHANGED_KEYS and self._rules.decide(key) is Verdict.OPEN:
                    self._redactor._remember_open(key)
        return out, self._masked

    # -- 1. gather: built-in types only, masked by key ---------------------------------------------------------------

    def _gather(self, value: object, depth: int, *, secret: bool = False) -> object:
        """Return a raw tree of dicts, lists and scalars, with everything under a secret key masked."""
        try:
            return self._gather_any(value, depth, secret)
        except Exception:  # noqa: BLE001  (whatever a hostile object does, it costs only itself)
            return f"[unprintable {type_name(value)}]"

    def _gather_any(self, value: object, depth: int, secret: bool) -> object:
        self._budget -= 1
        pairs = items = None
        if type(value) is not str:
            pairs = members(value)
            items = elements(value) if pairs is None else None
        if pairs is None and items is None:
            scalar = leaf(value, self._limits.max_scan)
            return self._mask_scalar(scalar) if secret else self._scalar(scalar)
        size = len(pairs if pairs is not None else items or ())
        if id(value) in self._path:
            return "[cycle]"
        if depth > self._limits.max_depth:
            return f"[…{size} more]"
        self._path.append(id(value))
        try:
            if pairs is not None:
                return self._gather_pairs(pairs, depth, secret)
            return self._gather_items(items or [], depth, secret)
        finally:
            self._path.pop()

    def _gather_pairs(
        self, pairs: list[tuple[object, object]], depth: int, secret: bool
    ) -> dict[str, object]:
        tree: dict[str, object] = {}
        named = not secret and depth > 0 and self._names_a_secret(pairs)
        for number, (raw_key, value) in enumerate(pairs):
            key = self._key(raw_key)
            hidden = secret or self._hides(key, value) or (named and key == "value")
            if number >= self._limits.max_items or self._budget <= 0:
                # Not written, but a secret among them may still be quoted by a text that is.
                if hidden and isinstance(value, str) and number < self._limits.max_nodes:
                    self._secrets.remember([str.__str__(value)[: self._limits.max_scan]])
                continue
            self._note(key)
            tree[_free_name(key, tree)] = self._gather(value, depth + 1, secret=hidden)
        if len(pairs) > len(tree):
            tree[_free_name("…", tree)] = f"[…{len(pairs) - len(tree)} more]"
        return tree

    def _gather_items(self, items: list[object], depth: int, secret: bool) -> list[object]:
        # ("password", "x"): the shape of parsed queries and of raw headers.
        if len(items) == 2 and not secret and isinstance(items[0], str | bytes):
            key = self._key(items[0])
            if self._hides(key, items[1]):
                self._note(key)
                self._budget -= 1
                return [key, self._gather(items[1], depth + 1, secret=True)]
        tree: list[object] = []
        for item in items:
            if len(tree) >= self._limits.max_items or self._budget <= 0:
                break
            tree.append(self._gather(item, depth + 1, secret=secret))
        if len(items) > len(tree):
            tree.append(f"[…{len(items) - len(tree)} more]")
        return tree

    def _names_a_secret(self, pairs: list[tuple[object, object]]) -> bool:
        """Recognise ``{"name": "password", "value": "…"}``."""
        return any(
            type(key) is str
            and key in ("name", "key")
            and type(value) is str
            and self._rules.decide(value) is Verdict.SECRET
            for key, value in pairs[:16]
        )

    def _hides(self, key: str, value: object) -> bool:
        verdict = self._rules.decide(key)
        if verdict is Verdict.MAYBE:
            return isinstance(value, str) and looks_random(str.__str__(value)[: self._limits.max_scan])
        return verdict is Verdict.SECRET

    def _key(self, raw_key: object) -> str:
        try:
            scalar = leaf(raw_key, self._limits.max_scan)
            return scalar if type(scalar) is str else str(scalar)
        except Exception:  # noqa: BLE001  (see _gather)
            return f"[unprintable {type_name(raw_key)}]"

    def _mask_scalar(self, scalar: object) -> object:
        if scalar is None or scalar == "" or isinstance(scalar, bool):
            return scalar
        self._masked += 1
        self._secrets.remember([str(scalar)[: self._limits.max_scan]])
        return MASK

    def _scalar(self, scalar: object) -> object:
        if type(scalar) is int and scalar >= _CARD_MIN:
            # A card number sent as a JSON number.
            text = str(scalar)
            if self._inside.mask(text, []) != text:
                self._note(text)
                return text
        if type(scalar) is str:
            self._note(scalar)
        return scalar

    def _note(self, text: str) -> None:
        self._texts[text] = text

    def _hide_changed_secret(self, tree: dict[str, object]) -> None:
        """Mask old and new value of a change when the field that changed is a secret one."""
        field = tree.get(_FIELD_KEY)
        if type(field) is str and self._rules.decide(field) is Verdict.SECRET:
            for key in _CHANGED_KEYS:
                if key in tree:
                    tree[key] = self._mask_all(tree[key])

    def _mask_all(self, node: object) -> object:
        if isinstance(node, dict):
            return {key: self._mask_all(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._mask_all(item) for item in node]
        return node if node == MASK else self._mask_scalar(node)

    # -- 2. look inside, and propagate -------------------------------------------------------------------------------

    def _look_inside(self) -> None:
        """Mask the texts: first what is known from keys, then what their content shows, then that everywhere else."""
        limit = water_level([len(text) for text in self._texts], self._limits.max_scan)
        clean = self._redactor._clean
        known = self._secrets.ordered()
        later: list[str] = []
        for raw in self._texts:
            text = mask_forms(cut_before_scan(raw, limit), known)
            if text not in clean:
                text = self._inside.mask(text, later)
            self._texts[raw] = text
        if later:
            self._secrets.remember(later)
            known = self._secrets.ordered()
            for raw, text in self._texts.items():
                self._texts[raw] = mask_forms(text, known)

    # -- 3. make safe, cut, rebuild ------------------------------------------------------------------------------------

    def _fit(self) -> None:
        limits = self._limits
        level = water_level(
            [min(len(text), limits.max_text) for text in self._texts.values()], limits.max_total_text
        )
        limit = min(limits.max_text, level)
        unchanged: list[str] = []
        for raw, text in self._texts.items():
            safe = cut(scrub(text), limit)
            if safe == raw:
                unchanged.append(raw)
            self._texts[raw] = safe
        self._redactor._remember_clean(self._redactor._short(unchanged))

    def _named(self, tree: dict[str, object], *, top: bool = False) -> Iterable[tuple[str, object]]:
        """Give the members of a dict their final names; two that fall together are numbered."""
        taken: dict[str, object] = {}
        for key, value in tree.items():
            name = _free_name(self._final_key(key), taken)
            taken[name] = None
            yield name, value

    def _final_key(self, key: str) -> str:
        # A plain name is structure, not content: a client whose password is "user.name" must not rename that field.
        name = scrub(key) if _is_plain_name(key) else self._texts.get(key, scrub(key))
        return cut(name, self._limits.max_key)

    def _finish(self, node: object) -> object:
        if isinstance(node, dict):
            return {name: self._finish(value) for name, value in self._named(node)}
        if isinstance(node, list):
            return [self._finish(item) for item in node]
        if type(node) is str:
            safe = self._texts.get(node)
            if safe is None:
                return node  # our own mark or note
            if "[redacted" in safe and safe != node:
                self._masked += 1
            return safe
        if type(node) is int and self._secrets and self._secrets.holds(str(node)):
            self._masked += 1
            return MASK
        return node


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"


def _is_plain_name(key: str) -> bool:
    """Say whether a key is a name made of letters only: no generated secret looks like that."""
    return (
        len(key) <= 64
        and key.isascii()
        and all(word.isalpha() for word in words_of(key))
        and key.isprintable()
    )
