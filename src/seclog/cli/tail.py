"""`seclog tail`: the last entries, and those to come."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from seclog.cli import readable
from seclog.cli.output import Output
from seclog.cli.segments import Found, Segments, merged, offset_of_last
from seclog.cli.session import Session
from seclog.errors import NotAJournalError

POLL_SECONDS: Final = 0.25
NOT_AN_ENTRY: Final = "a line is not an entry; `seclog verify` says where"


@click.command(epilog="\b\nExample:\n  seclog tail -f -n 50")
@click.argument("path", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("-f", "--follow", is_flag=True, help="Wait for more, of all processes, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="How many entries.")
@click.pass_obj
def tail(session: Session, path: Path | None, follow: bool, lines: int) -> None:
    """Show the last entries, and follow.

    All segments of all hosts, merged by time, one line an entry.

    DIR is a directory with a journal, a host's folder or one segment.
    """
    segments = Segments(session.place(path), session.output.complain)
    reached = {segment: offset_of_last(segment, lines) for segment in segments.now()}
    show(deque(_advancing(dict(reached), reached), maxlen=lines), session.output)
    if follow:
        try:
            _follow(segments, reached, session.output)
        except KeyboardInterrupt:  # the only way to end it, so it is no failure
            return


def _follow(segments: Segments, reached: dict[Path, int], output: Output) -> None:
    while True:
        output.flush()
        time.sleep(POLL_SECONDS)
        try:
            there = segments.now()
        except NotAJournalError:  # all of them retired; a new one may come
            continue
        grown = {path: reached.get(path, 0) for path in there if _size(path) > reached.get(path, 0)}
        show(_advancing(grown, reached), output)


def _advancing(starts: dict[Path, int], reached: dict[Path, int]) -> Iterator[Found]:
    """Yield new lines, by time, and keep how far each segment was read."""
    for found in merged(starts):
        reached[found.path] = found.line.end
        yield found


def show(lines: Iterable[Found], output: Output) -> None:
    """Write each line for people; one that is no entry is shown as what it is."""
    for found in lines:
        try:
            entry = found.line.entry()
        except NotAJournalError:
            output.complain(f"{found.path}: {NOT_AN_ENTRY}")
            continue
        output.line(readable.parts(entry))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
