"""Whole events: what goes in, what comes out."""

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import sys
import uuid
from collections import namedtuple
from types import MappingProxyType
from urllib.parse import quote, urlencode

import pytest

from seclog.redaction import MASK, Limits, Redactor, scrub

CANARY = "c4n4ry" + "-Zx9!q&7"


@pytest.fixture(params=[False, True], ids=["re", "re2"])
def redactor(request):
    if request.param:
        pytest.importorskip("re2")
    return Redactor(use_re2=request.param)


def test_harmless_event_comes_back_as_it_is(redactor):
    """An ordinary event is copied, not changed, on the careful road and then on the quick road."""
    fields = {
        "user.name": "joebob1",
        "url.path": "/login/",
        "http.response.status_code": 200,
        "ok": True,
        "x": None,
        "f": 1.5,
    }
    for _ in range(3):
        out, masked = redactor.redact(fields)
        assert (out, masked) == (fields, 0)
        assert out is not fields


def test_quick_road_still_sees_new_secrets(redactor):
    """A key and a shape of event seen a thousand times do not make a secret pass."""
    for number in range(20):
        redactor.redact({"note": f"visit {number}", "n": number})
    token = "gh" + "p_" + "a1B2" * 9
    assert redactor.redact({"note": f"visit {token}", "n": 1}) == (
        {"note": "visit [redacted:github]", "n": 1},
        1,
    )
    card = int("4111" + "1" * 12)
    assert redactor.redact({"note": "visit 1", "n": card}) == ({"note": "visit 1", "n": "[redacted:pan]"}, 1)


def test_quick_road_judges_every_text_by_itself(redactor):
    """What stands beside a text in the event does not hide a secret in it."""
    plain = {"a": "x", "b": "y"}
    code = "4f9Kq27hTz81" + "LmXw03Pd"
    for secret, expected in [
        (f"code={code}", f"code={MASK}"),
        ('{"p\\u0061ssword":"hunter2"}', '{"password": "[redacted]"}'),
    ]:
        redactor.redact(plain)
        assert redactor.redact({"a": secret, "b": "(https://x)"})[0] == {"a": expected, "b": "(https://x)"}
        assert redactor.redact({"a": "(https://x)", "b": secret})[0] == {"a": "(https://x)", "b": expected}


def test_values_under_secret_keys(redactor):
    """Any scalar under a secret key is masked, but not None, a bool or nothing; containers are masked inside."""
    fields = {
        "password": CANARY,
        "otp": 123456,
        "secret": None,
        "token": "",
        "cookie": True,
        "credentials": {"user": "bob", "tries": [1, None, {"deep": b"bytes"}]},
    }
    assert redactor.redact(fields) == (
        {
            "password": MASK,
            "otp": MASK,
            "secret": None,
            "token": "",
            "cookie": True,
            "credentials": {"user": MASK, "tries": [MASK, None, {"deep": MASK}]},
        },
        5,
    )


def test_change_of_a_secret_field(redactor):
    """When the changed field is a secret one, its old and new value are masked."""
    change = {"seclog.change.field": "api_key", "seclog.change.old": "x", "seclog.change.new": "y"}
    expected = {"seclog.change.field": "api_key", "seclog.change.old": MASK, "seclog.change.new": MASK}
    plain = {"seclog.change.field": "email", "seclog.change.old": "x", "seclog.change.new": "y"}
    for _ in range(2):
        assert redactor.redact(plain) == (plain, 0)
        assert redactor.redact(change) == (expected, 2)


def test_name_and_value_pairs(redactor):
    """Form builders, HAR files, header lists and namedtuples carry the key beside the value."""
    login = namedtuple("login", "user password")("bob", CANARY)
    fields = {
        "form": [{"name": "password", "value": CANARY}, {"name": "city", "value": "Bonn"}],
        "headers": [("Authorization", CANARY), (b"cookie", CANARY.encode()), ("Host", "app")],
        "login": login,
    }
    assert redactor.redact(fields)[0] == {
        "form": [{"name": "password", "value": MASK}, {"name": "city", "value": "Bonn"}],
        "headers": [["Authorization", MASK], ["cookie", MASK], ["Host", "app"]],
        "login": {"user": "bob", "password": MASK},
    }


JWT = ".".join(["ey" + "J" + "hbGciOiJIUzI1NiJ9", "ey" + "J" + "zdWIiOiIxMjM0NTY3ODkwIn0", "abcDEF123_-" * 4])

