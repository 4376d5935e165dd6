"""One event to one line on disk: seclog complete, beside the physical limit and the usual loggers."""

import itertools
import logging
import os
import secrets
import tempfile
from pathlib import Path

import msgspec

from benchmarks.measure import interleaved, median, ratio
from seclog.assembly import Installation
from seclog.context import Context, Scope
from seclog.context.identifiers import request_id, trace
from seclog.events import Event, EventType
from seclog.recorder import Recorder
from seclog.redaction import Redactor
from seclog.settings import Settings

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
VARIANTS = 20_000
"""Different requests; more than any memo in the pipeline holds, so that nothing is looked up that would be new in life."""


class Facts(msgspec.Struct):
    """A request as a server hands it over."""

    address: str
    user_id: str
    user_name: str
    path: str
    item: str
    request_id: str
    traceparent: str
    session: str
    trace_id: str
    span_id: str


def facts() -> list[Facts]:
    """Make the requests. User names repeat as they do in life, paths and ids do not."""
    made = []
    for i in range(VARIANTS):
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        made.append(Facts(
            address=f"198.51.{i % 256}.{i // 256 % 256}",
            user_id=str(i % 5000),
            user_name=f"user{i % 5000}@example.org",
            path=f"/orders/{i}/items/{secrets.token_hex(3)}/",
            item=f"order-{i}",
            request_id=secrets.token_hex(8),
            traceparent=f"00-{trace_id}-{span_id}-01",
            session=secrets.token_hex(16),
            trace_id=trace_id,
            span_id=span_id,
        ))  # fmt: skip
    return made


class RequestScope(Scope):
    """The work an adapter does for a request with one event: resolve, check, parse, fill."""

    __slots__ = ("facts", "installation")

    def __init__(self, facts: Facts, installation: Installation) -> None:
        super().__init__()
        self.facts = facts
        self.installation = installation

    def fill(self) -> None:
        """Fill everything from the request's facts."""
        facts = self.facts
        trace_id, span_id = trace(facts.traceparent)
        self._context = Context(
            user_id=facts.user_id,
            user_name=facts.user_name,
            address=self.installation.addresses.resolve(facts.address)[0],
            user_agent=BROWSER,
            method="GET",
            route="orders/<int:pk>/items/<slug>/",
            path=facts.path,
            status=200,
            request_id=request_id(facts.request_id),
            trace_id=trace_id,
            span_id=span_id,
            session=facts.session,
        )


def known_scope(facts: Facts, installation: Installation) -> Scope:
    """Return the scope of a request that has recorded an event before."""
    scope = Scope()
    scope._context = RequestScope(facts, installation).ready()
    installation.recorder.record(event(facts), scope)
    return scope


def event(facts: Facts) -> Event:
    """The event of a request."""
    return Event(
        type=EventType.SENSITIVE_READ,
        fields={"seclog.target.type": "order", "seclog.target.id": facts.item, "seclog.count": 3},
    )


def as_dict(facts: Facts, now: str) -> dict[str, object]:
    """The same event as a plain dictionary, for those who neither redact nor resolve nor chain."""
    return {
        "schema": "seclog/1", "timestamp": now, "event.name": "sensitive_read", "event.id": facts.session,
        "event.outcome": "success", "severity": "low", "message": "Sensitive read", "service.name": "shop",
        "deployment.environment.name": "production", "user.id": facts.user_id, "user.name": facts.user_name,
        "client.address": facts.address, "user_agent.original": BROWSER, "http.request.method": "GET",
        "http.route": "orders/<int:pk>/items/<slug>/", "url.path": facts.path, "http.response.status_code": 200,
        "seclog.request.id": facts.request_id, "trace_id": facts.trace_id, "span_id": facts.span_id,
        "seclog.session.id_hash": facts.session, "seclog.target.type": "order", "seclog.target.id": facts.item,
        "seclog.count": 3,
    }  # fmt: skip


_NAMES = list(as_dict(Facts(*[""] * 10), ""))
Limit = msgspec.defstruct(
    "Limit", [(f"f{i}", object) for i in range(len(_NAMES))], rename={f"f{i}": name for i, name in enumerate(_NAMES)}
)


