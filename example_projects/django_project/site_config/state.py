"""Where the shop keeps its things, and the key it makes for itself: no secret stands in the code."""

import os
from pathlib import Path
from secrets import token_urlsafe

CHECKOUT = Path(__file__).resolve().parents[3]

STATE = Path(os.environ.get("DEMO_STATE") or CHECKOUT / ".demo" / "django")
"""seclog's directory: the journal is in STATE/journal, the shop's own things are in STATE/shop."""

SHOP = STATE / "shop"


def secret_key() -> str:
    """Return the key kept in the state directory, made at the first start."""
    path = SHOP / "secret_key"
    if not path.exists():
        SHOP.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(token_urlsafe(50))
    return path.read_text()
