"""django-guardian: permissions on objects, one by one and in bulk, old → new."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from conftest import whole
from djangoapp.models import Order
from neighbours.told import names

pytest.importorskip("guardian")

from guardian.shortcuts import assign_perm, remove_perm

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def order(alice, entries):
    order = Order.objects.create(number="1")
    entries.clear()
    return order


def test_a_grant_is_told_with_all_that_is_held(alice, order, entries, commit):
    """The object is the target; who may do what on it now is in the change."""
    with commit():
        assign_perm("djangoapp.view_order", alice, order)
    entries.clear()
    with commit():
        assign_perm("djangoapp.change_order", alice, order)
        assign_perm("djangoapp.change_order", alice, order)
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "privilege_permissions_changed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": entry["severity"],
        "message": entry["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.target.type": "djangoapp.Order",
        "seclog.target.id": str(order.pk),
        "seclog.grantee.type": "user",
        "seclog.grantee.id": str(alice.pk),
        "seclog.grantee.name": "alice",
        "seclog.change.field": "object_permissions",
        "seclog.change.direction": "grant",
        "seclog.change.old": ["djangoapp.view_order"],
        "seclog.change.new": ["djangoapp.change_order", "djangoapp.view_order"],
        "seclog.change.added": ["djangoapp.change_order"],
    }


def test_a_removal_is_told(alice, order, entries, commit):
    """What is taken away, and what is left."""
    with commit():
        assign_perm("djangoapp.view_order", alice, order)
        entries.clear()
    entries.clear()
    with commit():
        remove_perm("djangoapp.view_order", alice, order)
    [entry] = entries
    assert (entry["seclog.change.direction"], entry["seclog.change.removed"]) == ("revoke", ["djangoapp.view_order"])
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == (["djangoapp.view_order"], [])


def test_a_bulk_grant_is_told_object_by_object(alice, order, entries, commit):
    """The form for many objects uses bulk_create, which sends no signal."""
    other = Order.objects.create(number="2")
    with commit():
        assign_perm("djangoapp.view_order", alice, Order.objects.all())
    assert names(entries) == ["privilege_permissions_changed"] * 2
    assert {entry["seclog.target.id"] for entry in entries} == {str(order.pk), str(other.pk)}
    entries.clear()
    with commit():
        remove_perm("djangoapp.view_order", alice, Order.objects.all())
    assert names(entries) == ["privilege_permissions_changed"] * 2


def test_groups_are_told_too(alice, order, entries, commit):
    """Also the form for many groups."""
    staff, clerks = (Group.objects.create(name=name) for name in ("staff", "clerks"))
    entries.clear()
    with commit():
        assign_perm("djangoapp.view_order", staff, order)
        assign_perm("djangoapp.view_order", Group.objects.filter(pk=clerks.pk), order)
    assert [(e["seclog.grantee.type"], e["seclog.grantee.name"]) for e in entries] == [
        ("group", "staff"),
        ("group", "clerks"),
    ]


def test_what_is_rolled_back_is_not_told(alice, order, entries):
    """Without a commit nothing was granted."""
    assign_perm("djangoapp.view_order", alice, order)
    assert entries == []
