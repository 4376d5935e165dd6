"""strawberry and strawberry-django: denials that are answered with status 200."""

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.urls import path

from neighbours.told import names, only

pytest.importorskip("strawberry")
pytest.importorskip("strawberry_django")

import strawberry
from strawberry.django.views import GraphQLView
from strawberry.permission import BasePermission
from strawberry_django.permissions import HasPerm, IsStaff

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class IsNobody(BasePermission):
    message = "nobody may"

    def has_permission(self, source, info, **kwargs):
        return not bool(info.context.request.user.is_authenticated) and False


@strawberry.type
class Query:
    @strawberry.field
    def free(self) -> str:
        return "data"

    @strawberry.field(permission_classes=[IsNobody])
    def closed(self) -> str:
        return "data"

    @strawberry.field
    def raising(self) -> str:
        raise PermissionDenied("no")

    @strawberry.field
    def broken(self) -> str:
        raise ValueError("broken")

    @strawberry.field(extensions=[IsStaff()])
    def staff(self) -> str | None:
        return "data"

    @strawberry.field(extensions=[HasPerm("djangoapp.refund_order")])
    def refunds(self) -> str:
        return "data"


urlpatterns = [path("graphql/", GraphQLView.as_view(schema=strawberry.Schema(Query)))]


@pytest.fixture
def ask(client, entries):
    def ask(field):
        entries.clear()
        return client.post("/graphql/", {"query": f"{{ {field} }}"}, content_type="application/json")

    return ask


def test_a_permission_class_is_named(ask, client, entries):
    """The answer has status 200; who is nobody is unauthenticated, who is somebody is refused."""
    assert ask("closed").status_code == 200
    entry = only(entries, "authz_unauthenticated")
    assert (entry["seclog.graphql.path"], entry["seclog.permission_class"]) == ("closed", "IsNobody")
    client.force_login(get_user_model().objects.create_user("alice"))
    ask("closed")
    assert names(entries) == ["authz_fail"]
    assert only(entries, "authz_fail")["http.response.status_code"] == 200


def test_an_exception_of_the_app_is_a_denial(ask, entries):
    """Django's own, raised in a resolver."""
    ask("raising")
    assert names(entries) == ["authz_unauthenticated"]


def test_a_field_that_becomes_null_is_a_denial(ask, client, entries):
    """strawberry-django answers null without any error."""
    client.force_login(get_user_model().objects.create_user("alice"))
    assert ask("staff").json() == {"data": {"staff": None}}
    entry = only(entries, "authz_fail")
    assert (entry["seclog.graphql.path"], entry["seclog.permission_class"]) == ("staff", "IsStaff")


def test_a_missing_permission_is_named(ask, client, entries):
    """Django's check, remembered until the refusal."""
    client.force_login(get_user_model().objects.create_user("alice"))
    ask("refunds")
    assert names(entries) == ["authz_fail"]
    assert only(entries, "authz_fail")["seclog.permission_class"] == "HasPerm"


@pytest.mark.parametrize("field", ["free", "broken"])
def test_what_is_no_denial_tells_none(ask, entries, field):
    """A good answer, and an error of the app."""
    ask(field)
    assert not [name for name in names(entries) if name.startswith("authz")]
