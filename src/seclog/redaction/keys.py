"""Which key names hold a secret: the names as data, and the decision.

A key is split into words (``_ - . space [ ]`` and camelCase) and its head, the last word, decides:
``password_length`` is a length, ``token_type`` is a type, ``old_password`` is a password. Substrings are
never looked at: that is how ``author`` and ``monkey`` get masked elsewhere. Sources of the names:
``research/redaction_sources.md`` §1 (Sentry, Django, ddtrace, OpenTelemetry, OWASP Logging Cheat Sheet
"Data to exclude", PCI DSS), and what those lists lack.
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from urllib.parse import unquote

# Heads. A name of several words stands here written together: "api key" covers api_key, apiKey, X-Api-Key and
# APIKEY. A plural is covered by its singular.
_HIDDEN_NAMES = """
password; passwd; passwort; passw; pass word; pwd; pw; pass; passphrase; pass phrase; passcode; pass code;
contrasena; senha; mdp; mot de passe; kennwort;

secret; secret value; secret id; secret text; token; jwt; jwe; bearer; auth; authorization; authorisation;
authentication; credential; cred; assertion; saml response; saml assertion; saml art; wresult; code
verifier; ticket granting ticket; service ticket; nonce secret;

cookie; set cookie; session; session id; session key; sess; sess id; sid; sess key; php sess id; phpsessid;
jsession id; jsessionid; asp session id; asp net session id; sessionid; sessid; symfony; user session; cf
clearance; csrf; xsrf; csrf token; csrf middleware token; csrfmiddlewaretoken; request verification token;

otp; totp; hotp; totp seed; otp seed; mfa seed; otp code; totp code; mfa code; tfa code; 2fa code; two
factor code; sms code; verification code; verify code; login code; auth code; authorization code;
authentication code; one time code; device code; user code; reset code; invite code; pairing code;
activation code; security code; access code;

pin; pin code; puk; recovery code; backup code; scratch code; recovery phrase; seed phrase; secret phrase;
mnemonic; security answer; secret answer; security question answer; challenge answer;

cvv; cvc; cvv2; cvc2; csc; cid code; card verification; card security code; pan; card number; card no; card
num; cc number; cc num; cc no; credit card; creditcard; credit card number; debit card; track1; track2;
track data; iban; bank account; account iban; routing and account; ssn; social security number; social
security; tax id number; national id; national insurance number;

signature; sig; hmac; x amz signature; x goog signature; amz credential; goog credential;

api key; apikey; secret key; private key; access key; auth key; ssh key; encryption key; signing key;
signature key; master key; account key; service key; db key; database key; priv key; client key; deploy key;
shared key; storage key; crypt key; hmac key; license key; licence key; app key; application key; consumer
key; server key; integration key; webhook key; aes key; rsa key; pgp key; gpg key; key pass; key material;
wrapping key; data key; keytab; private pem; shared access key; shared access signature; sas; sas url;
secret string; secret binary;

connection string; conn string; conn str; connect string; jdbc url secret; database credentials;

password hash; password digest; passwd hash; pwd hash; pw hash; hashed password; encrypted password;
password salt;
"""

# A head alone that says nothing: masked only when the value looks random (long, letters and digits mixed).
_MAYBE_NAMES = "key; code; state; relay state; nonce"

# Compounds that end in a secret or ambiguous head and are known to be harmless.
_BENIGN_NAMES = """
primary key; foreign key; sort key; cache key; partition key; routing key; hot key; public key; pub key;
host public key; idempotency key; dedup key; group key; translation key; i18n key; natural key; object key;
row key; shard key; lookup key; message key; error key; config key; setting key; field key; dict key; index
key; unique key; composite key; key key;

next token; page token; pagination token; continuation token; next page token; sync token; max token; min
token; total token; prompt token; completion token; input token; output token; num token; n token; used
token; cached token;

status code; error code; country code; postal code; post code; zip code; language code; lang code; currency
code; exit code; response code; return code; reason code; area code; region code; product code; http code;
sql code; source code; result code; airport code; locale code; state code; city code; promo code; coupon
code; discount code; bar code; qr code; key code; char code; color code; event code; failure code; close
code; dial code; phone code; sub code; class code;

sample session; has session; max session; active session; total session; open session;

