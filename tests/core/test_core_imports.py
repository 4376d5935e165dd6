"""Who imports whom, as the floor plan says; and what `import seclog` costs."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import seclog

ROOT = Path(__file__).parents[2]
SOURCE = Path(seclog.__file__).parent
HEAVY = ("django", "rest_framework", "flask", "starlette", "fastapi", "asgiref", "click", "rich", "cryptography", "yaml",
         "pythonjsonlogger", "sqlite3", "asyncio", "seclog.watch", "seclog.cli", "seclog.adapters")  # fmt: skip


def loaded_by(code):
    """Return the modules that a fresh interpreter loads for some code."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}


def heavy(modules):
    return {name for name in modules if any(name == top or name.startswith(f"{top}.") for top in HEAVY)}


def test_import_seclog_loads_nothing_heavy():
    """No framework, no command line, no cryptography, no YAML, nothing of loop 2."""
    modules = loaded_by("import seclog")
    assert "seclog.recorder" in modules
    assert heavy(modules) == set()


def test_recording_to_the_disk_loads_nothing_heavy_either(tmp_path):
    """Loop 1 stays small when it runs."""
    code = f"""
import seclog
installation = seclog.configure({{"directory": {str(tmp_path)!r}, "watch": False}})
seclog.emit("authz_fail", count=1)
installation.shut_down()
"""
    assert heavy(loaded_by(code)) == set()


def test_the_public_names_are_exact():
    """Every name in `__all__` is there, and there is no public name beside it."""
    assert seclog.__all__ == sorted(seclog.__all__)
    assert all(hasattr(seclog, name) for name in seclog.__all__)
    imported = {
        alias.asname or alias.name
        for node in ast.parse((SOURCE / "__init__.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported | {"__version__"} == set(seclog.__all__)


def test_the_public_names_are_few():
    """Adding one is a decision: it is written here too."""
    assert seclog.__all__ == [
        "ConfigurationError", "Event", "EventType", "MissingExtraError", "NotAJournalError", "NotRecordedError",
        "SeclogError", "Settings", "__version__", "actor", "admin_action", "bind_user", "change", "configure", "denied",
        "emit", "export", "login_failed", "login_succeeded", "pseudonym", "sensitive", "unknown_name",
    ]  # fmt: skip


def test_all_errors_are_of_one_tree():
    """One `except SeclogError` catches them; a missing extra is an ImportError too."""
    assert issubclass(seclog.MissingExtraError, (seclog.SeclogError, ImportError))
    for error in (seclog.ConfigurationError, seclog.NotRecordedError, seclog.NotAJournalError):
        assert issubclass(error, seclog.SeclogError)
    assert str(seclog.MissingExtraError("redis", "redis")) == 'redis is not installed: pip install "seclog[redis]"'


@pytest.mark.skipif(find_spec("importlinter") is None, reason="import-linter is not installed")
def test_the_import_contracts_hold():
    """The rules of the floor plan, by import-linter."""
    script = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_module_says_what_it_is():
    """A module without a docstring is a room without a sign."""
    silent = [
        path.relative_to(SOURCE)
        for path in SOURCE.rglob("*.py")
        if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []
