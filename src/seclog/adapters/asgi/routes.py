"""What a FastAPI route is made of: forms for a token, security schemes, scopes. Looked up once an endpoint.

FastAPI is not imported: its classes are known by their names. A route of another framework has none of this.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from seclog.adapters._login_names import is_login_name
from seclog.adapters.asgi.request import RequestScope

_FORM: Final = "OAuth2PasswordRequestForm"
_SECURITY: Final = "SecurityBase"
_MAX_DEPENDENCIES: Final = 500
_MAX_KEPT: Final = 4096
_MAX_FRAMES: Final = 200


@dataclass(frozen=True)
class Facts:
    """What is known of an endpoint.

    Args:
        is_login: whether its path or name is that of a login.
        is_token: whether it depends on the form by which OAuth 2 exchanges a password for a token.
        schemes: the security schemes it depends on.
        scopes: the OAuth scopes it asks for.
    """

    is_login: bool = False
    is_token: bool = False
    schemes: tuple[Any, ...] = ()
    scopes: tuple[str, ...] = ()


NOTHING: Final = Facts()
_kept: dict[tuple[int, str | None], tuple[Any, Facts]] = {}


def facts(scope: RequestScope) -> Facts:
    """Return what is known of the endpoint that a request leads to."""
    endpoint = scope.asgi.get("endpoint")
    if endpoint is None:
        return NOTHING
    route = scope.route
    key = (id(endpoint), getattr(route, "path", None))
    known = _kept.get(key)
    if known is None or known[0] is not endpoint:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        _kept[key] = known = (endpoint, _look(endpoint, route))  # the endpoint is kept, so that its id stays its own
    return known[1]


def refused(scope: RequestScope) -> tuple[str, ...]:
    """Return the OAuth scopes that an endpoint asks for and did not get; none, if it was not for them.

    A dependency refuses by an exception, before the endpoint runs. What the token holds only the app knows, unless an
    `AuthenticationMiddleware` has found it out.
    """
    asked = facts(scope).scopes
    trace = getattr(scope.exception, "__traceback__", None)
    if not asked or trace is None:
        return ()
    endpoint = getattr(inspect.unwrap(scope.asgi["endpoint"]), "__code__", None)
    for _ in range(_MAX_FRAMES):
        if trace is None:
            break
        if trace.tb_frame.f_code is endpoint:
            return ()
        trace = trace.tb_next
    held = getattr(scope.asgi.get("auth"), "scopes", ())
    return tuple(name for name in asked if name not in held)


def _look(endpoint: Any, route: Any) -> Facts:
    path = getattr(route, "path", None)
    fixed = [part for part in path.split("/") if part and "{" not in part] if isinstance(path, str) else []
    name = getattr(endpoint, "__name__", type(endpoint).__name__)
    schemes: list[Any] = []
    scopes: list[str] = []
    is_token = False
    for dependant in _dependants(route):
        call = dependant.call
        is_token = is_token or _is(call, _FORM)
        if _is(type(call), _SECURITY):
            schemes.append(call)
        scopes += getattr(dependant, "own_oauth_scopes", None) or getattr(dependant, "security_scopes", None) or ()
    return Facts(
        is_login=is_login_name(name) or bool(fixed and is_login_name(fixed[-1])),
        is_token=is_token,
        schemes=tuple(schemes),
        scopes=tuple(dict.fromkeys(scopes)),
    )


def _is(kind: Any, name: str) -> bool:
    return isinstance(kind, type) and any(base.__name__ == name for base in kind.__mro__)


def _dependants(route: Any) -> Iterator[Any]:
    waiting = [getattr(route, "dependant", None) or getattr(getattr(route, "original_route", None), "dependant", None)]
    for _ in range(_MAX_DEPENDENCIES):
        dependant = waiting.pop(0) if waiting else None
        if dependant is None:
            return
        for inner in getattr(dependant, "dependencies", ()):
            yield inner
            waiting.append(inner)
