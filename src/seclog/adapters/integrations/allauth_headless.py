"""allauth.headless: what its JSON API refuses, and the tokens it hands out; the rest is allauth.py's.

The app client has no cookie: the key of its session is its token (`X-Session-Token`), given out with the response, and
beside it, with the JWT strategy, an access and a refresh token. The API has inputs where the pages have forms, so bad
reset keys and refused passwords are told from there. It also answers 401 when something went well and the next
step is a login or a second factor: that is no refusal.

Tested with django-allauth 65.21.1.
"""

from typing import Any, Final

from django.apps import apps

from seclog import api
from seclog.adapters._hooks import contained, tell
from seclog.adapters.django import request as scopes
from seclog.adapters.django.errors import EXPECTED
from seclog.adapters.integrations._allauth import tell_bad_link, tell_refused_password
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations._tokens import about_token, expiry, token_hash
from seclog.events import Event, EventType

library = Library("django-allauth")

_INPUTS: Final = "allauth.headless.account.inputs"
_STRATEGIES: Final = "allauth.headless.tokens.strategies"
_SESSION: Final = "session_token"
_TOLD: Final = "allauth.token"
"""The note of the token told last: the library makes some responses twice, and looks at each token more than once."""


def connect() -> None:
    """Wrap inputs, responses and token strategies."""
    if not apps.is_installed("allauth.headless"):
        return
    library.wrap(f"{_INPUTS}.LoginInput.full_clean", _login_input)
    library.wrap(f"{_INPUTS}.ResetPasswordKeyInput.full_clean", _reset_input)
    library.wrap(f"{_INPUTS}.ChangePasswordInput.full_clean", _change_input)
    library.wrap("allauth.headless.base.response.AuthenticationResponse.__init__", _authentication_response)
    library.wrap("allauth.headless.internal.sessionkit.expose_session_token", _session_token)
    library.wrap(f"{_STRATEGIES}.sessions.SessionTokenStrategy.lookup_session", _lookup_session)
    library.wrap(f"{_STRATEGIES}.jwt.strategy.JWTTokenStrategy.lookup_session", _lookup_session)
    library.wrap(f"{_STRATEGIES}.jwt.strategy.JWTTokenStrategy.create_access_token_payload", _jwt_created)
    library.wrap(f"{_STRATEGIES}.jwt.strategy.JWTTokenStrategy.refresh_token", _jwt_refreshed)
    library.wrap(f"{_STRATEGIES}.jwt.internal.validate_access_token", _jwt_taken)


# ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────


