"""Request and trace ids: what comes from outside is taken only in its exact form."""

import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclog.context.identifiers import request_id, trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


@pytest.fixture(autouse=True)
def _no_opentelemetry(monkeypatch):
    """Whether the library is installed here does not matter."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)


@pytest.mark.parametrize("inbound", ["a" * 8, "a" * 64, "A-z_0.9-", "8a6e0804-2bd0-4672-b79d-d97027f9071a"])
def test_a_well_formed_request_id_is_kept(inbound):
    """So that entries can be found by the id that the proxy logged."""
    assert request_id(inbound) == inbound


@pytest.mark.parametrize(
    "inbound", [None, "", "a" * 7, "a" * 65, "a" * 100_000, "abc def gh", "abcdefgh\n", "\nabcdefgh", "abcdefg\x00", "äbcdefgh", "١٢٣٤٥٦٧٨"]
)  # fmt: skip
def test_anything_else_is_replaced_by_a_random_one(inbound):
    """A new one every time."""
    made = {request_id(inbound) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in made)


@given(st.text())
def test_every_request_id_is_well_formed(inbound):
    """Whatever comes in."""
    made = request_id(inbound)
    assert WELL_FORMED.fullmatch(made)
    assert (made == inbound) == bool(WELL_FORMED.fullmatch(inbound))


@pytest.mark.parametrize(
    "header", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01-what-the-future-brings"]
)  # fmt: skip
def test_a_traceparent_is_read(header):
    """Later versions are read by the rules of this one (W3C Trace Context §4.3)."""
    assert trace(header) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
        f"01-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-{'x' * 100_000}",
    ],
)
def test_a_malformed_traceparent_counts_as_none(header):
    """Half an id is worse than none."""
    assert trace(header) == (None, None)


@given(st.one_of(st.text(), st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-.*)?")))
def test_a_trace_is_two_hex_ids_or_nothing(header):
    """Never raises, never anything in between."""
    trace_id, span_id = trace(header)
    assert (trace_id is None) == (span_id is None)
    if trace_id is not None:
        assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", span_id)
        assert int(trace_id, 16) > 0
        assert int(span_id, 16) > 0


def span(**context):
    found = SimpleNamespace(get_span_context=lambda: SimpleNamespace(**context))
    return SimpleNamespace(get_current_span=lambda: found)


def test_the_current_span_of_opentelemetry_wins(monkeypatch):
    """If the library is loaded and a span is open, its ids are those of the app's traces."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", span(is_valid=True, trace_id=0xABC, span_id=0xDEF))
    assert trace(f"00-{TRACE}-{SPAN}-01") == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_without_an_open_span_the_header_counts(monkeypatch):
    """The library is loaded, but not in use."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", span(is_valid=False, trace_id=0, span_id=0))
    assert trace(f"00-{TRACE}-{SPAN}-01") == (TRACE, SPAN)
