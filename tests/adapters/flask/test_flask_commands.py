"""Family 10 in Flask: the app's own commands, and `flask seclog`."""

import json

import click
import pytest
from flask.cli import AppGroup

import seclog
from conftest import whole


@pytest.fixture
def runner(app):
    return app.test_cli_runner()


def create(name):
    seclog.emit("user_created", target_id=7, target_name=name)


def test_a_command_that_creates_a_user(app, runner, told):
    """What a command does is told under its name, and so is the command; its arguments are not."""

    @app.cli.command("create-user")
    @click.argument("name")
    @click.option("--admin", is_flag=True)
    @click.option("--quota", default=5)
    def create_user(name, admin, quota):
        create(name)

    assert runner.invoke(args=["create-user", "bob", "--admin"]).exit_code == 0
    done, command = told()
    assert (done["event.name"], done["seclog.actor"]) == ("user_created", "command:create-user")
    for name in ("service.name", "deployment.environment.name"):
        command.pop(name, None)
    assert command.pop("user.name")
    assert whole(command) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "admin_command_run",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "Administrative command run",
        "user.id": "command:create-user",
        "seclog.actor": "command:create-user",
        "seclog.command": "create-user",
        "seclog.command.options": ["admin", "name"],
    }


def test_groups_and_blueprints(app, runner, told):
    """A command in a group has the whole name, also when it is added after seclog."""
    users = AppGroup("users")

    @users.command("create")
    def create_user():
        create("bob")

    app.cli.add_command(users)
    assert runner.invoke(args=["users", "create"]).exit_code == 0
    assert [entry["seclog.actor"] for entry in told()] == ["command:users create"] * 2


def test_a_command_that_fails(app, runner, told):
    """A command that changed users and then failed has failed."""

    @app.cli.command("import-users")
    def import_users():
        create("bob")
        raise click.ClickException("the file is broken")

    assert runner.invoke(args=["import-users"]).exit_code == 1
    command = told()[-1]
    assert (command["event.outcome"], command["error.type"]) == ("failure", "ClickException")


def test_other_commands_are_no_entry(app, runner, told):
    """A command that changes no users is not told."""

    @app.cli.command("greet")
    def greet():
        click.echo("hello")

    assert runner.invoke(args=["greet"]).output == "hello\n"
    assert runner.invoke(args=["greet", "--help"]).exit_code == 0
    assert told() == []


def test_flask_seclog(app, runner):
    """`flask seclog …` is the command line of seclog, its help included."""
    result = runner.invoke(args=["seclog", "--help"])
    assert result.exit_code == 0
    assert "flask seclog" in result.output and "verify" in result.output


def test_flask_seclog_reads_the_apps_record(app, runner, tmp_path):
    """It works on the record of this app, and hands on the exit code."""
    app.config["SECLOG"] = {"directory": str(tmp_path)}
    assert str(tmp_path) in runner.invoke(args=["seclog", "settings"]).output.replace("\n", "")
    assert runner.invoke(args=["seclog", "verify", str(tmp_path / "nothing")]).exit_code == 2


def test_flask_seclog_with_a_wrong_setting(app, runner):
    """A wrong setting is one line and the exit code for "cannot tell"."""
    app.config["SECLOG"] = {"service": 17}
    result = runner.invoke(args=["seclog", "settings"])
    assert result.exit_code == 2
    assert "SECLOG['service']" in result.output


def test_flask_seclog_doctor_looks_at_its_own_app(app, runner):
    """Without `--app` the doctor examines the app that it runs in."""

    @app.post("/pay-out")
    def pay_out():
        return ""

    result = runner.invoke(args=["seclog", "doctor", "--format", "json"])
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.output)["apps"]
    assert (found["framework"], found["installed"]) == ("flask", True)
