"""The tables agree with the catalogue, with the code, with the page that describes them, and with themselves."""

import re
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

import seclog
from seclog.cli.target import _exists
from seclog.doctor import App, Route, Surroundings, examine
from seclog.doctor.data import Kind, coverage, libraries, standards, words
from seclog.doctor.pages import coverage_table, libraries_table
from seclog.doctor.standards import answers
from seclog.doctor.text import WIDTH, standard_lines
from seclog.events.catalogue import definition
from seclog.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
ADAPTERS = Path(seclog.__file__).parent / "adapters"
FRAMEWORKS = sorted(coverage().inherits)
ROWS = [(part, row) for part in ("any", "django", "flask", "asgi", "fastapi") for row in getattr(coverage(), part)]


def is_there(row):
    return (ADAPTERS / "integrations" / f"{row.module}.py").is_file()


LIBRARY_ROWS = [(name, row) for name, library in libraries().known.items() for row in library.rows]


@pytest.mark.parametrize(
    ("part", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else value.by or value.gap or value.call
)
def test_a_row_is_a_hook_a_gap_or_a_call(part, row):
    """Exactly one of the three, with what it needs."""
    assert [bool(row.by and row.module), row.gap is not None, row.call is not None].count(True) == 1
    assert row.by == "" or row.events


@pytest.mark.parametrize(("part", "row"), [item for item in ROWS if item[1].by and _exists(item[1].module)], ids=str)
def test_a_hook_records_what_its_row_claims(part, row):
    """The module exists, and its package, or what the adapters share, names each event type."""
    source = Path(find_spec(row.module).origin)
    text = "".join(file.read_text() for folder in (source.parent, ADAPTERS) for file in folder.glob("*.py"))
    missing = [event for event in row.events if event.name not in text and event.value not in text]
    assert missing == []


@pytest.mark.parametrize(("name", "row"), [item for item in LIBRARY_ROWS if is_there(item[1])], ids=str)
def test_an_integration_records_what_its_row_claims(name, row):
    """Where a library's integration exists, it, or what it works with, names each event type."""
    folders = (ADAPTERS, ADAPTERS / "django", ADAPTERS / "flask", ADAPTERS / "asgi")
    text = (ADAPTERS / "integrations" / f"{row.module}.py").read_text()
    text += "".join(file.read_text() for folder in folders for file in folder.glob("*.py"))
    assert [event for event in row.events if event.name not in text] == []


@pytest.mark.parametrize("name", sorted(libraries().known))
def test_an_integration_is_connected_where_the_table_says(name):
    """A file alone records nothing: the adapter of each framework that the table names connects it."""
    library = libraries().known[name]
    for framework in library.frameworks:
        hooks = (ADAPTERS / {"starlette": "asgi", "fastapi": "asgi"}.get(framework, framework) / "hooks.py").read_text()
        assert [row.module for row in library.rows if is_there(row) and f'"{row.module}"' not in hooks] == []


@pytest.mark.parametrize("name", sorted(file.stem for file in (ADAPTERS / "integrations").glob("[a-z]*.py")))
def test_every_integration_is_in_the_table(name):
    """The doctor knows each integration there is."""
    assert name in {row.module for _, row in LIBRARY_ROWS}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_family_has_rows(framework):
    """Each framework says something about each family, by itself, as a gap or by call."""
    families = {row.family for row in coverage().rows(framework)}
    assert families == set(range(1, 11))


@pytest.mark.parametrize("row", [row for _, row in [*ROWS, *LIBRARY_ROWS]], ids=str)
def test_events_are_of_the_row_s_family(row):
    """An event stands in its own family; a session's end is also a logout, and a role may be changed by an import."""
    strangers = {event for event in row.events if definition(event).family != row.family}
    assert strangers <= {"session_logout"}


def test_ids_of_gaps_mean_one_thing():
    """A blind spot is accepted by its id: the same id is the same `what`, everywhere."""
    gaps = {(gap.id, gap.what) for _, row in ROWS for gap in (row.gap, row.otherwise) if gap is not None}
    assert [name for name, count in Counter(name for name, _ in gaps).items() if count > 1] == []


@pytest.mark.parametrize(("name", "row"), LIBRARY_ROWS, ids=str)
def test_an_unhooked_library_has_a_line(name, row):
    """A library that may be without a hook says what to add."""
    assert row.line or find_spec(f"seclog.adapters.integrations.{row.module}") is not None


@pytest.mark.parametrize(
    "line", sorted({gap.line for _, row in ROWS for gap in (row.gap, row.otherwise) if gap}), ids=str
)
def test_lines_name_functions_that_exist(line):
    """A line to add names only what seclog has."""
    missing = [name for name in re.findall(r"\bseclog\.([a-z_]+)\(", line) if not hasattr(seclog, name)]
    assert missing == []


def test_a_misspelt_key_is_an_error():
    """The tables are read strictly."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"words": ["x"], "wrods": []}, Kind)


def test_verbs_are_singular():
    """Words are compared in singular."""
    assert all(word.islower() for word in words().verbs)


# ── standards ───────────────────────────────────────────────────────────────────────────────────────────────

ASVS = {
    f"16.{chapter}.{number}"
    for chapter, count in {1: 1, 2: 5, 3: 4, 4: 3, 5: 4}.items()
    for number in range(1, count + 1)
}
PCI = {*(f"10.2.1.{number}" for number in range(1, 8)), "10.2.2", *(f"10.3.{number}" for number in range(1, 5)),
       "10.4.1", "10.4.1.1", "10.5.1", *(f"10.7.{number}" for number in range(1, 4)), "8.3.4"}  # fmt: skip


@pytest.mark.parametrize(("name", "ids"), [("asvs", ASVS), ("pci", PCI)])
def test_every_requirement_is_there(name, ids):
    """All 17 requirements of ASVS V16, all of PCI's that are about logs; each once."""
    found = [requirement.id for requirement in standards()[name].requirements]
    assert set(found) == ids
    assert len(found) == len(ids)


@pytest.mark.parametrize(
    "requirement",
    [item for standard in standards().values() for item in standard.requirements],
    ids=lambda item: item.id,
)
def test_not_yet_means_not_yet(requirement):
    """What is "not yet" names a module that is missing; when it is there, the row is to be written anew."""
    assert (requirement.state == "not yet") == bool(requirement.until)
    if requirement.until:
        parent, _, name = requirement.until.rpartition(".")
        assert not hasattr(import_module(parent), name)
        assert find_spec(requirement.until) is None, f"{requirement.id}: {requirement.until} exists now"


def test_what_the_app_is_blind_to_makes_a_requirement_partly():
    """A covered requirement is no longer covered in an app that is blind to one of its families."""
    app = App(framework="flask", installed=True, position=0, routes=(Route("/login"),))
    [login] = [row for row in answers("asvs", examine((app,), Surroundings(settings=Settings()))) if row.id == "16.3.1"]
    assert login.state == "partly"
    assert [spot.partition(":")[0] for spot in login.blind[:1]] == ["1 login"]


def test_without_seclog_nothing_is_covered():
    """An app without seclog covers no requirement that its events would."""
    app = App(framework="flask", routes=(Route("/"),))
    states = {row.id: row.state for row in answers("pci", examine((app,), Surroundings()))}
    assert states["10.2.1.4"] == "not installed"
    assert states["10.5.1"] == "not ours"


@pytest.mark.parametrize("name", sorted(standards()))
def test_a_standard_as_text(name):
    """The table fits 80 columns and ends with its counts."""
    app = App(framework="django", installed=True, position=0)
    lines = list(standard_lines(name, answers(name, examine((app,), Surroundings()))))
    assert all(len(line) <= WIDTH or line.startswith("http") for line in lines)
    assert lines[-1].startswith(f"{name}: ")


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_page_holds_the_table(framework):
    """docs/doctor.md holds the table of each framework as the data makes it (`python -m seclog.doctor.pages docs/doctor.md`)."""
    assert coverage_table(framework) in PAGE.read_text(encoding="utf-8")


def test_the_page_holds_the_libraries():
    """And that of the libraries."""
    assert libraries_table() in PAGE.read_text(encoding="utf-8")


def test_the_page_names_every_blind_spot():
    """Each id that `--accept` takes is on the page."""
    text = PAGE.read_text(encoding="utf-8")
    ids = {gap.id for _, row in ROWS for gap in (row.gap, row.otherwise) if gap is not None}
    assert [name for name in sorted(ids) if f"`{name}`" not in text] == []
