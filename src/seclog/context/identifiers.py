"""Ids that tie entries together: the request id, and the W3C trace and span."""

import os
import re
import sys
from typing import Final

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT: Final = re.compile(
    r"(?!ff|00.{53}.)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.DOTALL
)  # version ff is invalid, and 00 has nothing behind its flags (W3C Trace Context §3.2)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


def request_id(inbound: str | None) -> str:
    """Return the inbound request id if it is well formed (`[A-Za-z0-9._-]{8,64}`), else a new random one."""
    if inbound and _REQUEST_ID.fullmatch(inbound):
        return inbound
    return os.urandom(8).hex()


def trace(traceparent: str | None) -> tuple[str | None, str | None]:
    """Return (trace id, span id): the current OpenTelemetry span if that library is loaded, else the header's.

    Args:
        traceparent: the W3C Trace Context header; malformed ones and all-zero ids count as none.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        span = api.get_current_span().get_span_context()
        if span.is_valid:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent and len(traceparent) <= 256 else None
    if match is None:
        return None, None
    trace_id, span_id = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None, None
    return trace_id, span_id