def _login_input(original: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
    """What lacks a name or a password never reaches `authenticate`."""
    result = original(given, *args, **kwargs)
    with contained("a login"):
        names = [str(given.data[name]) for name in ("username", "email", "phone") if given.data.get(name)]
        if given._errors and not (names and given.data.get("password")):
            api.login_failed("".join(names[:1]), "incomplete_credentials", known=False, auth_method="password")
    return result


def _reset_input(original: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(given, *args, **kwargs)
    with contained("a password reset"):
        if "key" not in given._errors:
            tell_refused_password(given, EventType.AUTHN_PASSWORD_RESET_FAIL)
        elif given.code is None:  # a wrong code has a signal
            uid, _, key = str(given.data.get("key") or "").partition("-")
            tell_bad_link(uid, key)
    return result


def _change_input(original: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(given, *args, **kwargs)
    with contained("a password change"):
        tell_refused_password(given, EventType.AUTHN_PASSWORD_CHANGE_FAIL, current="current_password")
    return result


def _authentication_response(original: Any, response: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    """401 tells an anonymous client its next step. It refuses only what needs a user, or what merely asks."""
    with contained("a step towards a login"):
        scope = scopes.of()
        if scope is not None and _is_step(scope, request):
            scope.note(EXPECTED, True)
    return original(response, request, *args, **kwargs)


def _is_step(scope: Any, request: Any) -> bool:
    from allauth.headless.base.views import AuthenticatedAPIView

    if EventType.SESSION_LOGOUT in scope.recorded:
        return True
    view = getattr(getattr(request.resolver_match, "func", None), "view_class", None)
    return request.method == "POST" and view is not None and not issubclass(view, AuthenticatedAPIView)


# ── session tokens ────────────────────────────────────────────────────────────────────────────────────────


def _session_token(original: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    token = original(request, *args, **kwargs)
    with contained("a session token"):
        user = request.user
        if token and user.is_authenticated and not _is_told(token_hash(token)):
            before = request.headers.get("x-session-token")
            was = getattr(request.allauth.headless, "_pre_user", None)
            if before and was is not None and was.pk == user.pk:  # such as after a new password
                fields = about_token(user.pk, token_hash(before), _SESSION)
                fields["seclog.token.new_id_hash"] = token_hash(token)
                tell(Event(type=EventType.AUTHN_TOKEN_REFRESHED, fields=fields))
            else:
                expires = request.session.get_expiry_date().timestamp()
                _tell_created(user.pk, token_hash(token), _SESSION, expires)
    return token


def _lookup_session(original: Any, strategy: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    session = original(strategy, token, *args, **kwargs)
    if not session:
        with contained("an unknown session token"):
            _refused(EventType.AUTHN_TOKEN_INVALID, "unknown_session", token_hash(token), _SESSION)
    return session


# ── JWT ───────────────────────────────────────────────────────────────────────────────────────────────────


def _jwt_created(original: Any, strategy: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    given = original(strategy, request, *args, **kwargs)
    with contained("a new token"):
        for use in ("access", "refresh"):
            payload = _payload((given or {}).get(f"{use}_token"), use)
            if payload:
                _tell_created(payload["sub"], token_hash(payload["jti"]), f"jwt_{use}", payload["exp"])
    return given


def _jwt_refreshed(original: Any, strategy: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    pair = original(strategy, token, *args, **kwargs)
    with contained("a refreshed token"):
        payload = _payload(token, "refresh")
        if pair is None:
            _tell_refusal(token, payload)
        elif payload is not None:
            fields = about_token(payload["sub"], token_hash(payload["jti"]), "jwt_refresh")
            new = _payload(pair[1], "refresh")
            if new is not None and new["jti"] != payload["jti"]:
                fields["seclog.token.new_id_hash"] = token_hash(new["jti"])
            tell(Event(type=EventType.AUTHN_TOKEN_REFRESHED, fields=fields))
    return pair


def _tell_refusal(token: str, payload: Any) -> None:
    """A good signature, a living session, and no longer listed there: somebody uses a token that was given up."""
    from allauth.headless.tokens.strategies.jwt.internal import get_token_session

    if payload is None:
        _refused(EventType.AUTHN_TOKEN_INVALID, "malformed", token_hash(token), "jwt_refresh")
    elif get_token_session(payload) is None:
        _refused(
            EventType.AUTHN_TOKEN_INVALID, "unknown_session", token_hash(payload["jti"]), "jwt_refresh", payload["sub"]
        )
    else:
        _refused(EventType.AUTHN_TOKEN_REUSE, None, token_hash(payload["jti"]), "jwt_refresh", payload["sub"])


def _jwt_taken(original: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    taken = original(token, *args, **kwargs)
    if taken is None:
        with contained("a refused token"):
            payload = _payload(token, "access")
            if payload is None:
                _refused(EventType.AUTHN_TOKEN_INVALID, "malformed", token_hash(token), "jwt_access")
            else:
                hashed = token_hash(payload["jti"])
                _refused(EventType.AUTHN_TOKEN_INVALID, "unknown_session", hashed, "jwt_access", payload["sub"])
    return taken


def _payload(token: Any, use: str) -> Any:
    from allauth.headless.tokens.strategies.jwt.internal import decode_token

    return decode_token(token, use) if token else None


def _tell_created(owner: object, hashed: str | None, kind: str, expires: object) -> None:
    fields = {**about_token(owner, hashed, kind), "seclog.token.scope": "all"}
    fields["seclog.token.expires"] = expiry(expires) or "never"
    tell(Event(type=EventType.AUTHN_TOKEN_CREATED, fields=fields))


def _refused(event_type: EventType, reason: str | None, hashed: str | None, kind: str, owner: object = None) -> None:
    if not _is_told(hashed):
        tell(Event(type=event_type, reason=reason, fields=about_token(owner, hashed, kind)))


def _is_told(hashed: str | None) -> bool:
    scope = scopes.of()
    if scope is None:
        return False
    told = bool(scope.noted(_TOLD) == hashed)
    scope.note(_TOLD, hashed)
    return told
