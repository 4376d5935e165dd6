"""Which key names hold a secret."""

import pytest

from seclog.redaction import MASK, Redactor
from seclog.redaction.keys import KeyRules, Verdict, looks_random, words_of

SECRET = [
    "password",
    "Password",
    "PASSWORD",
    "passwd",
    "pwd",
    "mysql_pwd",
    "passphrase",
    "pass",
    "password1",
    "password2",
    "new_password",
    "old_password",
    "new_password2",
    "password_confirm",
    "passwordConfirmation",
    "user[password]",
    "user.password",
    "userPassword",
    "passwords[0]",
    "secret",
    "client_secret",
    "clientSecret",
    "totp_secret",
    "token",
    "access_token",
    "refreshToken",
    "csrf_token",
    "X-CSRFToken",
    "csrfmiddlewaretoken",
    "_csrf",
    "_xsrf",
    "XSRF-TOKEN",
    "authorization",
    "Authorization",
    "Proxy-Authorization",
    "cookie",
    "Set-Cookie",
    "Cookie",
    "sessionid",
    "session_id",
    "sessionId",
    "PHPSESSID",
    "JSESSIONID",
    "ASP.NET_SessionId",
    "connect.sid",
    "sid",
    "api_key",
    "apikey",
    "apiKey",
    "APIKEY",
    "x-api-key",
    "X-Api-Key",
    "dd_api_key",
    "secret_key",
    "private_key",
    "aws_secret_access_key",
    "ssh_key",
    "signing_secret",
    "otp",
    "otp_code",
    "totp",
    "mfa_code",
    "pin",
    "cvv",
    "cvc",
    "card_number",
    "cardNumber",
    "pan",
    "iban",
    "ssn",
    "recovery_code",
    "recovery_codes",
    "security_answer",
    "signature",
    "X-Amz-Signature",
    "sig",
    "credentials",
    "SAMLResponse",
    "code_verifier",
    "id_token",
    "assertion",
    "connection_string",
    "password_hash",
    "http.request.header.cookie",
    "ｐａｓｓｗｏｒｄ",
    "contraseña",
    "token_value",
]

OPEN = [
    "author",
    "authored_at",
    "authority",
    "authors_count",
    "passenger",
    "passengers",
    "compass",
    "bypass_cache",
    "passed",
    "passive",
    "passport_required",
    "keyboard",
    "keyboard_layout",
    "monkey",
    "turkey",
    "primary_key",
    "foreign_key",
    "sort_key",
    "cache_key",
    "partition_key",
    "key_count",
    "keyword",
    "hotkey",
    "token_count",
    "max_tokens",
    "tokenizer",
    "token_type",
    "token_name",
    "secretary",
    "secret_santa_event",
    "secret_rotation_days",
    "session_count",
    "session_duration_s",
    "cookie_policy",
    "cookie_consent",
    "api_version",
    "csrf_enabled",
    "csrf_failure_reason",
    "password_length",
    "password_strength",
    "password_changed_at",
    "auth_method",
    "auth_backend",
    "mfa_method",
    "otp_channel",
    "pin_count",
    "pinned",
    "spin",
    "opinion",
    "shipping",
    "signature_required",
    "design",
    "signal",
    "assigned_to",
    "signed_in_at",
    "credit_limit",
    "credential_type",
    "privacy",
    "public_key_id",
    "country_code",
    "status_code",
    "postal_code",
    "error_code",
    "hash_algorithm",
    "cardinality",
    "card_type",
    "url",
    "hash",
    "card",
    "message",
]

# Names that seclog itself writes: no key rule may touch them.
OWN = [
    "seclog.session.id_hash",
    "seclog.token.id_hash",
    "seclog.token.type",
    "seclog.auth.method",
    "seclog.change.field",
    "seclog.permission",
    "url.path",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "user.name",
    "user.id",
    "user_agent.original",
    "trace_id",
    "span_id",
    "seclog.request.id",
    "error.type",
    "client.address",
    "service.name",
    "event.name",
    "event.id",
    "seclog.auth.factor",
    "seclog.key.id",
    "seclog.session.count",
    "seclog.token.expires",
    "seclog.token.scope",
    "seclog.device.id_hash",
    "error.fingerprint",
    "file.name",
    "geo.country",
    "http.request.header.origin",
    "seclog.token_name",
    "reason",
    "message",
    "severity",
]


@pytest.mark.parametrize("key", SECRET)
def test_secret_key_is_recognised(key):
    """A key whose head names a secret is secret in every spelling."""
    assert KeyRules().decide(key) is Verdict.SECRET


@pytest.mark.parametrize("key", OPEN + OWN)
def test_harmless_key_stays_open(key):
    """A key that only contains a secret word, or describes a secret, is open."""
    assert KeyRules().decide(key) is Verdict.OPEN


@pytest.mark.parametrize("key", ["key", "code", "state", "some_key", "relay_state"])
def test_ambiguous_key_depends_on_its_value(key):
    """A key that says nothing by itself is decided by the value."""
    assert KeyRules().decide(key) is Verdict.MAYBE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4f9Kq27hTz81" + "LmXw03Pd", True),
        ("E1042", False),
        ("invalid_grant", False),
        ("home:v3", False),
        ("Bavaria", False),
        ("13bf0fb6-c8eb-4b3a-9928-bf487241efaf", False),
        ("a sentence with 1234567890abc in it", False),
    ],
)
def test_random_looking_values(value, expected):
    """A long mix of letters and digits looks generated; codes, words and UUIDs do not."""
    assert looks_random(value) is expected


def test_ambiguous_key_masks_only_a_random_value():
    """An OAuth code is masked under "code"; an error code is not."""
    code = "4f9Kq27hTz81" + "LmXw03Pd"
    assert Redactor().redact({"code": code, "a": "E1042"}) == ({"code": MASK, "a": "E1042"}, 1)
    assert Redactor().redact({"code": "E1042"}) == ({"code": "E1042"}, 0)


def test_words():
    """Camel case, acronyms and separators all end a word."""
    assert words_of("X-CSRFToken") == ["x", "csrf", "token"]
    assert words_of("AWSAccessKeyId") == ["aws", "access", "key", "id"]
    assert words_of("user[new_password]") == ["user", "new", "password"]


@pytest.mark.parametrize("key", ["employee_badge", "EMPLOYEE-BADGE", "old_employeeBadge", "badge"])
def test_extra_keys(key):
    """The user's own names match whole and as the head of a longer key, in any case."""
    redactor = Redactor(extra_keys=["Employee_Badge", "badge"])
    assert redactor.redact({key: "0815-4711"}) == ({key: MASK}, 1)


def test_memo_is_bounded():
    """Keys from clients do not grow the memo without end."""
    rules = KeyRules()
    for number in range(10_000):
        rules.decide(f"field{number}_password")
    assert len(rules._memo) <= 4096
