"""What the tests of the libraries look at."""


def names(entries):
    """The event types, in their order; sessions are another room's tests."""
    return [entry["event.name"] for entry in entries if not entry["event.name"].startswith("session_")]


def only(entries, name):
    """The one entry of a type."""
    [entry] = [entry for entry in entries if entry["event.name"] == name]
    return entry