INSIDE = [
    ("postgres" + "://app:" + CANARY.replace("&", "") + "@db/app", "postgres://app:[redacted:url_password]@db/app"),
    ("Bearer " + "a1B2" * 10, "Bearer [redacted:bearer]"),
    ("Bearer authentication failed", "Bearer authentication failed"),
    (f"token {JWT}.", "token [redacted:jwt]"),
    ("a=1&password=hunter2&b=2", "a=1&password=[redacted]&b=2"),
    ("a=1&pass%77ord=hunter2&b=2", "a=1&pass%77ord=[redacted]&b=2"),
    ("theme=dark; sessionid=abcdef123; lang=de", "theme=dark; sessionid=[redacted]; lang=de"),
    ("Cookie: theme=dark; sessionid=abc", "Cookie: [redacted]"),
    ("{'user': 'bob', 'password': 'x\\'y', 'n': 1}", "{'user': 'bob', 'password': '[redacted]', 'n': 1}"),
    ("Login(user='bob', pin=1234)", "Login(user='bob', pin=[redacted])"),
    ("password: hunter2, user: bob", "password: [redacted], user: bob"),
    ("password: None", "password: None"),
    ("u=password%3Dhunter2%26x%3D1&y=2", "u=password%3D[redacted]%26x%3D1&y=2"),
    ("u=password%253Dhunter2&y=2", "u=password%253D[redacted]&y=2"),
    ("<user>bob</user><password>hunter2</password>", "<user>bob</user><password>[redacted]</password>"),
    ("run --password hunter2 --user bob", "run --password [redacted] --user bob"),
    ('{"user":"bob","credentials":{"a":"x"}}', '{"user": "bob", "credentials": {"a": "[redacted]"}}'),
    ('{"password":"hunter2","password":null}', '{"password": "[redacted]", "password#2": null}'),
    ('{"p\\u0061ssword":"hunter2"}', '{"password": "[redacted]"}'),
    ('log {"password":"hunter2","a":1', 'log {"password":"[redacted]","a":1'),
    (
        'form-data; name="password"\r\n\r\nhunter2\r\n--x',
        'form-data; name="password"␍␊␍␊[redacted]␍␊--x',
    ),
    ("x-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----y",
     "x-----BEGIN RSA PRIVATE KEY-----[redacted:private_key]-----END RSA PRIVATE KEY-----y"),
    ("pay 4111 1111 1111 " + "1111 now", "pay [redacted:pan] now"),
    ("order 4111 1111 1111 " + "1112 now", "order 4111 1111 1111 1112 now"),
    ("DE89 3704 0044 0532 " + "0130 00 BIC", "[redacted:iban] BIC"),
    ("ssn 123-45-" + "6789", "ssn [redacted:ssn]"),
    ("part 000-45-6789", "part 000-45-6789"),
    ("${jndi:ldap://x/a} %s {0.__class__}", "${jndi:ldap://x/a} %s {0.__class__}"),
    ("otpauth" + "://totp/App:a?secret=" + "JBSWY3DPEHPK3PXP" + "&issuer=App",
     "otpauth://totp/App:a?secret=[redacted:otp_secret]&issuer=App"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), INSIDE)
def test_looking_inside(redactor, text, expected):
    """Only the secret part of a text is replaced; the rest stays readable."""
    assert redactor.text(text) == expected
    assert redactor.redact({"message": text})[0] == {"message": expected}


def test_base64_with_a_secret_is_masked_whole(redactor):
    """A decoded form that cannot be put back is masked whole; harmless base64 stays."""
    secret = base64.b64encode(json.dumps({"password": "hunter2"}).encode()).decode()
    harmless = base64.b64encode(json.dumps({"page": 2, "sort": "created"}).encode()).decode()
    assert redactor.text(f"a {secret} b {harmless}") == f"a [redacted:base64] b {harmless}"


def test_propagation(redactor):
    """A value masked under a key is masked in every other text of the event, whatever its encoding."""
    out, _ = redactor.redact(
        {
            "password": CANARY,
            "message": f"bad credential {CANARY!r} for bob",
            "url.query": urlencode({"q": CANARY}),
            "json": json.dumps(["x", CANARY]),
            "double": quote(quote(CANARY, safe="")),
            CANARY: "as a key",
            "n": [CANARY],
        }
    )
    assert out == {
        "password": MASK,
        "message": f"bad credential '{MASK}' for bob",
        "url.query": f"q={MASK}",
        "json": f'["x", "{MASK}"]',
        "double": MASK,
        MASK: "as a key",
        "n": [MASK],
    }


