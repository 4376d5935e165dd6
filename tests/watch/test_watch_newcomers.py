"""Family 8: a device or a network that this user has not used before; what is usual stays quiet."""

import pytest

from seclog.detection.newcomers import recognise
from seclog.enrichment.device import describe, device_hash, network
from seclog.watch import derived_id
from watch.worlds import HOME, IPHONE, LINUX, WORK

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)


@pytest.fixture
def see(host):
    """Log in and let the watch look: returns what it tells of it, as (type, what)."""
    watch = host.watch()

    def look(*args, **kwargs):
        before = len(host.told())
        host.login(*args, **kwargs)
        watch.step()
        return [
            (entry["event.name"], entry.get("seclog.device.name") or entry.get("seclog.network"))
            for entry in host.told()[before:]
        ]

    return look


def test_a_new_device_is_told_whole(host):
    """What is carried over, what was found, and where it comes from."""
    watch = host.watch()
    host.login()
    host.clock.forward(1)
    carried = {"seclog.request.id": "request-1", "seclog.session.id_hash": "a" * 32, "url.path": "/login/"}
    source = host.login(agent=IPHONE, **carried)
    watch.step()
    [entry] = host.told()
    assert entry.pop("seclog.hash")
    assert entry == {
        "schema": "seclog/1",
        "timestamp": "2026-09-21T14:13:23.000000Z",
        "event.name": "authn_new_device",
        "event.id": derived_id(source, "authn_new_device"),
        "event.outcome": "success",
        "severity": "low",
        "message": "Login from a new device: Safari on iOS",
        "service.name": "shop",
        "user.id": "7",
        "user.name": "name7",
        "client.address": HOME,
        "user_agent.original": IPHONE,
        "seclog.request.id": "request-1",
        "seclog.session.id_hash": "a" * 32,
        "seclog.device.id_hash": device_hash("Safari on iOS"),
        "seclog.device.name": "Safari on iOS",
        "seclog.source.event.id": source,
        "seclog.source.timestamp": "2026-09-21T14:13:23.000000Z",
        "seclog.seq": entry["seclog.seq"],
    }


def test_the_first_login_of_a_user_is_quiet(see):
    """There is nothing to compare it with."""
    assert see() == []


def test_a_new_network_is_told_and_the_second_time_known(see):
    """By /24: another address of the same network is none."""
    see()
    assert see(address=WORK) == [("authn_new_ip", "203.0.113.0/24")]
    assert see(address="203.0.113.200") == []
    assert see(address=HOME) == []


def test_an_ipv6_network_is_a_48(see):
    """Privacy addresses change daily."""
    see(address="2001:db8:1::1")
    assert see(address="2001:db8:1:ffff::2") == []
    assert see(address="2001:db8:2::1") == [("authn_new_ip", "2001:db8:2::/48")]


def test_a_browsers_update_is_quiet(see):
    """Versions are left out."""
    see(agent=LINUX.format(140))
    assert see(agent=LINUX.format(141)) == []


def test_both_at_once_are_two_events(see):
    """A new device in a new place."""
    see()
    assert see(agent=IPHONE, address=WORK) == [
        ("authn_new_device", "Safari on iOS"),
        ("authn_new_ip", "203.0.113.0/24"),
    ]


def test_what_one_user_uses_is_new_for_another(see):
    """By user: the attacker's device is known only to the attacker's account."""
    see("1", address=WORK, agent=CHROME)
    see("2")
    assert see("2", address=WORK, agent=CHROME) == [
        ("authn_new_device", "Chrome on Windows"),
        ("authn_new_ip", "203.0.113.0/24"),
    ]


def test_services_are_kept_apart(see):
    """User 7 of one app is not user 7 of another."""
    see(**{"service.name": "shop"})
    assert see(address=WORK, **{"service.name": "billing"}) == []
    assert see(address=WORK, **{"service.name": "shop"}) == [("authn_new_ip", "203.0.113.0/24")]


@pytest.mark.parametrize("missing", [{"agent": None}, {"agent": ""}, {"address": None}, {"address": "not an address"}])
def test_what_is_not_known_is_not_compared(see, missing):
    """A login without a user agent or an address says nothing about either."""
    see()
    assert see(**missing) == []
    assert see() == []


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"event.name": "authn_login_fail", "user.id": "7"},
        {"event.name": "authn_login_success"},
        {"event.name": "authn_login_success", "user.id": 7},
        {"event.name": ["authn_login_success"], "user.id": "7"},
    ],
)
def test_other_entries_are_not_looked_at(entry):
    """Only a successful login of a known user."""

    class Nobody:
        def learn(self, *args):
            pytest.fail("learned")

    assert list(recognise(entry, Nobody())) == []


# ── devices and networks ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (LINUX.format(140), "Firefox on Linux"),
        (IPHONE, "Safari on iOS"),
        (CHROME, "Chrome on Windows"),
        (f"{CHROME} Edg/141.0", "Edge on Windows"),
        (f"{CHROME} OPR/99", "Opera on Windows"),
        ("Mozilla/5.0 (Linux; Android 15; SM-G991B) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) CriOS/141.0 Mobile Safari/604.1", "Chrome on iPadOS"),
        ("Mozilla/5.0 (X11; CrOS x86_64) Chrome/141.0 Safari/537.36", "Chrome on ChromeOS"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("curl/8.7.1", "curl on unknown system"),
        ("python-requests/2.32", "python-requests on unknown system"),
        ("Mozilla/5.0", "unknown device"),
        ("\x00\x01", "unknown device"),
        ("", "unknown device"),
        (None, "unknown device"),
        ("x" * 511 + "Firefox", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx on unknown system"),
    ],
)  # fmt: skip
def test_a_device_in_words(agent, words):
    """Browser family and system, without versions; imitators are told from what they imitate."""
    assert describe(agent) == words


def test_a_devices_hash_is_of_its_words():
    """32 hex digits, the same for everybody's like device."""
    assert device_hash("Firefox on Linux") == device_hash("Firefox on Linux") != device_hash("Chrome on Linux")
    assert len(bytes.fromhex(device_hash("x"))) == 16


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::1", "::/48"),
        ("x", None),
        ("", None),
        (None, None),
        ("1.2.3.4/24", None),
    ],
)
def test_the_network_of_an_address(address, where):
    """What is no address is in none."""
    assert network(address) == where
