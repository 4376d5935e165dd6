"""docs/cli.md mentions every command and option, and its examples are right."""

import re
import shlex
from pathlib import Path

import pytest

from seclog.cli.commands import EPILOG, seclog
from seclog.cli.session import Session

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = [
    line.split(" | ")[0].split(" > ")[0]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if "seclog " in line and not line.startswith(("#", "pip "))
]


@pytest.mark.parametrize("name", sorted(seclog.commands))
def test_command_is_described(name):
    """A command has a section with an example, and each of its options is in it."""
    [section] = re.findall(rf"^## `seclog {name}`.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert f"seclog {name}" in section.partition("```sh")[2]
    for parameter in seclog.commands[name].params:
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar.strip("[]")]
        for option in names:
            assert f"`{option}" in section or f" {option}" in section, option


@pytest.mark.parametrize("code", re.findall(r"^ +(\d+)  ", EPILOG, re.MULTILINE))
def test_exit_code_is_described(code):
    """Each exit code of the help is on the page."""
    assert re.search(rf"^\| {code} \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_valid(example):
    """Each example is accepted as it stands there."""
    words = [word for word in shlex.split(example) if "=" not in word or word.startswith("-")]
    while words[0] in {"python", "-m", "manage.py"}:
        words.pop(0)
    assert words.pop(0) == "seclog"
    if words[0].startswith("-"):
        return
    command = seclog.commands[words[0]]
    command.make_context(words[0], words[1:], obj=Session())
