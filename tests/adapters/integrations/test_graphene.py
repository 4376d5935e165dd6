"""graphene-django: denials that are answered with status 200."""

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from neighbours.told import names, only

pytest.importorskip("graphene")
pytest.importorskip("graphene_django")

import graphene
from graphene_django.views import GraphQLView

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Query(graphene.ObjectType):
    free = graphene.String()
    closed = graphene.String()
    broken = graphene.String()

    def resolve_free(self, info):
        return "data"

    def resolve_closed(self, info):
        if not info.context.user.has_perm("djangoapp.refund_order"):
            raise PermissionDenied("no")

    def resolve_broken(self, info):
        raise ValueError("broken")


urlpatterns = [path("graphql/", csrf_exempt(GraphQLView.as_view(schema=graphene.Schema(query=Query))))]


@pytest.fixture
def ask(client, entries):
    def ask(field):
        entries.clear()
        return client.post("/graphql/", {"query": f"{{ {field} }}"}, content_type="application/json")

    return ask


def test_a_denial_is_told_though_the_status_is_200(ask, client, entries):
    """With the path of the field and the missing permission."""
    client.force_login(get_user_model().objects.create_user("alice"))
    assert ask("closed").status_code == 200
    assert names(entries) == ["authz_fail"]
    entry = only(entries, "authz_fail")
    assert (entry["seclog.graphql.path"], entry["seclog.permission"]) == ("closed", "djangoapp.refund_order")


def test_nobody_is_unauthenticated(ask, entries):
    """Without a login."""
    ask("closed")
    assert names(entries) == ["authz_unauthenticated"]


@pytest.mark.parametrize("field", ["free", "broken"])
def test_what_is_no_denial_tells_none(ask, entries, field):
    """A good answer, and an error of the app."""
    ask(field)
    assert not [name for name in names(entries) if name.startswith("authz")]