method signature; function signature; type signature; requires auth; has password; use password; http auth;
need auth;
"""

# Last words that say which copy of the secret it is, not what it is: password_confirm, token_value,
# new_password_again.
_COPY_WORDS = frozenset(
    [
        "confirm",
        "confirmation",
        "confirmed",
        "again",
        "repeat",
        "repeated",
        "retype",
        "verify",
        "check",
        "new",
        "old",
        "current",
        "raw",
        "plain",
        "plaintext",
        "value",
        "val",
        "text",
        "str",
        "string",
        "input",
        "original",
        "previous",
        "prev",
        "base64",
        "b64",
        "encoded",
        "enc",
        "x",
        "y",
    ]
)

_CAMEL = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_WORD = re.compile(r"[a-z0-9]+")
_MAX_WORDS = 5  # the longest name in the tables
_MEMO_CAP = 4096  # keys come from clients too: the memo may not grow with them
_MEMO_KEY = 128


def _table(names: str) -> frozenset[str]:
    return frozenset("".join(name.split()) for name in names.split(";") if name.strip())


SECRET_NAMES = _table(_HIDDEN_NAMES)
MAYBE_NAMES = _table(_MAYBE_NAMES)
BENIGN_NAMES = _table(_BENIGN_NAMES)

# Secrets that may be several words, so that a text after such a key is masked up to the end of its line.
WORDY_NAMES = _table(
    "passphrase; pass phrase; recovery phrase; seed phrase; secret phrase; mnemonic; security answer;"
    "secret answer; authorization; cookie; set cookie; connection string; private key; ssh key"
)


class Verdict(IntEnum):
    """What a key says about its value."""

    OPEN = 0
    SECRET = 1
    MAYBE = 2  # secret when the value looks random


def words_of(key: str) -> list[str]:
    """Split a key into lower-case words: ``X-CSRFToken`` gives ``x csrf token``."""
    if not key.isascii():
        # Full-width letters and accents are written by people, and by people who want to pass a filter.
        folded = unicodedata.normalize("NFKD", key)
        key = "".join(char for char in folded if not unicodedata.combining(char))
    return _WORD.findall(_CAMEL.sub(r"\1\3_\2\4", key).lower())


class KeyRules:
    """Decides keys and remembers the decisions.

    Safe from threads: the memo is a dict whose entries never change their meaning; the worst that a race
    does is to decide a key twice.
    """

    __slots__ = ("_extra", "_memo")

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        """Take the user's own secret names, matched like the built-in ones: as the last words of a key."""
        self._extra = frozenset(joined for key in extra_keys if (joined := "".join(words_of(key))))
        self._memo: dict[str, Verdict] = {}

    def decide(self, key: str) -> Verdict:
        """Return what a key says about its value."""
        verdict = self._memo.get(key)
        if verdict is None:
            verdict = self._judge(words_of(key))
            if len(key) <= _MEMO_KEY:
                if len(self._memo) >= _MEMO_CAP:
                    self._memo.clear()
                self._memo[key] = verdict
        return verdict

    def decide_in_text(self, key: str) -> Verdict:
        """Return the verdict for a key cut out of a text, where it may be percent-encoded."""
        return self.decide(unquote(key) if "%" in key else key)

    def is_wordy(self, key: str) -> bool:
        """Say whether the secret under this key may contain spaces."""
        words = _without_copy_words(words_of(key))
        return any("".join(words[-n:]) in WORDY_NAMES for n in range(1, 4))

    def _judge(self, words: list[str]) -> Verdict:
        for candidate in (words, _without_copy_words(words)):
            verdict = self._judge_tail(candidate)
            if verdict is not Verdict.OPEN:
                return verdict
        return Verdict.OPEN

    def _judge_tail(self, words: list[str]) -> Verdict:
        """Try the longest run of last words first, so that ``cache_key`` is found before ``key``."""
        for length in range(min(_MAX_WORDS, len(words)), 0, -1):
            name = "".join(words[-length:])
            if name in self._extra:
                return Verdict.SECRET
            singular = name[:-1] if len(name) > 3 and name.endswith("s") and not name.endswith("ss") else name
            for form in (name, singular):
                if form in BENIGN_NAMES:
                    return Verdict.OPEN
                if form in self._extra or form in SECRET_NAMES:
                    return Verdict.SECRET
                if form in MAYBE_NAMES:
                    return Verdict.MAYBE
        return Verdict.OPEN


def _without_copy_words(words: list[str]) -> list[str]:
    """Drop what only numbers or names a copy: ``password1``, ``passwords[0]``, ``new_password_confirm``."""
    words = list(words)
    while len(words) > 1 and (words[-1].isdecimal() or words[-1] in _COPY_WORDS):
        words.pop()
    if words:
        words[-1] = words[-1].rstrip("0123456789") or words[-1]
    return words


_TOKEN_CHARS = re.compile(r"[A-Za-z0-9_\-+/=.~]{16,4096}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RUN = re.compile(r"[A-Za-z0-9]{10,}")


def looks_random(value: str) -> bool:
    """Say whether a value looks like a generated secret: long, one word, letters and digits mixed.

    Used where the key alone does not decide (``code``, ``key``, ``state``): an OAuth code is masked,
    ``E1042``, ``invalid_grant``, ``home:v3`` and a UUID stay.
    """
    if not _TOKEN_CHARS.fullmatch(value) or _UUID.fullmatch(value):
        return False
    return any(not run.isalpha() and not run.isdecimal() for run in _RUN.findall(value)) or (
        len(value) >= 32 and not value.isalpha() and value.lower() != value
    )
