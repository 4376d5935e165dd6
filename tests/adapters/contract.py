"""The contract: what every adapter does, behaviour by behaviour, without a word of any framework.

A binding is a subclass that brings a browser of the contract app (see `contract_app.py`: the table of its paths):

    class TestFlask(AdapterContract):
        BY_CALL = frozenset({"login_failure"})  # facts that the framework cannot see: the app makes the call
        WITHOUT = frozenset({"websocket"})      # what the framework does not have at all

        @pytest.fixture
        def browser(self):                      # the app with the adapter
            yield WSGIBrowser(app)

        @pytest.fixture
        def bare(self):                         # the same app without it
            yield WSGIBrowser(bare_app)

For each test the contract installs seclog's settings (`contract_app.SETTINGS`) in this process and collects what is
recorded; adapters must ask `seclog.api.installed()` at the time. After each test nothing secret may be in any entry.
"""

import gc
import json
import re
from contextlib import contextmanager
from http import HTTPStatus
from secrets import token_hex, token_urlsafe

import pytest

from adapters import contract_app
from adapters.browsers import FIREFOX
from adapters.contract_app import ALICE, BOB, CHUNKS, PASSWORD, REPORT, SECRET, SETTINGS
from conftest import whole
from seclog import api
from seclog.assembly import Installation
from seclog.context import current
from seclog.errors import NotRecordedError
from seclog.settings import Settings

REQUEST_LEVEL = re.compile(
    "malicious_|authz_fail|authz_unauthenticated|excess_rate|input_|http_method|app_unhandled|api_.*_error"
)
"""Event types of which a request has one at most (event_mapping.json, one_request_event)."""

PEER = "198.51.100.7"
PROXY = "10.1.2.3"
CLIENT = "203.0.113.9"
PARALLEL = 200
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

QUIET = ["/", "/?q=1", "/orders/7/", "/redirect/", "/login/", "/me/", "/inline/", "/plain/200/", "/plain/204/"]
"""What is not worth an entry."""

TELLING = {
    "/forbidden/": (403, "authz_fail"),
    "/plain/403/": (403, "authz_fail"),
    "/unauthorized/": (401, "authz_unauthenticated"),
    "/plain/401/": (401, "authz_unauthenticated"),
    "/missing/": (404, "api_client_error"),
    "/plain/404/": (404, "api_client_error"),
    "/nowhere/": (404, "api_client_error"),
    "/plain/410/": (410, "api_client_error"),
    "/busy/": (429, "excess_rate_limit_exceeded"),
    "/plain/429/": (429, "excess_rate_limit_exceeded"),
    "/plain/405/": (405, "http_method_unexpected"),
    "/plain/500/": (500, "api_server_error"),
    "/plain/503/": (503, "api_server_error"),
    "/swallowed/": (500, "api_server_error"),
    "/boom/": (500, "app_unhandled_exception"),
    "/sensitive/13/": (403, "authz_fail"),
}
"""What a GET request answers, and its one request-level entry."""

REASONS = {
    "/forbidden/": {"permission_denied"},
    "/plain/403/": {"forbidden"},
    "/unauthorized/": {"unauthorized", "not_authenticated"},  # the second where the framework asks for a credential
    "/plain/401/": {"unauthorized"},
    "/missing/": {"not_found"},
    "/nowhere/": {"not_found"},
    "/plain/410/": {"gone"},
    "/plain/500/": {"internal_server_error"},
    "/plain/503/": {"service_unavailable"},
    "/swallowed/": {"internal_server_error"},
}

CSRF_REASONS = {
    "cookie_missing",
    "token_missing",
    "token_incorrect",
    "token_expired",
    "origin_mismatch",
    "referer_mismatch",
}

HOSTILE_TARGETS = {
    "control characters": "/nowhere/%0d%0aevent.name=forged%1b[2J/",
    "a null byte": "/nowhere/%00/",
    "no UTF-8": "/nowhere/%ff%fe/",
    "a lone surrogate": "/nowhere/%ed%a0%80/",
    "a long path": "/nowhere/" + "a" * 8000,
    "a climbing path": "/nowhere/../../etc/passwd",
    "two slashes": "//nowhere//",
    "a hostile query": "/missing/?a=%00%0a&=&&%ff=%ed%a0%80&a[]=1&a[]=2",
    "a long query": "/missing/?q=" + "q" * 30_000,
    "many parameters": "/missing/?" + "&".join(f"p{number}=1" for number in range(2000)),
    "a template": "/missing/?q={{7*7}}%25s%25(x)s",
}
HOSTILE_HEADERS = {
    "a long user agent": {"user-agent": "x" * 8192},
    "control characters": {"user-agent": "a\x1b[2J\x07b"},
    "bytes that are no UTF-8": {"user-agent": "\xff\xfe\xed\xa0\x80"},
    "an empty user agent": {"user-agent": ""},
    "forged forwarding": {
        "x-forwarded-for": "127.0.0.1, \x00, ::1, <script>",
        "forwarded": 'for="[::1',
    },
    "a long forwarding": {"x-forwarded-for": ", ".join(["1.1.1.1"] * 2000)},
    "hostile ids": {"x-request-id": "a b\tc'\"", "traceparent": "00-zz-zz-zz"},
    "a hostile cookie": {"cookie": "sessionid=\x01\x02; session=..; a=b; =; ;;"},
    "a hostile content type": {"content-type": "application/json; charset=\xff\"'"},
    "a wrong length": {"accept-language": "x" * 8192},
}
HOSTILE_BODIES = {
    "broken JSON": ("application/json", b'{"a": '),
    "deep JSON": ("application/json", b"[" * 3000 + b"]" * 3000),
    "JSON that is no UTF-8": ("application/json", b'{"a": "\xff\xfe"}'),
    "JSON with lone surrogates": ("application/json", b'{"a": "\\ud800", "\\udfff": "\\u0000"}'),
    "large JSON": ("application/json", b'{"a": "' + b"x" * 200_000 + b'"}'),
    "a form that is no UTF-8": ("application/x-www-form-urlencoded", b"%ff=%fe&a=%00"),
    "a form of many fields": ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % n for n in range(500))),
    "binary": ("application/octet-stream", bytes(range(256)) * 10),
    "nothing": (None, b""),
}

TWINS = {
    **{f"GET {path}": {} for path in (*QUIET, *TELLING, "/download/", "/stream/", "/export/", "/sensitive/7/")},
    **{f"GET {path}": {} for path in ("/patients/7/", "/emit/", "/unknown/", "/job/", "/members/", "/healthz/down")},
    **{f"HEAD {path}": {} for path in ("/", "/download/", "/stream/", "/missing/")},
    "OPTIONS /": {},
    "POST /": {"form": {"a": "b"}},
    "DELETE /orders/7/": {},
    "POST /bad/": {"json": {"a": "b"}},
    "POST /validation/": {"json": {"quantity": 11}},
    "POST /login/": {"form": {"username": "alice", "password": "wrong"}},
    "POST /admin-action/7/": {},
    "POST /admin-action/13/": {},
    "POST /admin-action/14/": {},
    "POST /config/": {},
}
"""Requests whose answers must be, byte by byte, those of the app without seclog."""


