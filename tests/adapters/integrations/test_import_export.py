"""django-import-export: rows that leave and rows that come in."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import path

from djangoapp.models import Order
from neighbours.told import names, only

pytest.importorskip("import_export")

import tablib
from import_export.admin import ImportExportModelAdmin
from import_export.resources import modelresource_factory

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
site = admin.AdminSite()
site.register(Order, ImportExportModelAdmin)
urlpatterns = [path("admin/", site.urls)]
Orders = modelresource_factory(Order)


def test_an_export_counts_its_rows(entries):
    """By the app's own code, without a format."""
    Order.objects.create(number="1")
    Orders().export()
    entry = only(entries, "data_export")
    assert (entry["seclog.target.type"], entry["seclog.count"]) == ("djangoapp.Order", 1)


def test_an_export_by_the_admin_knows_its_format(client, entries):
    """The rows are told, and the file that leaves."""
    root = get_user_model().objects.create_superuser("root")
    client.force_login(root)
    Order.objects.create(number="1")
    entries.clear()
    form = client.get("/admin/djangoapp/order/export/").context["form"]
    entries.clear()
    chosen = {name: "on" for name, field in form.fields.items() if type(field).__name__ == "BooleanField"}
    response = client.post("/admin/djangoapp/order/export/", {**chosen, "format": "0", "resource": "0"})
    assert "Content-Disposition" in response, response.context["form"].errors
    assert names(entries) == ["data_export", "data_download"]
    entry = only(entries, "data_export")
    assert (entry["user.id"], entry["seclog.format"], entry["seclog.count"]) == (str(root.pk), "csv", 1)


def test_an_import_tells_what_it_did(entries):
    """Created and updated rows count; a dry run is none."""
    old = Order.objects.create(number="1")
    rows = tablib.Dataset(("", "2", 5), (old.pk, "1b", 6), headers=("id", "number", "total"))
    Orders().import_data(rows, dry_run=True)
    assert entries == []
    Orders().import_data(rows)
    entry = only(entries, "data_import")
    assert (entry["seclog.target.type"], entry["seclog.count"]) == ("djangoapp.Order", 2)
    assert entry["seclog.totals"] == {"new": 1, "update": 1}


def test_a_failed_import_is_told(entries):
    """Rows that do not fit."""
    Orders().import_data(tablib.Dataset(("", "2", "many"), headers=("id", "number", "total")))
    entry = only(entries, "data_import")
    assert (entry["event.outcome"], entry["reason"], entry["seclog.count"]) == ("failure", "invalid_rows", 0)
