"""A host with an app that people log in to, and watches that come and go."""

from journal.made import Clock, entries_of, recorder_at
from seclog.events.event import Event
from seclog.journal.writer import host_folder
from seclog.watch import Watch

LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"
FIREFOX = LINUX.format(140)
HOME, WORK = "198.51.100.7", "203.0.113.9"


class Host:
    """One directory, one app's recorder, and the watch's own."""

    def __init__(self, directory):
        self.directory = directory
        self.clock = Clock()
        self.app = recorder_at(directory, clock=self.clock)
        self.recorder = recorder_at(directory, clock=self.clock, service="watcher")
        self.monotonic = Clock(0)
        self._watches = []

    @property
    def folder(self):
        return host_folder(self.directory)

    def watch(self):
        """A watch, as a process would have it."""
        made = Watch.at(self.directory, self.recorder)
        self._watches.append(made)
        return made

    def login(self, user="7", agent=FIREFOX, address=HOME, recorder=None, **fields):
        """Somebody logs in; the clock goes on by a second."""
        self.clock.forward(1)
        known = {"user.id": user, "user.name": f"name{user}", "user_agent.original": agent, "client.address": address}
        found = {name: value for name, value in {**known, **fields}.items() if value is not None}
        return (recorder or self.app).record(Event(type="authn_login_success", fields=found))

    def told(self):
        """Everything that watches have written, in the order of its source."""
        found = [
            entry
            for path in self.folder.glob("*.jsonl")
            for entry in self.readable(path)
            if isinstance(entry, dict)
            and entry.get("event.name") in {"authn_new_device", "authn_new_ip", "audit_integrity_fail"}
        ]
        return sorted(found, key=lambda entry: (entry.get("seclog.source.timestamp", ""), entry["event.name"]))

    @staticmethod
    def readable(path):
        try:
            return entries_of(path)
        except ValueError:
            return []

    def close(self):
        for watch in self._watches:
            watch.close()
        self.app.sink.close()
        self.recorder.sink.close()
