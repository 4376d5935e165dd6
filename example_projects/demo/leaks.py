"""Looks for secrets on disk: in all that seclog writes and in every log, in each form a secret may take."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters. Anything shorter would be found by chance."""


@dataclass(frozen=True)
class Leak:
    """A secret that stands in a file. The secret itself is not repeated."""

    label: str
    path: Path
    form: str
    line: int

    def __str__(self) -> str:
        return f"{self.label} ({self.form}) in {self.path}, line {self.line}"


def find_leaks(secrets: Mapping[str, str], files: Iterable[Path]) -> list[Leak]:
    """Return every secret found.

    Args:
        secrets: {secret: label}.
        files: where to look.
    """
    needles = [(form, text, label) for secret, label in secrets.items() for form, text in forms(secret)]
    leaks = []
    for path in files:
        content = path.read_bytes()
        for form, text, label in needles:
            at = content.find(text)
            if at >= 0:
                leaks.append(Leak(label, path, form, content.count(b"\n", 0, at) + 1))
    return leaks


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield the forms in which a secret may stand on disk; base64 wherever in a longer text it is."""
    raw = secret.encode()
    seen = set()
    for form, text in (
        ("raw", raw),
        ("in JSON", json.dumps(secret)[1:-1].encode()),
        ("URL-encoded", quote(secret, safe="").encode()),
        ("URL-encoded", quote_plus(secret).encode()),
        ("hex", raw.hex().encode()),
        *(("base64", text) for text in _base64_anywhere(raw)),
    ):
        if text not in seen:
            seen.add(text)
            yield form, text


def _base64_anywhere(raw: bytes) -> Iterator[bytes]:
    """Base64 differs at each of three offsets; the characters that depend on the neighbours are cut off."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        first = (0, 2, 3)[offset]
        last = len(encoded) - (0, 3, 2)[(offset + len(raw)) % 3]
        yield encoded[first:last]
        yield encoded[first:last].replace(b"+", b"-").replace(b"/", b"_")


def what_seclog_wrote(state: Path, own: Path) -> list[Path]:
    """Return a state's files, but not the app's database, mail and key: those hold secrets rightly."""
    kept = {own / "mail", own / "secret_key"}
    return [
        path
        for path in sorted(state.rglob("*"))
        if path.is_file()
        and not kept.intersection({path, *path.parents})
        and not (path.parent == own and path.name.startswith("db.sqlite3"))
    ]
