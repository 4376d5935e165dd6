"""What all tests share: where shared material is, and how entries are compared whole."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from seclog.testing import recorded

if find_spec("django") is not None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "djangoapp.settings")
    django.setup()
else:
    collect_ignore = ["adapters/django", "djangoapp"]

VOLATILE = {
    "timestamp": "<time>",
    "event.id": "<id>",
    "seclog.request.id": "<request id>",
    "seclog.duration_ms": "<ms>",
    "seclog.session.id_hash": "<session>",
}


def whole(entry):
    """Return an entry with what differs from run to run replaced, to be compared as a whole."""
    return {key: VOLATILE.get(key, value) for key, value in entry.items()}


@pytest.fixture
def entries():
    """The entries recorded during the test, as dictionaries, through the whole pipeline."""
    with recorded() as found:
        yield found


@pytest.fixture(scope="session")
def shared():
    """The folder of shared test material beside the checkout."""
    folder = Path(os.environ.get("SECLOG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder}")
    return folder
