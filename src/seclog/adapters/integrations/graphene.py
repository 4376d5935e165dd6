"""graphene-django: denials, which GraphQL answers with status 200.

Tested with graphene-django 3.2.3 and graphene 3.4.3.
"""

from typing import Any

from django.apps import apps

from seclog.adapters._hooks import contained
from seclog.adapters.integrations._graphql import propose_denials
from seclog.adapters.integrations._library import Library

library = Library("graphene-django")


def connect() -> None:
    """Wrap the view's execution, whose result has the errors with what raised them."""
    if apps.is_installed("graphene_django"):
        library.wrap("graphene_django.views.GraphQLView.execute_graphql_request", _execute)


def _execute(original: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(*args, **kwargs)
    with contained("GraphQL errors"):
        propose_denials(getattr(result, "errors", None))
    return result
