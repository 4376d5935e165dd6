"""Family 10 in Django's admin: what was done to which rows, once, whether by form, bulk deletion or custom action."""

import json

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.contenttypes.models import ContentType
from django.http import HttpResponse
from django.urls import path

from conftest import whole
from djangoapp.models import Order

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

User = get_user_model()
site = admin.AdminSite(name="admin")


@admin.action
def ship(modeladmin, request, queryset):
    queryset.update(total=0)


@admin.action
def explode(modeladmin, request, queryset):
    raise RuntimeError("no")


@admin.action
def refuse(modeladmin, request, queryset):
    return HttpResponse("no", status=409)


@admin.register(Order, site=site)
class OrderAdmin(admin.ModelAdmin):
    actions = [ship, explode, refuse]


site.register(User, UserAdmin)
urlpatterns = [path("admin/", site.urls)]

ORDERS = "/admin/djangoapp/order/"


@pytest.fixture
def root():
    return User.objects.create_superuser("root", "root@example.org")


@pytest.fixture
def browser(client, root, entries):
    client.force_login(root)
    client.get("/admin/")
    entries.clear()
    return client


@pytest.fixture
def orders():
    return [Order.objects.create(number=str(number)) for number in range(3)]


def acts(entries):
    """Return the admin actions among the entries."""
    return [e for e in entries if e["event.name"] == "authz_admin"]


def run(browser, action, ids, **more):
    """Run an action in the change list."""
    return browser.post(ORDERS, {"action": action, ACTION_CHECKBOX_NAME: ids, "index": 0, **more})


def test_changed_object_whole_entry(browser, root, orders, entries):
    """A change in a form is one entry: who, what, which fields; no values."""
    url = f"{ORDERS}{orders[0].pk}/change/"
    browser.post(url, {"number": "0", "total": "5"}, headers={"User-Agent": "Firefox"})
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_admin",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": "Administrative action",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(root.pk),
        "user.name": "root",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": entry["http.route"],
        "url.path": url,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.action": "change",
        "seclog.target.type": "djangoapp.Order",
        "seclog.target.id": str(orders[0].pk),
        "seclog.count": 1,
        "seclog.change.field": ["Total"],
    }


def test_added_and_deleted_objects(browser, entries):
    """Adding and deleting one object are an entry each."""
    browser.post(f"{ORDERS}add/", {"number": "9", "total": "1"})
    pk = Order.objects.get().pk
    browser.post(f"{ORDERS}{pk}/delete/", {"post": "yes"})
    assert [(e["seclog.action"], e["seclog.target.id"]) for e in acts(entries)] == [
        ("create", str(pk)),
        ("delete", str(pk)),
    ]
    assert len(entries) == 2


def test_a_change_of_a_user_names_the_user(browser, root, entries):
    """An admin's change of an account says whose, beside the entries of what changed."""
    bob = User.objects.create_user("bob")
    entries.clear()
    data = {
        "username": "bob",
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "0:00",
    }
    response = browser.post(f"/admin/auth/user/{bob.pk}/change/", data)
    assert response.status_code == 302, response.context["errors"]
    assert {e["event.name"] for e in entries} == {"authz_admin", "authz_change"}
    assert {(e["seclog.target.id"], e["seclog.target.name"], e["user.name"]) for e in entries} == {
        (str(bob.pk), "bob", "root")
    }


