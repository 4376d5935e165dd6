"""One quick look that says whether a text may hold a secret at all.

Almost no text does, and this is the hot loop: the gate must be cheap and must never be wrong in the other
direction. There are two implementations of the same predicate, "some literal, shape or peek of the tables
occurs":

* with google-re2, one automaton over all of them;
* without, ``in`` tests, sorted so that a text of lower-case words and numbers meets only a few of them.

The patterns themselves always run in ``re``, on the few texts that passed, so both give identical results.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from seclog.redaction.patterns import BASE64_STARTS, INSIDE_GATES, PATTERNS

Look = Callable[[str], bool]

_DIGITS: Final = str.maketrans("123456789", "000000000")
_DIGIT_BYTES: Final = bytes.maketrans(b"123456789", b"000000000")
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
# Lower-case hexadecimal digits vanish, other letters become "A" or "a": addresses, hashes and UUIDs all but
# disappear.
_CASES: Final = bytes.maketrans(bytes(range(0x41, 0x5B)) + bytes(range(0x67, 0x7B)), b"A" * 26 + b"a" * 20)
_HEX: Final = b"0123456789abcdef"
# Every pattern behind a literal with a slash wants a long path segment.
_LONG_SEGMENT: Final = re.compile(r"/[A-Za-z0-9_.~=-]{16}", re.ASCII)
_RARE: Final = "_$~+<:=- \t"  # a literal is tried only where its rare character occurs


class Gate(NamedTuple):
    """The looks of one implementation."""

    may_hide: Look
    """Whether a text may hold a secret."""
    may_need_work: Look
    """The same, or any character that is not printable ASCII: one look for the hot loop."""
    may_match: Look
    """Whether a pattern or a base64 start may match; false for what is only a text with a colon in it."""


def shape_of(text: str) -> str:
    """Return the text with every digit written as ``0``."""
    return text.translate(_DIGITS)


def literals(inside: tuple[str, ...] = INSIDE_GATES) -> list[str]:
    """Return all gate literals without those that contain another one, shortest first."""
    kept: list[str] = []
    every = {*inside, *BASE64_STARTS, *(gate for row in PATTERNS for gate in row.gates)}
    for literal in sorted(every, key=lambda item: (len(item), item)):
        if not any(short in literal for short in kept):
            kept.append(literal)
    return kept


def shapes() -> list[str]:
    """Return all digit shapes."""
    return sorted({shape for row in PATTERNS for shape in row.shapes})


def peeks() -> list[str]:
    """Return all tiny patterns."""
    return sorted({peek for row in PATTERNS for peek in row.peeks})


def _cases_of(data: bytes) -> str:
    # Back to str: a substring test on str is several times faster than on bytes.
    return data.translate(_CASES, _HEX).decode("latin-1")


class _Literals:
    """The literals of the tables, sorted by what a text must have before they are worth a test."""

    def __init__(self, inside: tuple[str, ...]) -> None:
        self.always: list[str] = []
        self.by_capital: dict[str, list[str]] = {}  # holds a capital
        self.in_path: list[str] = []  # holds a slash
        self.after_letter: dict[str, list[str]] = {"a-": [], "a.": []}  # a dash or dot after g-z
        self.by_rare: dict[str, list[str]] = {}
        for literal in literals(inside):
            self._home_of(literal).append(literal)

    def _home_of(self, literal: str) -> list[str]:
        if len(literal) == 1:
            return self.always
        if literal != literal.lower():
            capital = next(char for char in literal if char.isupper())
            return self.by_capital.setdefault(capital, [])
        if "/" in literal and not any(other in literal for other in ":<"):
            return self.in_path
        cases = _cases_of(literal.encode())
        for ending, members in self.after_letter.items():
            if ending in cases:
                return members
        rare = next((char for char in _RARE if char in literal), None)
        return self.by_rare.setdefault(rare, []) if rare else self.always


def stdlib_gate() -> Gate:
    """Build the gate from ``in`` tests."""
    look = _stdlib_look(INSIDE_GATES)
    look_for_matches = _stdlib_look(())

    def may_hide(text: str) -> bool:
        return look(text, text.encode("utf-8", "replace"))

    def may_need_work(text: str) -> bool:
        data = text.encode("utf-8", "replace")
        return data.translate(None, _PRINTABLE) != b"" or look(text, data)

    def may_match(text: str) -> bool:
        return look_for_matches(text, text.encode("utf-8", "replace"))

    return Gate(may_hide, may_need_work, may_match)


def _stdlib_look(inside: tuple[str, ...]) -> Callable[[str, bytes], bool]:
    sorted_literals = _Literals(inside)
    always = tuple(sorted_literals.always)
    by_capital = tuple(sorted_literals.by_capital.items())
    in_path = tuple(sorted_literals.in_path)
    after_letter = tuple(sorted_literals.after_letter.items())
    by_rare = tuple(sorted_literals.by_rare.items())
    solid = tuple(shape for shape in shapes() if shape.isdecimal())
    grouped = tuple((f"00{joint}0", tuple(shape for shape in shapes() if joint in shape)) for joint in ("-", " ", "+"))
    peek = re.compile("|".join(peeks()), re.ASCII).search
    long_segment = _LONG_SEGMENT.search

    def look(text: str, data: bytes) -> bool:
        for literal in always:
            if literal in text:
                return True
        for rare, members in by_rare:
            if rare in text and any_in(members, text):
                return True
        if long_segment(text) and any_in(in_path, text):
            return True
        cases = _cases_of(data)
        for ending, members in after_letter:
            if ending in cases and any_in(members, text):
                return True
        if "A" in cases:
            for capital, members in by_capital:
                if capital in text and any_in(members, text):
                    return True
        digits = data.translate(_DIGIT_BYTES).decode("latin-1")
        for shape in solid:
            if shape in digits:
                return True
        for joint, joined in grouped:
            if joint in digits and any_in(joined, digits):
                return True
        return peek(text) is not None

    return look


def any_in(members: Iterable[str], text: str) -> bool:
    """Say whether any of some literals occurs in the text."""
    for literal in members:  # noqa: SIM110  (a generator would cost more than the tests)
        if literal in text:
            return True
    return False


def re2_gate() -> Gate:
    """Build the gate as one RE2 automaton.

    Raises:
        ImportError: google-re2 is not installed (``pip install "seclog[fast]"``).
    """
    import re2

    digits = [re.escape(shape).replace("0", "[0-9]") for shape in shapes()] + peeks()
    everything = [*map(re.escape, literals()), *digits]
    matches = [*map(re.escape, literals(())), *digits]

    def look(*alternatives: str) -> Look:
        # A set of one: its Match only says yes or no, half the price of a search that reports where.
        automaton = re2.Set.SearchSet()
        automaton.Add("|".join(alternatives))
        automaton.Compile()
        match = automaton.Match

        def occurs(text: str) -> bool:
            return bool(match(text.encode("utf-8", "replace")))

        return occurs

    return Gate(look(*everything), look(*everything, "[^ -~]"), look(*matches))


def best_gate(use_re2: bool | None) -> Gate:
    """Return the gate that was asked for; None takes RE2 when it can be imported."""
    if use_re2 is False:
        return stdlib_gate()
    try:
        return re2_gate()
    except ImportError:
        if use_re2:
            raise
        return stdlib_gate()
