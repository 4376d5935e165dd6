"""Plays the story: one browser a device, and one request id a request, by which entries are found again."""

import email
import email.policy
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from example_projects.demo.browser import Answer, Browser, Form
from example_projects.demo.cast import DEVICES
from example_projects.demo.leaks import SHORTEST
from example_projects.demo.steps import Fill, Learn, Request, Step, Wait


@dataclass
class Played:
    """A step as it went.

    Attributes:
        step: the step.
        world: what the templates meant when it was played.
        began: when, as timestamps are written in entries.
        requests: the request ids it used.
        trouble: what the app answered that it should not have, or None.
    """

    step: Step
    world: Mapping[str, str]
    began: str
    requests: list[str] = field(default_factory=list)
    trouble: str | None = None


class Player:
    """Plays steps against an app.

    Args:
        port: where the app listens.
        world: what templates may name: secrets, ids and the words of the app's dialect.
        secrets: {secret: label}; cookies and tokens that are sent, what is learned is added.
        mail: the folder where the app puts its mail.
    """

    def __init__(self, port: int, world: Mapping[str, str], secrets: dict[str, str], mail: Path) -> None:
        self.world = dict(world)
        self.secrets = secrets
        self._browsers = {
            name: Browser(device, port, self._told(name), world["csrf_field"]) for name, device in DEVICES.items()
        }
        self._mail = mail
        self._numbers = itertools.count(1)

    def play(self, steps: Iterable[Step], progress: Callable[[str], None]) -> list[Played]:
        """Play steps in order and return how each went. A step that goes wrong does not end the day."""
        played = []
        for step in steps:
            progress(step.title)
            played.append(self._play(step))
        return played

    def _play(self, step: Step) -> Played:
        played = Played(step, self.world, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        try:
            answer = None
            for action in step.do:
                answer = self._act(action, step.by, played.requests)
            for learn in step.learn:
                self._learn(learn, answer)
        except (LookupError, OSError) as error:
            played.trouble = played.trouble or str(error)
        played.world = dict(self.world)  # with what this step learned: its own entries may name it
        return played

    def _act(self, action: Request | Fill | Wait, by: str, requests: list[str]) -> Answer | None:
        if isinstance(action, Wait):
            time.sleep(action.seconds)
            return None
        browser = self._browsers[by]
        path = self._text(action.path)
        if isinstance(action, Fill):
            page = browser.open(path, self._request_id(requests))
            form = Form(page, self._text(action.form))
            data = form.filled(self._texts(action.data))
            answer = browser.request("POST", form.action, request_id=self._request_id(requests), data=data)
        else:
            data = None if action.data is None else self._texts(action.data)
            if data is not None and action.csrf:
                data[self.world["csrf_field"]] = action.csrf.format_map(self.world | {"csrf_seen": browser.csrf})
            answer = browser.request(
                action.method,
                path,
                request_id=self._request_id(requests),
                data=data,
                body=None if action.json is None else self._texts(action.json),
                headers=self._texts(action.headers),
                cookies=self._texts(action.cookies),
            )
        if answer.status != action.expect:
            raise LookupError(f"{path} answered {answer.status}, expected {action.expect}{_complaint(answer)}")
        return answer

    # ── templates, learning, secrets ─────────────────────────────────────────────────────────────

    def _text(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._text(item) for item in value]
        return value.format_map(self.world) if isinstance(value, str) else value

    def _texts(self, values: Mapping[str, object]) -> dict[str, Any]:
        return {self._text(name): self._text(value) for name, value in values.items()}

    def _learn(self, learn: Learn, answer: Answer | None) -> None:
        if learn.where == "mail":
            text = _newest_mail(self._mail)
        elif answer is None:
            text = ""
        else:
            text = answer.location if learn.where == "location" else answer.body
        match = re.search(learn.pattern, text)
        if match is None:
            raise LookupError(f"nothing in the {learn.where} says {learn.name}")
        self.world[learn.name] = match[1]
        if learn.secret:
            secret = re.search(learn.secret, match[1])
            self._told("learned")(learn.name, secret[0] if secret else match[1])

    def _told(self, who: str) -> Callable[[str, str], None]:
        def told(label: str, secret: str) -> None:
            if len(secret) >= SHORTEST:
                self.secrets.setdefault(secret, f"{label} of {who}")

        return told

    def _request_id(self, requests: list[str]) -> str:
        requests.append(f"demo-{next(self._numbers):04}")
        return requests[-1]


def _newest_mail(folder: Path) -> str:
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        return ""
    message = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
    return str(message.get_content())


def _complaint(answer: Answer) -> str:
    """Return what a page says is wrong, for the report."""
    said = re.findall(r'class="error(?:list|note)[^>]*>(.*?)</(?:ul|p)>', answer.body, re.DOTALL)
    text = " ".join(re.sub(r"<[^>]+>", " ", " ".join(said)).split())
    return f": {text[:200]}" if text else ""
