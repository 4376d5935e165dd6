"""Family 4 in Django, groups and permissions: changed from either end, told once, and only what really changed."""

from unittest.mock import Mock

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import QuerySet

from conftest import whole
from seclog import api
from seclog.adapters.django import groups

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


@pytest.fixture
def alice():
    return User.objects.create_user("alice")


@pytest.fixture
def bob():
    return User.objects.create_user("bob")


@pytest.fixture
def staff():
    return Group.objects.create(name="staff")


@pytest.fixture
def auditors():
    return Group.objects.create(name="auditors")


@pytest.fixture
def add_order():
    return Permission.objects.get(codename="add_order")


@pytest.fixture
def refund():
    return Permission.objects.get(codename="refund_order")


def moves(entries):
    """Return who entered (+) or left (-) which group."""
    signs = {"group_member_added": "+", "group_member_removed": "-"}
    return [signs[e["event.name"]] + f"{e['seclog.target.name']} {e['seclog.group.name']}" for e in entries]


def test_added_member_whole_entry(alice, staff, entries):
    """A membership is one entry with the user, the group and who did it."""
    with api.actor("cron:sync"):
        alice.groups.add(staff)
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "group_member_added",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Added to a group",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": "cron:sync",
        "seclog.actor": "cron:sync",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
        "seclog.group.id": str(staff.pk),
        "seclog.group.name": "staff",
    }


def test_removed_member_whole_entry(alice, staff, entries):
    """A lost membership is one entry with the user and the group."""
    alice.groups.add(staff)
    entries.clear()
    alice.groups.remove(staff)
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "group_member_removed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "Removed from a group",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
        "seclog.group.id": str(staff.pk),
        "seclog.group.name": "staff",
    }


def test_membership_from_the_group(alice, bob, staff, entries):
    """group.user_set tells the same as user.groups, one entry a user."""
    staff.user_set.add(alice, bob)
    staff.user_set.remove(bob)
    staff.user_set.clear()
    assert moves(entries) == ["+alice staff", "+bob staff", "-bob staff", "-alice staff"]


def test_set_tells_the_difference(alice, staff, auditors, entries):
    """set() is told as what it takes away and what it adds."""
    alice.groups.add(staff)
    alice.groups.set([auditors])
    assert moves(entries) == ["+alice staff", "-alice staff", "+alice auditors"]


def test_clear_tells_what_was_there(alice, staff, auditors, entries):
    """clear() names no rows; the entries do."""
    alice.groups.add(staff, auditors)
    entries.clear()
    alice.groups.clear()
    assert sorted(moves(entries)) == ["-alice auditors", "-alice staff"]


def test_nothing_changed_is_silent(alice, staff, auditors, entries):
    """Adding a member again, and removing one who never was, is no event."""
    alice.groups.add(staff)
    entries.clear()
    alice.groups.add(staff)
    alice.groups.remove(auditors)
    auditors.user_set.clear()
    assert entries == []


def test_deleted_group_loses_its_members(alice, bob, staff, entries):
    """Deleting a group sends no signal of the relation; its members are told all the same, with the reason."""
    staff.user_set.add(alice, bob)
    entries.clear()
    staff.delete()
    assert moves(entries) == ["-alice staff", "-bob staff"]
    assert {e["reason"] for e in entries} == {"group_deleted"}


def test_groups_deleted_by_queryset(alice, staff, auditors, entries):
    """A bulk deletion of groups is told for every membership."""
    alice.groups.add(staff, auditors)
    entries.clear()
    Group.objects.all().delete()
    assert sorted(moves(entries)) == ["-alice auditors", "-alice staff"]


def test_rolled_back_memberships_leave_nothing(alice, staff, entries):
    """What a transaction takes back was never told."""
    alice.groups.add(staff)
    entries.clear()
    with pytest.raises(RuntimeError), transaction.atomic():
        alice.groups.clear()
        alice.groups.add(staff)
        staff.delete()
        raise RuntimeError
    assert entries == []


def test_many_members_are_bounded(staff, entries, monkeypatch):
    """Beyond a bound members are counted."""
    users = User.objects.bulk_create([User(username=f"u{i}") for i in range(5)])
    monkeypatch.setattr(groups, "MAX_LINKS", 2)
    entries.clear()
    staff.user_set.add(*users)
    staff.user_set.clear()
    assert [e.get("seclog.count") for e in entries] == [None, None, 3, None, None, 3]
    assert {e["seclog.group.name"] for e in entries} == {"staff"}


def test_user_permission_whole_entry(alice, add_order, refund, entries):
    """A permission given to a user is a change of what it may, old and new."""
    alice.user_permissions.add(add_order)
    entries.clear()
    alice.user_permissions.add(add_order, refund)
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_change",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Privileges changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.target.id": str(alice.pk),
        "seclog.target.name": "alice",
        "seclog.change.field": "user_permissions",
        "seclog.change.direction": "grant",
        "seclog.change.old": ["djangoapp.add_order"],
        "seclog.change.new": ["djangoapp.add_order", "djangoapp.refund_order"],
        "seclog.change.added": ["djangoapp.refund_order"],
    }


