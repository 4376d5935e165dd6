"""Where text goes: plain, one line an entry, into a pipe or a file; coloured and laid out on a terminal.

Whatever comes in is escaped; nothing is ever read as markup. rich is loaded only for a terminal.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from seclog.cli.escape import escape, escape_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

Parts = Iterable[tuple[str, str]]


class Output:
    """Standard output and standard error of one run."""

    def __init__(self) -> None:
        self._stdout = sys.stdout
        self._stderr = sys.stderr
        self.is_terminal = self._stdout.isatty()

    def line(self, parts: str | Parts) -> None:
        """Write one line: a text, or pairs of text and style. A line longer than the terminal is not cut."""
        parts = [(parts, "")] if isinstance(parts, str) else list(parts)
        if not self.is_terminal:
            self._write("".join(text for text, _ in parts))
            return
        from rich.text import Text

        text = Text.assemble(*((_encodable(escape(text), self._stdout), style) for text, style in parts))
        self._console.print(text, soft_wrap=True)

    def stored(self, raw: bytes) -> None:
        """Write a stored line byte for byte; on a terminal, what is not ASCII in it as JSON escapes."""
        binary = getattr(self._stdout, "buffer", None)
        if self.is_terminal or binary is None:
            self._stdout.write(escape_json(raw).decode("ascii") + "\n")
            return
        self._stdout.flush()
        binary.write(raw + b"\n")

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names and values, aligned."""
        width = max((len(name) for name, _ in rows), default=0)
        if not self.is_terminal:
            for name, value in rows:
                self._write(f"{escape(name):<{width}}  {escape(value)}".rstrip())
            return
        self._laid_out([("", "bold"), ("", "")], rows, show_header=False)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table with a heading: aligned columns; in a pipe, one line a row."""
        if self.is_terminal:
            self._laid_out([(header, "") for header in headers], rows, show_header=True)
            return
        shown = [[escape(cell) for cell in row] for row in (headers, *rows)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        for row in shown:
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
            self._write("  ".join(cells).rstrip())

    def complain(self, message: str) -> None:
        """Write one line to standard error."""
        self._stdout.flush()
        self._stderr.write(_encodable(f"seclog: {escape(message)}", self._stderr) + "\n")

    def flush(self) -> None:
        """Let a reader at the other end of a pipe have what was written."""
        self._stdout.flush()

    @contextmanager
    def progress(self, title: str) -> "Iterator[Callable[[int, int], object] | None]":
        """Show a progress bar on standard error while the block runs, if that is a terminal.

        Yields:
            A function to be called with (done, of how many); None without a terminal.
        """
        if not self._stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=self._stderr, **_colours())
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console

        return Console(file=self._stdout, markup=False, highlight=False, emoji=False, **_colours())

    def _laid_out(
        self, headers: Iterable[tuple[str, str]], rows: Iterable[Sequence[str]], *, show_header: bool
    ) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=show_header, pad_edge=False, header_style="bold")
        for header, style in headers:
            table.add_column(Text(header), style=style, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_encodable(escape(cell), self._stdout)) for cell in row))
        self._console.print(table)

    def _write(self, text: str) -> None:
        self._stdout.write(_encodable(escape(text), self._stdout) + "\n")


def _encodable(text: str, stream: Any) -> str:
    """Escape what the stream's encoding does not have; a locale must not stop the reading of a journal."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _colours() -> dict[str, Any]:
    """Return rich's settings for no colour at all where NO_COLOR asks for it (https://no-color.org)."""
    return {"color_system": None} if os.environ.get("NO_COLOR") else {}
