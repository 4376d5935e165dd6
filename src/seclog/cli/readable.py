"""One entry as one line for people: when, how grave, what, who, from where, on which request, why, its id."""

from collections.abc import Mapping
from typing import Any, Final

from seclog.cli.escape import escape

PIECE_WIDTH: Final = 60
"""Characters of one value at most: a long path must not push the rest of its line away."""

ID_WIDTH: Final = 18
"""Characters of an id that are shown. They begin with the time, and differ with the counter behind it."""

SEVERITY_WORDS: Final = {"informational": "info"}
SEVERITY_STYLES: Final = {
    "informational": "dim",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
OUTCOME_STYLES: Final = {"success": "green", "failure": "red"}

Entry = Mapping[str, Any]


def line(entry: Entry) -> str:
    """Return the entry as one line of text, safe for a terminal."""
    return "".join(text for text, _ in parts(entry))


def parts(entry: Entry) -> list[tuple[str, str]]:
    """Return the line as pairs of text and style (a rich style, "" for none), safe for a terminal."""
    severity = str(entry.get("severity"))
    outcome = str(entry.get("event.outcome"))
    columns = [
        (_moment(entry), "dim"),
        (f"{_piece(SEVERITY_WORDS.get(severity, severity)):<8}", SEVERITY_STYLES.get(severity, "")),
        (f"{_piece(entry.get('event.name')):<24}", "bold"),
        (f"{_piece(outcome):<7}", OUTCOME_STYLES.get(outcome, "")),
        (f"{_who(entry):<10}", ""),
        (f"{_piece(entry.get('client.address', '-')):<15}", ""),
        *((text, "") for text in (_request(entry), _piece(entry.get("reason", "")), *_details(entry)) if text),
        (_piece(str(entry.get("event.id", "-"))[:ID_WIDTH]), "dim"),
    ]
    spaced: list[tuple[str, str]] = []
    for column in columns:
        spaced += [(" ", ""), column]
    return spaced[1:]


def _moment(entry: Entry) -> str:
    timestamp = _piece(entry.get("timestamp"))
    return f"{timestamp[:10]} {timestamp[11:19]}Z"


def _who(entry: Entry) -> str:
    return _piece(entry.get("user.name") or entry.get("user.id") or entry.get("seclog.actor") or "-")


def _request(entry: Entry) -> str:
    """Return method, path and status. The path says more than the route, and a 404 has no route."""
    said = [entry.get("http.request.method"), entry.get("url.path", entry.get("http.route"))]
    said.append(entry.get("http.response.status_code"))
    return " ".join(_piece(value) for value in said if value is not None)


def _details(entry: Entry) -> list[str]:
    target = [entry[key] for key in ("seclog.target.type", "seclog.target.id") if key in entry]
    named = entry.get("seclog.target.name")
    changed = entry.get("seclog.change.field")
    if named is not None and named != changed:
        target.append(named)
    details = []
    if target:
        details.append("→ " + ":".join(_piece(value) for value in target))
    if "seclog.change.old" in entry or "seclog.change.new" in entry:
        old, new = (_piece(entry.get(f"seclog.change.{which}", "-")) for which in ("old", "new"))
        details.append(f"{_piece(changed or 'value')}: {old} → {new}")
    details += [_piece(entry[key]) for key in ("seclog.action", "file.name", "error.type") if key in entry]
    if "seclog.count" in entry:
        details.append(f"×{_piece(entry['seclog.count'])}")
    return details


def _piece(value: object) -> str:
    text = str(value)
    shown = escape(text[: PIECE_WIDTH + 1])
    return shown if len(shown) <= PIECE_WIDTH else shown[: PIECE_WIDTH - 1] + "…"
