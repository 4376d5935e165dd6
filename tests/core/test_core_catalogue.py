"""The catalogue is the study of the standards, to the letter, in typed form."""

import json
from collections import Counter

import msgspec
import pytest

from seclog.events.catalogue import FAMILIES, base_required, catalogue, definition
from seclog.events.fields import native_field
from seclog.events.types import EventType


@pytest.fixture(scope="module")
def study(shared):
    return json.loads((shared / "event_mapping.json").read_text())


def plain(value):
    """Return a definition without what the study leaves out where it is unknown."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def test_it_holds_the_same_types_in_the_same_order(study):
    """106 types, no more and no less."""
    names = [event["name"] for event in study["events"]]
    assert list(catalogue()) == names
    assert len(names) == 106


def test_every_field_of_every_type_is_the_studys(study):
    """Nothing was lost or changed on the way into the package."""
    assert [plain(msgspec.to_builtins(known)) for known in catalogue().values()] == plain(study["events"])


def test_the_enum_is_the_catalogue():
    """Each type is a member, named like its value."""
    assert {member.value for member in EventType} == set(catalogue())
    assert all(member.name == member.value.upper() for member in EventType)


def test_the_ten_families_and_the_rest():
    """The mission's ten families all have types."""
    counted = Counter(known.family for known in catalogue().values())
    assert set(counted) == set(FAMILIES) == {*range(1, 11), "other"}


def test_the_tiers():
    """64 types are core; the number changes on purpose only."""
    assert Counter(known.tier for known in catalogue().values()) == {"core": 64, "extended": 42}


def test_base_fields_are_the_studys(study):
    """What every entry has, and more of it inside a request."""
    assert base_required(in_request=False) == tuple(study["base_required"])
    assert base_required(in_request=True) == (*study["base_required"], *study["base_required_in_request"])


@pytest.mark.parametrize("known", catalogue().values(), ids=lambda known: known.name)
def test_the_standards_own_arithmetic_holds(known):
    """OCSF numbers a type by class and activity, ECS repeats our name, and the scales agree with each other."""
    assert known.ocsf.type_uid == known.ocsf.class_uid * 100 + known.ocsf.activity_id
    assert known.ocsf.category_uid == known.ocsf.class_uid // 1000
    assert known.ecs.action == known.name
    assert known.otel.event_name.startswith("seclog.")
    scale = known.severity
    assert (scale.syslog_code, scale.otel_severity_number) == {
        1: (6, 9),
        2: (5, 10),
        3: (4, 13),
        4: (3, 17),
        5: (2, 18),
    }[scale.ocsf_severity_id]
    assert known.otel.severity_number == scale.otel_severity_number
    assert known.level == scale.ocsf_severity.lower()
    assert known.ecs.kind == "alert" or known.origin == "primary"


def test_required_fields_have_native_names():
    """A required field is named as it stands in an entry: a standard's name, or under `seclog.`."""
    for known in catalogue().values():
        assert known.required == tuple(map(native_field, known.required_fields))
        assert known.required == tuple(map(native_field, known.required))


def test_native_names():
    """A standard's name stays, ours go under `seclog.`, and only once."""
    assert [native_field(name) for name in ("user.id", "target.id", "seclog.seq", "reason")] == [
        "user.id",
        "seclog.target.id",
        "seclog.seq",
        "reason",
    ]


def test_an_unknown_name_has_no_definition():
    """A name outside the catalogue is not an error here: the recorder marks it."""
    assert definition("authn_login_fial") is None
    assert definition("authn_login_fail").title == "Login failed"


def test_every_type_has_a_title_of_its_own():
    """A person reads the title: each type has one, and no two types have the same."""
    from seclog.events.titles import TITLES

    assert list(TITLES) == list(EventType)
    assert len(set(TITLES.values())) == len(EventType)
