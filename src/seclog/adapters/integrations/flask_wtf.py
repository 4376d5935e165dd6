"""Flask-WTF: requests without the right CSRF token.

The check of the whole app raises `CSRFError`, which the app may answer as it likes; a form's own check only makes the
form invalid. Both are told. Tested with Flask-WTF 1.3.0.
"""

from typing import Any, Final

from flask import Flask

from seclog.adapters._hooks import contained
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("Flask-WTF")
_REASONS: Final = {
    "The CSRF token is missing": "token_missing",
    "The CSRF session token is missing": "cookie_missing",
    "The CSRF token has expired": "token_expired",
    "The CSRF token is invalid": "token_incorrect",
    "The CSRF tokens do not match": "token_incorrect",
    "The referrer": "referer_mismatch",
}
"""How the library's reasons begin -> what is written as the cause, in the words of the other frameworks."""


def connect(app: Flask) -> None:
    """Wrap the refusal, and the check of a form's own token."""
    library.wrap("flask_wtf.csrf.CSRFProtect._error_response", _refused)
    library.wrap("flask_wtf.csrf._FlaskFormCSRF.validate_csrf_token", _checked)


def _refused(original: Any, protection: Any, reason: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a CSRF refusal"):
        _propose(str(reason))
    return original(protection, reason, *args, **kwargs)


def _checked(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(*args, **kwargs)
    except Exception as error:
        with contained("a form's CSRF check"):
            _propose(str(error))
        raise


def _propose(text: str) -> None:
    reason = next((cause for start, cause in _REASONS.items() if text.startswith(start)), "rejected")
    accounts.propose(Event(type=EventType.MALICIOUS_CSRF, reason=reason))