class Log:
    """What was recorded in a test."""

    def __init__(self, entries, roads):
        self.entries = entries
        self._roads = roads

    def told(self):
        """Return the entries, without what a process tells of its start."""
        return [entry for entry in self.entries if not entry["event.name"].startswith("sys_")]

    def named(self, name):
        """Return the entries of a type."""
        return [entry for entry in self.entries if entry["event.name"] == name]

    def one(self, name):
        """Return the only entry of a type."""
        found = self.named(name)
        assert len(found) == 1, f"expected one {name}, got {[entry['event.name'] for entry in self.entries]}"
        return found[0]

    def only(self, name):
        """Return the only entry there is."""
        assert [entry["event.name"] for entry in self.told()] == [name]
        return self.told()[0]

    def request_level(self):
        """Return the entries that are about a request as such."""
        return [entry for entry in self.entries if REQUEST_LEVEL.match(entry["event.name"])]

    def work(self, where):
        """Return the entry that `contract_app.work(where)` made."""
        [found] = [entry for entry in self.named("sensitive_update") if entry.get("seclog.target.type") == where]
        return found

    def is_by_call(self, entry):
        """Tell whether the app itself told of it, by a function of seclog's."""
        return self._roads[entry["event.id"]] == "seclog.api"

    def clear(self):
        """Forget what was recorded so far."""
        self.entries.clear()


class Refusing:
    """A journal that is full and may not lose anything."""

    redacted = 0

    def append(self, body, **about):
        raise NotRecordedError("the disk is full")


class Broken:
    """A journal with an error of our own."""

    redacted = 0

    def append(self, body, **about):
        raise RuntimeError("broken")


class BrokenRedactor:
    """A redactor with an error of our own."""

    def is_harmless(self, *about):
        raise RuntimeError("broken")

    redact = is_harmless
    clean_texts = frozenset()


@contextmanager
def keeping_installation():
    """Put the installation of this process back at the end, whatever the block installs."""
    before = api.installed()
    try:
        yield
    finally:
        api._installed = before


def plain(answer):
    """Return an answer as it can be compared: without what is random in cookies, and the second they expire in."""
    headers = [
        (
            name,
            re.sub("expires=[^;]*", "expires=…", re.sub("=[^;]*", "=…", value, count=1))
            if name == "set-cookie"
            else value,
        )
        for name, value in answer.headers
        if name != "date"
    ]
    return answer.status, headers, answer.body, type(answer.raised)


