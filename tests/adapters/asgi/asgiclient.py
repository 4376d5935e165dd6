"""What the tests of the ASGI adapter share: an app with the door around it, and a browser of it."""

from contextlib import contextmanager

from adapters.browsers import ASGIBrowser
from seclog import api
from seclog.adapters.asgi import install

SETTINGS = {"directory": None, "watch": False}


@contextmanager
def browsing(app):
    """Give a browser of an app; what the process tells of its start is not among the entries of the test."""
    browser = ASGIBrowser(app)
    try:
        yield browser
    finally:
        browser.close()


def watched(app, **about):
    """Put the door around a Starlette app."""
    install(app, None if api.installed() else SETTINGS, **about)
    return app


def told(entries):
    """Return the entries, without what a process tells of its start and end."""
    return [entry for entry in entries if not entry["event.name"].startswith("sys_")]


def names(entries):
    return [entry["event.name"] for entry in told(entries)]
