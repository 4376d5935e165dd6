"""The examination: facts in, a report out. Pure: the same facts always give the same report."""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from seclog.doctor.data import Gap, Row, coverage, libraries
from seclog.doctor.facts import App, Surroundings
from seclog.doctor.report import AppReport, Blind, ByCall, Covered, Family, Report, SensitiveRoute, Status
from seclog.doctor.routes import kinds_of, sensitive
from seclog.doctor.warnings import warnings
from seclog.events.catalogue import FAMILIES

INTEGRATIONS = "seclog.adapters.integrations"


def examine(apps: tuple[App, ...], around: Surroundings) -> Report:
    """Judge what is known about the apps.

    Args:
        apps: the app, and those that are mounted in it.
        around: what holds for all of them.
    """
    return Report(tuple(_examine(app, around) for app in apps))


def _examine(app: App, around: Surroundings) -> AppReport:
    app = replace(app, traits=app.traits | _derived(app, around))
    families = []
    for number in FAMILIES:
        if isinstance(number, int):
            family = _family(number, app, around)
            families.append(family)
            if family.covered or any(call.called for call in family.by_call):
                app = replace(app, traits=app.traits | {f"family:{number}"})  # a later family may live on this one
            elif family.blind:
                app = replace(app, traits=app.traits | {f"blind:{number}"})
    return AppReport(
        name=app.name,
        framework=app.framework,
        version=app.version,
        mounted_at=app.mounted_at,
        installed=app.installed,
        routes=len(app.routes),
        decorated=sum(bool(route.marks) for route in app.routes),
        families=tuple(families),
        sensitive=tuple(_sensitive(app, around)),
        warnings=tuple(warnings(app, around)),
    )


def _sensitive(app: App, around: Surroundings) -> Iterator[SensitiveRoute]:
    """Leave out what is recorded without a decorator: tokens of known libraries, and what the settings name."""
    told = frozenset({"token"}) if _has("tokens:known", app) or _is_told(("emit:authn_token_*",), app) else frozenset()
    for route in sensitive(app.routes, told):
        if not route.path.startswith(around.settings.sensitive_paths or ("\0",)):
            yield route


def _derived(app: App, around: Surroundings) -> set[str]:
    """Return the traits that follow from other facts."""
    settings = around.settings
    traits = {f"route:{kind}" for route in app.routes for kind in kinds_of(route)}
    traits |= {f"call:{name}" for name in app.calls}
    traits |= {f"call:{mark.partition(' ')[0]}" for route in app.routes for mark in route.marks}
    if settings.watch.enabled:
        traits.add("watch:on")
    if settings.watch_models:
        traits.add("setting:watch_models")
    if settings.sensitive_paths:
        traits.add("setting:sensitive_paths")
    if app.watchable:
        traits.add("models:configuration")
    user_model = _detail(app, "user_model:")
    if user_model is not None and user_model.lower() in {label.lower() for label in settings.watch_models}:
        traits.add("setting:watch_user_model")
    if not app.installed or app.position is not None:  # what would be, if the lines that install it were added
        traits.add("seclog:middleware")
    if any(library.tokens and library.trait in app.traits for library in libraries().known.values()):
        traits.add("tokens:known")
    return traits


def _family(number: int, app: App, around: Surroundings) -> Family:
    covered: list[Covered] = []
    blind: list[Blind] = []
    by_call: list[ByCall] = []
    for row in coverage().rows(app.framework):
        if row.family == number:
            covered += _covered(row, app, around)
            blind += _blind(row, app, around)
            by_call += _by_call(row, app)
    for found, missing in _libraries(number, app, around):
        covered += found
        blind += missing
    return Family(
        number=number,
        name=FAMILIES[number],
        status=_status(covered, blind, by_call),
        covered=tuple(covered),
        blind=tuple(blind),
        by_call=tuple(by_call),
    )


def _status(covered: list[Covered], blind: list[Blind], by_call: list[ByCall]) -> Status:
    if covered:
        return "partly" if blind else "recorded"
    if blind:
        return "partly" if any(call.called for call in by_call) else "blind"
    return "by call" if by_call else "no sign"


def _covered(row: Row, app: App, around: Surroundings) -> Iterator[Covered]:
    if row.by and _holds(row, app) and row.module in around.modules:
        yield Covered(row.events, row.by, row.module)


def _blind(row: Row, app: App, around: Surroundings) -> Iterator[Blind]:
    if row.gap is not None and _holds(row, app):
        yield from _spot(row.gap, app)
    elif row.by and not _has_all(row.needs, app) and row.otherwise is not None:
        yield from _spot(row.otherwise, app)
    elif row.by and _holds(row, app) and row.module not in around.modules:
        why = f"this seclog has no {row.module} yet"
        yield Blind(f"no-{row.module.rpartition('.')[2]}", ", ".join(row.events), why, "a newer seclog")


def _spot(gap: Gap, app: App) -> Iterator[Blind]:
    if not _is_told(gap.told_by, app):
        yield Blind(gap.id, gap.what, _filled(gap.why, app), _filled(gap.line, app))


def _by_call(row: Row, app: App) -> Iterator[ByCall]:
    if row.call is not None and _holds(row, app):
        yield ByCall(row.events, row.call.what, row.call.line, _is_told(row.call.told_by, app))
    for gap, is_open in ((row.gap, _holds(row, app)), (row.otherwise, not _has_all(row.needs, app))):
        if gap is not None and is_open and _is_told(gap.told_by, app):
            yield ByCall(row.events, gap.what, gap.line, called=True)


def _libraries(number: int, app: App, around: Surroundings) -> Iterator[tuple[list[Covered], list[Blind]]]:
    for name, library in libraries().known.items():
        if not _has(library.trait, app):
            continue
        for row in library.rows:
            if row.family != number:
                continue
            module = f"{INTEGRATIONS}.{row.module}"
            if module in around.modules and app.framework in library.frameworks:
                yield [Covered(row.events, f"{library.title}: {row.by}", module)], []
            elif not _is_told((*row.told_by, *(f"emit:{event}" for event in row.events)), app):
                where = "" if module not in around.modules else f" in {app.framework} apps"
                why = f"this seclog has no hook for {library.title}{where} yet"
                yield [], [Blind(name.replace("_", "-"), f"{library.title}: {row.by}", why, row.line)]


def _holds(row: Row, app: App) -> bool:
    return _has_all(row.needs, app) and not any(_has(name, app) for name in row.unless)


def _has_all(needs: tuple[str, ...], app: App) -> bool:
    return all(_has(need, app) for need in needs)


def _has(need: str, app: App) -> bool:
    return any(name in app.traits for name in need.split("|"))


def _detail(app: App, prefix: str) -> str | None:
    return next((trait.removeprefix(prefix) for trait in sorted(app.traits) if trait.startswith(prefix)), None)


def _is_told(told_by: tuple[str, ...], app: App) -> bool:
    """Tell whether the app's own code, or a setting, does what closes the gap (names may be patterns)."""
    names = tuple(name if name.startswith("setting:") else f"call:{name}" for name in told_by)
    return any(fnmatchcase(trait, name) for trait in app.traits for name in names)


def _filled(text: str, app: App) -> str:
    """Put this app's names into a text of the table."""
    watchable = app.watchable[:3]
    return (
        text.replace("{watchable_quoted}", ", ".join(f'"{name}"' for name in watchable))
        .replace("{watchable}", ", ".join(watchable))
        .replace("{watchable_first}", watchable[0] if watchable else "Setting")
        .replace("{user_role}", _detail(app, "user_role:") or "role")
        .replace("{user_model}", _detail(app, "user_model:") or "app.User")
    )
