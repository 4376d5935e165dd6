"""Journals for the command line to read: made by the library, or entry by entry where the time matters."""

import json
import os
import sys
from pathlib import Path

from seclog.assembly import Installation
from seclog.events.event import Event
from seclog.journal.segment import Segment
from seclog.settings import Settings

SCRIPT = str(Path(sys.executable).parent / "seclog")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("SECLOG_", "FORCE_", "NO_COLOR"))}

LOGINS = [
    Event(
        type="authn_login_fail",
        reason="invalid_credentials",
        fields={
            "user.id": "3",
            "user.name": "joebob1",
            "client.address": "198.51.100.7",
            "http.request.method": "POST",
            "http.route": "login/",
            "url.path": "/login/",
            "http.response.status_code": 200,
        },
    ),
    Event(
        type="authn_login_success",
        fields={"user.id": "4", "user.name": "alice", "client.address": "2001:db8::7"},
    ),
    Event(
        type="config_changed",
        severity="critical",
        fields={
            "user.name": "alice",
            "seclog.target.type": "shop.Settings",
            "seclog.target.id": "1",
            "seclog.change.field": "tax_rate",
            "seclog.change.old": 19,
            "seclog.change.new": 7,
        },
    ),
]


def record(directory, *events):
    """Record events in a segment of their own, close it, and return its path."""
    settings = Settings.load({"directory": str(directory), "service": "shop", "watch": False}, environ={})
    installation = Installation(settings)
    for event in events:
        installation.recorder.record(event)
    path = installation.journal.segment_path
    installation.shut_down("exit")
    return path


def forge(folder, segment_id, *entries, start=None):
    """Write a segment whose entries have the given timestamps and names, by the journal's own segment."""
    folder.mkdir(parents=True, exist_ok=True)
    segment = Segment(folder, segment_id)
    first = (entries[0][0], "audit_log_started", {"seclog.segment.id": segment_id, **(start or {})})
    last = (entries[-1][0], "audit_log_stopped", {"seclog.last_seq": len(entries) + 2})
    entries = [first, *entries, last]
    for number, (timestamp, name, *more) in enumerate(entries):
        body = {
            "schema": "seclog/1",
            "timestamp": timestamp,
            "event.name": name,
            "event.id": f"{segment_id}-{number}",
            "event.outcome": "success",
            "severity": "low",
            **(more[0] if more else {}),
        }
        segment.append(json.dumps(body, separators=(",", ":")).encode()[:-1])
    segment.publish()
    segment.close()
    return segment.path
