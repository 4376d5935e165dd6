"""What stands on disk: read without the library's reader, judged with its verification."""

import hashlib
import json
from collections import Counter

from seclog.journal.check import check_journal

CONTROL = {"audit_log_started", "audit_log_heartbeat", "audit_log_stopped", "audit_log_delivery_failed"}
PROCESS = {"sys_startup", "sys_shutdown", "audit_log_config_changed"}


def segments(directory):
    """Return the journal's files, oldest first; the names of two that begin in the same second have no order."""
    return sorted(directory.glob("journal/*/[!.]*.jsonl"), key=_begin)


def _begin(path):
    with path.open("rb") as file:
        return json.loads(file.readline())["timestamp"]


def lines(path):
    """Return a segment's whole lines as entries."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def entries(directory):
    """Return all entries, segment by segment."""
    return [entry for path in segments(directory) for entry in lines(path)]


def events(directory, *names):
    """Return the entries of these types; without a name, all that the app caused."""
    skipped = CONTROL | PROCESS
    return [e for e in entries(directory) if (e["event.name"] in names if names else e["event.name"] not in skipped)]


def ids(directory):
    """Count the ids of all entries."""
    return Counter(entry["event.id"] for entry in entries(directory))


def report(directory):
    """Return what `seclog verify` finds."""
    return check_journal(directory)


def assert_verifies(directory):
    """Assert that `seclog verify` says OK."""
    found = report(directory)
    broken = [(f.path.name, f.verdict, f.segment.problem, f.segment.torn) for f in found.files if f.verdict != "OK"]
    assert (found.verdict, broken, found.missing) == ("OK", [], ())


def assert_quarantined(directory):
    """Assert that each torn tail that a stop record tells of lies in quarantine, byte for byte. Return how many."""
    told = [entry for entry in entries(directory) if "seclog.torn.sha256" in entry]
    kept = [path.read_bytes() for path in directory.glob("journal/*/quarantine/*.torn")]
    digests = sorted(digest for entry in told for digest in entry["seclog.torn.sha256"].split())
    assert sorted(hashlib.sha256(tail).hexdigest() for tail in kept) == digests
    assert sum(map(len, kept)) == sum(entry["seclog.torn.bytes"] for entry in told)
    return len(kept)
