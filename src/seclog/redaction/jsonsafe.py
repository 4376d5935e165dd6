"""Any Python object as something JSON can hold: exact built-in types, bounded, without running code it need
not run.

Generators are not consumed, query sets are not evaluated, huge numbers are not printed, and a ``__str__``
that raises is contained.
"""

import dataclasses
from collections import deque
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from math import isfinite
from typing import Final
from uuid import UUID

from seclog.redaction.text import scrub

Leaf = str | int | float | bool | None

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
_BITS_PER_DIGIT: Final = 3.33
_MAX_INT_BITS: Final = 14_000  # 4,214 digits: below CPython's limit of 4,300 for int to str
_MAX_MEMBERS: Final = 2000  # taken from containers that run their own code: they may be endless
_STRINGS: Final = (UUID, Decimal)
_SEQUENCES: Final = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView, AbstractSet)


def type_name(value: object) -> str:
    """Return the name of a value's type, short and printable, whatever its metaclass says."""
    name = type.__dict__["__name__"].__get__(type(value))
    return scrub(str.__str__(name)[:64])


def members(value: object) -> list[tuple[object, object]] | None:
    """Return the pairs of a mapping, or of something that has named fields; None for anything else.

    The raw methods of ``dict`` are used for its subclasses: an overridden ``items`` may hide values
    (Django's QueryDict shows only the last of several) or do anything else.
    """
    if isinstance(value, dict):
        return list(dict.items(value))
    if isinstance(value, tuple):
        names = getattr(type(value), "_fields", None)
        if type(names) is tuple and len(names) == len(value):
            return list(zip(names, tuple.__iter__(value), strict=True))
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    fields = getattr(type(value), "__struct_fields__", None)
    if type(fields) is tuple:
        return [(name, getattr(value, name, None)) for name in fields]
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in islice(value, _MAX_MEMBERS)]
    return None


def elements(value: object) -> list[object] | None:
    """Return the elements of a list-like container; None for anything else, iterators included."""
    if isinstance(value, list):
        return list(list.__iter__(value))
    if isinstance(value, tuple):
        return list(tuple.__iter__(value))
    if isinstance(value, _SEQUENCES):
        return list(islice(value, _MAX_MEMBERS))
    return None


def leaf(value: object, max_text: int) -> Leaf:
    """Return a value that is no container as a JSON scalar.

    Args:
        value: Any object.
        max_text: Characters above which the ``str()`` of an unknown object counts as unprintable.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _integer(int.__int__(value))
    if isinstance(value, float):
        number = float.__float__(value)
        return number if isfinite(number) else repr(number)
    if isinstance(value, bytes | bytearray):
        return _text_of(bytes(value[: max_text + 1]))
    if isinstance(value, memoryview):
        return _text_of(value.tobytes()[: max_text + 1])
    if isinstance(value, Enum):
        inner = value.value
        return leaf(inner, max_text) if not isinstance(inner, Enum) else type_name(value)
    if isinstance(value, date | time):
        return _bounded(value.isoformat(), value, max_text)
    if isinstance(value, _STRINGS) or _prints_itself(value):
        return _bounded(str(value), value, max_text)
    return f"[{type_name(value)}]"


def _integer(value: int) -> int | str:
    if _INT_MIN <= value <= _INT_MAX:
        return value
    bits = value.bit_length()
    if bits > _MAX_INT_BITS:
        return f"[int of about {bits} bits]"
    try:
        return str(value)
    except ValueError:  # sys.set_int_max_str_digits may have been lowered
        return f"[int of about {bits} bits]"


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _bounded(text: object, value: object, max_text: int) -> str:
    if not isinstance(text, str) or str.__len__(text) > max_text:
        return f"[unprintable {type_name(value)}]"
    return str.__str__(text)


def _prints_itself(value: object) -> bool:
    """Say whether ``str()`` of the object is meant to be read, and is safe to call.

    A class that defines ``__str__`` means it (lazy translations, models, exceptions). One that defines only
    ``__repr__`` is printed when it is not iterable: the repr of a query set runs the query.
    """
    kind = type(value)
    if isinstance(value, type) or hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__await__"):
        return False
    if kind.__str__ is not object.__str__:
        return True
    return kind.__repr__ is not object.__repr__ and not hasattr(kind, "__iter__") and not callable(value)
