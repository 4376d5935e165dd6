"""What adapters share, and no framework is needed for."""

import pytest

from seclog.adapters._downloads import file_name
from seclog.adapters._status import reason_of


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "not_found"),
        (413, "request_entity_too_large"),
        (414, "request_uri_too_long"),
        (416, "requested_range_not_satisfiable"),
        (422, "unprocessable_entity"),
        (499, None),
    ],
)
def test_a_status_has_the_same_reason_on_every_python(status, reason):
    """Python 3.13 renamed four statuses; rules and searches that name a reason go on working."""
    assert reason_of(status) == reason


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment", None),
        ("", None),
        ('attachment; filename="orders.csv"', "orders.csv"),
        ("attachment; filename=a.csv; filename*=UTF-8''%C3%A9t%C3%A9.csv", "\u00e9t\u00e9.csv"),
        ("=?utf-8?b?YXR0YWNobWVudDsgZmlsZW5hbWU9ImEuY3N2Ig==?=", "a.csv"),
        ("attachment; filename=" + "a" * 5000, None),
    ],
)
def test_the_name_of_a_file(disposition, name):
    """A Content-Disposition is read in the same way in every framework; one that is absurdly long is not read."""
    assert file_name(disposition) == name
