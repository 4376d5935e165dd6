"""A device in words, from a user agent: browser family and operating system, without versions.

Versions are left out on purpose: a browser update is not a new device. A real user-agent parser replaces the tables
behind `describe` when its extra arrives; what is needed here is only that the same device gets the same words.
"""

import hashlib
import re
from ipaddress import ip_address, ip_network
from typing import Final

# The first token that occurs decides, so imitators stand before what they imitate (Edge says Chrome, Chrome says Safari).
BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Trident", "Internet Explorer"),
    ("Safari", "Safari"),
)
SYSTEMS: Final = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("X11", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")


def describe(user_agent: str | None) -> str:
    """Return a device in words, such as "Firefox on Linux"; a program's product name; or "unknown device"."""
    text = (user_agent or "")[:512]
    browser = next((name for token, name in BROWSERS if token in text), None)
    system = next((name for token, name in SYSTEMS if token in text), None)
    if browser is None:
        product = _PRODUCT.match(text)
        browser = product[0] if product and product[0] != "Mozilla" else None
    if browser is None and system is None:
        return "unknown device"
    return f"{browser or 'unknown browser'} on {system or 'unknown system'}"


def device_hash(words: str) -> str:
    """Return a device's id: 32 hex digits over its words, the same for everybody's like device."""
    return hashlib.sha256(b"seclog device\x00" + words.encode()).hexdigest()[:32]


def network(address: str | None) -> str | None:
    """Return the network an address belongs to: /24 of IPv4, /48 of IPv6; None if it is not an address."""
    if not address:
        return None
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return str(ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
