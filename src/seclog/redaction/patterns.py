"""What a secret looks like by itself: one row a kind.

Every row has *gates* (literals of which one must occur in the text), *shapes* (the same with every digit written as
``0``) or *peeks* (tiny patterns), so that the pattern itself runs only near a possible hit. In the pattern, group 1 is
the secret part; what stands around it (the scheme, the host name) stays readable. Formats: gitleaks, trufflehog,
detect-secrets, RFC 7519, 7515, 7616, 7617, 8959, PCI DSS, ISO 13616; see ``research/redaction_sources.md`` §2.

Patterns are written in the syntax RE2 and ``re`` share and run in linear time in both: an open repetition either
follows a left edge that is outside its own character class (so that a run is tried once) or cannot contain its own
prefix. The tests run every row over the longest text it may meet, made of its own prefixes.
"""
# ruff: noqa: E501 (tables: one row a line)

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

import msgspec

Check = Callable[[str], int]
"""Takes the candidate, returns how many of its characters are the secret: 0 for "not a secret after all"."""


class Pattern(msgspec.Struct, frozen=True):
    """One kind of secret."""

    kind: str
    pattern: re.Pattern[str]
    gates: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    peeks: tuple[str, ...] = ()
    check: Check | None = None


# --- checks ---------------------------------------------------------------------------------------------------------

# Issuer ranges and lengths: (first digits from, to, allowed lengths).
_ISSUERS: Final = (
    ("34", "34", (15,)), ("37", "37", (15,)),  # American Express
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)), ("2221", "2720", (16,)),  # Mastercard
    ("6011", "6011", (16, 19)), ("644", "649", (16, 19)), ("65", "65", (16, 19)),  # Discover
    ("3528", "3589", (16, 19)),  # JCB
    ("300", "305", (14,)), ("36", "36", (14,)), ("38", "39", (14,)),  # Diners
    ("62", "62", (16, 17, 18, 19)), ("81", "81", (16,)),  # UnionPay
    ("50", "50", (16, 18, 19)), ("56", "58", (16, 18, 19)), ("60", "61", (16, 18, 19)), ("63", "63", (16, 18, 19)),
    ("66", "69", (16, 18, 19)),  # Maestro
)  # fmt: skip
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_card_number(digits: str) -> bool:
    """Say whether a run of digits is a card number: issuer range, length and Luhn check digit (ISO/IEC 7812-1)."""
    if not any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS):
        return False
    numbers = [ord(char) - 48 for char in reversed(digits)]
    return (sum(numbers[::2]) + sum(_DOUBLED[number] for number in numbers[1::2])) % 10 == 0


def _card(candidate: str) -> int:
    digits = "".join(filter(str.isdecimal, candidate))
    return len(candidate) if is_card_number(digits) else 0


# Lengths by country, IBAN registry (SWIFT), release 99.
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL NI SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _iban(candidate: str) -> int:
    """Check the mod-97 remainder (ISO 13616) over the country's length; what follows is not part of the number."""
    length = _IBAN_LENGTHS.get(candidate[:2])
    places = [place for place, char in enumerate(candidate, 1) if char not in " -"]
    if length is None or len(places) < length:
        return 0
    end = places[length - 1]
    number = candidate[:end].replace(" ", "").replace("-", "")
    rearranged = "".join(str(int(char, 36)) for char in number[4:] + number[:4])
    return end if int(rearranged) % 97 == 1 else 0


def _ssn(candidate: str) -> int:
    """Refuse numbers the Social Security Administration never assigns."""
    area, group, serial = candidate.split("-")
    assigned = area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"
    return len(candidate) if assigned else 0


def _mixed(candidate: str) -> int:
    """Want a digit and a letter, and upper case or real length: a slug in a path is not a key."""
    mixed = any(char.isdigit() for char in candidate) and any(char.isalpha() for char in candidate)
    return len(candidate) if mixed and (len(candidate) >= 32 or candidate != candidate.lower()) else 0


def _credential(candidate: str) -> int:
    """Tell "Bearer 8f3…" from "Bearer authentication failed": prose has no digits and no inner capitals."""
    inner_capital = candidate[1:] != candidate[1:].lower() and candidate != candidate.upper()
    return len(candidate) if len(candidate) >= 32 or inner_capital or not candidate.isalpha() else 0


