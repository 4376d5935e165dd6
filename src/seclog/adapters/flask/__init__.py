"""The Flask door. One line: `SecLog(app)`, or `seclog.init_app(app)` in an app factory.

from seclog.adapters.flask import SecLog

SecLog(app)                       # settings: app.config["SECLOG"], a TOML file, the environment
"""

from seclog.errors import MissingExtraError

try:
    import flask as _flask  # noqa: F401 - only to say what is missing
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise MissingExtraError("Flask", "flask") from None

from seclog.adapters.flask.extension import SecLog

__all__ = ["SecLog"]
