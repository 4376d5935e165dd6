"""What the names of endpoints and paths say: frameworks without a list of logins call them by their name."""

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LOGIN: Final = frozenset({"login", "logon", "signin", "signon", "authenticate"})
_LOGOUT: Final = frozenset({"logout", "logoff", "signout", "signoff"})
_HALVES: Final = frozenset({"log", "sign"})


@lru_cache(maxsize=512)
def is_login_name(name: str) -> bool:
    """Tell whether an endpoint ("auth.do_login", "LoginView") or a path ("/sign-in") is that of a login."""
    words = _words(name)
    return not _LOGIN.isdisjoint(words) and _LOGOUT.isdisjoint(words)


@lru_cache(maxsize=512)
def is_logout_name(name: str) -> bool:
    """Tell whether an endpoint or a path is that of a logout."""
    return not _LOGOUT.isdisjoint(_words(name))


def _words(name: str) -> set[str]:
    """Return the words of a name, and "log in" as "login" too."""
    words = [word.lower() for word in _WORDS.findall(name)]
    pairs = {first + second for first, second in pairwise(words) if first in _HALVES}
    return {*words, *pairs}
