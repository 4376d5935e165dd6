"""A standard, requirement by requirement, for the app that was examined."""

from dataclasses import dataclass

from seclog.doctor.data import Requirement, standards
from seclog.doctor.report import AppReport, Report


@dataclass(frozen=True)
class Answer:
    """One requirement, and what covers it here."""

    id: str
    level: str
    text: str
    state: str
    by: str
    blind: tuple[str, ...]
    """What this app is blind to, of what the requirement asks for."""


def answers(standard: str, report: Report) -> tuple[Answer, ...]:
    """Return the table of a standard. What seclog can cover counts only as far as the apps let it."""
    return tuple(_answer(requirement, report) for requirement in standards()[standard].requirements)


def _answer(requirement: Requirement, report: Report) -> Answer:
    blind = tuple(dict.fromkeys(spot for app in report.apps for spot in _blind(app, requirement.families)))
    state: str = requirement.state
    if state == "ours" and blind:
        state = "partly"
    if requirement.families and not any(app.installed for app in report.apps):
        state = "not installed"
    return Answer(requirement.id, requirement.level, requirement.text, state, requirement.by, blind)


def _blind(app: AppReport, families: tuple[int, ...]) -> list[str]:
    return [
        f"{family.number} {family.name}: {spot.what}"
        for family in app.families
        if family.number in families
        for spot in family.blind
    ]
