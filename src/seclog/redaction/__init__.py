"""WHAT MUST NOT BE WRITTEN: the room every untrusted value passes through on its way to disk.

In come the fields of an event as the adapters saw them: any key, any Python object, hostile bytes included.
Out comes a new, bounded, JSON-safe dict in which secrets are replaced by marks. Nothing is trusted, nothing
is changed in place, nothing is raised.

* ``keys``: which key names hold a secret (data, and the decision).
* ``patterns``: what a secret looks like by itself (data).
* ``gate``: the one quick look that lets almost every event pass without running a single pattern.
* ``inside``: looks into JSON, query strings, headers, tracebacks, percent-encoding and base64.
* ``jsonsafe``: any Python object as something JSON can hold.
* ``propagation``: a value masked in one place is masked everywhere in the same event.
* ``text``: control characters and cutting.
* ``redactor``: the two roads, quick and careful.
* ``pseudonym``: keyed pseudonyms for values that must be comparable but not readable.
"""

from seclog.redaction.pseudonym import Pseudonymizer
from seclog.redaction.redactor import Limits, Redactor
from seclog.redaction.text import MASK, scrub

__all__ = ["MASK", "Limits", "Pseudonymizer", "Redactor", "scrub"]
