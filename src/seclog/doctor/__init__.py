"""The doctor: which families of events this app can record, what it is blind to, and the one line that helps.

In: facts about an app (`facts.py`), gathered by an adapter's `look`. Out: a `Report` (`report.py`), of which
`text.py` makes text. What covers what is data: `coverage.yml`, `libraries.yml`, `routes.yml`, `standards.yml`.
Everything here is pure: no framework, no import of the app, no clock, no file but the packaged data.
"""

from seclog.doctor.examine import examine
from seclog.doctor.facts import App, Route, Surroundings
from seclog.doctor.report import Report

__all__ = ["App", "Report", "Route", "Surroundings", "examine"]