def test_bulk_deletion_of_users_names_them(browser, entries, monkeypatch):
    """Deleted users are named by their login name, whatever the model prints."""
    monkeypatch.setattr(User, "__str__", lambda user: "somebody")
    ids = [User.objects.create_user(name).pk for name in ("bob", "eve")]
    entries.clear()
    form = {"action": "delete_selected", ACTION_CHECKBOX_NAME: ids, "index": 0, "post": "yes"}
    browser.post("/admin/auth/user/", form)
    [entry] = acts(entries)
    assert sorted(entry["seclog.target.name"]) == ["bob", "eve"]
    assert sorted(e["seclog.target.name"] for e in entries if e["event.name"] == "user_deleted") == [
        "bob",
        "eve",
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_bulk_deletion_is_one_entry(browser, orders, entries, count):
    """delete_selected asks first (no entry), then deletes: one entry with all ids, however many."""
    ids = [order.pk for order in orders[:count]]
    run(browser, "delete_selected", ids)
    assert acts(entries) == []
    run(browser, "delete_selected", ids, post="yes")
    [entry] = acts(entries)
    assert (entry["seclog.action"], entry["seclog.target.type"]) == ("delete", "djangoapp.Order")
    assert entry["seclog.count"] == count
    told = entry["seclog.target.id"]
    assert sorted([told] if count == 1 else told) == sorted(map(str, ids))
    assert Order.objects.count() == 3 - count


def test_custom_action(browser, orders, entries):
    """A custom action writes no log of Django's own; it is one entry with its name and rows."""
    run(browser, "ship", [orders[0].pk, orders[2].pk])
    [entry] = entries
    assert (entry["event.name"], entry["event.outcome"], entry["seclog.action"]) == (
        "authz_admin",
        "success",
        "ship",
    )
    assert entry["seclog.target.type"] == "djangoapp.Order"
    assert entry["seclog.target.id"] == [str(orders[0].pk), str(orders[2].pk)]
    assert (entry["seclog.count"], entry["user.name"]) == (2, "root")


def test_custom_action_on_all_rows(browser, orders, entries):
    """An action on all rows across pages is told as such, with their number."""
    run(browser, "ship", [orders[0].pk], select_across="1")
    [entry] = entries
    assert (entry["seclog.target.id"], entry["seclog.count"]) == ("*", 3)


def test_custom_action_on_many_rows_is_bounded(browser, entries):
    """More ids than fit are counted."""
    ids = [order.pk for order in Order.objects.bulk_create([Order(number=str(i)) for i in range(120)])]
    run(browser, "ship", ids)
    [entry] = acts(entries)
    assert (len(entry["seclog.target.id"]), entry["seclog.count"]) == (100, 120)


def test_failed_action(browser, orders, entries):
    """An action that raises is a failure, with the class of the error and not its text."""
    with pytest.raises(RuntimeError):
        run(browser, "explode", [orders[0].pk])
    [entry] = acts(entries)
    assert (entry["event.outcome"], entry["error.type"]) == ("failure", "RuntimeError")


def test_refused_action(browser, orders, entries):
    """An action that answers with an error is a failure."""
    run(browser, "refuse", [orders[0].pk])
    [entry] = acts(entries)
    assert entry["event.outcome"] == "failure"


@pytest.mark.parametrize(("action", "ids"), [("", [1]), ("ship", []), ("nonsense", [1])])
def test_what_django_refuses_is_no_action(browser, orders, entries, action, ids):
    """No action chosen, nothing selected or an unknown name: nothing was done, nothing is told."""
    run(browser, action, ids)
    assert acts(entries) == []


def test_log_written_by_code(root, orders, entries):
    """A log entry written outside a request names the user that it names."""
    LogEntry.objects.log_actions(
        root.pk, [orders[0]], CHANGE, [{"changed": {"fields": ["Number"]}}], single_object=True
    )
    [entry] = acts(entries)
    assert (entry["user.id"], entry["seclog.change.field"]) == (str(root.pk), ["Number"])


@pytest.mark.skipif(not hasattr(type(LogEntry.objects), "log_action"), reason="Django 6.0 removed log_action")
@pytest.mark.filterwarnings("ignore:LogEntryManager.log_action")
def test_deprecated_log_action(root, orders, entries):
    """Django 5.2's log_action, which many apps still call, is told once."""
    kind = ContentType.objects.get_for_model(Order).pk
    LogEntry.objects.log_action(root.pk, kind, orders[0].pk, "0", CHANGE, "Free text with a name.")
    [entry] = acts(entries)
    assert entry["seclog.target.id"] == str(orders[0].pk) and "seclog.change.field" not in entry


def test_changed_inlines_are_named():
    """Fields of inline objects are told with the inline's name."""
    from seclog.adapters.django.admin import _changed_fields

    message = [
        {"changed": {"fields": ["Total"]}},
        {"changed": {"name": "line", "object": "Line 1", "fields": ["Price"]}},
        {"added": {"name": "line", "object": "Line 2"}},
    ]
    assert _changed_fields(json.dumps(message)) == ["Total", "line.Price"]
    assert _changed_fields("free text") == _changed_fields("") == _changed_fields("[1]") == []


@pytest.mark.skipif(not hasattr(admin, "ActionLocation"), reason="Django 6.1 has actions in the change form")
def test_action_in_the_change_form(browser, orders, entries, monkeypatch):
    """Django 6.1's actions of the change form are told for their one row."""
    monkeypatch.setattr(ship, "locations", [admin.ActionLocation.CHANGE_FORM], raising=False)
    url = f"{ORDERS}{orders[1].pk}/change/"
    browser.post(url, {"CHANGE_FORM-action": "ship", ACTION_CHECKBOX_NAME: [orders[1].pk]})
    [entry] = acts(entries)
    assert (entry["seclog.action"], entry["seclog.target.id"]) == ("ship", str(orders[1].pk))


@pytest.mark.contains_errors
def test_a_broken_hook_does_not_break_the_admin(browser, orders, entries, monkeypatch):
    """An error of ours stays ours."""
    from seclog.adapters.django import admin as hooks

    monkeypatch.setattr(hooks, "_chosen", lambda *args: 1 / 0)
    monkeypatch.setattr(hooks, "_user_names", lambda *args: 1 / 0)
    assert run(browser, "ship", [orders[0].pk]).status_code == 302
    assert run(browser, "delete_selected", [orders[0].pk], post="yes").status_code == 302
    assert Order.objects.count() == 2 and acts(entries) == []
