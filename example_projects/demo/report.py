"""What a person sees: progress, the ten families, the last entries, the proof, and what to type next."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from example_projects.demo.evidence import Evidence
from example_projects.demo.judge import Found
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from seclog.events.catalogue import FAMILIES, definition

LAST = 8
"""Entries that the summary shows."""

SHOWN = 12
"""Mismatches that are told in full: where everything is wrong, the first ones say why."""

SEVERITY_STYLE = {"low": "cyan", "medium": "yellow", "high": "red", "critical": "bold red"}


class Report:
    """Prints to a terminal, in colour and with a bar; or plain text where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def say(self, text: str, style: str = "") -> None:
        """Print a line as it is."""
        self.console.print(Text(text), style=style, soft_wrap=True)

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[str], None]]:
        """Show how far the day is; yield what is called with the title of each step."""
        if not self.console.is_terminal:
            yield lambda title: None
            return
        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=total)

            def next_step(title: str) -> None:
                bar.update(task, advance=1, description=title)

            yield next_step

    def summary(self, evidence: Evidence, state: Path) -> None:
        """Print everything that was found."""
        self._families(evidence)
        self._last_entries(evidence)
        self._wrong(evidence)
        self._proof(evidence, state)

    def _families(self, evidence: Evidence) -> None:
        counted: dict[object, Counter[str]] = {}
        for entry in evidence.entries:
            known = definition(str(entry.get("event.name")))
            if known is not None:
                counted.setdefault(known.family, Counter())[known.name.value] += 1
        table = Table(
            box=None,
            pad_edge=False,
            title="What stands in the journal",
            title_justify="left",
            title_style="bold",
        )
        table.add_column("", justify="right", style="dim")
        table.add_column("family", no_wrap=True)
        table.add_column("event types and how many of each")
        table.add_column("as expected", justify="right", no_wrap=True)
        verdict = evidence.verdict
        for family, name in FAMILIES.items():
            types = ", ".join(f"{n} {event_type}" for event_type, n in counted.get(family, Counter()).most_common())
            if isinstance(family, int):
                right = family in verdict.families
                checked = Text(
                    f"{verdict.met[family]}/{verdict.expected[family]} {'ok' if right else 'NO'}",
                    "green" if right else "red",
                )
                table.add_row(str(family), name, types or "none", checked)
            elif types:
                table.add_row("", Text(name, "dim"), Text(types, "dim"), "")
        self.console.print()
        self.console.print(table)

    def _last_entries(self, evidence: Evidence) -> None:
        self.console.print(Text("\nThe last entries", "bold"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
        for _ in range(4):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        told = [entry for entry in evidence.entries if not is_about_seclog(entry)]
        for entry in told[-LAST:]:
            table.add_row(*map(_plain, columns_of(entry)), style=SEVERITY_STYLE.get(str(entry.get("severity")), ""))
        self.console.print(table)

    def _wrong(self, evidence: Evidence) -> None:
        mismatches = evidence.verdict.mismatches
        for mismatch in mismatches[:SHOWN]:
            family = f" (family {mismatch.family})" if mismatch.family else ""
            self.say(f"\nNOT AS EXPECTED: {mismatch.title}{family}", "bold red")
            self.say(f"  expected  {mismatch.expected}")
            for found in mismatch.found:
                self.say(f"  found     {found}")
        if len(mismatches) > SHOWN:
            self.say(f"\n… and {len(mismatches) - SHOWN} more that are not as expected", "bold red")
        for leak in evidence.leaks:
            self.say(f"\nA SECRET IS ON DISK: {leak}", "bold red")

    def _proof(self, evidence: Evidence, state: Path) -> None:
        report = evidence.report
        self.console.print(Text("\nThe proof", "bold"))
        if report is None:
            self.say("  verification   there is no journal", "red")
        else:
            segments = f"{len(report.files)} segments, {report.entries} entries, {report.size // 1024} KiB"
            self.say(f"  verification   {report.verdict}: {segments}", "green" if evidence.verified else "red")
            for file in report.files:
                if file.segment.problem is not None:
                    problem = file.segment.problem
                    self.say(f"                 {file.path.name}, line {problem.line}: {problem.what}", "red")
        found = f"{len(evidence.leaks)} found" if evidence.leaks else "none found"
        looked = f"{evidence.secrets} that the day used, looked for in {evidence.files} files: {found}"
        self.say(f"  secrets        {looked}", "red" if evidence.leaks else "green")
        journal = _short(report.files[0].path.parent if report is not None else state / "journal")
        self.say(f"  journal        {journal}/")

    def next_commands(self, state: Path) -> None:
        """Print what to type next."""
        directory = shlex.quote(_short(state))
        self.console.print(Text("\nWhat to type next", "bold"))
        commands = {
            f"seclog events {directory} --family 6": "who was refused what",
            f"seclog verify {directory}": "prove that nothing was changed",
            f"seclog tail -f {directory}": "watch it live",
        }
        width = max(map(len, commands))
        for command, why in commands.items():
            self.say(f"  .venv/bin/{command:<{width}}  {why}")


def is_about_seclog(entry: Found) -> bool:
    """Tell whether an entry is about the record itself: starts, stops and heartbeats."""
    return str(entry.get("event.name")).startswith(("audit_log_", "sys_"))


def columns_of(entry: Found) -> tuple[str, ...]:
    """Return an entry in readable form: when, what, who, from where, about what."""
    target = [entry.get("seclog.target.type"), entry.get("seclog.target.id")]
    about = [*target, entry.get("reason")] if any(target) else [entry.get("reason"), entry.get("url.path")]
    return (
        str(entry.get("timestamp"))[11:19],
        str(entry.get("event.name")),
        str(entry.get("user.name") or entry.get("seclog.actor") or "-"),
        str(entry.get("client.address") or "-"),
        " ".join(", ".join(map(str, part)) if isinstance(part, list) else str(part) for part in about if part),
    )


def _plain(text: str) -> Text:
    """Escape what a terminal would obey; rich's own markup is not looked at."""
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def _short(path: Path) -> str:
    """Return a path from here, if it is below here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