class AdapterContract:
    """What an adapter must do.

    Attributes:
        BY_CALL: facts (right column of the table in contract_app) that the app tells by a call.
        GUESSED: facts that nobody tells, and that the adapter reads off the answer: their entries say so.
        WITHOUT: what the framework does not have: "csrf", "other" (a second kind of handler), "websocket",
            "session_hash" (sessions with a key), "send_raises" (it lets go of a response whose `send` raised).
        ORDERS_ROUTE: how this framework writes the template of /orders/<id>/.
    """

    BY_CALL = frozenset()
    GUESSED = frozenset()
    WITHOUT = frozenset()
    ORDERS_ROUTE = "/orders/{id}/"

    # ── what the tests work with ────────────────────────────────────────────────────────────────────────────

    @pytest.fixture
    def browser(self):
        """Return a browser of the app with the adapter."""
        raise NotImplementedError

    @pytest.fixture
    def bare(self):
        """Return a browser of the same app without the adapter."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _kept(self):
        """Whatever the binding's app installs, the process has its installation back afterwards."""
        with keeping_installation():
            yield

    @pytest.fixture
    def install(self, browser):
        """Install seclog in this process: `install(trusted_proxies=["10.0.0.0/8"])`."""
        made = []

        def install(**changes):
            settings = Settings.load({**SETTINGS, **changes}, environ={})
            made.append(Installation(settings, pseudonym_key=token_hex(16)))
            api._installed = made[-1]
            return made[-1]

        install()
        yield install
        for installation in made:
            installation.shut_down("test")

    @pytest.fixture
    def log(self, install, emitted):
        """Collect what is recorded in the test, through the whole pipeline; no secret may be in it."""
        entries, roads = [], {}
        sink = _Collector(entries, emitted)

        def collect():
            recorder = api.installed().recorder
            recorder.sink = sink
            recorder.record = _remembering_the_road(recorder.record, roads)

        collect()
        log = Log(entries, roads)
        log.collect = collect
        log.everything = sink.everything
        yield log
        dump = json.dumps(sink.everything, ensure_ascii=False)
        assert PASSWORD not in dump
        assert SECRET not in dump

    @pytest.fixture
    def twins(self, bare, log, browser):
        """Return the app with seclog and the app without it."""
        return browser, bare

    @pytest.fixture
    def alice(self, browser, log):
        """Return a browser in which ALICE is logged in."""
        self.log_in(browser, ALICE)
        log.clear()
        return browser

    @staticmethod
    def log_in(browser, user):
        answer = browser.post("/login/", form={"username": user.name, "password": PASSWORD})
        assert answer.status in (302, 303)

    @staticmethod
    def follow(browser, link, form):
        """Open a link as from an e-mail; if there is a form, send it."""
        answer = browser.get(link)
        while answer.status in (301, 302, 303, 307):
            link = answer.header("location")
            answer = browser.get(link)
        return answer if answer.body == b"wrong" else browser.post(link, form=form)

    def is_told_as_declared(self, log, entry, fact):
        """The adapter sees it by itself, unless the binding declares that the app has to call."""
        assert log.is_by_call(entry) == (fact in self.BY_CALL), f"{fact}: by call: {log.is_by_call(entry)}"
        assert entry.get("seclog.detected_by") == ("heuristic" if fact in self.GUESSED else None)

    def need(self, part):
        if part in self.WITHOUT:
            pytest.skip(f"the framework has no {part}")

    # ── family 1: login ─────────────────────────────────────────────────────────────────────────────────────

    def test_login_success(self, browser, log):
        """A login is one entry that names the user and how they proved who they are."""
        self.log_in(browser, ALICE)
        entry = log.one("authn_login_success")
        assert (entry["user.id"], entry["user.name"], entry["seclog.auth.method"]) == (*ALICE, "password")
        assert (entry["event.outcome"], entry["client.address"], entry["url.path"]) == ("success", PEER, "/login/")
        assert log.named("authn_login_fail") == log.request_level() == []
        self.is_told_as_declared(log, entry, "login_success")

    def test_login_failure_of_a_known_user(self, browser, log):
        """A wrong password is one entry that names the user, and not the password."""
        wrong = token_urlsafe()
        browser.post("/login/", form={"username": "alice", "password": wrong})
        entry = log.only("authn_login_fail")
        assert (entry["user.name"], entry["reason"]) == ("alice", "invalid_credentials")
        assert (entry["event.outcome"], entry["client.address"], entry["url.path"]) == ("failure", PEER, "/login/")
        assert wrong not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "login_failure")

    def test_login_failure_of_an_unknown_user(self, browser, log):
        """A name that nobody has is written as a pseudonym: people type their password into the wrong field."""
        typed = token_urlsafe()
        browser.post("/login/", form={"username": typed, "password": PASSWORD})
        entry = log.only("authn_login_fail")
        assert re.fullmatch(r"unknown:[0-9a-f]{16}", entry["user.name"])
        assert "user.id" not in entry
        assert typed not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "login_failure")

    def test_the_same_unknown_name_has_the_same_pseudonym(self, browser, log):
        """Attempts with one name can be counted together."""
        for typed in ("mallory", "mallory", "trudy"):
            browser.post("/login/", form={"username": typed, "password": "x"})
        first, second, third = (entry["user.name"] for entry in log.named("authn_login_fail"))
        assert first == second != third

    def test_login_failure_without_a_password(self, browser, log):
        """A form without a password is a failed login as well; whether the name is looked up is the framework's."""
        browser.post("/login/", form={"username": "alice", "password": ""})
        name = log.only("authn_login_fail")["user.name"]
        assert name == "alice" or re.fullmatch(r"unknown:[0-9a-f]{16}", name)

    def test_failure_while_somebody_else_is_logged_in(self, alice, log):
        """The entry's user is who was tried; who is logged in stands beside."""
        alice.get("/me/")
        alice.post("/login/", form={"username": "bob", "password": "wrong"})
        entry = log.one("authn_login_fail")
        assert (entry["user.name"], entry.get("user.id", BOB.id)) == ("bob", BOB.id)
        assert entry.get("seclog.session.user_id", ALICE.id) == ALICE.id

    def test_who_is_logged_in_is_named(self, alice, log):
        """Entries of later requests name the user."""
        alice.get("/forbidden/")
        entry = log.one("authz_fail")
        assert (entry["user.id"], entry["user.name"]) == ALICE

    def test_logout(self, alice, log):
        """A logout is one entry that names who left."""
        assert alice.post("/logout/").status == 200
        entry = log.one("session_logout")
        assert entry["user.id"] == ALICE.id
        assert entry.get("reason") in {None, "flushed"}  # none: a logout that was called so
        assert log.request_level() == []
        self.is_told_as_declared(log, entry, "logout")

    def test_nobody_is_named_after_the_logout(self, alice, log):
        """Whoever left is not the user of what follows."""
        alice.post("/logout/")
        log.clear()
        alice.get("/forbidden/")
        assert "user.id" not in log.request_level()[0]

    # ── family 2: passwords ─────────────────────────────────────────────────────────────────────────────────

    def test_password_change(self, alice, log):
        """A changed password is one entry about its user; neither password is in it."""
        new = token_urlsafe()
        assert alice.post("/password/", form={"old": PASSWORD, "new": new}).body == b"changed"
        entry = log.one("authn_password_change")
        assert entry["user.id"] == ALICE.id
        assert new not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "password_change")

    def test_password_change_failure(self, alice, log):
        """A change that was refused is one entry too."""
        wrong, new = token_urlsafe(), token_urlsafe()
        assert alice.post("/password/", form={"old": wrong, "new": new}).body == b"wrong"
        entry = log.one("authn_password_change_fail")
        assert (entry["user.id"], entry["event.outcome"]) == (ALICE.id, "failure")
        assert log.named("authn_password_change") == []
        assert wrong not in json.dumps(log.entries)
        assert new not in json.dumps(log.entries)

    def test_password_reset(self, browser, log):
        """Asking for a new password and setting it are one entry each, without the token."""
        link = browser.post("/reset/", form={"username": "alice"}).text
        asked = log.one("authn_password_reset_request")
        self.is_told_as_declared(log, asked, "password_reset")
        new = token_urlsafe()
        assert self.follow(browser, link, {"new": new}).body == b"reset"
        done = log.one("authn_password_reset_complete")
        assert {asked.get("user.id", ALICE.id), done["user.id"]} == {ALICE.id}
        token = link.rstrip("/").rpartition("/")[2]
        assert token not in json.dumps(log.entries)
        assert new not in json.dumps(log.entries)
        self.is_told_as_declared(log, done, "password_reset")

    def test_password_reset_failure(self, browser, log):
        """A link that is not (or no longer) good is one entry, without the token that was tried."""
        link = browser.post("/reset/", form={"username": "alice"}).text
        log.clear()
        start, _, token = link.rstrip("/").rpartition("/")
        wrong = f"{token[:-4]}{'zzzz' if token[-4:] != 'zzzz' else 'yyyy'}"
        assert self.follow(browser, f"{start}/{wrong}/", {"new": token_urlsafe()}).body == b"wrong"
        entry = log.one("authn_password_reset_fail")
        assert entry["event.outcome"] == "failure"
        assert wrong not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "password_reset")

    # ── family 3: sessions and tokens ───────────────────────────────────────────────────────────────────────

    def test_session_created(self, browser, log):
        """With a login a session begins."""
        self.log_in(browser, ALICE)
        entry = log.one("session_created")
        assert entry["user.id"] == ALICE.id
        self.is_told_as_declared(log, entry, "session_created")

    def test_the_session_key_is_never_written(self, alice, log):
        """A session is told apart by a keyed hash; what is in the cookie stands nowhere."""
        alice.get("/forbidden/")
        alice.get("/missing/")
        keys = list(alice.cookies.values())
        assert keys
        for key in keys:
            assert key not in json.dumps(log.everything)

    def test_a_session_has_one_hash(self, alice, log):
        """Entries of one session can be put together, those of another are told apart."""
        alice.get("/forbidden/")
        alice.get("/forbidden/")
        other = alice.fork()
        self.log_in(other, BOB)
        other.get("/forbidden/")
        first, second, third = (entry.get("seclog.session.id_hash") for entry in log.named("authz_fail"))
        if "session_hash" in self.WITHOUT:
            assert {first, second, third} == {None}
        else:
            assert first == second != third
            assert first and third

    def test_a_session_that_nobody_has(self, alice, log):
        """A cookie that is no session is one entry with its hash, once a cookie, and in the same words everywhere."""
        alice.cookies.update((name, token_urlsafe(24)) for name in alice.cookies)
        alice.get("/me/")
        entry = log.only("session_use_after_expire")
        assert (entry["reason"], entry["event.outcome"]) == ("unknown_session", "failure")
        assert entry["seclog.session.id_hash"]
        assert "user.id" not in entry
        assert not [cookie for cookie in alice.cookies.values() if cookie in json.dumps(log.everything)]

    def test_token_created(self, browser, log):
        """A token that is given out is one entry that names its user, without the token."""
        token = browser.post("/token/", form={"username": "alice", "password": PASSWORD}).text
        entry = log.one("authn_token_created")
        assert entry["user.id"] == ALICE.id
        assert token not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "token_created")

    def test_a_good_token_tells_nothing(self, browser, log):
        """Using a token is nothing special."""
        token = browser.post("/token/", form={"username": "alice", "password": PASSWORD}).text
        log.clear()
        assert browser.get("/token/use/", headers={"Authorization": f"Bearer {token}"}).body == b"used"
        assert log.told() == []

    def test_token_invalid(self, browser, log):
        """A token that nobody has is one entry, without the token."""
        token = token_hex(20)
        assert browser.get("/token/use/", headers={"Authorization": f"Bearer {token}"}).status == 401
        entry = log.one("authn_token_invalid")
        assert entry["event.outcome"] == "failure"
        assert token not in json.dumps(log.entries)
        self.is_told_as_declared(log, entry, "token_invalid")

    # ── family 4: roles ─────────────────────────────────────────────────────────────────────────────────────

    def test_role_change(self, alice, log):
        """A granted role is one entry: who, to whom, from what to what."""
        assert alice.post("/role/").body == b"granted"
        entry = log.only("authz_change")
        assert (entry["user.id"], entry["seclog.target.id"]) == (ALICE.id, BOB.id)
        assert entry["seclog.change.field"]
        assert entry["seclog.change.old"] != entry["seclog.change.new"]
        self.is_told_as_declared(log, entry, "role_change")

    # ── family 5: data ──────────────────────────────────────────────────────────────────────────────────────

    def test_sensitive_read(self, alice, log):
        """A decorated handler's success is one entry: who read which record."""
        assert alice.get("/sensitive/7/").body == b"patient 7"
        entry = log.only("sensitive_read")
        assert (entry["user.id"], entry["seclog.target.type"], entry["seclog.target.id"]) == (ALICE.id, "patients", "7")
        assert (entry["seclog.count"], entry["event.outcome"], entry["url.path"]) == (1, "success", "/sensitive/7/")

    def test_a_refused_read_is_no_read(self, browser, log):
        """A decorated handler that refuses is one entry about the refusal, none about data."""
        assert browser.get("/sensitive/13/").status == 403
        log.only("authz_fail")

    def test_sensitive_path(self, browser, log):
        """A read below a path that the settings call sensitive is one entry, without a decorator."""
        browser.get("/patients/7/")
        entry = log.only("sensitive_read")
        assert (entry["seclog.target.type"], entry["seclog.target.id"]) == ("/patients/", "/patients/7/")
        assert entry["http.response.status_code"] == 200

    def test_a_failed_read_below_a_sensitive_path(self, browser, log):
        """What was not there was not read."""
        assert browser.get("/patients/nobody/at/all/").status == 404
        log.only("api_client_error")

    def test_export(self, browser, log):
        """A decorated export is one entry with the number of rows."""
        assert browser.get("/export/").body == b"exported"
        entry = log.only("data_export")
        assert (entry["seclog.target.type"], entry["seclog.count"], entry["seclog.format"]) == ("orders", 3, "csv")

    def test_download(self, alice, log):
        """A file that leaves is one entry: who, which, how many bytes."""
        answer = alice.get("/download/")
        assert answer.body == REPORT
        entry = log.only("data_download")
        assert (entry["file.name"], entry["seclog.bytes"]) == ("orders.csv", len(REPORT))
        assert (entry["seclog.target.id"], entry["event.outcome"]) == ("/download/", "success")
        assert entry["user.id"] == ALICE.id

    def test_streamed_download(self, alice, log):
        """A stream is one entry when it ended: with all its bytes, its user and its request."""
        answer = alice.get("/stream/", headers={"X-Request-ID": "stream-request-1"})
        assert answer.body == b"".join(CHUNKS)
        entry = log.only("data_download")
        assert (entry["file.name"], entry["seclog.bytes"]) == ("stream.csv", sum(map(len, CHUNKS)))
        assert (entry["user.id"], entry["seclog.request.id"]) == (ALICE.id, "stream-request-1")
        assert (entry["event.outcome"], entry["http.response.status_code"]) == ("success", 200)

    def test_aborted_download(self, alice, log):
        """A client that leaves in the middle is one failed download, with what it got until then."""
        assert alice.close_early("/stream/", headers={"X-Request-ID": "stream-request-2"})
        alice.settle()
        entry = log.only("data_download")
        assert (entry["event.outcome"], entry["reason"]) == ("failure", "aborted")
        assert entry["seclog.bytes"] < sum(map(len, CHUNKS))
        assert (entry["user.id"], entry["seclog.request.id"]) == (ALICE.id, "stream-request-2")

    def test_aborted_download_where_send_raises(self, browser, log):
        """The same where the server raises at the next chunk (ASGI 2.4) instead of dropping it."""
        if not hasattr(browser, "raises_when_gone"):
            pytest.skip("only ASGI servers do that")
        self.need("send_raises")
        browser.raises_when_gone = True
        browser.close_early("/stream/")
        browser.settle()
        entry = log.only("data_download")
        assert (entry["event.outcome"], entry["reason"]) == ("failure", "aborted")

    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    def test_broken_download(self, browser, log):
        """A stream that breaks is one failed download that names the error's class; the error goes its way."""
        answer = browser.get("/stream/broken/")
        assert answer.raised is not None or answer.status == 500
        entry = log.one("data_download")
        assert (entry["event.outcome"], entry["reason"]) == ("failure", "error")
        assert entry["error.type"].endswith("Boom")
        assert entry["seclog.bytes"] in (0, len(CHUNKS[0]))
        del answer  # its traceback holds what a framework forgets to close: it shall be warned of here
        gc.collect()

    def test_head_of_a_download(self, browser, log):
        """Nothing leaves with HEAD."""
        browser.request("HEAD", "/download/")
        browser.request("HEAD", "/stream/")
        browser.settle()
        assert log.named("data_download") == []

    # ── family 6: access denied ─────────────────────────────────────────────────────────────────────────────

    def test_a_refusal_as_a_whole(self, browser, log):
        """The entry of a refused request has the context of its request, and nothing else."""
        browser.get("/forbidden/")
        entry = log.only("authz_fail")
        entry.pop("seclog.view", None)
        entry.pop("http.route", None)
        assert entry.pop("reason") in REASONS["/forbidden/"]
        assert whole(entry) == {
            "schema": "seclog/1",
            "timestamp": "<time>",
            "event.name": "authz_fail",
            "event.id": "<id>",
            "event.outcome": "failure",
            "severity": "medium",
            "message": "Access denied",
            "service.name": "contract",
            "service.version": "1.2.3",
            "deployment.environment.name": "test",
            "client.address": PEER,
            "user_agent.original": FIREFOX,
            "http.request.method": "GET",
            "url.path": "/forbidden/",
            "http.response.status_code": 403,
            "seclog.request.id": "<request id>",
            "seclog.duration_ms": "<ms>",
        }

    def test_not_logged_in(self, browser, log):
        """Who has to log in first is one entry, whether sent to the login or refused."""
        status = browser.get("/members/").status
        assert status in (302, 303, 307, 401)
        entry = log.only("authz_unauthenticated")
        assert entry["url.path"] == "/members/"
        assert entry["reason"] in ({"unauthorized", "not_authenticated"} if status == 401 else {"login_required"})

    def test_logged_in(self, alice, log):
        """Who is logged in is let in, and nothing is told."""
        assert alice.get("/members/").body == b"members"
        assert log.told() == []

    def test_csrf(self, browser, log):
        """A form without the token against forgery is one entry, and no other refusal."""
        self.need("csrf")
        assert browser.post("/protected/", form={"a": "b"}).status in (400, 403)
        entry = log.one("malicious_csrf")
        assert entry["reason"] in CSRF_REASONS
        self.is_told_as_declared(log, entry, "csrf")
        if "csrf" not in self.BY_CALL:
            assert log.request_level() == [entry]

    def test_csrf_from_an_attack_tool(self, browser, log):
        """Of two events of the same rank there is one."""
        self.need("csrf")
        browser.post("/protected/", form={"a": "b"}, headers={"User-Agent": "sqlmap/1.8"})
        malicious = [entry for entry in log.request_level() if entry["event.name"].startswith("malicious_")]
        assert len(malicious) == 1 or "csrf" in self.BY_CALL

    # ── family 7: what goes wrong ───────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("path", TELLING)
    def test_one_request_level_entry(self, browser, log, path):
        """A request that goes wrong is one entry, by what went wrong; it has its status, its path and its place."""
        status, name = TELLING[path]
        answer = browser.get(path)
        assert answer.status in (status, None)
        entry = log.only(name)
        assert (entry["http.response.status_code"], entry["url.path"]) == (status, path)
        assert (entry["http.request.method"], entry["client.address"]) == ("GET", PEER)
        assert entry.get("reason") in REASONS.get(path, {entry.get("reason")})

    @pytest.mark.parametrize("path", QUIET)
    def test_what_goes_well_is_quiet(self, browser, log, path):
        """A request that goes well is no entry."""
        browser.get(path)
        assert log.told() == []

    def test_method_not_allowed(self, browser, log):
        """A method that is not there is one entry that names those that are."""
        assert browser.post("/").status == 405
        entry = log.only("http_method_unexpected")
        assert entry["http.request.method"] == "POST"
        assert "GET" in entry["seclog.allowed_methods"]

    def test_rate_limit(self, browser, log):
        """Too many requests: the entry says when to come back."""
        browser.get("/busy/")
        assert str(log.only("excess_rate_limit_exceeded")["seclog.retry_after"]) == "7"

    def test_unhandled_exception(self, browser, log):
        """The entry names the error's class and place, and has a fingerprint; never its text."""
        browser.get("/boom/")
        entry = log.only("app_unhandled_exception")
        assert entry["error.type"] == "adapters.contract_app.Boom"
        assert re.fullmatch(r"[0-9a-f]{16}", entry["seclog.error.fingerprint"])
        assert re.fullmatch(r"[\w.]+:[\w.<>]*boom[\w.<>]*:\d+", entry["seclog.error.location"])
        assert (entry["severity"], entry["event.outcome"]) == ("high", "failure")

    def test_the_same_error_has_the_same_fingerprint(self, browser, log):
        """Errors can be counted by their place; another place has another fingerprint."""
        browser.get("/boom/")
        browser.get("/boom/?again=1")
        browser.post("/admin-action/14/")
        first, second, third = (entry["seclog.error.fingerprint"] for entry in log.named("app_unhandled_exception"))
        assert first == second != third

    def test_an_exception_that_the_app_answers(self, browser, log):
        """An error page of the app's own hides the error from the client, not from the entry."""
        assert browser.get("/swallowed/").body == b"sorry"
        assert log.only("api_server_error")["error.type"] == "adapters.contract_app.Swallowed"

    def test_a_server_error_without_exception(self, browser, log):
        """A plain 503 has its status as the error's type."""
        browser.get("/plain/503/")
        assert log.only("api_server_error")["error.type"] == "503"

    def test_validation(self, browser, log):
        """Input that is refused is one entry that names the field, not the value."""
        value = 10**6 + 17
        assert browser.post("/validation/", json={"quantity": value}).status in (400, 422)
        [entry] = [entry for entry in log.entries if entry["event.name"].startswith("input_validation_")]
        assert entry["seclog.fields"] == ["quantity"]
        assert str(value) not in json.dumps({key: entry[key] for key in entry if key != "seclog.params_censored"})
        self.is_told_as_declared(log, entry, "validation")
        if "validation" not in self.BY_CALL:
            assert log.request_level() == [entry]

    def test_valid_input_is_quiet(self, browser, log):
        """Input that is accepted is no entry."""
        assert browser.post("/validation/", json={"quantity": 7}).body == b"valid"
        assert log.told() == []

    @pytest.mark.parametrize("path", ["/favicon.ico", "/apple-touch-icon.png"])
    def test_what_browsers_ask_for_by_themselves(self, browser, log, path):
        """A missing icon says nothing about anybody."""
        assert browser.get(path).status == 404
        assert log.told() == []

    @pytest.mark.parametrize("path", ["/healthz", "/healthz/down"])
    def test_ignored_paths(self, browser, log, path):
        """What the settings ignore is no entry, whatever the answer."""
        browser.get(path)
        assert log.told() == []

    def test_attack_tool(self, browser, log):
        """A known attack tool is one entry, even where it finds something."""
        browser.get("/", headers={"User-Agent": "sqlmap/1.8#stable (https://sqlmap.org)"})
        entry = log.only("malicious_attack_tool")
        assert (entry["seclog.tool"], entry["http.response.status_code"]) == ("sqlmap", 200)

    @pytest.mark.parametrize("path", ["/missing/", "/forbidden/", "/boom/", "/busy/"])
    def test_the_attack_tool_goes_first(self, browser, log, path):
        """What a tool ran into is told with it, in one entry."""
        browser.get(path, headers={"User-Agent": "Mozilla/5.0 Nikto/2.5"})
        found = [entry["event.name"] for entry in log.told()]
        if path == "/boom/":  # the error may have left the app before the tool is looked for
            assert len(found) == 1
        else:
            assert found == ["malicious_attack_tool"]

    # ── what a client sent ──────────────────────────────────────────────────────────────────────────────────

    def test_query(self, browser, log):
        """An error's entry has the query's parameters, without those that are secret."""
        browser.get(f"/missing/?page=3&tag=a&tag=b&password={PASSWORD}&api_key={SECRET}")
        entry = log.only("api_client_error")
        query = entry["seclog.params_censored"]["query"]
        assert (query["page"], query["tag"]) == ("3", ["a", "b"])
        assert set(query) == {"page", "tag", "password", "api_key"}
        assert entry["url.path"] == "/missing/"

    @pytest.mark.parametrize("path", ["/bad/", "/boom/"])
    def test_form(self, browser, log, path):
        """A form that the app has read: its fields, without secrets."""
        browser.post(path, form={"colour": "red", "password": PASSWORD})
        [entry] = log.request_level()
        form = entry["seclog.params_censored"]["form"]
        assert form["colour"] == "red"
        assert PASSWORD not in form["password"]

    @pytest.mark.parametrize("path", ["/bad/", "/boom/"])
    def test_json(self, browser, log, path):
        """JSON that the app has read: its values, without secrets, however deep."""
        browser.post(path, json={"colour": "red", "login": {"password": PASSWORD, "token": SECRET}, "numbers": [1, 2]})
        [entry] = log.request_level()
        body = entry["seclog.params_censored"]["body"]
        assert (body["colour"], body["numbers"]) == ("red", [1, 2])

    def test_a_body_that_nobody_read(self, browser, log):
        """Nothing is read from a client for the sake of the log."""
        browser.post("/", json={"colour": "red"})
        assert "red" not in json.dumps(log.only("http_method_unexpected"))

    @pytest.mark.parametrize("path", ["/missing/", "/forbidden/", "/boom/", "/plain/500/", "/stream/"])
    def test_headers_are_never_written(self, browser, log, path):
        """What headers carry as credentials is in no entry."""
        browser.get(path, headers={
            "Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET, "Cookie": f"theme={SECRET}", "Referer": SECRET,
        })  # fmt: skip
        assert log.told()
        assert SECRET not in json.dumps(log.entries)

    def test_a_secret_in_the_text_of_a_value(self, browser, log):
        """What looks like a secret is taken out of values too."""
        token = f"ghp_{token_hex(18)}"
        browser.get(f"/missing/?note=see+{token}+there")
        assert token not in json.dumps(log.only("api_client_error"))

    # ── who and where ───────────────────────────────────────────────────────────────────────────────────────

    def test_the_peer_is_the_client(self, browser, log):
        """Without trusted proxies the connection's other end is the client, whatever the headers say."""
        browser.get("/missing/", headers={"X-Forwarded-For": CLIENT, "Forwarded": f"for={CLIENT}", "X-Real-IP": CLIENT})
        entry = log.only("api_client_error")
        assert entry["client.address"] == PEER
        assert CLIENT not in json.dumps(entry)

    @pytest.mark.parametrize(
        "headers",
        [{"X-Forwarded-For": f"6.6.6.6, {CLIENT}"}, {"Forwarded": f'for=6.6.6.6, for="{CLIENT}:4711"'}],
        ids=["x-forwarded-for", "forwarded"],
    )
    def test_behind_a_trusted_proxy(self, browser, log, install, headers):
        """Behind a trusted proxy the client is the last address that the proxy has seen."""
        install(trusted_proxies=["10.0.0.0/8"])
        log.collect()
        browser.get("/missing/", headers=headers, peer=PROXY)
        entry = log.only("api_client_error")
        assert (entry["client.address"], entry["seclog.client.peer"]) == (CLIENT, PROXY)
        assert entry["seclog.client.forwarded"] == next(iter(headers.values()))

    def test_around_a_trusted_proxy(self, browser, log, install):
        """Who does not come through the trusted proxy can claim nothing."""
        install(trusted_proxies=["10.0.0.0/8"])
        log.collect()
        browser.get("/missing/", headers={"X-Forwarded-For": CLIENT})
        assert log.only("api_client_error")["client.address"] == PEER

    def test_ipv6(self, browser, log):
        """Addresses are written in one form."""
        browser.get("/missing/", peer="2001:DB8:0:0::1")
        assert log.only("api_client_error")["client.address"] == "2001:db8::1"

    def test_an_inbound_request_id(self, browser, log):
        """A well-formed request id is taken over."""
        browser.get("/missing/", headers={"X-Request-ID": "abc-123.DEF_456"})
        assert log.only("api_client_error")["seclog.request.id"] == "abc-123.DEF_456"

    @pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "semi;colon", "a\x1bbbbbbbbb", ""])
    def test_a_malformed_request_id(self, browser, log, given):
        """Anything else is replaced."""
        browser.get("/missing/", headers={"X-Request-ID": given})
        assert re.fullmatch(r"[0-9a-f]{16}", log.only("api_client_error")["seclog.request.id"])

    def test_each_request_has_an_id(self, browser, log):
        """Without an inbound id each request gets its own, and all entries of a request have the same."""
        browser.get("/bound/w1/?")
        browser.get("/slow/w1/")
        browser.get("/slow/w2/")
        ids = {}
        for entry in log.told():
            ids.setdefault(entry["url.path"], set()).add(entry["seclog.request.id"])
        assert [len(found) for found in ids.values()] == [1, 1, 1]
        assert len(set.union(*ids.values())) == 3

    def test_traceparent(self, browser, log):
        """The W3C trace is taken over."""
        browser.get("/missing/", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
        entry = log.only("api_client_error")
        assert (entry["trace_id"], entry["span_id"]) == (TRACE, SPAN)

    @pytest.mark.parametrize("given", [f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", "x"])
    def test_a_malformed_traceparent(self, browser, log, given):
        """A malformed trace is none."""
        browser.get("/missing/", headers={"traceparent": given})
        assert log.only("api_client_error").keys().isdisjoint({"trace_id", "span_id"})

    def test_route(self, browser, log):
        """The entry has the route's template beside the path."""
        browser.get("/orders/7/", headers={"User-Agent": "sqlmap/1.8"})
        entry = log.only("malicious_attack_tool")
        assert (entry["http.route"], entry["url.path"]) == (self.ORDERS_ROUTE, "/orders/7/")

    def test_no_route(self, browser, log):
        """A path that leads nowhere has no template."""
        browser.get("/nowhere/")
        assert "http.route" not in log.only("api_client_error")

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_method(self, browser, log, method):
        """The entry has the method."""
        browser.request(method, "/orders/7/")
        assert log.only("http_method_unexpected")["http.request.method"] == method

    def test_the_query_is_not_in_the_path(self, browser, log):
        """A path is written without its query."""
        browser.get("/forbidden/?a=b")
        assert log.only("authz_fail")["url.path"] == "/forbidden/"

    def test_without_a_user_agent(self, browser, log):
        """A client that sends no user agent has none."""
        browser.get("/missing/", headers={"User-Agent": None})
        assert log.only("api_client_error").get("user_agent.original") is None

    def test_duration(self, browser, log):
        """The entry has the milliseconds since the request began."""
        browser.get("/slow/w1/")
        begun, ended = log.told()
        assert 0 <= begun["seclog.duration_ms"] <= ended["seclog.duration_ms"] < 60_000

    # ── families 9 and 10, and what the app calls ───────────────────────────────────────────────────────────

    def test_config_change(self, alice, log):
        """A changed setting is one entry: who, what, from what to what."""
        assert alice.post("/config/").body == b"saved"
        entry = log.only("config_changed")
        assert (entry["user.id"], entry["seclog.change.field"]) == (ALICE.id, "tax_rate")
        old, new = (float(str(entry[f"seclog.change.{which}"])) for which in ("old", "new"))
        assert (old, new) == (19, 20)
        self.is_told_as_declared(log, entry, "config_change")

    def test_a_changed_secret(self, alice, log):
        """That a secret changed is told; neither value is."""
        assert alice.post("/config/secret/").body == b"saved"
        entry = log.only("config_changed")
        assert entry["seclog.change.field"] == "payment_api_key"
        assert SECRET not in json.dumps(entry)

    @pytest.mark.parametrize(
        ("pk", "status", "outcome"), [(7, 200, "success"), (13, 402, "failure"), (14, 500, "failure")]
    )
    def test_admin_action(self, alice, log, pk, status, outcome):
        """A decorated action is one entry with its outcome; what went wrong besides is another."""
        assert alice.post(f"/admin-action/{pk}/").status in (status, None)
        entry = log.one("authz_admin")
        assert (entry["seclog.action"], entry["seclog.target.type"]) == ("refund", "order")
        assert (entry["seclog.target.id"], entry["event.outcome"]) == (str(pk), outcome)
        assert (entry["user.id"], entry.get("error.type")) == (ALICE.id, "Boom" if pk == 14 else None)
        others = {7: [], 13: ["api_client_error"], 14: ["app_unhandled_exception"]}[pk]
        assert [e["event.name"] for e in log.request_level()] == others

    def test_emit(self, alice, log):
        """An app's own event has the context of its request."""
        assert alice.get("/emit/", headers={"X-Request-ID": "emit-request-1"}).body == b"done"
        entry = log.only("sensitive_update")
        assert (entry["user.id"], entry["user.name"], entry["client.address"]) == (*ALICE, PEER)
        assert (entry["url.path"], entry["seclog.request.id"]) == ("/emit/", "emit-request-1")
        assert "http.response.status_code" not in entry  # not known yet

    def test_bound_user(self, browser, log):
        """Whom the app names is the user of what follows in the request, and of nothing else."""
        browser.get("/bound/worker-1/")
        browser.get("/emit/")
        assert (log.work("bound")["user.id"], log.work("bound")["user.name"]) == ("worker-1", "worker-1")
        assert "user.id" not in log.work("emit")

    def test_unknown_type(self, browser, log):
        """A type that the catalogue does not have is recorded, and marked."""
        assert browser.get("/unknown/").body == b"done"
        entry = log.only("cat_on_keyboard")
        assert entry["seclog.count"] == 1
        assert any("unknown" in str(key) + str(value) for key, value in entry.items())

    def test_actor(self, browser, log):
        """Work under a named actor belongs to its request."""
        browser.get("/job/", headers={"X-Request-ID": "job-request-1"})
        entry = log.only("sensitive_update")
        assert (entry["seclog.actor"], entry["user.id"]) == ("import:orders", "import:orders")
        assert (entry["seclog.request.id"], entry["client.address"]) == ("job-request-1", PEER)

    # ── threads, tasks, and what goes on after the answer ───────────────────────────────────────────────────

    def test_a_thread_that_keeps_the_context(self, browser, log):
        """Work that the app hands to another thread has the request's user and id."""
        assert browser.get("/thread/", headers={"X-Request-ID": "thread-request"}).body == b"done"
        entry = log.only("sensitive_update")
        assert (entry["user.id"], entry["seclog.request.id"]) == ("worker-7", "thread-request")

    def test_a_thread_without_context(self, browser, log):
        """Work in a bare thread is recorded; it has nobody's context rather than somebody else's."""
        assert browser.get("/plain-thread/").body == b"done"
        assert log.only("sensitive_update").keys().isdisjoint({"user.id", "seclog.request.id", "client.address"})

    def test_background_work(self, browser, log):
        """Work after the answer has the request's user and id."""
        assert browser.get("/background/", headers={"X-Request-ID": "background-1"}).body == b"done"
        browser.settle()
        entry = log.only("sensitive_update")
        assert (entry["user.id"], entry["seclog.request.id"]) == ("worker-8", "background-1")
        assert entry["url.path"] == "/background/"

    def test_nothing_is_left_behind(self, browser, log):
        """After a request there is no current one, whatever became of it."""
        for path in ("/", "/bound/worker-1/", "/boom/", "/forbidden/", "/stream/", "/job/", "/thread/"):
            browser.get(path)
            assert current() is None
        log.clear()
        contract_app.work("outside")
        assert log.only("sensitive_update").keys().isdisjoint({"user.id", "seclog.request.id", "url.path"})

    def test_many_requests_one_after_the_other(self, browser, log):
        """No request inherits anything from the one before."""
        for number in range(50):
            browser.get(f"/bound/{number}/" if number % 2 else "/emit/", peer=f"192.0.2.{number}")
        for number, entry in enumerate(log.told()):
            assert entry["client.address"] == f"192.0.2.{number}"
            assert entry.get("user.id") == (str(number) if number % 2 else None)

    @pytest.mark.parametrize("prefix", ["", "/other"], ids=["native", "other"])
    def test_parallel_users(self, browser, log, prefix):
        """200 users at the same time: no entry has anything of another's."""
        if prefix:
            self.need("other")
        contract_app.expect(0 if prefix else PARALLEL)
        try:
            answers = browser.together([
                (f"{prefix}/slow/user-{n}/", {"X-Request-ID": f"request-{n:03}", "User-Agent": f"agent/{n}"}, f"10.9.{n // 250}.{n % 250}")
                for n in range(PARALLEL)
            ])  # fmt: skip
        finally:
            contract_app.expect(0)
        assert [answer.status for answer in answers] == [403] * PARALLEL
        found = {}
        for entry in log.told():
            found.setdefault(entry["user.id"], []).append(entry)
        assert set(found) == {f"user-{n}" for n in range(PARALLEL)}
        for n in range(PARALLEL):
            own, refusal = found[f"user-{n}"]
            assert (own["event.name"], refusal["event.name"]) == ("sensitive_update", "authz_fail")
            assert own["seclog.target.id"] == f"user-{n}"
            for entry in (own, refusal):
                assert entry["seclog.request.id"] == f"request-{n:03}"
                assert entry["url.path"] == f"{prefix}/slow/user-{n}/"
                assert entry["user_agent.original"] == f"agent/{n}"
                assert entry["client.address"] == f"10.9.{n // 250}.{n % 250}"

    # ── the other kind of handler ───────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/other/forbidden/", "authz_fail"),
            ("/other/boom/", "app_unhandled_exception"),
            ("/other/emit/", "sensitive_update"),
            ("/other/sensitive/7/", "sensitive_read"),
            ("/other/thread/", "sensitive_update"),
        ],
    )
    def test_the_other_kind_of_handler(self, browser, log, path, name):
        """Sync and async handlers tell the same."""
        self.need("other")
        browser.get(path, headers={"X-Request-ID": "other-kind-1"})
        entry = log.only(name)
        assert (entry["url.path"], entry["client.address"]) == (path, PEER)
        assert entry["seclog.request.id"] == "other-kind-1"

    def test_the_other_kind_names_the_user(self, alice, log):
        """Who is logged in is named there too."""
        self.need("other")
        alice.get("/other/sensitive/7/")
        alice.get("/other/forbidden/")
        assert [entry["user.id"] for entry in log.told()] == [ALICE.id] * 2

    def test_the_other_kind_is_quiet_too(self, browser, log):
        """What goes well there is no entry either."""
        self.need("other")
        assert browser.get("/other/").status == 200
        assert log.told() == []

    # ── no effect on the app ────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("what", TWINS)
    def test_no_effect(self, twins, what):
        """Status, headers and body are those of the app without seclog, and so is what it raises."""
        method, _, path = what.partition(" ")
        watched, bare = (plain(browser.request(method, path, **TWINS[what])) for browser in twins)
        assert watched == bare

    def test_no_effect_on_a_login(self, twins):
        """A login leads to the same place, with the same cookies."""
        form = {"username": "alice", "password": PASSWORD}
        watched, bare = (plain(browser.post("/login/", form=form)) for browser in twins)
        assert watched == bare
        assert twins[0].get("/me/").body == twins[1].get("/me/").body == b"alice"

    # ── our own failures ────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.contains_errors
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/emit/", "sensitive_update"),
            ("/forbidden/", "authz_fail"),
            ("/boom/", "app_unhandled_exception"),
            ("/sensitive/7/", "sensitive_read"),
            ("/download/", "data_download"),
            ("/stream/", "data_download"),
        ],
    )
    def test_a_broken_redactor(self, twins, log, install, path, name):
        """An error of our own changes nothing for the app; it is counted, and what happened is on record."""
        watched, bare = twins
        installation = api.installed()
        installation.recorder._redactor = BrokenRedactor()
        assert plain(watched.get(path)) == plain(bare.get(path))
        entry = log.named(name)[0]
        assert entry["seclog.incomplete"] == "RuntimeError"
        assert "url.path" not in entry
        assert installation.recorder.errors >= 1

    @pytest.mark.contains_errors
    @pytest.mark.parametrize(
        "path", ["/", "/emit/", "/forbidden/", "/boom/", "/sensitive/7/", "/download/", "/stream/"]
    )
    def test_a_broken_journal(self, twins, log, path):
        """An error of our own while writing changes nothing for the app; it is counted."""
        watched, bare = twins
        recorder = api.installed().recorder
        recorder.sink = Broken()
        assert plain(watched.get(path)) == plain(bare.get(path))
        assert (recorder.errors > 0) == (path != "/")

    @pytest.mark.contains_errors
    def test_it_goes_on_after_an_error(self, browser, log):
        """An error of our own is over with its request."""
        recorder = api.installed().recorder
        sink, recorder.sink = recorder.sink, Broken()
        browser.get("/forbidden/")
        recorder.sink = sink
        browser.get("/forbidden/")
        log.only("authz_fail")

    def test_without_seclog(self, browser, bare, log):
        """An app whose seclog was never set up serves all the same."""
        api._installed = None
        for path in ("/", "/forbidden/", "/boom/", "/download/", "/stream/", "/emit/", "/sensitive/7/"):
            assert plain(browser.get(path)) == plain(bare.get(path))

    @pytest.mark.parametrize(
        "path",
        [
            "/emit/",
            "/emit-caught/",
            "/sensitive/7/",
            "/forbidden/",
            "/missing/",
            "/nowhere/",
            "/download/",
            "/job/",
            "/export/",
            "/boom/",
        ],
    )
    def test_what_cannot_be_recorded_is_refused(self, browser, log, path):
        """With `on_failure="block"` the client gets 503, even where the app catches the error on its way."""
        api.installed().recorder.sink = Refusing()
        answer = browser.get(path)
        assert (answer.status, answer.header("retry-after")) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")
        assert b"cannot be recorded" in answer.body
        assert answer.raised is None or path == "/boom/"

    def test_a_login_that_cannot_be_recorded_is_refused(self, browser, log):
        """With `block` nobody logs in unseen."""
        api.installed().recorder.sink = Refusing()
        assert browser.post("/login/", form={"username": "alice", "password": PASSWORD}).status == 503

    @pytest.mark.parametrize("path", ["/", "/orders/7/", "/redirect/", "/healthz"])
    def test_what_needs_no_entry_is_served(self, twins, path):
        """Only what must be recorded is refused."""
        api.installed().recorder.sink = Refusing()
        watched, bare = (plain(browser.get(path)) for browser in twins)
        assert watched == bare

    # ── hostile input ───────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("what", HOSTILE_TARGETS)
    def test_hostile_paths(self, twins, log, what):
        """Whatever stands in the path: the app's answer, one entry, no control characters in it."""
        watched, bare = (browser.get(HOSTILE_TARGETS[what]) for browser in twins)
        assert plain(watched) == plain(bare)
        assert len(log.told()) == 1
        self.is_clean(log)

    @pytest.mark.parametrize("what", HOSTILE_HEADERS)
    def test_hostile_headers(self, twins, log, what):
        """Whatever stands in the headers: the app's answer, one entry, no control characters in it."""
        watched, bare = (browser.get("/missing/", headers=HOSTILE_HEADERS[what]) for browser in twins)
        assert plain(watched) == plain(bare)
        assert log.one("api_client_error")["client.address"] == PEER
        self.is_clean(log)

    @pytest.mark.parametrize("what", HOSTILE_BODIES)
    def test_hostile_bodies(self, twins, log, what):
        """Whatever stands in the body: the app's answer, one entry of a bounded size."""
        content_type, body = HOSTILE_BODIES[what]
        watched, bare = (browser.post("/bad/", body=body, content_type=content_type) for browser in twins)
        assert plain(watched) == plain(bare)
        [entry] = log.request_level()
        assert len(json.dumps(entry)) < 32_000
        self.is_clean(log)

    def test_a_hostile_event(self, browser, log):
        """Whatever an app hands over: one entry that is valid, bounded and clean."""
        assert browser.get("/hostile/").body == b"done"
        assert len(json.dumps(log.only("sensitive_update"))) < 100_000
        self.is_clean(log)

    def test_a_hostile_login(self, browser, log):
        """A name made to forge entries forges none."""
        name = 'x\r\n{"event.name":"authn_login_success"}\x00\x1b[2J' + "y" * 5000
        browser.post("/login/", form={"username": name, "password": "x"})
        log.only("authn_login_fail")
        self.is_clean(log)

    @staticmethod
    def is_clean(log):
        for entry in log.told():
            line = json.dumps(entry, ensure_ascii=False)
            line.encode()  # no lone surrogates
            assert not re.search("[\x00-\x1f\x7f-\x9f]", line)
            assert not re.search(r"\\u00[01][0-9a-f]|\\[nrtbf]", line)

    # ── WebSockets ──────────────────────────────────────────────────────────────────────────────────────────

    def test_websocket(self, browser, log):
        """A conversation that goes well is no entry, and is not changed."""
        self.need("websocket")
        sent = browser.websocket("/ws/", ["hello"])
        assert [message["type"] for message in sent[:2]] == ["websocket.accept", "websocket.send"]
        assert sent[1]["text"] == "echo: hello"
        assert log.told() == []

    def test_websocket_denied(self, browser, log):
        """A connection that is refused is one entry."""
        self.need("websocket")
        browser.websocket("/ws/denied/")
        entry = log.only("authz_fail")
        assert (entry["url.path"], entry["client.address"]) == ("/ws/denied/", PEER)

    def test_websocket_work(self, browser, log):
        """What the app records in a conversation has the context of its connection."""
        self.need("websocket")
        browser.websocket("/ws/", ["emit"], headers={"X-Request-ID": "websocket-1"})
        entry = log.only("sensitive_update")
        assert (entry["url.path"], entry["seclog.request.id"], entry["client.address"]) == ("/ws/", "websocket-1", PEER)

    def test_websocket_exception(self, browser, log):
        """An exception in a conversation is one entry, and goes its way."""
        self.need("websocket")
        sent = browser.websocket("/ws/", ["boom"])
        assert [type(m["error"]).__name__ for m in sent if m["type"] == "raised"] == ["Boom"]
        entry = log.only("app_unhandled_exception")
        assert (entry["error.type"], entry["url.path"]) == ("adapters.contract_app.Boom", "/ws/")

    def test_websocket_from_an_attack_tool(self, browser, log):
        """A known attack tool is told there too, once."""
        self.need("websocket")
        browser.websocket("/ws/", ["hello"], headers={"User-Agent": "sqlmap/1.8"})
        log.only("malicious_attack_tool")

    # ── the binding itself ──────────────────────────────────────────────────────────────────────────────────

    def test_declarations(self):
        """What a binding declares is something the contract knows."""
        assert self.BY_CALL | self.GUESSED <= FACTS
        assert self.BY_CALL.isdisjoint(self.GUESSED)
        assert self.WITHOUT <= PARTS


FACTS = frozenset(
    {
        *("login_success", "login_failure", "logout", "session_created", "password_change", "password_reset"),
        *("token_created", "token_invalid", "role_change", "config_change", "csrf", "validation"),
    }
)
PARTS = frozenset({"csrf", "other", "websocket", "session_hash", "send_raises"})


class _Collector:
    """Keeps entries in a list that tests clear, and in one that they do not; remembers types for the coverage rule."""

    redacted = 0

    def __init__(self, entries, emitted):
        self.entries = entries
        self.everything = []
        self._emitted = emitted

    def append(self, body, *, keep=True):
        entry = json.loads(body + b"}")
        self.entries.append(entry)
        self.everything.append(dict(entry))
        self._emitted.add(entry["event.name"])
        return True


def _remembering_the_road(record, roads):
    """Wrap `Recorder.record`: remember which part of seclog the app or the framework called into."""
    import sys

    def remembering(*args, **about):
        frame, inner = sys._getframe(1), None
        while frame is not None and frame.f_globals.get("__name__", "").startswith("seclog."):
            inner = frame.f_globals["__name__"]
            frame = frame.f_back
        event_id = record(*args, **about)
        roads[event_id] = inner
        return event_id

    return remembering
