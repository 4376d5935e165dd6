"""strawberry and strawberry-django: denials, which GraphQL answers with status 200.

A field that may be null is answered with null when strawberry-django's permission extensions refuse it, without any
error: the extension's own refusal is where it shows.

Tested with strawberry-graphql 0.341.2 and strawberry-graphql-django 0.93.0.
"""

from typing import Any

from seclog.adapters._hooks import contained
from seclog.adapters.integrations._graphql import PERMISSION, propose, propose_denials
from seclog.adapters.integrations._library import Library

library = Library("strawberry-graphql")
django_library = Library("strawberry-graphql-django")


def connect() -> None:
    """Wrap where errors are gathered, and where permissions refuse."""
    library.wrap_when_imported("strawberry.schema.base.BaseSchema.process_errors", _process_errors)
    library.wrap_when_imported("strawberry.permission.BasePermission.on_unauthorized", _on_unauthorized)
    django_library.wrap_when_imported(
        "strawberry_django.permissions.DjangoPermissionExtension.handle_no_permission", _no_permission
    )


def _process_errors(original: Any, schema: Any, errors: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("GraphQL errors"):
        propose_denials(errors)
    return original(schema, errors, *args, **kwargs)


def _on_unauthorized(original: Any, permission: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(permission, *args, **kwargs)
    except Exception as error:
        with contained("a refused permission"):
            setattr(error, PERMISSION, type(permission).__name__)
        raise


def _no_permission(original: Any, extension: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a refused permission"):
        info = kwargs.get("info")
        path = info.path.as_list() if info is not None else []
        propose(".".join(map(str, path)), type(extension).__name__)
    return original(extension, *args, **kwargs)
