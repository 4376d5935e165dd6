"""What is on disk when the day is over, read as any user of seclog would read it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from example_projects.demo.judge import Found, Verdict, judge
from example_projects.demo.leaks import Leak, find_leaks, what_seclog_wrote
from example_projects.demo.play import Played

from seclog.errors import NotAJournalError
from seclog.journal.check import JournalReport, check_journal
from seclog.journal.reader import find_segments, read_lines

SETTLE_SECONDS = 10
"""How long we wait for the last entries: streams are counted when they close, and the watch writes later."""


@dataclass(frozen=True)
class Evidence:
    """All that the summary says.

    Attributes:
        entries: every entry, in the order of time.
        verdict: expected against found.
        leaks: secrets that stand on disk.
        report: the verification, or None where there is no journal.
        files: how many files were searched for secrets, and `secrets` how many there were.
    """

    entries: list[Found]
    verdict: Verdict
    leaks: list[Leak]
    report: JournalReport | None
    files: int
    secrets: int

    @property
    def verified(self) -> bool:
        """Whether the chain verifies."""
        return self.report is not None and self.report.verdict == "OK"

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return self.verified and not self.leaks and not self.verdict.mismatches and len(self.verdict.families) == 10

    @property
    def last_line(self) -> str:
        """The line that a script may read."""
        mismatches, leaks = len(self.verdict.mismatches), len(self.leaks)
        wrong = [f"{mismatches} mismatch{'es' if mismatches > 1 else ''}"] if mismatches else []
        wrong += [f"{leaks} secret{'s' if leaks > 1 else ''} on disk"] if leaks else []
        count = self.report.entries if self.report is not None else 0
        verify = "ok" if self.verified else "FAILED"
        return ", ".join(
            [
                f"demo: {len(self.verdict.families)}/10 families",
                f"{count} entries",
                f"verify {verify}",
                *wrong,
            ]
        )


def read_entries(state: Path) -> list[Found]:
    """Return all entries of a journal, in the order of time."""
    try:
        lines = [line for segment in find_segments(state) for line in read_lines(segment)]
    except NotAJournalError:
        return []
    entries: list[Found] = []
    for line in lines:
        with suppress(NotAJournalError):  # the verification says what is wrong with it
            entries.append(line.entry())
    return sorted(entries, key=lambda entry: str(entry.get("timestamp")))


def settle(state: Path, day: list[Played]) -> None:
    """Wait until everything that is expected is there, for a bounded time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline and judge(day, read_entries(state)).mismatches:
        time.sleep(0.5)


def gather(state: Path, day: list[Played], secrets: dict[str, str]) -> Evidence:
    """Read the journal, judge the day, search for secrets, verify."""
    entries = read_entries(state)
    files = what_seclog_wrote(state, own=state / "shop")
    try:
        report = check_journal(state)
    except NotAJournalError:
        report = None
    return Evidence(entries, judge(day, entries), find_leaks(secrets, files), report, len(files), len(secrets))
