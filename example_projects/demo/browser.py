"""A browser, as much of one as the story needs: cookies, forms with their CSRF token, no scripts.

Plain http.client, one connection a request: what a server does with it is what it does with any client.
"""

import http.client
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from example_projects.demo.cast import Device

TIMEOUT_SECONDS = 30
Told = Callable[[str, str], None]
"""Called with (label, secret) for every cookie and CSRF token that is sent."""


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    path: str
    status: int
    location: str
    body: str


class Browser:
    """One device's browser.

    Args:
        device: whose address and user agent it sends.
        port: where the app listens on the loopback interface.
        told: hears of every secret that is sent.
        csrf_field: the name of the field in which this app's forms carry their CSRF token.
    """

    def __init__(self, device: Device, port: int, told: Told, csrf_field: str) -> None:
        self._device = device
        self._port = port
        self._told = told
        self._csrf_field = csrf_field
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        """The CSRF token of the last page that had one."""

    def request(
        self,
        method: str,
        path: str,
        *,
        request_id: str,
        data: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `data` goes as a form, `body` as JSON.

        Raises:
            OSError: the server does not answer.
        """
        cookies = {**self.cookies, **(cookies or {})}
        sent = {
            "User-Agent": self._device.agent,
            "X-Forwarded-For": self._device.address,
            "X-Request-ID": request_id,
            "Accept-Language": "en",
            **(headers or {}),
        }
        if cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        content = None
        if data is not None:
            content, sent["Content-Type"] = urlencode(data, doseq=True), "application/x-www-form-urlencoded"
            self._told("CSRF token", str(data.get(self._csrf_field, "")))
        elif body is not None:
            content, sent["Content-Type"] = json.dumps(body), "application/json"
        for name, value in cookies.items():
            self._told(f"cookie {name}", value)

        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            self._keep(response.headers.get_all("Set-Cookie") or [])
            seen = re.search(rf'name="{self._csrf_field}"[^>]* value="([^"]+)"', text)
            self.csrf = seen[1] if seen else self.csrf
            return Answer(path, response.status, response.headers.get("Location", ""), text)
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {type(error).__name__}") from error
        finally:
            connection.close()

    def open(self, path: str, request_id: str) -> Answer:
        """Open a page, following redirects as a person's browser does (a reset link leads to its form)."""
        for _ in range(5):
            answer = self.request("GET", path, request_id=request_id)
            if answer.status not in {301, 302, 303}:
                break
            path = urljoin(path, answer.location)
        return answer

    def _keep(self, headers: list[str]) -> None:
        for header in headers:
            for name, morsel in SimpleCookie(header).items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


class Form:
    """A form of a page, found by its id: where it goes, and what it would send untouched.

    Raises:
        LookupError: the page has no such form.
    """

    def __init__(self, page: Answer, form_id: str) -> None:
        parser = _FormParser(form_id)
        parser.feed(page.body)
        if parser.action is None:
            raise LookupError(f"{page.path} answered {page.status} and shows no form {form_id!r}")
        self.action = urljoin(page.path, urlsplit(parser.action)._replace(scheme="", netloc="").geturl())
        self.values = parser.values

    def filled(self, data: Mapping[str, object]) -> dict[str, object]:
        """Return what the form sends when `data` is filled in; None leaves a field out."""
        return {name: value for name, value in {**self.values, **data}.items() if value is not None}


class _FormParser(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self._wanted = form_id
        self._inside = False
        self._field = ""
        self._textarea = False
        self.action: str | None = None
        self.values: dict[str, object] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = dict(attributes)
        if tag == "form":
            self._inside = has.get("id") == self._wanted and self.action is None
            if self._inside:
                self.action = has.get("action") or ""
        if not self._inside:
            return
        name, value = has.get("name") or "", has.get("value") or ""
        if tag in {"select", "textarea"}:
            self._field, self._textarea = name, tag == "textarea"
            if self._textarea:
                self.values[name] = ""
        elif tag == "option" and "selected" in has and self._field:
            self._add(self._field, value)
        elif tag == "input" and name and has.get("type") not in {"submit", "button", "file", "image", "reset"}:
            if has.get("type") not in {"checkbox", "radio"}:
                self.values[name] = value
            elif "checked" in has:
                self._add(name, value or "on")

    def handle_data(self, data: str) -> None:
        if self._textarea and self._field:
            self.values[self._field] = str(self.values[self._field]) + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag in {"select", "textarea"}:
            self._field, self._textarea = "", False

    def _add(self, name: str, value: str) -> None:
        """Add a value to a field that may have several."""
        before = self.values.get(name)
        self.values[name] = (
            value if before is None else [*before, value] if isinstance(before, list) else [before, value]
        )
