"""The redactor: two roads from untrusted fields to fields that may be written.

The **quick road** takes almost every event: keys known to be open, short scalars, and one look over the
texts not seen before. Whatever is not plainly harmless takes the **careful road**: gather the values and
mask by key, look inside the texts, mask what was found everywhere else, make safe and cut. Both give the
same result.

Redaction never raises and never changes its input. Safe from threads and from the event loop.
"""

import logging
import re
from collections.abc import Container, Iterable, Mapping
from math import isfinite
from typing import Any, Final

import msgspec

from seclog.redaction.gate import best_gate
from seclog.redaction.inside import Inside
from seclog.redaction.jsonsafe import elements, leaf, members, type_name
from seclog.redaction.keys import KeyRules, Verdict, looks_random
from seclog.redaction.patterns import is_card_number
from seclog.redaction.propagation import Propagation, mask_forms
from seclog.redaction.text import MASK, cut, cut_before_scan, scrub, water_level

_log = logging.getLogger("seclog.internal")

_MEMO_CAP: Final = 4096  # entries in each memo; keys and texts come from clients
_QUICK_ITEMS: Final = 32
_MEMO_TEXT: Final = 256  # characters of a text that is worth remembering as clean
_CARD_MIN: Final = 10**12  # the shortest card number has 13 digits
_INT_MIN: Final = -(2**63)
_INT_END: Final = 2**64
# No generated secret looks like that: letters only.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_.-]{1,64}|…", re.ASCII)
_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
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

    __slots__ = (
        "_clean",
        "_clean_max",
        "_inside",
        "_limits",
        "_may_need_work",
        "_open_keys",
        "_quick_items",
        "_quick_text",
        "_rules",
        "failures",
    )

    def __init__(
        self, extra_keys: Iterable[str] = (), limits: Limits = _DEFAULT_LIMITS, use_re2: bool | None = None
    ) -> None:
        """Build the tables.

        Args:
            extra_keys: The user's own secret key names; matched whole or as the last words of a key, in any
                case.
            limits: How much of an event is looked at and kept.
            use_re2: Whether the gate runs on google-re2; None takes it when it can be imported. Both give
                the same results.

        Raises:
            ImportError: ``use_re2`` is True and google-re2 is not installed.
        """
        self.failures = 0
        gate = best_gate(use_re2)
        self._may_need_work = gate.may_need_work
        self._rules = KeyRules(extra_keys)
        self._limits = limits
        self._inside = Inside(self._rules, gate)
        self._clean_max = min(_MEMO_TEXT, limits.max_text)
        # What may take the quick road can reach no limit, even when every known text in it is as long as
        # can be.
        self._quick_items = min(_QUICK_ITEMS, limits.max_items, limits.max_nodes)
        widest = self._quick_items * (_MEMO_TEXT + limits.max_key)
        self._quick_text = min(limits.max_text, limits.max_scan, limits.max_total_text - widest)
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
            if type(fields) is dict and self.is_harmless(fields):
                return fields.copy(), 0
            return _Event(self).redact(fields)
        except Exception as error:  # noqa: BLE001  (the host must not break, and nothing unredacted may pass)
            self._complain("the fields were", error)
            return {"seclog.redaction.error": type_name(error)}, 1

    def text(self, value: str) -> str:
        """Redact one string on its own.

        Args:
            value: Any string.

        Returns:
            The string with its secrets masked, without control characters, at most ``max_text`` long plus a
            note.
        """
        try:
            masked, _ = self.redact({"text": value})
            return str(masked["text"])
        except Exception as error:  # noqa: BLE001  (see redact)
            self._complain("the text was", error)
            return f"[unprintable {type_name(value)}]"

    def is_harmless(self, fields: dict[str, object], text: str = "") -> bool:
        """Say whether nothing in an event needs a change: then it may be written as it is. The hot loop.

        Args:
            fields: Flat dotted keys; values of any kind.
            text: More texts, under names known to be open, joined with "|": one look over all new texts together is
                much cheaper than one look each.
        """
        if len(fields) > self._quick_items or not self._open_keys.issuperset(fields):
            return False
        clean = self._clean
        joined = text
        value: Any
        for value in fields.values():
            kind = type(value)
            if kind is str:
                if value not in clean:
                    joined += _JOINT + value
            elif kind is int:
                if not _INT_MIN <= value < _CARD_MIN:
                    return False
            elif kind is float:
                if not isfinite(value):
                    return False
            elif value is not None and kind is not bool:
                return False
        if not joined:
            return True
        return len(joined) <= self._quick_text and (not self._may_need_work(joined) or self._are_clean(joined))

    @property
    def clean_texts(self) -> Container[str]:
        """The texts that are known to be clean and need no second look."""
        return self._clean

    def remember_clean(self, text: str) -> None:
        """Remember a text that was found clean and will come again. Not many are kept, and no long ones."""
        if text not in self._clean and len(text) <= self._clean_max:
            if len(self._clean) >= _MEMO_CAP:
                self._clean.clear()
            self._clean.add(text)

    def _complain(self, what: str, error: BaseException) -> None:
        """Log a failure of our own: the 1st, 2nd, 4th, 8th … one who provokes them cannot fill a log."""
        self.failures += 1
        if self.failures & (self.failures - 1) == 0:
            _log.error("seclog: redaction failed %d times, %s withheld: %s", self.failures, what, type_name(error))

    def _are_clean(self, joined: str) -> bool:
        """Look at joined texts one by one: none may be judged by what happens to stand before or after it."""
        if "{" in joined or "[" in joined:
            return False  # JSON is recognised by its start and end; texts may hold the joint themselves
        return self._is_clean(joined) and all(map(self._is_clean, joined.split(_JOINT)))

    def _is_clean(self, text: str) -> bool:
        return text.isprintable() and self._inside.mask(text, []) == text

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
        out = {name: self._finish(value) for name, value in self._named(tree)}
        if type(fields) is dict:
            for key in fields.keys() & out.keys():
                if type(key) is str and key not in _CHANGED_KEYS and self._rules.decide(key) is Verdict.OPEN:
                    self._redactor._remember_open(key)
        return out, self._masked

    # -- 1. gather: built-in types only, masked by key -----------------------------------------------------

    def _gather(self, value: object, depth: int, *, secret: bool = False) -> object:
        """Return a raw tree of dicts, lists and scalars, with everything under a secret key masked."""
        try:
            return self._gather_any(value, depth, secret)
        except Exception:  # noqa: BLE001  (whatever a hostile object does, it costs only itself)
            return f"[unprintable {type_name(value)}]"

    def _gather_any(self, value: object, depth: int, secret: bool) -> object:
        self._budget -= 1
        pairs = items = None
        if type(value) not in _SCALARS:
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

    def _gather_pairs(self, pairs: list[tuple[object, object]], depth: int, secret: bool) -> dict[str, object]:
        tree: dict[str, object] = {}
        named = not secret and depth > 0 and self._names_a_secret(pairs)
        for number, (raw_key, value) in enumerate(pairs):
            key = self._key(raw_key)
            hidden = secret or self._hides(key, value) or (named and key == "value")
            if number >= self._limits.max_items or self._budget <= 0:
                # Not written, but a secret among them may still be quoted by a text that is.
                if hidden and issubclass(type(value), str) and number < self._limits.max_nodes:
                    self._secrets.remember(str.__str__(value)[: self._limits.max_scan])
                continue
            self._note_key(key)
            tree[_free_name(key, tree)] = self._gather(value, depth + 1, secret=hidden)
        if len(pairs) > len(tree):
            tree[_free_name("…", tree)] = f"[…{len(pairs) - len(tree)} more]"
        return tree

    def _gather_items(self, items: list[object], depth: int, secret: bool) -> list[object]:
        # ("password", "x"): the shape of parsed queries and of raw headers.
        if len(items) == 2 and not secret and issubclass(type(items[0]), str | bytes):
            key = self._key(items[0])
            if self._hides(key, items[1]):
                self._note_key(key)
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
            # The type, not isinstance: that asks the object, and a hostile one may raise.
            return issubclass(type(value), str) and looks_random(str.__str__(value)[: self._limits.max_scan])
        return verdict is Verdict.SECRET

    def _key(self, raw_key: object) -> str:
        try:
            if isinstance(raw_key, tuple):
                return f"({', '.join(self._key(part) for part in tuple.__iter__(raw_key))})"
            scalar = leaf(raw_key, self._limits.max_scan)
            return scalar if type(scalar) is str else str(scalar)
        except Exception:  # noqa: BLE001  (see _gather)
            return f"[unprintable {type_name(raw_key)}]"

    def _mask_scalar(self, scalar: object) -> object:
        if scalar is None or scalar == "" or isinstance(scalar, bool):
            return scalar
        self._masked += 1
        self._secrets.remember(str(scalar)[: self._limits.max_scan])
        return MASK

    def _scalar(self, scalar: object) -> object:
        if type(scalar) is int and scalar >= _CARD_MIN and is_card_number(str(scalar)):
            scalar = str(scalar)  # a card number sent as a JSON number
        if type(scalar) is str:
            self._note(scalar)
        return scalar

    def _note_key(self, key: str) -> None:
        # A plain name is structure, not content: it needs no look, and a client whose password is "user.name"
        # must not rename that field.
        if not _PLAIN_NAME.fullmatch(key):
            self._note(key)

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

    # -- 2. look inside, and propagate ---------------------------------------------------------------------

    def _look_inside(self) -> None:
        """Mask the texts: what is known from keys, what their content shows, and that everywhere else too."""
        limit = water_level([len(text) for text in self._texts], self._limits.max_scan)
        clean = self._redactor._clean
        known = self._secrets.forms_in(self._texts)
        later: list[str] = []
        for raw in self._texts:
            text = mask_forms(cut_before_scan(raw, limit), known)
            if text not in clean:
                text = self._inside.mask(text, later)
            self._texts[raw] = text
        if later:
            for secret in later:
                self._secrets.remember(secret)
            known = self._secrets.forms_in(self._texts.values())
            for raw, text in self._texts.items():
                self._texts[raw] = mask_forms(text, known)

    # -- 3. make safe, cut, rebuild ------------------------------------------------------------------------

    def _fit(self) -> None:
        limits = self._limits
        level = water_level([min(len(text), limits.max_text) for text in self._texts.values()], limits.max_total_text)
        limit = min(limits.max_text, level)
        unchanged: list[str] = []
        for raw, text in self._texts.items():
            safe = cut(scrub(text), limit)
            if safe == raw:
                unchanged.append(raw)
            self._texts[raw] = safe
        for text in unchanged:
            self._redactor.remember_clean(text)

    def _named(self, tree: dict[str, object]) -> Iterable[tuple[str, object]]:
        """Give the members of a dict their final names; two that fall together are numbered."""
        taken: dict[str, object] = {}
        for key, value in tree.items():
            name = _free_name(self._final_key(key), taken)
            taken[name] = None
            yield name, value

    def _final_key(self, key: str) -> str:
        name = key if _PLAIN_NAME.fullmatch(key) else self._texts.get(key, scrub(key))
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
