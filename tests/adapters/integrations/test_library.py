"""A library of another version: what it has lost is skipped with one warning, the rest works."""

import sys
from importlib import import_module
from types import ModuleType

import pytest
from django.dispatch import Signal

from seclog.adapters.integrations import _library
from seclog.adapters.integrations._library import Library


class Gate:
    """What a stub version still has."""

    def open(self, name):
        return f"open {name}"

    @classmethod
    def build(cls, name):
        return f"{cls.__name__} {name}"


@pytest.fixture
def library(monkeypatch):
    """A library of version 99, which has lost a signal, a method and a module."""
    stub = ModuleType("stublib")
    stub.Gate = type("Gate", (Gate,), {"open": Gate.open, "build": vars(Gate)["build"]})
    stub.opened = Signal()
    monkeypatch.setitem(sys.modules, "stublib", stub)
    monkeypatch.setattr(_library, "version", lambda name: "99.0")
    return Library("django-stub")


def around(original, *args, **kwargs):
    return original(*args, **kwargs).upper()


@pytest.mark.parametrize("path", ["stublib.Gate.close", "stublib.Door.open", "stublib.doors.Door.open"])
def test_a_lost_method_is_one_warning(library, caplog, path):
    """It names library, version and hook, and comes once."""
    assert library.wrap(path, around) is False
    assert library.wrap(path, around) is False
    [record] = caplog.records
    assert record.name == "seclog.internal"
    assert "django-stub 99.0 has no stublib." in record.getMessage()


def test_a_lost_signal_is_one_warning(library, caplog):
    """Signals are no different."""
    assert library.listen("stublib.closed", lambda **kwargs: None) is False
    assert "django-stub 99.0 has no stublib.closed" in caplog.text


def test_what_is_left_works(library, caplog):
    """Methods, class methods and signals, once each, however often they are connected."""
    from stublib import Gate, opened

    for _ in range(2):
        assert library.wrap("stublib.Gate.open", around)
        assert library.wrap("stublib.Gate.build", around)
    assert Gate().open("x") == "OPEN X"
    assert Gate.build("x") == "GATE X"
    heard = []

    def receiver(**kwargs):
        heard.append(kwargs)

    for _ in range(2):
        assert library.listen("stublib.opened", receiver)
    opened.send(None)
    assert len(heard) == 1
    assert caplog.records == []


def test_a_real_library_that_lost_a_hook_keeps_the_others(caplog, monkeypatch):
    """The whole module connects, less one."""
    pytest.importorskip("axes")
    from seclog.adapters.integrations import axes

    monkeypatch.setattr(axes, "library", Library("django-axes"))
    monkeypatch.delattr("axes.signals.user_locked_out")
    axes.connect()
    [record] = caplog.records
    assert "django-axes" in record.getMessage() and "axes.signals.user_locked_out" in record.getMessage()


def test_an_unused_library_is_not_imported(tmp_path, monkeypatch):
    """It is hooked when the app imports it, and not before."""
    (tmp_path / "latelib.py").write_text("class Gate:\n    def open(self, name):\n        return name\n")
    monkeypatch.syspath_prepend(tmp_path)
    library = Library("late-lib")
    for _ in range(2):
        library.wrap_when_imported("latelib.Gate.open", around)
    assert "latelib" not in sys.modules
    latelib = import_module("latelib")
    assert latelib.Gate().open("x") == "X"
    library.wrap_when_imported("latelib.Gate.open", around)
    assert latelib.Gate().open("x") == "X"
    del sys.modules["latelib"]


def test_an_import_that_fails_inside_a_library_is_not_taken_for_a_lost_name(library):
    """It is reported as what it is."""
    stub = ModuleType("brokenlib")
    stub.__path__ = []
    with pytest.raises(ModuleNotFoundError, match="nothere"):
        _library._resolve(_broken(stub))


def _broken(stub):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "brokenlib":
                sys.meta_path.remove(Finder)
                raise ModuleNotFoundError("No module named 'nothere'", name="nothere")
            return None

    sys.meta_path.insert(0, Finder)
    return "brokenlib.Gate.open"
