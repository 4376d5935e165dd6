"""The client's address: whatever a client writes into a header, only what our own proxies appended is evidence."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclog.context.address import AddressResolver, parse_address
from seclog.errors import ConfigurationError

CLIENT, FORGED, PROXY, BALANCER = "203.0.113.9", "6.6.6.6", "10.0.0.5", "10.0.0.9"
BEHIND_PROXY = AddressResolver(["10.0.0.0/8", "::1/128", "2001:db8:ffff::/48"])
ON_A_SOCKET = AddressResolver(["unix", "10.0.0.0/8"])
DIRECT = AddressResolver()


def client(resolver, peer, xff=(), forwarded=()):
    return resolver.resolve(peer, forwarded, xff)[0]


@pytest.mark.parametrize(
    ("peer", "xff", "expected"),
    [
        # what hook_experiments/exp_07 found
        (PROXY, [f"{FORGED}, {CLIENT}"], CLIENT),
        ("198.51.100.7", [FORGED], "198.51.100.7"),
        (PROXY, [FORGED, f"{CLIENT}, {BALANCER}"], CLIENT),
        (PROXY, [f"evil<script>, {BALANCER}"], BALANCER),
        (f"::ffff:{PROXY}", [f"{CLIENT}:4711"], CLIENT),
        (PROXY, [], PROXY),
        (None, [FORGED], None),
        # one and two proxies, with and without a forged left part
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{CLIENT}, {BALANCER}"], CLIENT),
        (PROXY, [f"{FORGED}, {CLIENT}, {BALANCER}"], CLIENT),
        (PROXY, [FORGED, CLIENT, BALANCER], CLIENT),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]:443"], "2001:db8::7"),
        ("::1", [CLIENT], CLIENT),
        ("2001:db8:ffff::2", [f"{CLIENT}, 2001:db8:ffff::1"], CLIENT),
        # forms of an address
        (PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        (PROXY, [f"[::ffff:{CLIENT}]:80"], CLIENT),
        (PROXY, ["::ffff:cb00:7109"], CLIENT),
        (PROXY, [f'  "{CLIENT}"  '], CLIENT),
        (PROXY, ["fe80::1%eth0"], "fe80::1"),
        (PROXY, ["2001:DB8:0:0::7"], "2001:db8::7"),
        # garbage stops the walk: what stands left of it is not evidence
        (PROXY, [f"{CLIENT}, unknown"], PROXY),
        (PROXY, [f"{CLIENT}, "], PROXY),
        (PROXY, [f"{CLIENT},, {BALANCER}"], BALANCER),
        (PROXY, [""], PROXY),
        (PROXY, [f"{CLIENT}, _hidden, {BALANCER}"], BALANCER),
        (PROXY, [f"{CLIENT}, 1.2.3.4.5"], PROXY),
        (PROXY, [f"{CLIENT}, 010.1.1.1"], PROXY),
        (PROXY, [f"{CLIENT}, 2130706433"], PROXY),
        (PROXY, [f"{CLIENT}, 0x7f.1"], PROXY),
        (PROXY, [f"{CLIENT}, [2001:db8::7"], PROXY),
        (PROXY, [f"{CLIENT}, [2001:db8::7]evil"], PROXY),
        (PROXY, [f"{CLIENT}, 192.0.2.1:evil"], PROXY),
        (PROXY, [f"{CLIENT}, 192.0.2.1\x00"], PROXY),
        (PROXY, [f"{CLIENT}, 192.0.2.1\r\nX: y"], PROXY),
        (PROXY, [f"{CLIENT}, \udc80"], PROXY),
        (PROXY, [f"{CLIENT}, １.２.３.４"], PROXY),
        (PROXY, [f"{CLIENT}, {'1' * 100_000}"], PROXY),
        # nothing but our own: the left-most of them is all we know
        (PROXY, [f"10.1.1.1, {BALANCER}"], "10.1.1.1"),
        # a peer that cannot be trusted, or is none
        ("203.0.113.77", [f"{FORGED}, {BALANCER}"], "203.0.113.77"),
        ("", [FORGED], None),
        ("testclient", [FORGED], None),
    ],
)  # fmt: skip
def test_x_forwarded_for_behind_trusted_proxies(peer, xff, expected):
    """The right-most address that no trusted proxy vouches for, or the last certain one."""
    assert client(BEHIND_PROXY, peer, xff) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f"For={CLIENT};proto=https;by={PROXY}"], CLIENT),
        ([f"by={PROXY};FOR={CLIENT}"], CLIENT),
        ([f'for="{CLIENT}:4711"'], CLIENT),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (['for="[2001:db8::7]"'], "2001:db8::7"),
        ([f"for={FORGED}, for={CLIENT}"], CLIENT),
        ([f"for={FORGED}", f"for={CLIENT}, for={BALANCER}"], CLIENT),
        ([f'for="{CLIENT}:_hidden"'], CLIENT),
        ([f"for={CLIENT}, for=_SEVKISEK"], PROXY),
        ([f"for={CLIENT}, for=unknown"], PROXY),
        ([f"for={CLIENT}, proto=https"], PROXY),
        ([f"for={CLIENT}, xfor={FORGED}"], PROXY),
        ([f'for="{CLIENT}, {FORGED}"'], PROXY),
        ([f'for={CLIENT}, for="[::1'], PROXY),
        (["for="], PROXY),
        (["\x00"], PROXY),
    ],
)
def test_forwarded_behind_trusted_proxies(forwarded, expected):
    """RFC 7239: quoted addresses with ports, hidden and unknown hops, parameters in any order."""
    assert client(BEHIND_PROXY, PROXY, forwarded=forwarded) == expected


@pytest.mark.parametrize(
    ("xff", "forwarded", "expected"),
    [
        ([CLIENT], [f"for={CLIENT}"], CLIENT),
        ([f"{FORGED}, {CLIENT}"], [f"for={CLIENT}"], CLIENT),
        ([CLIENT], [f"for={FORGED}"], PROXY),
        ([FORGED], [f"for={CLIENT}"], PROXY),
        ([CLIENT], ["for=unknown"], PROXY),
    ],
)
def test_a_header_that_the_proxy_does_not_write_cannot_replace_the_one_it_does(xff, forwarded, expected):
    """A proxy hands the other kind of header through as the client sent it: where they differ, only the peer is certain."""
    address, received = BEHIND_PROXY.resolve(PROXY, forwarded, xff)
    assert address == expected
    assert received == ", ".join([*forwarded, *xff])


@pytest.mark.parametrize("peer", ["203.0.113.77", "2001:db8::77", "127.0.0.1"])
@pytest.mark.parametrize("xff", [[], [FORGED], [f"{FORGED}, {PROXY}"], ["127.0.0.1"], ["\x00" * 1000]])
def test_without_trusted_proxies_the_peer_is_the_client(peer, xff):
    """The default believes no header."""
    assert DIRECT.resolve(peer, [f"for={FORGED}"] if xff else [], xff) == (peer, None)


@pytest.mark.parametrize(
    ("resolver", "peer", "xff", "expected"),
    [
        (ON_A_SOCKET, None, [CLIENT], CLIENT),
        (ON_A_SOCKET, "", [f"{FORGED}, {CLIENT}, {BALANCER}"], CLIENT),
        (ON_A_SOCKET, None, [], None),
        (ON_A_SOCKET, None, ["garbage"], None),
        (ON_A_SOCKET, "203.0.113.77", [FORGED], "203.0.113.77"),
        (ON_A_SOCKET, "testclient", [FORGED], None),
        (BEHIND_PROXY, None, [FORGED], None),
        (DIRECT, None, [FORGED], None),
    ],
)
def test_a_unix_socket_is_trusted_only_if_told(resolver, peer, xff, expected):
    """Who may connect to the socket is known to the operator, not to us."""
    assert client(resolver, peer, xff) == expected


def test_a_peer_that_the_server_rewrote_is_not_walked_again():
    """ProxyFix and uvicorn put the client into the peer and leave the header: the client is not one of our proxies."""
    assert BEHIND_PROXY.resolve(CLIENT, (), [f"{FORGED}, {CLIENT}"]) == (CLIENT, None)


def test_the_header_is_returned_as_received():
    """What was forged is evidence too."""
    assert BEHIND_PROXY.resolve(PROXY, (), [FORGED, f"{CLIENT}, {BALANCER}"]) == (
        CLIENT,
        f"{FORGED},{CLIENT}, {BALANCER}",
    )


@pytest.mark.parametrize("rfc7239", [False, True])
@pytest.mark.parametrize("hop", [FORGED, BALANCER, "x" * 100])
def test_a_chain_of_ten_thousand_hops_is_looked_at_from_the_right(rfc7239, hop):
    """Only the last ones are looked at, and only their end is kept."""
    chain = ", ".join([f"for={hop}" if rfc7239 else hop] * 10_000 + [f"for={CLIENT}" if rfc7239 else CLIENT])
    address, kept = BEHIND_PROXY.resolve(PROXY, [chain] if rfc7239 else (), () if rfc7239 else [chain])
    assert address == CLIENT
    assert chain.endswith(kept)
    assert len(kept) <= 4096


def test_a_header_is_never_cut_into_another_address():
    """Where the look at a long header ends, the rest of an address is none."""
    for padding in range(20):
        header = f"203.0.113.251, {BALANCER}{' ' * (4080 - padding)}"
        assert client(BEHIND_PROXY, PROXY, [header]) in {BALANCER, "203.0.113.251"}


@pytest.mark.parametrize("item", ["*", "10.0.0.0/33", "", "localhost", "Unix", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_refused_at_construction(item):
    """Loud at start-up, harmless in the request."""
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        AddressResolver([item])


def test_a_network_with_host_bits_is_taken():
    """`10.0.0.5/8` means the network it lies in."""
    assert client(AddressResolver(["10.0.0.5/8"]), BALANCER, [CLIENT]) == CLIENT


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
pieces = st.one_of(
    st.text(max_size=40),
    addresses,
    addresses.map(lambda text: f'for="[{text}]:80"'),
    st.sampled_from(["for=", "::ffff:1.2.3.4", "unknown", "_x", '"', "[", "]", "%", ",", ";", PROXY]),
)
headers = st.lists(st.lists(pieces, max_size=5).map(", ".join), max_size=4)
peers = st.one_of(st.none(), st.text(max_size=30), addresses, st.sampled_from([PROXY, "::1", ""]))


@given(peer=peers, forwarded=headers, xff=headers, resolver=st.sampled_from([BEHIND_PROXY, ON_A_SOCKET, DIRECT]))
def test_it_never_raises_and_returns_an_address_or_nothing(peer, forwarded, xff, resolver):
    """Whatever comes in, what goes out is a parsed address in its usual form."""
    address, _ = resolver.resolve(peer, forwarded, xff)
    if address is not None:
        assert str(ip_address(address)) == address


@given(
    prefix=st.lists(pieces, max_size=5),
    seen=addresses.filter(lambda text: not ip_address(text).is_private and "ffff" not in text),
    other=headers,
    rfc7239=st.booleans(),
)
def test_a_client_cannot_choose_its_address(prefix, seen, other, rfc7239):
    """Whatever a client sends, in both kinds of header, it is known by what our proxy saw, or not at all."""
    appended = f'for="[{seen}]"' if rfc7239 and ":" in seen else f"for={seen}" if rfc7239 else seen
    written = [", ".join([*prefix, appended])]
    found = client(BEHIND_PROXY, PROXY, *((other, written) if rfc7239 else (written, other)))
    assert found in {str(parse_address(seen)), PROXY}
    if not other:
        assert found == str(parse_address(seen))
