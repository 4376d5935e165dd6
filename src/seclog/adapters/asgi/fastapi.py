"""What a FastAPI app says in its signatures: which data an endpoint reads, and who acts.

    @app.get("/patients/{pk}", dependencies=[Depends(audit_access("patients", id_param="pk"))])
    async def patient(pk: int, user: Annotated[User, Actor(get_user)]): ...

FastAPI and Starlette are imported when one of them is called.
"""

from collections.abc import Callable
from typing import Any

from seclog import api
from seclog.adapters._hooks import contained
from seclog.adapters.asgi import request as scopes
from seclog.adapters.asgi.downloads import AUDITED
from seclog.adapters.asgi.users import user_of
from seclog.errors import MissingExtraError
from seclog.events import Event, EventType

_TYPES = {
    "create": EventType.SENSITIVE_CREATE,
    "read": EventType.SENSITIVE_READ,
    "update": EventType.SENSITIVE_UPDATE,
    "delete": EventType.SENSITIVE_DELETE,
}


def audit_access(
    resource: str, *, action: str = "read", id_param: str | None = None, count: int = 1
) -> Callable[..., Any]:
    """Return a dependency that says that an endpoint touches sensitive data: each success is recorded.

    A success is a response below 400. The entry is made as the response leaves.

    Args:
        resource: what kind of data, such as "patients".
        action: "create", "read", "update" or "delete".
        id_param: the path parameter that holds the record's id.
        count: how many records.

    Raises:
        MissingExtraError: Starlette is not installed.
        ValueError: there is no such action.
    """
    if action not in _TYPES:
        raise ValueError(f"action must be one of {', '.join(_TYPES)}, got {action!r}")
    try:
        from starlette.requests import HTTPConnection
    except ModuleNotFoundError:
        raise MissingExtraError("Starlette", "asgi") from None

    async def audited(connection: HTTPConnection) -> None:
        with contained("audit_access"):
            fields: dict[str, object] = {"seclog.target.type": resource, "seclog.count": count}
            parameters = connection.scope.get("path_params", {})
            if id_param in parameters:
                fields["seclog.target.id"] = str(parameters[id_param])
            event = Event(type=_TYPES[action], fields=fields)
            scope = scopes.of()
            if scope is None:
                api.record(event)  # no door stands around this app
            else:
                scope.note(AUDITED, (*(scope.noted(AUDITED) or ()), event))

    setattr(audited, api.MARK, (f"sensitive {resource}",))
    return audited


def Actor(dependency: Callable[..., Any], *, id: str | None = None, name: str | None = None) -> Any:
    """Return a `Depends` for a dependency that finds the acting user: what it returns is bound to the request.

    Args:
        dependency: the app's own, such as `get_current_user`.
        id: the attribute that holds the user's id, if it is none of the usual ones.
        name: the attribute that holds the user's name, likewise.

    Raises:
        MissingExtraError: FastAPI is not installed.
    """
    try:
        from fastapi import Depends
    except ModuleNotFoundError:
        raise MissingExtraError("FastAPI", "asgi") from None

    async def bound(user: Any = Depends(dependency)) -> Any:  # noqa: B008 - FastAPI's idiom
        with contained("binding the user"):
            found = user_of(user)
            user_id = getattr(user, id, None) if id is not None else found and found[0]
            user_name = getattr(user, name, None) if name is not None else found and found[1]
            if user_id is not None:
                api.bind_user(user_id, user_name)
        return user

    return Depends(bound)
