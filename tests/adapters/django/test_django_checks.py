"""`manage.py check` and `manage.py seclog`: every mistake has a number and says its cure."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.core import checks as django_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from seclog.adapters.django import checks, middleware
from seclog.adapters.django.middleware import SecurityEventMiddleware

OURS = checks.MIDDLEWARE
OTHER = "django.middleware.security.SecurityMiddleware"


class Tuned(SecurityEventMiddleware):
    """A project's own subclass."""


def found():
    """Return what `manage.py check` says of ours, by number."""
    return {m.id: m for m in django_checks.run_checks(tags=["security"]) if m.id.startswith("seclog.")}


def seclog(**keys):
    return override_settings(SECLOG={"directory": None, **keys})


def test_a_right_project_has_nothing_to_say():
    """The settings of the tests are right."""
    assert found() == {}


@pytest.mark.parametrize(
    ("keys", "number", "text"),
    [
        ({"watch": "soon"}, "seclog.E001", "SECLOG['watch'] must be True, False or a mapping, got str"),
        ({"direktory": "x"}, "seclog.E001", "did you mean 'directory'?"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "seclog.W004", "0.0.0.0/0"),
        ({"trusted_proxies": ["unix", "::/0"]}, "seclog.W004", "::/0"),
        ({"watch_models": ["shop.Nothing"]}, "seclog.E004", "shop.Nothing"),
        ({"watch_models": {"djangoapp.Order": ["nothing"]}}, "seclog.E004", "djangoapp.Order.nothing"),
    ],
)
def test_wrong_settings(keys, number, text):
    """A wrong key, type, network or model is reported under its number, with the cure."""
    with seclog(**keys):
        [message] = found().values()
    assert message.id == number
    assert text in message.msg and message.hint


def test_a_file_where_the_directory_should_be(tmp_path):
    """A path below a file can never be a directory."""
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with seclog(directory=directory):
            [message] = found().values()
        assert message.id == "seclog.E003" and str(directory) in message.msg


def test_a_directory_that_nobody_may_write():
    """A file system without write access is found by trying: root is allowed everything there and still cannot."""
    with seclog(directory="/proc/seclog"):
        [message] = found().values()
    assert message.id == "seclog.E003" and "/proc/seclog" in message.msg


def test_a_read_only_directory(tmp_path):
    """A directory of somebody else is reported (as root everything is writable: then a child of another user looks)."""
    directory = tmp_path / "sealed"
    directory.mkdir(mode=0o500)
    code = (
        "import os, sys; from pathlib import Path; from seclog.adapters.django.checks import unwritable\n"
        "os.geteuid() or os.setresuid(65534, 65534, 65534)\n"
        f"sys.exit(unwritable(Path({str(directory)!r})) != 'Permission denied')"
    )
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == tmp_path.stat().st_uid and parent != Path(parent.anchor):
            parent.chmod(parent.stat().st_mode | 0o055)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_directory_is_made_and_left_clean(tmp_path):
    """A missing directory is created for its user alone, and the trial leaves nothing behind."""
    directory = tmp_path / "new" / "seclog"
    with seclog(directory=directory):
        assert found() == {}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("listed", "number"),
    [
        ([], "seclog.W001"),
        ([OTHER], "seclog.W001"),
        ([OTHER, OURS], "seclog.W002"),
        ([OTHER, f"{__name__}.Tuned"], "seclog.W002"),
    ],
)
def test_a_missing_or_misplaced_middleware(listed, number):
    """The app runs without the middleware or with a late one, and records less: warnings."""
    with override_settings(MIDDLEWARE=listed):
        [message] = found().values()
    assert message.id == number and OURS in message.hint


def test_a_subclass_of_the_middleware_is_the_middleware():
    """A project may bring its own subclass."""
    with override_settings(MIDDLEWARE=[f"{__name__}.Tuned", OTHER]):
        assert found() == {}


def test_the_middleware_without_the_app(settings, caplog, monkeypatch):
    """Without the app nothing is recorded: the check says so, and so does the middleware when the server starts."""
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != checks.APP]
    assert set(found()) == {"seclog.W003"}
    monkeypatch.setattr(middleware, "_started", None)
    with caplog.at_level("WARNING", "seclog.internal"):
        SecurityEventMiddleware(lambda request: None)
    assert "INSTALLED_APPS" in caplog.text


def test_sessions_without_an_id():
    """Signed cookies have no session to follow."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert set(found()) == {"seclog.W005"}


def test_numbers_are_unique():
    """No two messages share a number."""
    source = Path(checks.__file__).read_text()
    numbers = [part.partition('"')[0] for part in source.split('id="')[1:]]
    assert len(numbers) == len(set(numbers)) == 8


def test_a_wrong_setting_does_not_stop_the_app(tmp_path):
    """A project with a wrong setting starts, says that seclog is off, and `check` fails with the number."""
    (tmp_path / "wrong_settings.py").write_text('from djangoapp.settings import *\nSECLOG = {"watch": "soon"}\n')
    environ = {
        "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
        "DJANGO_SETTINGS_MODULE": "wrong_settings",
    }
    check = subprocess.run(
        [sys.executable, "-m", "django", "check"], env=environ, capture_output=True, text=True, check=False
    )
    assert check.returncode == 1
    assert "seclog.E001" in check.stderr and "seclog is OFF" in check.stderr


def test_manage_py_seclog_uses_the_projects_settings(tmp_path, capsys):
    """`manage.py seclog settings` shows the directory of this project."""
    pytest.importorskip("click")
    with override_settings(SECLOG={"directory": tmp_path / "here"}):
        call_command("seclog", "settings")
    assert str(tmp_path / "here") in capsys.readouterr().out


def test_manage_py_seclog_hands_on_options_and_exit_code(tmp_path):
    """Options are seclog's own, and its exit code is the command's."""
    pytest.importorskip("click")
    environ = {"PYTHONPATH": str(Path(__file__).parents[2]), "DJANGO_SETTINGS_MODULE": "djangoapp.settings"}
    command = [sys.executable, "-m", "django", "seclog", "verify", str(tmp_path / "nothing")]
    verify = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert verify.returncode == 2, verify.stderr
    help_text = subprocess.run([*command[:4], "--help"], env=environ, capture_output=True, text=True, check=False)
    assert help_text.returncode == 0 and "verify" in help_text.stdout


def test_manage_py_seclog_says_what_is_wrong_with_the_settings(capsys):
    """A wrong setting is one line and exit code 2."""
    with seclog(watch="soon"), pytest.raises(CommandError) as error:
        call_command("seclog", "settings")
    assert error.value.returncode == 2
    assert capsys.readouterr().err.startswith("seclog: SECLOG['watch'] must be")