def test_propagation_of_a_secret_found_by_pattern(redactor):
    """A token recognised in one text is masked where its edge hides it in another."""
    token = "gh" + "p_" + "a1B2" * 9
    assert redactor.redact({"a": f"key {token}", "b": f"xx{token}yy"})[0] == {
        "a": "key [redacted:github]",
        "b": f"xx{MASK}yy",
    }


def test_short_secrets_are_masked_as_words_only(redactor):
    """A PIN does not punch holes into identifiers, and trivial values are not propagated."""
    out, _ = redactor.redact({"pin": 1234, "token": "true", "trace": "ab1234cd", "m": "pin was 1234", "t": "true"})
    assert out == {"pin": MASK, "token": MASK, "trace": "ab1234cd", "m": f"pin was {MASK}", "t": "true"}


def test_password_cannot_rename_fields(redactor):
    """A client whose password is the name of a field does not remove that field."""
    out, _ = redactor.redact({"password": "user.name", "user.name": "bob", "x": "user.name"})
    assert out == {"password": MASK, "user.name": "bob", "x": MASK}


def test_marks_do_not_grow(redactor):
    """A password that is a piece of the marks themselves leaves them as they are."""
    out, _ = redactor.redact({"password": "redacted", "token": "acted]", "m": "sig=abcdefgh"})
    assert out == {"password": MASK, "token": MASK, "m": f"sig={MASK}"}


# --- JSON-safe ------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    pass


class Lazy:
    def __str__(self):
        return "lazy text"


class Raises:
    def __str__(self):
        raise RuntimeError("no")


class Huge:
    def __str__(self):
        return "x" * 10_000_000


class QuerySet:
    def __iter__(self):
        raise AssertionError("evaluated")

    def __repr__(self):
        raise AssertionError("evaluated")


class LyingDict(dict):
    def items(self):
        return []

    def __len__(self):
        raise RuntimeError("no")


@dataclasses.dataclass
class Account:
    user: str
    password: str