def _segment(candidate: str) -> int:
    """Want a generated path segment: digits among letters, and not a date or a slug with a number."""
    digits = sum(map(str.isdigit, candidate))
    return len(candidate) if digits >= 2 and any(map(str.isalpha, candidate)) else 0


def _long(candidate: str) -> int:
    return len(candidate) if len(candidate) > 30 else 0


def _basic(candidate: str) -> int:
    """Want what RFC 7617 says: base64 of ``user:password``."""
    body = candidate.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]  # a slash of a path may have come along
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return 0
    return len(candidate) if b":" in decoded else 0


# --- building blocks ------------------------------------------------------------------------------------------------

# Left edges. A literal backslash-n (an escaped line feed in a repr or in JSON) is an edge too.
_EDGE_WORD: Final = r"(?:^|[^A-Za-z0-9]|\\[nrt])"
_EDGE_URL64: Final = r"(?:^|[^A-Za-z0-9_-]|\\[nrt])"
_EDGE_DIGIT: Final = r"(?:^|[^A-Za-z0-9_.]|\\[nrt])"
_SCHEME_END: Final = r"(?:[ \t:=]|%20|\+){1,3}"


def _row(kind: str, pattern: str, *gates: str, check: Check | None = None) -> Pattern:
    return Pattern(kind, re.compile(pattern, re.ASCII), gates, check=check)


def _token(kind: str, *prefixes: str, body: str, least: int, check: Check | None = None) -> Pattern:
    """A vendor's key: a fixed prefix and a body of at least so many characters."""
    edge = _EDGE_WORD if all(prefix.endswith("_") for prefix in prefixes) and "_" not in body else _EDGE_URL64
    choice = "|".join(re.escape(prefix) for prefix in prefixes)
    return _row(kind, f"{edge}((?:{choice})[{body}]{{{least},}})", *prefixes, check=check)


def _any_case(word: str) -> str:
    """Write a word so that case does not matter: ``(?i)`` folds differently in RE2 and in ``re``."""
    return "".join(f"[{char.upper()}{char.lower()}]" if char.isalpha() else re.escape(char) for char in word)


def _scheme_gates(word: str) -> tuple[str, ...]:
    """The gates of an Authorization scheme; ``=``, ``:`` and ``%`` open the gate anyway."""
    return tuple(form + end for form in (word, word.upper()) for end in (" ", "+", "\t", ":", "=", "%20"))


_ALNUM: Final = "A-Za-z0-9"
_URL64: Final = r"A-Za-z0-9_\-"
_JWT_REST: Final = rf"\.[{_URL64}]*\.[{_URL64}]*(?:\.[{_URL64}]*){{0,2}}"
_HEX: Final = "0-9a-fA-F"
_B64: Final = "A-Za-z0-9+/="

# --- the table: order matters, whole structures come before the tokens inside them ------------------------------------

