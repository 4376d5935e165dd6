"""`seclog doctor` as it is run: text at 80 columns, JSON, exit codes, in a process of its own on real projects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.journals import ENVIRONMENT, SCRIPT
from seclog.doctor.report import SCHEMA
from seclog.doctor.text import WIDTH

SHOP = Path(__file__).parents[2] / "example_projects" / "django_project"
APP = '''
"""A small shop."""
from flask import Flask

app = Flask(__name__)
print("said while it is imported")


@app.post("/login")
def login():
    return ""


@app.get("/orders/export")
def export_orders():
    return ""
'''
GOLDEN = """\
small_shop:app: flask VERSION, 2 routes, 0 decorated

  ! seclog is not installed in this app: what follows is what it will record
    once it is
    > from seclog.adapters.flask import SecLog; SecLog(app)
  ! no proxy is configured: if one stands in front, every entry has its address
    > SECLOG["trusted_proxies"] = ["10.0.0.0/8"]  # the networks of your own proxies

  ~  1 login: partly
       + authn_login_success, authn_login_fail
         by POSTs to what is called a login: the user in the session afterwards,
         or the refusal (heuristic)
       - logins, as far as the heuristic cannot tell them: it knows a user only
         by the usual keys in the session, and no login that answers JSON or has
         two steps [guessed-login]
         > seclog.login_failed(name) where it refuses, seclog.login_succeeded(user.id, name) where it lets in

"""


@pytest.fixture
def run(tmp_path):
    """Run a program in a folder; gives exit code, standard output and standard error."""
    environment = {
        key: value for key, value in ENVIRONMENT.items() if key != "DJANGO_SETTINGS_MODULE"
    }  # the suite's own
    environment["DEMO_STATE"] = str(tmp_path / "state")  # the examples' own would be left in the checkout

    def call(*args, program=(SCRIPT,), cwd=tmp_path, **env):
        done = subprocess.run(
            [*program, *args], capture_output=True, text=True, timeout=120, cwd=cwd, env={**environment, **env}
        )
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def small_shop(tmp_path):
    """A small Flask app in the current folder."""
    pytest.importorskip("flask")
    (tmp_path / "small_shop.py").write_text(APP)
    return "small_shop:app"


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_text(run, small_shop):
    """Warnings first, then family by family, each blind spot with its line; what the app prints is not in it."""
    from importlib.metadata import version

    code, out, err = run("doctor", "--app", small_shop)
    assert code == 0
    assert out.startswith(GOLDEN.replace("VERSION", version("flask")))
    assert out.rstrip().splitlines()[-1].startswith("doctor: ")
    assert '    > @seclog.export("orders")  # small_shop.export_orders\n      GET /orders/export (export)\n' in out
    assert "said while" not in out
    assert "said while" in err


def test_text_fits_80_columns(run, small_shop):
    """Every line fits, except the lines to add, which nobody could paste if they were wrapped."""
    _, out, _ = run("doctor", "--app", small_shop)
    too_long = [line for line in out.splitlines()[:-1] if len(line) > WIDTH]
    assert all(line.lstrip().startswith("> ") for line in too_long)


# ── the example shop ────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_shop(run):
    """`manage.py seclog doctor` knows the app: nothing is blind, four routes could be decorated."""
    pytest.importorskip("rest_framework")
    code, out, _ = run("manage.py", "seclog", "doctor", "--format", "json", "--fail-on", "blind", program=(sys.executable,),
                       cwd=SHOP)  # fmt: skip
    [app] = json.loads(out)["apps"]
    assert code == 0
    assert {family["status"] for family in app["families"]} == {"recorded"}
    assert app["warnings"] == []
    assert [(route["path"], route["line"]) for route in app["sensitive"]] == [
        ("/orders/invoices/", '@seclog.sensitive("invoices")'),
        ("/orders/<int:pk>/pay/", '@seclog.sensitive("orders")'),
        ("/orders/<int:pk>/invoice/", '@seclog.sensitive("invoice")'),
        ("/api/customers/", '@seclog.sensitive("customers")'),
    ]


def test_the_example_shop_by_its_wsgi_application(run, tmp_path):
    """`--app site_config.wsgi:application` leads to the same report."""
    pytest.importorskip("rest_framework")
    code, out, _ = run("doctor", "--app", "site_config.wsgi:application", "--format", "json", cwd=SHOP)
    [app] = json.loads(out)["apps"]
    assert (code, app["framework"], app["installed"]) == (0, "django", True)
    assert (tmp_path / "state").is_dir()  # and not in the checkout


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json(run, small_shop):
    """The names of the schema, at every level; a machine may rely on them."""
    _, out, _ = run("doctor", "--app", small_shop, "--format", "json")
    report = json.loads(out)
    assert report.keys() == {"schema", "apps"}
    assert report["schema"] == SCHEMA
    [app] = report["apps"]
    assert app.keys() == {
        "name",
        "framework",
        "version",
        "mounted_at",
        "installed",
        "routes",
        "decorated",
        "families",
        "sensitive",
        "warnings",
    }
    for family in app["families"]:
        assert family.keys() == {"number", "name", "status", "covered", "blind", "by_call"}
        assert all(item.keys() == {"events", "by", "module"} for item in family["covered"])
        assert all(item.keys() == {"id", "what", "why", "line"} for item in family["blind"])
        assert all(item.keys() == {"events", "what", "line", "called"} for item in family["by_call"])
    assert all(item.keys() == {"path", "methods", "view", "kinds", "line"} for item in app["sensitive"])
    assert all(item.keys() == {"id", "text", "line"} for item in app["warnings"])
    assert [family["number"] for family in app["families"]] == list(range(1, 11))


def test_json_with_a_standard(run, small_shop):
    """The table of a standard comes with the report."""
    _, out, _ = run("doctor", "--app", small_shop, "--format", "json", "--standard", "asvs")
    standard = json.loads(out)["standard"]
    assert standard.keys() == {"name", "title", "source", "requirements"}
    assert len(standard["requirements"]) == 17
    assert all(row.keys() == {"id", "level", "text", "state", "by", "blind"} for row in standard["requirements"])


# ── exit codes ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--fail-on", "blind"), 1),
        (("--fail-on", "undecorated"), 1),
        (("--fail-on", "warning"), 1),
        (("--fail-on", "never"), 2),
        (("--standard", "iso"), 2),
    ],
)
def test_exit_codes(run, small_shop, options, code):
    """0 unless asked to fail; 1 if what was asked for is there; 2 for a wrong option."""
    assert run("doctor", "--app", small_shop, *options)[0] == code


FLASK = """
import seclog
from flask import Flask
from seclog.adapters.flask import SecLog

