"""`seclog catalogue` and `seclog settings`."""

import json

import pytest

from seclog.events.types import EventType
from seclog.settings import KEYS, Settings


def test_all_types(script):
    """The table has one line for each of the types."""
    code, out, err = script("catalogue")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["type", "family", "severity", "recorded", "ATT&CK"]
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(known) for known in EventType]
    assert len(EventType) == 106


def test_json(cli):
    """JSON is one type a line, with everything the catalogue knows."""
    types = [json.loads(line) for line in cli("catalogue", "--format", "json")[1].splitlines()]
    assert [known["name"] for known in types] == [str(known) for known in EventType]
    assert types[0]["ocsf"]["class_uid"] == 3002


def test_markdown(cli):
    """Markdown is a table."""
    head, rule, *rows = cli("catalogue", "--format", "markdown", "--family", "10")[1].splitlines()
    assert head == "| type | family | severity | recorded | ATT&CK |"
    assert rule == "| --- | --- | --- | --- | --- |"
    assert rows and all(row.count("|") == 6 and "| 10 admin action |" in row for row in rows)


def test_family(cli):
    """A family can be chosen by number or name."""
    by_number = cli("catalogue", "--family", "2")[1]
    assert by_number == cli("catalogue", "--family", "password")[1]
    assert {line.split()[1] for line in by_number.splitlines()[1:]} == {"2"}


def test_one_type(cli):
    """A name shows what there is to know about this type."""
    code, out, _ = cli("catalogue", "authn_login_fail")
    assert code == 0
    for words in ("1 login", "T1110", "user.name, client.address, reason", "3002 Authentication"):
        assert words in out


def test_an_unknown_name(cli):
    """A misspelt name gets a proposal and exit code 1."""
    assert cli("catalogue", "authn_login_fial") == (
        1,
        "",
        "seclog: the catalogue has no type 'authn_login_fial'; did you mean 'authn_login_fail'?\n",
    )


def test_settings_and_their_sources(script, tmp_path):
    """Every setting is shown with its value and where it comes from."""
    (tmp_path / "seclog.toml").write_text('service = "shop"\nack = "disk"\n')
    code, out, err = script("settings", SECLOG_CONFIG="seclog.toml", SECLOG_ACK="kernel")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert (code, err) == (0, "")
    assert set(rows) == set(KEYS)
    assert rows["service"].split()[1:] == ["shop", "seclog.toml"]
    assert rows["ack"].split()[1:] == ["kernel", "SECLOG_ACK"]
    assert rows["directory"].split()[1:] == [".seclog", "default"]


def test_secrets_are_not_shown(script):
    """Of the key for pseudonyms only is said that it is set."""
    code, out, _ = script("settings", SECLOG_PSEUDONYM_KEY="hush-hush-hush-hush")
    assert code == 0
    assert "hush" not in out
    assert "set (not shown)" in out


@pytest.mark.parametrize("args", [["settings"], ["tail"], ["verify"]])
def test_a_wrong_setting_is_one_line(script, args):
    """A wrong setting is one line that names it, exit code 2; the value is not shown."""
    code, out, err = script(*args, SECLOG_ACK="hush-hush")
    assert (code, out) == (2, "")
    assert err == 'seclog: SECLOG_ACK[\'ack\'] must be "kernel" or "disk", got str\n'


def test_settings_are_not_needed_where_a_path_is_named(script, directory):
    """Who names the journal can read it whatever the settings are."""
    assert script("verify", directory, SECLOG_ACK="wrong")[0] == 0


def test_the_directory_comes_from_the_settings(script, cli, directory, tmp_path):
    """Without DIR, the settings say where the journal is; of the environment, of a project, or by default."""
    assert script("verify", SECLOG_DIRECTORY=str(directory))[0] == 0
    assert cli("verify", settings=Settings(directory=directory))[0] == 0
    code, _, err = script("verify")
    assert (code, err) == (2, "seclog: .seclog: there is no such file or directory\n")
    (tmp_path / ".seclog").symlink_to(directory)
    assert script("verify")[0] == 0


def test_a_project_without_a_journal(cli):
    """Where entries go to the logger only, there is nothing to read, and it is said."""
    code, _, err = cli("tail", settings=Settings(directory=None))
    assert (code, err) == (
        2,
        "seclog: no journal: the setting 'directory' is none, entries go to the logger only\n",
    )