PATTERNS: Final[tuple[Pattern, ...]] = (
    _row(
        "private_key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----([^-]*(?:-[^-]+)*)",
        "PRIVATE KEY",
    ),
    _row(
        "private_key",
        r"-----BEGIN\+(?:[A-Z0-9]{1,12}\+){0,3}PRIVATE\+KEY(?:\+BLOCK)?-----([^-]*(?:-[^-]+)*)",
        "PRIVATE+KEY",
    ),
    _row("private_key", r"PuTTY-User-Key-File-[23]:([^\x00]*)", "PuTTY-User-Key-File-"),
    _token("private_key", "AGE-SECRET-KEY-1", body="A-Z0-9", least=40),
    # JWS compact, JWE compact (five parts, some may be empty) and unsigned tokens. The second row finds a token behind a
    # dash or underscore; there the header must be one run of letters and digits, or a run would be tried many times.
    _row("jwt", rf"{_EDGE_URL64}(eyJ[{_URL64}]{{6,}}{_JWT_REST})", "eyJ", check=_long),
    _row("jwt", rf"{_EDGE_WORD}(eyJ[{_ALNUM}]{{6,}}{_JWT_REST})", "eyJ", check=_long),
    _row("jwt", rf"{_EDGE_URL64}(ZXlK[{_URL64}]{{60,}}={{0,2}})", "ZXlK"),
    _row("signed_session", rf"{_EDGE_URL64}(\.?eJ[{_URL64}]{{8,}}[.:][{_URL64}]{{5,8}}[.:][{_URL64}]{{20,}})", "eJ"),
    _row("signed_session", rf"{_EDGE_URL64}(eyJ[{_URL64}]{{4,}}:[{_URL64}]{{5,8}}:[{_URL64}]{{20,}})", "eyJ"),
    # Authorization schemes (RFC 7235); the scheme stays.
    _row("bearer", rf"{_any_case('bearer')}{_SCHEME_END}([{_ALNUM}._~+/=|:-]{{8,}})", *_scheme_gates("earer"), check=_credential),
    _row("basic", rf"{_any_case('basic')}{_SCHEME_END}([{_B64}_-]{{8,}})", *_scheme_gates("asic"), check=_basic),
    _row("digest", rf"{_any_case('response')}=[\"'\\]{{0,2}}([{_HEX}]{{32,128}})", "esponse=", "ESPONSE="),
    _row("splunk", rf"{_any_case('splunk')}{_SCHEME_END}([{_HEX}-]{{32,36}})", *_scheme_gates("plunk")),
    _row("negotiate", rf"(?:Negotiate|NTLM)\s{{1,3}}([{_B64}]{{16,}})", "Negotiate ", "NTLM "),
    _row("token", rf"(?:Token|token|ApiKey|apikey|Apikey)\s{{1,3}}([{_ALNUM}._=:-]{{20,}})", "oken ", "Key ", "pikey ", check=_mixed),
    _row("aws_signature", rf"Signature=([{_HEX}]{{64}})", "Signature="),
    # Places that carry a credential.
    _row("url_password", r"://[^\s/?#@:\"'<>]{0,256}:([^\s/?#\"'<>]{1,512})@", "://"),
    _row("url_user", r"://([^\s/?#@:\"'<>]{20,256})@", "://"),
    _row("otp_secret", r"[?&]secret=([A-Za-z2-7]{8,}=*)", "otpauth:"),
    _row("azure_key", rf"(?:AccountKey|SharedAccessKey)=([{_B64}]{{20,}})", "AccountKey=", "SharedAccessKey="),
    _row("slack_webhook", rf"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([{_URL64}/]{{16,}})", "hooks.slack"),
    _row("discord_webhook", rf"/api/webhooks/[0-9]{{15,22}}/([{_URL64}]{{20,}})", "/api/webhooks/"),
    _row("teams_webhook", r"webhook\.office\.com/webhookb2/([^\s\"'<>?&]{20,})", "webhook.office.com"),
    _row(
        "link_token",
        r"/(?:reset|password[_-]?reset|reset[_-]?password|recover|invite|invitation|invitations|invites|magic|magic[_-]?link|magic[_-]?login"
        r"|activate|activation|confirm|confirmation|verify|verification|verify[_-]?email|unlock|unsubscribe)"
        r"(?:/[A-Za-z0-9_-]{1,15}){0,3}?/([A-Za-z0-9_.~=-]{16,512})",
        "/reset", "reset/", "/recover", "/invit", "/magic", "/activat", "/confirm", "/verif", "/unlock", "/unsubscribe",
        check=_segment,
    ),
    # Password hashes (PHC strings, crypt(3), Django, Werkzeug, LDAP).
    _row("password_hash", r"(\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53})", "$2"),
    _row("password_hash", r"(\$argon2(?:id|i|d)\$[^\s\"'&;<>]{20,})", "$argon2"),
    _row("password_hash", r"(pbkdf2[_:]sha[0-9]{1,3}[:$][^\s\"'&;<>]{20,})", "pbkdf2_sha", "pbkdf2:sha"),
    _row("password_hash", r"(scrypt[:$][0-9A-Za-z][^\s\"'&;<>]{20,})", "scrypt$", "scrypt:"),
    _row("password_hash", r"(\$(?:1|5|6|7|y|gy|scrypt|md5|apr1|pbkdf2-sha256|pbkdf2-sha512)\$[^\s\"'&;<>]{20,})",
         "$1$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$scrypt$", "$md5$", "$apr1$", "$pbkdf2-"),
    _row("password_hash", rf"(\{{S?SHA(?:256|512)?\}}[{_B64}]{{20,}})", "SHA"),
    # Vendors' keys.
    _row("aws_key_id", rf"{_EDGE_WORD}((?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}})", "A3T", "AKIA", "ASIA", "ABIA", "ACCA"),
    _token("aws_bedrock", "ABSK", "bedrock-api-key-", body=_B64, least=60),
    _token("github", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", body=_ALNUM, least=30),
    _token("github", "github_pat_", body="A-Za-z0-9_", least=40),
    _token("gitlab", "glpat-", "glrt-", "gldt-", "glft-", "glsoat-", "glcbt-", "glptt-", "glimt-", "glagent-", "gloas-",
           "glffct-", "GR1348941", body=_URL64, least=18),
    _token("slack", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xoxo-", "xoxc-", "xoxd-", "xapp-",
           body="A-Za-z0-9.%-", least=10),
    _row("stripe", rf"{_EDGE_WORD}((?:sk|rk)_(?:live|test|prod)_[{_ALNUM}]{{10,}})", "k_live_", "k_test_", "k_prod_"),
    _token("stripe", "whsec_", body="A-Za-z0-9+/=", least=16),
    _token("google_api_key", "AIza", body=_URL64, least=30),
    _token("google_oauth", "ya29.", "GOCSPX-", body=_URL64, least=20),
    _row("google_oauth", rf"(?:^|[^A-Za-z0-9_/-])((?:1//0|4/0A)[{_URL64}]{{20,}})", "1//0", "4/0A"),
    _token("anthropic", "sk-ant-", body=_URL64, least=20),
    _token("openai", "sk-", body=_URL64, least=20, check=_mixed),
    _token("huggingface", "hf_", body=_ALNUM, least=30),
    _row("azure_secret", r"([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,40})", "Q~"),
    _token("sendgrid", "SG.", body="A-Za-z0-9_.-", least=40),
    _token("mailgun", "key-", body=_HEX, least=32),
    _row("mailchimp", r"(?:^|[^0-9A-Za-z])([0-9a-f]{32}-us[0-9]{1,2})", "-us"),
    _token("npm", "npm_", body=_ALNUM, least=30),
    _token("pypi", "pypi-AgE", body=_URL64, least=40),
    _token("rubygems", "rubygems_", body="0-9a-f", least=40),
    _row("twilio", r"(?:^|[^0-9A-Za-z])(SK[0-9a-f]{32})", "SK"),
    _token("square", "sq0csp-", "sq0atp-", "EAAA", body=_URL64, least=22, check=_mixed),
    _token("shopify", "shpat_", "shpca_", "shppa_", "shpss_", body=_HEX, least=32),
    _token("digitalocean", "dop_v1_", "doo_v1_", "dor_v1_", body="0-9a-f", least=60),
    _row("databricks", r"(?:^|[^0-9A-Za-z])(dapi[0-9a-f]{32}(?:-[0-9])?)", "dapi"),
    _token("vault", "hvs.", "hvb.", "hvr.", body="A-Za-z0-9_.-", least=20),
    _row("terraform", rf"{_EDGE_WORD}([{_ALNUM}]{{14}}\.atlasv1\.[{_URL64}=]{{60,}})", ".atlasv1."),
    _token("doppler", "dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit.", body="A-Za-z0-9_.-", least=40),
    _token("dynatrace", "dt0c01.", "dt0s16.", body="A-Za-z0-9.", least=60),
    _token("linear", "lin_api_", "lin_oauth_", body=_ALNUM, least=32),
    _token("newrelic", "NRAK-", "NRII-", "NRJS-", "NRAL-", "NRRA-", "NRSP-", body=_URL64, least=19),
    _token("grafana", "glsa_", "glc_", body="A-Za-z0-9_+/=", least=32),
    _token("postman", "PMAK-", body="0-9a-f-", least=50),
    _token("sentry", "sntryu_", "sntrys_", body="A-Za-z0-9_+/=", least=40),
    _token("artifactory", "AKC", "cmVmd", body=_ALNUM, least=50),
    _token("atlassian", "ATATT3", "ATCTT3", "ATBB", body="A-Za-z0-9_=-", least=28),
    _token("onepassword", "ops_eyJ", "A3-", body="A-Za-z0-9_=-", least=26, check=_mixed),
    _token("planetscale", "pscale_tkn_", "pscale_pw_", "pscale_oauth_", body="A-Za-z0-9_.=-", least=30),
    _token("flyio", "fo1_", "fm1_", "fm1a_", "fm1r_", "fm2_", body="A-Za-z0-9_+/=,-", least=40),
    _token("duffel", "duffel_test_", "duffel_live_", body=_URL64, least=40),
    _token("heroku", "HRKU-", "hrku-", body=_URL64, least=36),
    _token("notion", "ntn_", "secret_", body=_ALNUM, least=40),
    _token("perplexity", "pplx-", body=_ALNUM, least=40),
    _token("prefect", "pnu_", "pul-", "rdme_", "sgp_", "shippo_live_", "shippo_test_", body="A-Za-z0-9_", least=32, check=_mixed),
    _token("openshift", "sha256~", body=_URL64, least=40),
    _token("typeform", "tfp_", body="A-Za-z0-9_.=-", least=40),
    _token("brevo", "xkeysib-", "xsmtpsib-", body="A-Za-z0-9-", least=60),
    _row("telegram", r"(?:^|[^0-9A-Za-z]|bot)([0-9]{8,10}:A[A-Za-z0-9_-]{34})", ":A"),
    Pattern(
        "discord",
        re.compile(r"(?:^|[^A-Za-z0-9_-])([MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})", re.ASCII),
        peeks=(r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",),
    ),
    # Cards, accounts, people.
    Pattern(
        "track",
        re.compile(r"(?:;|%[3b]B?)([0-9]{12,19}=[0-9]{4,40})\?", re.ASCII),
        shapes=("000000000000=",),
    ),
    _row("track", r"%B([0-9]{12,19}\^[^\^\s]{2,26}\^[0-9]{4,40})", "%B"),
    Pattern(
        "iban",
        re.compile(rf"{_EDGE_WORD}([A-Z]{{2}}[0-9]{{2}}(?:[ -]?[A-Z0-9]{{4}}){{2,7}}(?:[ -]?[A-Z0-9]{{1,3}})?)", re.ASCII),
        gates=("NL",),
        shapes=("0000000000000", "0000 0000 0000", "0000-0000-0000"),
        check=_iban,
    ),
    Pattern(
        "pan",
        re.compile(
            rf"{_EDGE_DIGIT}([0-9]{{13,}}|[0-9]{{4}}[ +-][0-9]{{4}}[ +-][0-9]{{4}}[ +-][0-9]{{1,7}}"
            rf"|[0-9]{{4}}[ +-][0-9]{{6}}[ +-][0-9]{{4,5}})\b",
            re.ASCII,
        ),
        shapes=(
            "0000000000000", "0000 0000 0000", "0000-0000-0000", "0000+0000+0000",
            "0000 000000 0000", "0000-000000-0000", "0000+000000+0000",
        ),
        check=_card,
    ),
    Pattern(
        "ssn",
        re.compile(r"(?:^|[^A-Za-z0-9_.-])([0-9]{3}-[0-9]{2}-[0-9]{4})\b", re.ASCII),
        shapes=("000-00-0000",),
        check=_ssn,
    ),
)  # fmt: skip

# What makes a text worth looking inside; see inside.py.
INSIDE_GATES: Final = ("=", ":", "%", "</", "--")

# Base64 is looked into where it starts like something that is worth it: JSON, key=value pairs, a PEM file.
BASE64_STARTS: Final = (
    "eyJ", "eyAi", "ewo", "W3si", "WyJ", "W3sK",  # {" [{" ["
    "cGFzc", "UGFzc", "cHdk", "c2Vjc", "dG9rZ", "YXBpX", "YXBpL", "YXV0a", "QXV0a",  # pass, pwd, secr, toke, api_, auth
    "dXNlc", "ZW1ha", "bG9na", "bmFtZ", "Y2xpZ", "YWNjZ", "c2Vzc", "Y29kZ", "Y3Nyf", "Z3Jhb",  # user, emai, logi, name, clie, acce, sess, code, csrf, gran
    "LS0tLS1CRUdJTi",  # -----BEGIN
)  # fmt: skip