def installation(directory: Path, redactor: Redactor) -> Installation:
    """A real installation with a journal, and the given redactor."""
    made = Installation(
        Settings.load(
            {"directory": directory, "service": "shop", "environment": "production", "watch": False}, environ={}
        )
    )
    made.recorder = Recorder(
        made.journal, redactor, {"service.name": "shop", "deployment.environment.name": "production"}
    )
    return made


def cases(folder: Path):
    """Return name -> case."""
    import orjson
    import structlog
    from pythonjsonlogger.json import JsonFormatter

    requests = facts()
    endless = itertools.cycle(requests)
    now = "2026-11-23T06:30:00.123456Z"
    fd = os.open(folder / "limit.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    encoder, buffer = msgspec.json.Encoder(), bytearray(4096)

    def limit(n: int) -> None:
        for f in itertools.islice(endless, n):
            struct = Limit(
                "seclog/1", now, "sensitive_read", f.session, "success", "low", "Sensitive read", "shop", "production",
                f.user_id, f.user_name, f.address, BROWSER, "GET", "orders/<int:pk>/items/<slug>/", f.path, 200,
                f.request_id, f.trace_id, f.span_id, f.session, "order", f.item, 3,
            )  # fmt: skip
            encoder.encode_into(struct, buffer)
            buffer.extend(b"\n")
            os.write(fd, buffer)

    def seclog_case(use_re2: bool, name: str, known: bool = False):
        made = installation(folder / name, Redactor(use_re2=use_re2))
        record = made.recorder.record
        scopes = itertools.cycle([known_scope(one, made) for one in requests]) if known else None

        def run(n: int) -> None:
            if scopes is None:
                for one in itertools.islice(endless, n):
                    record(event(one), RequestScope(one, made))
            else:
                for one, scope in zip(itertools.islice(endless, n), scopes, strict=False):
                    record(event(one), scope)

        return run

    file = (folder / "structlog.jsonl").open("ab", buffering=0)
    log = structlog.wrap_logger(
        structlog.BytesLogger(file),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        cache_logger_on_first_use=True,
    )

    def with_structlog(n: int) -> None:
        for one in itertools.islice(endless, n):
            log.info("Sensitive read", **as_dict(one, now))

    logger = logging.Logger("bench")
    handler = logging.FileHandler(folder / "pjl.jsonl")
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)

    def with_python_json_logger(n: int) -> None:
        for one in itertools.islice(endless, n):
            fields = as_dict(one, now)
            fields["text"] = fields.pop("message")
            logger.info("Sensitive read", extra=fields)

    return {
        "limit: msgspec Struct + one write": limit,
        "seclog, google-re2": seclog_case(True, "re2"),
        "seclog, stdlib re": seclog_case(False, "re"),
        "seclog, google-re2, context known": seclog_case(True, "re2-known", known=True),
        "seclog, stdlib re, context known": seclog_case(False, "re-known", known=True),
        "structlog + orjson": with_structlog,
        "python-json-logger": with_python_json_logger,
    }


def run(rounds: int = 31, number: int = 3000) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".bench") as folder:
        samples = interleaved(cases(Path(folder)), rounds=rounds, number=number)
        size = (Path(folder) / "limit.jsonl").stat().st_size
        lines = rounds * number + number // 10
    base, re2, stdlib, re2_known, stdlib_known, struct, pjl = samples
    rows = []
    for name, other, goal in (
        (re2, base, 3.5), (stdlib, base, 5.0), (re2_known, base, 3.5), (stdlib_known, base, 5.0),
        (re2, struct, 1.0), (re2, pjl, 0.5), (re2_known, struct, 1.0), (re2_known, pjl, 0.5),
    ):  # fmt: skip
        measured = ratio(samples, name, other)
        rows.append((
            f"record: {name} / {other}", f"{measured:.2f}x", f"<= {goal}x",
            f"{median(samples, name):.1f} / {median(samples, other):.1f} µs CPU, {size / lines:.0f} B", measured <= goal,
        ))  # fmt: skip
    return rows


if __name__ == "__main__":
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    for row in run(rounds=15, number=2000):
        print(*row, sep=" | ")