LEAVES = [
    (b"caf\xc3\xa9 \xff", "café \\xff"),
    (bytearray(b"ab"), "ab"),
    (memoryview(b"ab"), "ab"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (decimal.Decimal("1.50"), "1.50"),
    (datetime.datetime(2026, 11, 23, 6, 30, tzinfo=datetime.UTC), "2026-11-23T06:30:00+00:00"),
    (datetime.date(2026, 11, 23), "2026-11-23"),
    (datetime.timedelta(seconds=90), "0:01:30"),
    (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),
    (Colour.RED, "red"),
    (Level.LOW, 1),
    (Text("sub"), "sub"),
    (Lazy(), "lazy text"),
    (ValueError("bad"), "bad"),
    (Raises(), "[unprintable Raises]"),
    (Huge(), "[unprintable Huge]"),
    (QuerySet(), "[QuerySet]"),
    (object(), "[object]"),
    ((x for x in "ab"), "[generator]"),
    (len, "[builtin_function_or_method]"),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (2**64, "18446744073709551616"),
    (2**63, 2**63),
    (-(2**63) - 1, "-9223372036854775809"),
    (10**5000, "[int of about 16610 bits]"),
    ((1, 2), [1, 2]),
    ({"a": 1}.keys(), ["a"]),
    (frozenset([7]), [7]),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (LyingDict(password="x", a=1), {"password": MASK, "a": 1}),
    (Account("bob", "hunter2"), {"user": "bob", "password": MASK}),
    ({1: "a", "1": "b", None: "c", (1, "x"): "d"}, {"1": "a", "1#2": "b", "None": "c", "(1, x)": "d"}),
    ({"a\n": 1, "a␊": 2}, {"a␊": 1, "a␊#2": 2}),
]


@pytest.mark.parametrize(("value", "expected"), LEAVES, ids=lambda value: type(value).__name__)
def test_json_safe(redactor, value, expected):
    """Every kind of object becomes an exact built-in value."""
    out, _ = redactor.redact({"v": value})
    assert out == {"v": expected}
    assert type(out["v"]) is type(expected)


def test_lowered_int_limit():
    """The interpreter's limit on printing numbers is never hit, even when an app has lowered it."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert Redactor().redact({"n": 10**1000})[0] == {"n": "[int of about 3322 bits]"}
    finally:
        sys.set_int_max_str_digits(before)


def test_cycles(redactor):
    """A container inside itself ends there; the same container twice side by side is no cycle."""
    loop = {}
    loop["self"] = loop
    items = [1]
    items.append(items)
    twice = ["x"]
    assert redactor.redact({"d": loop, "l": items, "a": twice, "b": twice})[0] == {
        "d": {"self": "[cycle]"},
        "l": [1, "[cycle]"],
        "a": ["x"],
        "b": ["x"],
    }


@pytest.mark.parametrize("fields", [None, 5, "text", [1], object()])
def test_fields_that_are_no_mapping(redactor, fields):
    """Even a wrong argument does not raise."""
    out, masked = redactor.redact(fields)
    assert list(out) == ["seclog.redaction.error"]
    assert masked == 1


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limits():
    """Items, depth and nodes are bounded, and what is missing is said."""
    redactor = Redactor(limits=Limits(max_items=3, max_depth=2))
    assert redactor.redact({"l": [1, 2, 3, 4, 5], "d": dict.fromkeys("abcde", 1), "n": {"a": {"b": {"c": 1}}}})[0] == {
        "l": [1, 2, 3, "[…2 more]"],
        "d": {"a": 1, "b": 1, "c": 1, "…": "[…2 more]"},
        "n": {"a": {"b": "[…1 more]"}},
    }
    out, _ = Redactor(limits=Limits(max_nodes=5)).redact({"l": list(range(50))})
    assert out == {"l": [0, 1, 2, "[…47 more]"]}


def test_cut():
    """A long text keeps its beginning and says what is missing; secrets are gone before it is cut."""
    redactor = Redactor(limits=Limits(max_text=20))
    out = redactor.text("a" * 50)
    assert out == "a" * 20 + "…[cut: 30 characters, sha256 160b4e433e384e05]"
    token = "gh" + "p_" + "a1B2" * 9
    out = redactor.text("x " * 9 + token)
    assert "gh" + "p_" not in out


def test_cut_before_scan_leaves_no_half_secret():
    """Text beyond the scan limit is dropped with the word that was cut in two."""
    redactor = Redactor(limits=Limits(max_scan=100, max_text=1000))
    token = "gh" + "p_" + "a1B2" * 9
    assert redactor.text("x" * 70 + " " + token) == "x" * 70 + "…[cut before scanning: 41 characters]"


def test_long_values_do_not_push_out_short_ones():
    """When an event is too large, its longest texts are cut first."""
    fields = {f"body{number}": f"{number} " + "b" * 4000 for number in range(20)} | {
        "user.name": "bob",
        "path": "/x",
    }
    out, _ = Redactor().redact(fields)
    assert (out["user.name"], out["path"]) == ("bob", "/x")
    assert sum(len(value) for value in out.values()) < 32768 + 20 * 64


def test_secret_beyond_the_item_limit_is_still_propagated():
    """A password in the 150th form field is not written by the message either."""
    form = {f"f{number}": number for number in range(150)} | {"password": CANARY}
    out, _ = Redactor().redact({"form": form, "message": f"got {CANARY}"})
    assert out["message"] == f"got {MASK}"


def test_long_keys_are_cut():
    """A key is bounded too."""
    (key,) = Redactor().redact({"k" * 500: 1})[0]
    assert key.startswith("k" * 128 + "…[cut: 372 characters")


# --- text ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\nb\r\x00\x1b[31m", "a␊b␍␀␛[31m"),
        ("\x7f\x85", "␡\ufffd"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\u2028\u202e", "\u2028\u202e"),
        (Text("s"), "s"),
    ],
)
def test_scrub(text, expected):
    """Controls become visible, surrogates harmless; what the encoder escapes anyway stays."""
    assert scrub(text) == expected
    assert type(scrub(text)) is str


def test_memo_of_clean_texts_is_bounded_and_holds_no_secret():
    """Texts from clients do not grow the memo without end, and no text with a secret enters it."""
    redactor = Redactor()
    for number in range(10_000):
        redactor.redact({"a": f"value {number}", "b": f"password=hunter{number}"})
    assert len(redactor._clean) <= 4096
    assert not [text for text in redactor._clean if "hunter" in text]
