"""The host that the watch's tests happen on."""

import pytest

from watch.worlds import Host


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.close()
