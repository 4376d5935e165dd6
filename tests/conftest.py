"""What all tests share: where shared material is, how entries are compared whole, and what no test may leave behind."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from seclog import api
from seclog.recorder import Recorder
from seclog.testing import recorded

if find_spec("django") is not None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "djangoapp.settings")
    django.setup()
else:
    collect_ignore = ["adapters/django", "djangoapp"]

settings.register_profile("seclog", deadline=None)  # a slow machine is no wrong answer
settings.load_profile("seclog")

ADAPTER_TESTS = Path(__file__).parent / "adapters"
VOLATILE = {
    "timestamp": "<time>",
    "event.id": "<id>",
    "seclog.request.id": "<request id>",
    "seclog.duration_ms": "<ms>",
    "seclog.session.id_hash": "<session>",
}


def pytest_addoption(parser):
    """`--soak`: run the long ones too."""
    parser.addoption("--soak", action="store_true", help="also run the tests that take many minutes")


def pytest_collection_modifyitems(config, items):
    """Skip the long ones unless they are asked for."""
    for item in items:
        if item.get_closest_marker("soak") and not config.getoption("--soak"):
            item.add_marker(pytest.mark.skip(reason="a long run: only with --soak"))


def whole(entry):
    """Return an entry with what differs from run to run replaced, to be compared as a whole."""
    return {key: VOLATILE.get(key, value) for key, value in entry.items()}


@pytest.fixture(scope="session")
def emitted():
    """The names of the event types that tests of adapters have recorded so far."""
    return set()


@pytest.fixture
def entries(request, emitted):
    """The entries recorded during the test, as dictionaries, through the whole pipeline."""
    with recorded() as found:
        if request.path.is_relative_to(ADAPTER_TESTS):
            sink = api.installed().recorder.sink
            append = sink.append

            def remembered(body, *, keep=True):
                written = append(body, keep=keep)
                emitted.add(found[-1]["event.name"])
                return written

            sink.append = remembered
        yield found


@pytest.fixture(autouse=True)
def _no_contained_errors(request, monkeypatch):
    """Fail a test in which the installed recorder contained an error: the app did not notice, we have to."""
    errors = []
    complain = Recorder.complain

    def noted(recorder, where, error):
        installation = api.installed()
        if installation is not None and recorder is installation.recorder:
            errors.append(f"{where}: {error!r}")
        complain(recorder, where, error)

    monkeypatch.setattr(Recorder, "complain", noted)
    yield
    if errors and request.node.get_closest_marker("contains_errors") is None:
        pytest.fail("seclog contained errors of its own:\n" + "\n".join(errors), pytrace=False)


@pytest.fixture(scope="session")
def shared():
    """The folder of shared test material beside the checkout."""
    folder = Path(os.environ.get("SECLOG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder}")
    return folder
