"""django-waffle: flags, switches and samples, old → new."""

import pytest
from django.contrib.auth import get_user_model

from neighbours.told import names, only

pytest.importorskip("waffle")

from waffle.models import Flag, Sample, Switch

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("model", "field", "old", "new"),
    [(Switch, "active", False, True), (Flag, "everyone", None, True), (Sample, "percent", "10.0", "50.0")],
)
def test_a_change_is_told_by_name(model, field, old, new, entries, commit):
    """One entry a changed field; when it was modified is none."""
    with commit():
        row = model.objects.create(name="new_checkout", **({"percent": 10} if model is Sample else {}))
    assert only(entries, "config_changed")["seclog.action"] == "create"
    entries.clear()
    with commit():
        setattr(row, field, new)
        row.save()
    [entry] = entries
    assert (entry["seclog.target.type"], entry["seclog.target.name"]) == (f"waffle.{model.__name__}", "new_checkout")
    assert (entry["seclog.change.field"], entry.get("seclog.change.old"), entry["seclog.change.new"]) == (
        field,
        old,
        new,
    )
    entries.clear()
    with commit():
        row.delete()
    assert only(entries, "config_changed")["seclog.action"] == "delete"


def test_for_whom_a_flag_is_on_is_told(entries, commit):
    """A flag that is on for one more user is a change."""
    alice = get_user_model().objects.create_user("alice")
    flag = Flag.objects.create(name="new_checkout")
    entries.clear()
    with commit():
        flag.users.add(alice)
    assert names(entries) == ["config_changed"]
    assert (entries[0]["seclog.change.field"], entries[0]["seclog.change.new"]) == ("users", [str(alice.pk)])
