"""The client's address behind proxies: the right-most address that no trusted proxy vouches for.

A client can write anything into `X-Forwarded-For`; only what our own proxies appended on the right is evidence. So:
the peer must be trusted, the chain is walked from right to left, the first untrusted address is the client, and
garbage stops the walk (research/hooks.md §6, hook_experiments/exp_07). Every address is parsed, none is a raw string.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, inet_pton
from typing import Final

from seclog.errors import ConfigurationError

Address = IPv4Address | IPv6Address

MAX_CHAIN: Final = 64
"""Hops that are looked at; a longer chain is an attack, and its left part is not evidence anyway."""

MAX_HEADER: Final = 4096
"""Characters of a forwarding header that are looked at, from the right."""

_PORT = re.compile(r"(?::(?:\d{1,5}|_[A-Za-z0-9._-]{1,32}))?", re.ASCII)
"""What may stand behind an address: nothing, a port, or a hidden port (RFC 7239 §6.3)."""

_FORWARDED_FOR = re.compile(r'(?:^|;)\s*for=("[^"]*"|[^;,\s]+)', re.IGNORECASE)


def parse_address(text: str) -> Address | None:
    """Return the address in `192.0.2.1:80`, `"[2001:db8::1]:4711"`, `::ffff:192.0.2.1` and plain forms, else None."""
    text = text.strip().strip('"')
    if len(text) > 64:
        return None
    port = ""
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket:
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        port = f":{port}"
    if not _PORT.fullmatch(port):
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class AddressResolver:
    """Resolves the client's address. Immutable, safe from threads and from the event loop, never raises.

    Args:
        trusted_proxies: CIDRs of our own proxies, and "unix" to trust a peer without an address (a Unix socket).

    Raises:
        ConfigurationError: an item is neither a network nor "unix".
    """

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._unix = False
        networks: list[IPv4Network | IPv6Network] = []
        for item in trusted_proxies:
            if item == "unix":
                self._unix = True
                continue
            try:
                networks.append(ip_network(item, strict=False))
            except ValueError:
                raise ConfigurationError.expected(
                    "trusted_proxies", 'a list of networks such as "10.0.0.0/8", or "unix"', item
                ) from None
        self._networks = tuple(networks)

    def resolve(
        self, peer: str | None, forwarded: Sequence[str] = (), x_forwarded_for: Sequence[str] = ()
    ) -> tuple[str | None, str | None]:
        """Return the client's address and, if it came from a header, that header as received.

        A proxy that writes one kind hands the client's header of the other kind through. So where both kinds are
        there, they must agree; where they do not, one is forged, nobody knows which, and only the peer is certain.

        Args:
            peer: the connection's other end; None or "" for a Unix socket.
            forwarded: the values of all `Forwarded` headers, in order (RFC 7239).
            x_forwarded_for: the values of all `X-Forwarded-For` headers, in order.
        """
        if not (forwarded or x_forwarded_for):
            return _normal(peer) if peer else None, None
        address = parse_address(peer) if peer else None
        if not self._trusts(address, peer):
            return (str(address) if address is not None else None), None
        headers = [
            (",".join(values), rfc7239) for values, rfc7239 in ((forwarded, True), (x_forwarded_for, False)) if values
        ]
        found = {self._walk(address, _hops(header, rfc7239=rfc7239)) for header, rfc7239 in headers}
        client = found.pop() if len(found) == 1 else address
        received = ", ".join(header[-MAX_HEADER:] for header, _ in headers)
        return (str(client) if client is not None else None), received

    def _walk(self, peer: Address | None, hops: list[str]) -> Address | None:
        """Go from right to left to the first address that is not one of our own proxies'."""
        found = peer
        for hop in reversed(hops):
            parsed = parse_address(hop)
            if parsed is None:
                break
            found = parsed
            if not self._in_networks(parsed):
                break
        return found

    def _trusts(self, address: Address | None, peer: str | None) -> bool:
        if address is None:
            return self._unix and not peer
        return self._in_networks(address)

    def _in_networks(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def _normal(peer: str) -> str | None:
    """Return an address in its usual form. The C library knows the common one, IPv4, ten times faster, and takes no other."""
    try:
        inet_pton(AF_INET, peer)
        return peer
    except (OSError, ValueError):
        address = parse_address(peer)
        return None if address is None else str(address)


def _hops(header: str, *, rfc7239: bool) -> list[str]:
    parts = header[-MAX_HEADER:].split(",")[-MAX_CHAIN:]
    if len(header) > MAX_HEADER and len(parts) < MAX_CHAIN:
        del parts[0]  # the cut went through it: the rest of an address can be another address
    if not rfc7239:
        return parts
    found = (_FORWARDED_FOR.search(part) for part in parts)
    return [match.group(1) if match else "" for match in found]