app = Flask(__name__)
app.config["SECLOG"] = {"directory": None, "trusted_proxies": ["10.0.0.0/8"]}
SecLog(app)


@app.post("/login")
def login():
    seclog.login_failed("name")
    return "", 401


@app.post("/logout-everywhere")
def everywhere():
    seclog.emit("session_revoked")
    return ""


@app.get("/orders/export")
@seclog.export("orders")
def export_orders():
    return ""
"""
FASTAPI = """
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

import seclog
from seclog.adapters.asgi import audit_access, install

app = FastAPI()
install(app, {"directory": None, "trusted_proxies": ["10.0.0.0/8"]})


def user(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))]):
    seclog.bind_user(17, "ann")


@app.post("/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    seclog.emit("authn_token_created")


@app.get("/patients/{id}", dependencies=[Depends(user), Depends(audit_access("patients"))])
def patient(id: int):
    return {}
"""


@pytest.mark.parametrize(("library", "source"), [("flask", FLASK), ("fastapi", FASTAPI)], ids=["flask", "fastapi"])
def test_an_app_that_is_well(run, tmp_path, library, source):
    """With seclog installed and its calls in place nothing is blind, undecorated or to be warned of."""
    pytest.importorskip(library)
    (tmp_path / "well.py").write_text(source)
    everything = ("--fail-on", "blind", "--fail-on", "undecorated", "--fail-on", "warning")
    code, out, err = run("doctor", "--app", "well:app", *everything)
    assert (code, out.splitlines()[-1].partition(", ")[2]) == (0, "0 blind spots, 0 undecorated routes, 0 warnings"), (
        out + err
    )


def test_accepted_warnings_do_not_fail(run, small_shop):
    """What is known and accepted by its id no longer fails; an id that is not accepted still does."""
    known = ("--fail-on", "warning", "--accept", "not-installed")
    assert run("doctor", "--app", small_shop, *known)[0] == 1
    assert run("doctor", "--app", small_shop, *known, "--accept", "proxies-unset")[0] == 0


@pytest.mark.parametrize("target", ["no_such_module:app", "small_shop:nothing", "broken:app", "exiting:app"])
def test_a_broken_app_is_one_line(run, small_shop, tmp_path, target):
    """One line of ours on standard error, nothing on standard output, exit 2."""
    (tmp_path / "broken.py").write_text("import json\njson.loads('{')\n")
    (tmp_path / "exiting.py").write_text("import sys\nsys.exit('no config\\nfound')\n")
    code, out, err = run("doctor", "--app", target)
    assert (code, out) == (2, "")
    [line] = [line for line in err.splitlines() if line != "said while it is imported"]
    assert line.startswith(f"seclog: {target.partition(':')[0]}")


def test_no_app(run):
    """Without `--app`, and outside of a project, the doctor asks for one."""
    code, out, err = run("doctor")
    assert (code, out) == (2, "")
    assert err == 'seclog: name the app: --app module:app, or --app "module:create_app()"\n'


def test_the_doctor_writes_no_journal(run, small_shop, tmp_path):
    """An examination leaves nothing behind but what the app's own import does."""
    run("doctor", "--app", small_shop)
    assert {path.name for path in tmp_path.iterdir() if path.name != "__pycache__"} == {"small_shop.py"}
