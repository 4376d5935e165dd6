"""The README is executed: its settings run, its entry is what is written, its commands and links exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CHANGES_EACH_TIME = {"timestamp", "event.id", "seclog.request.id", "seclog.duration_ms", "seclog.seq", "seclog.hash"}

PROJECT = """
import secrets, sys
from pathlib import Path
import django
from django.conf import settings

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
{snippet}
SECLOG = {{**SECLOG, "directory": sys.argv[1], "watch": False}}
settings.configure(
    SECRET_KEY=secrets.token_hex(32), ALLOWED_HOSTS=["testserver"], ROOT_URLCONF="__main__", USE_TZ=True,
    INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE, SECLOG=SECLOG,
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {{"loaders": [
        ("django.template.loaders.locmem.Loader", {{"registration/login.html": "{{{{ form }}}}"}})]}}}}],
)
django.setup()
from django.contrib.auth import get_user_model, views
from django.core.management import call_command
from django.test import Client
from django.urls import path

urlpatterns = [path("login/", views.LoginView.as_view())]
call_command("migrate", verbosity=0)
get_user_model().objects.create_user("joebob1", password=secrets.token_hex(8), pk=17)
Client(REMOTE_ADDR="10.0.0.5", HTTP_X_FORWARDED_FOR="198.51.100.7", HTTP_USER_AGENT="Mozilla/5.0").post(
    "/login/", {{"username": "joebob1", "password": secrets.token_hex(8)}}
)
"""


def blocks(language):
    """Return the README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_settings_write_the_entry_that_is_shown(tmp_path):
    """The three settings of the first screen make a real Django app write the very entry below them."""
    pytest.importorskip("django")
    script = tmp_path / "project.py"
    script.write_text(PROJECT.format(snippet=blocks("python")[0]))
    subprocess.run([sys.executable, str(script), str(tmp_path / "journal")], check=True, timeout=60)
    lines = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    [written] = [entry for entry in lines if entry["event.name"] == "authn_login_fail"]
    shown = json.loads(blocks("json")[0])
    assert list(written) == list(shown)
    assert {k: v for k, v in written.items() if k not in CHANGES_EACH_TIME} == {
        k: v for k, v in shown.items() if k not in CHANGES_EACH_TIME
    }


def test_the_api_examples_run(entries):
    """The one-liners of "What only you can know" are valid and record what they say."""
    names: dict[str, object] = {}
    exec(blocks("python")[1], names)  # the README is ours
    names["patient"](None, pk=5)
    names["orders"](None)
    names["refund"](None, pk=7)
    assert [(e["event.name"], e.get("seclog.target.id")) for e in entries if e["event.name"] != "sys_startup"] == [
        ("config_changed", None),
        ("user_archived", "17"),
        ("authn_login_fail", None),
        ("authz_fail", "17"),
        ("authn_token_created", None),
        ("sensitive_read", "5"),
        ("data_export", None),
        ("authz_admin", "7"),
    ]


def test_links_lead_somewhere():
    """Every relative link in the README and in docs/ leads to a file."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "example_projects").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_make_knows_the_targets():
    """`make demo` and `make test` exist, and `make help` names every target that the README names."""
    text = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True, env=dict(os.environ)
    ).stdout
    for target in re.findall(r"make (\w+)", README):
        assert f"make {target}" in text or target in text


def test_every_setting_is_documented():
    """docs/settings.md has a row for every key, and for no other."""
    from seclog.settings import KEYS

    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert rows == list(KEYS)


def test_every_error_is_exported():
    """What can be raised can be caught by its public name."""
    import seclog
    from seclog import errors

    for name, item in vars(errors).items():
        if isinstance(item, type) and issubclass(item, errors.SeclogError):
            assert name in seclog.__all__
