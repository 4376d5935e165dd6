"""What the commands of one run share: where output goes, and the settings, read only when somebody asks."""

from functools import cached_property
from pathlib import Path

from seclog.cli.output import Output
from seclog.errors import ConfigurationError, NotAJournalError
from seclog.journal.reader import find_segments
from seclog.settings import Settings


class Session:
    """One run of the command line.

    Args:
        settings: what is in force in the calling project; None reads file and environment.
        framework: the framework of the calling project, if one calls.
        app: the app that calls, if its framework has app objects.
    """

    def __init__(self, settings: Settings | None = None, framework: str | None = None, app: object = None) -> None:
        self._given = settings
        self.framework = framework
        self.app = app
        self.output = Output()

    @cached_property
    def settings(self) -> Settings:
        """What is in force.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        return self._given if self._given is not None else Settings.load()

    def place(self, named: Path | None) -> Path:
        """Return the path that was named, else the settings' directory; a fallback directory in use is mentioned.

        Raises:
            ConfigurationError: none was named, and the settings say that there is none.
        """
        if named is not None:
            return named
        if self.settings.directory is None:
            raise ConfigurationError("no journal: the setting 'directory' is none, entries go to the logger only")
        self._mention(self.settings.fallback_directory)
        return self.settings.directory

    def _mention(self, fallback: Path | None) -> None:
        """Say that there is a second journal; what was written there in trouble must not be overlooked."""
        try:
            if fallback is not None and find_segments(fallback):
                self.output.complain(
                    f"entries stand in the fallback directory as well: name it to see them: {fallback}"
                )
        except (NotAJournalError, OSError):  # nothing was ever written there
            return
