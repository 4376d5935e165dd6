"""Who plays: people, and the devices they use, at addresses reserved for documentation (RFC 5737)."""

from dataclasses import dataclass
from secrets import choice, token_urlsafe

PEOPLE = ("ana", "bob", "sam", "olga")
"""Two customers, one of the support staff, and the owner."""


@dataclass(frozen=True)
class Device:
    """A browser or program: whose it is (None: nobody known), and where it is."""

    user: str | None
    address: str
    agent: str


_LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.6 Safari/605.1.15"
_PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Version/18.6 Mobile/15E148 Safari/604.1"

DEVICES = {
    "guest": Device(None, "192.0.2.200", _LINUX),
    "ana": Device("ana", "192.0.2.10", _LINUX),
    "ana's phone": Device("ana", "198.51.100.23", _PHONE),
    "bob": Device("bob", "192.0.2.77", _WINDOWS),
    "bob's script": Device("bob", "203.0.113.80", "python-requests/2.32.5"),
    "sam": Device("sam", "203.0.113.5", _WINDOWS),
    "olga": Device("olga", "203.0.113.6", _MAC),
    "mallory": Device(None, "198.51.100.66", "curl/8.16.0"),
    "scanner": Device(None, "198.51.100.99", "sqlmap/1.9.11#stable (https://sqlmap.org)"),
}


def password() -> str:
    """Make up a password that looks different raw, percent-encoded, in JSON and in base64."""
    return f"{token_urlsafe(9)} {choice('&=%+?')}ü{token_urlsafe(3)}"


def card_number() -> str:
    """Make up a card number: sixteen digits that pass the Luhn test."""
    digits = [4, *(choice(range(10)) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2]) + sum(digits[1::2])
    return "".join(map(str, [*digits, -doubled % 10]))


def made_up() -> dict[str, str]:
    """Make up every secret of the day; the story names them, the leak search looks for them."""
    return {
        **{f"{person}_password": password() for person in PEOPLE},
        "ana_reset_password": password(),
        "ana_changed_password": password(),
        "kim_password": password(),
        "signup_password": password()[:8],
        "wrong_password": password(),
        "password_in_the_name_field": f"{token_urlsafe(12)}!",
        "forged_session": token_urlsafe(24).replace("_", "x").replace("-", "y").lower(),
        "forged_token": token_urlsafe(30),
        "forged_csrf": "".join(choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(32)),
        "bad_reset": f"c8zwq1-{token_urlsafe(24)}",
        "card_number": card_number(),
        "card_in_the_note": card_number(),
        "payment_api_key": token_urlsafe(24),
        "new_payment_api_key": token_urlsafe(24),
    }
