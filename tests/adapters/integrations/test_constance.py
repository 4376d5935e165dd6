"""django-constance: settings, old → new."""

import pytest

from neighbours.told import only

pytest.importorskip("constance")

from constance import config

pytestmark = pytest.mark.django_db


def test_a_changed_setting_is_told_old_to_new(entries):
    """Also the first change, from the default."""
    config.TAX_RATE = 7
    entry = only(entries, "config_changed")
    assert entry["seclog.target.name"] == entry["seclog.change.field"] == "TAX_RATE"
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == (19, 7)
    entries.clear()
    config.TAX_RATE = 8
    assert (entries[0]["seclog.change.old"], entries[0]["seclog.change.new"]) == (7, 8)


def test_reading_a_default_changes_nothing(entries):
    """The library stores the default at the first read, and says it was updated."""
    assert config.TAX_RATE == 19
    config.TAX_RATE = 19
    assert entries == []


def test_a_secret_setting_is_masked(entries):
    """That it changed is told, to what is not."""
    config.PAYMENT_API_KEY = "hunter2hunter2"
    assert only(entries, "config_changed")["seclog.change.field"] == "PAYMENT_API_KEY"
    assert "hunter2" not in str(entries)
