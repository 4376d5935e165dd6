"""The tables of docs/doctor.md, made from the data: `python -m seclog.doctor.pages docs/doctor.md` writes them anew."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from seclog.doctor.data import Row, coverage, libraries

_PLACEHOLDER: Final = re.compile(r" ?\(\{\w+\}\)")
_TABLE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def coverage_table(framework: str) -> str:
    """Return what records what in a framework, as Markdown."""
    rows = sorted(coverage().rows(framework), key=lambda row: (str(row.family).zfill(2), not row.by))
    return _markdown(("family", "what", "recorded", "needs"), [_cells(row) for row in rows])


def libraries_table() -> str:
    """Return what is known of third-party libraries, as Markdown."""
    rows = [
        (library.title, str(row.family), ", ".join(f"`{event}`" for event in row.events), row.by, f"`{row.module}`")
        for library in libraries().known.values()
        for row in library.rows
    ]
    return _markdown(("library", "family", "events", "by", "integration"), rows)


def _cells(row: Row) -> tuple[str, ...]:
    events = ", ".join(f"`{event}`" for event in row.events)
    needs = ", ".join(f"`{need}`".replace("|", "` or `") for need in row.needs)
    if row.unless:
        needs += " without " + ", ".join(f"`{name}`".replace("|", "` or `") for name in row.unless)
    if row.gap is not None:
        why = _PLACEHOLDER.sub("", row.gap.why)
        return str(row.family), row.gap.what, f"blind (`{row.gap.id}`): {why}", needs.strip()
    if row.call is not None:
        return str(row.family), events or row.call.what, f"by call: {row.call.what}", needs.strip()
    otherwise = "" if row.otherwise is None else f"; else blind (`{row.otherwise.id}`)"
    return str(row.family), events, f"by {row.by}{otherwise}", needs.strip()


def _markdown(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, ("---",) * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def main(page: Path) -> None:
    """Put the tables into the page, between their marks."""
    makers: dict[str, Callable[[], str]] = {"libraries": libraries_table}
    text = page.read_text(encoding="utf-8")
    page.write_text(
        _TABLE.sub(lambda m: m[1] + makers.get(m[2], lambda: coverage_table(m[2]))() + m[3], text), encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
