"""The command `seclog` itself: its commands, its help, its exit codes."""

import click

from seclog import __version__
from seclog.cli.catalogue import catalogue
from seclog.cli.doctor import doctor
from seclog.cli.events import events
from seclog.cli.settings import settings
from seclog.cli.show import show
from seclog.cli.tail import tail
from seclog.cli.verify import verify

EPILOG = """\b
DIR is the journal's directory; without it, that of the settings
(SECLOG_CONFIG, SECLOG_DIRECTORY), else ./.seclog.

\b
Example:
  seclog tail -f

\b
Exit codes:
    0  done; verify: nothing is wrong; tail -f: ended with Ctrl-C
    1  verify: BROKEN (changed, removed or missing entries);
       show, catalogue: not found; doctor: what --fail-on names
    2  cannot tell: not a journal, empty, truncated, binary, another
       schema, no such path; no such app; a wrong setting or option;
       click missing
   70  an error in seclog itself
  130  interrupted
  141  the reader of the output went away (| head)
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="seclog %(version)s")
def seclog() -> None:
    """Read and verify the security record of a web app."""


for command in (tail, events, show, verify, doctor, catalogue, settings):
    seclog.add_command(command)
