"""Judges the day: each step's expected entries against those found, and how the nearest one differs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from example_projects.demo.cast import DEVICES
from example_projects.demo.play import Played
from example_projects.demo.steps import OURS, Entry

from seclog.events.catalogue import definition

Found = Mapping[str, object]
FAMILIES = range(1, 11)


@dataclass(frozen=True)
class Mismatch:
    """An expectation that no entry meets, or an entry that nobody expects."""

    family: int | None
    title: str
    expected: str
    found: tuple[str, ...]


@dataclass
class Verdict:
    """What the journal says about the day."""

    mismatches: list[Mismatch] = field(default_factory=list)
    expected: dict[int, int] = field(default_factory=lambda: dict.fromkeys(FAMILIES, 0))
    met: dict[int, int] = field(default_factory=lambda: dict.fromkeys(FAMILIES, 0))

    @property
    def families(self) -> list[int]:
        """The families of which everything that was expected is there, and right."""
        wrong = {mismatch.family for mismatch in self.mismatches}
        return [family for family in FAMILIES if self.met[family] and family not in wrong]


def judge(day: Iterable[Played], entries: Iterable[Found]) -> Verdict:
    """Compare what was played with what was recorded."""
    entries = list(entries)
    by_request: dict[object, list[Found]] = defaultdict(list)
    for entry in entries:
        by_request[entry.get("seclog.request.id")].append(entry)
    verdict = Verdict()
    for played in day:
        if played.trouble:
            trouble = Mismatch(None, played.step.title, "the app's own answer", (played.trouble,))
            verdict.mismatches.append(trouble)
        own = [entry for request in played.requests for entry in by_request[request]]
        later = [entry for entry in entries if str(entry.get("timestamp")) >= played.began]
        _judge_step(verdict, played, own, later)
    return verdict


def _judge_step(verdict: Verdict, played: Played, own: list[Found], later: list[Found]) -> None:
    """Take out of `own` what is right, then what is nearly right; what remains should not be there."""
    missed = []
    for expected in played.step.entries:
        family = _family(expected)
        if family is not None:
            verdict.expected[family] += 1
        try:
            wanted = wanted_fields(expected, played)
        except KeyError as unknown:
            found = (f"cannot be judged: no scene has learned {unknown.args[0]}",)
            verdict.mismatches.append(Mismatch(family, played.step.title, expected.name, found))
            continue
        candidates = later if expected.derived else own
        right = next((entry for entry in _of_type(expected, candidates) if not differences(wanted, entry)), None)
        if right is None:
            missed.append((expected, wanted, candidates))
            continue
        candidates.remove(right)
        if family is not None:
            verdict.met[family] += 1
    for expected, wanted, candidates in missed:
        found = _nearest(expected, wanted, candidates)
        fields = [f"{name}={_shown(value)}" for name, value in wanted.items() if name != "user_agent.original"]
        said = "  ".join([expected.name, *fields])
        verdict.mismatches.append(Mismatch(_family(expected), played.step.title, said, found))
    _judge_rest(verdict, played, own)


def _nearest(expected: Entry, wanted: Mapping[str, str | None], candidates: list[Found]) -> tuple[str, ...]:
    """Say how the entry that comes nearest differs, and take it out; or say that there is none."""
    nearest = min(_of_type(expected, candidates), key=lambda entry: len(differences(wanted, entry)), default=None)
    if nearest is not None:
        candidates.remove(nearest)
        return tuple(differences(wanted, nearest))
    if expected.derived:
        return ("no such entry",)
    names = ", ".join(str(entry.get("event.name")) for entry in candidates)
    return (f"no such entry; besides what is right, this scene left: {names or 'nothing'}",)


def _of_type(expected: Entry, candidates: Iterable[Found]) -> list[Found]:
    return [entry for entry in candidates if entry.get("event.name") == expected.name]


def _family(expected: Entry) -> int | None:
    known = definition(expected.name)
    return known.family if known is not None and isinstance(known.family, int) else None


def _judge_rest(verdict: Verdict, played: Played, left: list[Found]) -> None:
    """What nobody expects is wrong as well: told twice is not told better. What the watch adds is free."""
    unexpected = tuple(str(entry.get("event.name")) for entry in left if not _is_derived(entry))
    if unexpected:
        expected = "nothing else" if played.step.entries else "nothing: an ordinary request"
        verdict.mismatches.append(Mismatch(None, played.step.title, expected, unexpected))


def _is_derived(entry: Found) -> bool:
    known = definition(str(entry.get("event.name")))
    return known is not None and known.origin == "derived"


def wanted_fields(expected: Entry, played: Played) -> dict[str, str | None]:
    """Return every field that is checked, with templates filled in; None stands for: not there."""
    device = DEVICES[played.step.by]
    known = definition(expected.name)
    wanted: dict[str, object] = {
        "user.name": device.user if expected.user is OURS else expected.user,
        "client.address": device.address,
        "event.outcome": expected.outcome or (known.outcome if known is not None else "unknown"),
    }
    if not expected.derived:
        wanted["user_agent.original"] = device.agent
    if expected.status is not None:
        wanted["http.response.status_code"] = str(expected.status)
    for name, value in zip(("seclog.target.type", "seclog.target.id"), expected.target, strict=True):
        if value is not None:
            wanted[name] = value
    wanted |= expected.fields
    return {name: value.format_map(played.world) if isinstance(value, str) else None for name, value in wanted.items()}


def differences(wanted: Mapping[str, str | None], entry: Found) -> list[str]:
    """Say field by field what an entry has instead of what is wanted."""
    said = []
    for name, value in wanted.items():
        found = None if entry.get(name) is None else str(entry[name])
        if not (
            found == value or (value is not None and found is not None and "*" in value and fnmatchcase(found, value))
        ):
            said.append(f"{name}: expected {_shown(value)}, found {_shown(found)}")
    return said


def _shown(value: str | None) -> str:
    return "none" if value is None else value