def test_user_permissions_taken(alice, add_order, refund, entries):
    """remove() and clear() are told with what is left."""
    alice.user_permissions.add(add_order, refund)
    entries.clear()
    alice.user_permissions.remove(refund)
    alice.user_permissions.clear()
    assert [(e["seclog.change.direction"], e["seclog.change.removed"], e["seclog.change.new"]) for e in entries] == [
        ("revoke", ["djangoapp.refund_order"], ["djangoapp.add_order"]),
        ("revoke", ["djangoapp.add_order"], []),
    ]


def test_user_permissions_from_the_permission(alice, bob, refund, entries):
    """permission.user_set tells one entry a user."""
    refund.user_set.add(alice, bob)
    refund.user_set.clear()
    assert [(e["seclog.target.name"], e["seclog.change.direction"], e["seclog.change.old"]) for e in entries] == [
        ("alice", "grant", []),
        ("bob", "grant", []),
        ("alice", "revoke", ["djangoapp.refund_order"]),
        ("bob", "revoke", ["djangoapp.refund_order"]),
    ]


def test_group_permissions_whole_entry(staff, add_order, refund, entries):
    """A group's permissions are told old and new, with the group's name."""
    staff.permissions.set([add_order])
    entries.clear()
    staff.permissions.set([refund])
    removed, added = entries
    assert (removed["seclog.change.old"], removed["seclog.change.new"]) == (["djangoapp.add_order"], [])
    assert whole(added) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "group_permissions_changed",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Permissions of a group changed",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "seclog.group.id": str(staff.pk),
        "seclog.group.name": "staff",
        "seclog.change.field": "permissions",
        "seclog.change.direction": "grant",
        "seclog.change.old": [],
        "seclog.change.new": ["djangoapp.refund_order"],
        "seclog.change.added": ["djangoapp.refund_order"],
    }


def test_group_permissions_from_the_permission(staff, auditors, refund, entries):
    """permission.group_set tells one entry a group."""
    refund.group_set.set([staff, auditors])
    assert [(e["event.name"], e["seclog.group.name"]) for e in entries] == [
        ("group_permissions_changed", "staff"),
        ("group_permissions_changed", "auditors"),
    ]


@pytest.mark.contains_errors
def test_a_broken_hook_does_not_break_the_change(alice, staff, entries, monkeypatch):
    """An error of ours stays ours."""
    monkeypatch.setattr(groups._Relation, "links", lambda *args, **kwargs: 1 / 0)
    alice.groups.add(staff)
    staff.delete()
    assert entries == []


def test_links_made_by_hand(alice, bob, staff, auditors, refund, entries):
    """The link model's own create, bulk_create and delete send no signal of the relation, and are told."""
    link = User.groups.through.objects.create(user=alice, group=staff)
    User.groups.through.objects.bulk_create(
        [User.groups.through(user=bob, group=staff), User.groups.through(user=alice, group=auditors)]
    )
    link.delete()
    assert moves(entries) == ["+alice staff", "+alice auditors", "+bob staff", "-alice staff"]
    entries.clear()
    Group.permissions.through.objects.bulk_create([Group.permissions.through(group=staff, permission=refund)])
    [entry] = entries
    assert (entry["event.name"], entry["seclog.change.old"]) == ("group_permissions_changed", [])


def test_links_made_by_hand_ignoring_conflicts(alice, bob, staff, entries):
    """With ignore_conflicts nobody knows which memberships are new: the outcome is unknown, and says why."""
    staff.user_set.add(alice)
    entries.clear()
    pairs = [User.groups.through(user=user, group=staff) for user in (alice, bob)]
    User.groups.through.objects.bulk_create(pairs, ignore_conflicts=True)
    assert [(e["event.outcome"], e["reason"]) for e in entries] == [("unknown", "ignore_conflicts")] * 2


def test_links_made_by_hand_are_told_after_a_failed_add(alice, bob, staff, entries, monkeypatch):
    """An add() that fails in between does not hide the link that is made by hand after it."""
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(QuerySet, "_batched_insert", Mock(side_effect=RuntimeError))
        alice.groups.add(staff)
    User.groups.through.objects.bulk_create([User.groups.through(user=bob, group=staff)])
    assert moves(entries) == ["+bob staff"]


def test_links_made_by_hand_are_told_after_a_silent_add(alice, bob, staff, entries):
    """An add() that adds nothing does not hide the link that is made by hand after it."""
    alice.groups.add(staff)
    alice.groups.add(staff)
    User.groups.through.objects.bulk_create([User.groups.through(user=bob, group=staff)])
    assert moves(entries) == ["+alice staff", "+bob staff"]
