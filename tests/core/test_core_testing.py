"""`seclog.testing`: what users' own tests stand on."""

import pytest

from seclog import api, emit
from seclog.assembly import Installation
from seclog.redaction import MASK
from seclog.settings import Settings
from seclog.testing import recorded


@pytest.fixture
def bare(monkeypatch):
    """No installation in this process."""
    monkeypatch.setattr(api, "_installed", None)


def test_without_an_installation_one_is_made_for_the_block(bare):
    """A script's tests need no set-up."""
    with recorded() as entries:
        emit("authz_fail")
    assert [(entry["event.name"], entry["service.name"]) for entry in entries] == [("authz_fail", "app")]
    assert api.installed() is None


def test_settings_may_be_given(bare):
    """For what depends on them."""
    with recorded(Settings(directory=None, service="shop", redact_keys=("salary",))) as entries:
        emit("authz_fail", salary=70_000)
    assert (entries[0]["service.name"], entries[0]["seclog.salary"]) == ("shop", MASK)


def test_an_installation_is_used_and_given_its_sink_back(bare, monkeypatch, tmp_path):
    """Nothing of the block reaches the disk; after it everything is as before, also after an exception."""
    installation = Installation(Settings.load({"directory": tmp_path, "watch": False}, environ={}))
    monkeypatch.setattr(api, "_installed", installation)
    sink = installation.recorder.sink
    with pytest.raises(ZeroDivisionError), recorded() as entries:
        emit("authz_fail")
        _ = 1 // 0
    assert len(entries) == 1
    assert installation.recorder.sink is sink
    assert not (tmp_path / "journal").exists()
    installation.shut_down()


def test_blocks_within_blocks(bare):
    """The inner one takes, the outer one goes on afterwards."""
    with recorded() as outer:
        with recorded() as inner:
            emit("authz_fail")
        emit("user_created")
    assert ([e["event.name"] for e in outer], [e["event.name"] for e in inner]) == (["user_created"], ["authz_fail"])


def test_entries_went_through_the_whole_pipeline(bare):
    """Redaction and encoding included: a test sees what would be on disk."""
    with recorded() as entries:
        emit("authz_fail", password="x" * 8, pair=(1, 2))
    assert (entries[0]["seclog.password"], entries[0]["seclog.pair"]) == (MASK, [1, 2])
