"""The coverage rule: every core type of the catalogue is emitted in some adapter's test, or says here why not.

Collected last among the tests of the adapters: it looks at what they have recorded.
"""

import ast

import pytest

from conftest import ADAPTER_TESTS
from seclog.events.catalogue import catalogue

TESTS = ADAPTER_TESTS.parent

DERIVED = "the watch's rules derive it from other entries; they come with the detection issue"
BY_CALL = "no framework knows of it: the app or a third-party library tells it, with seclog.emit"

NOT_BY_AN_ADAPTER = {
    "malicious_direct_reference": BY_CALL,
    "authn_login_successafterfail": DERIVED,
    "authn_login_fail_max": DERIVED,
    "authn_brute_force": DERIVED,
    "authn_password_spraying": DERIVED,
    "authn_credential_stuffing": DERIVED,
    "sensitive_bulk_read": DERIVED,
    "malicious_excess_404": DERIVED,
    "authn_new_location": DERIVED,
    "authn_impossible_travel": DERIVED,
    "detection_alert": DERIVED,
    "honeytoken_accessed": "decoys come with a later issue",
}
"""Core types that no adapter of this version emits, and why."""

PROVEN_ELSEWHERE = {
    # the libraries around Django, tested in a process of their own (integrations/conftest.py)
    "authn_login_lock": "adapters/integrations/test_axes.py::test_a_lock_is_told_once_with_the_refused_request",
    "authn_mfa_success": "adapters/integrations/test_django_otp.py::test_a_login_with_a_code_is_told",
    "authn_mfa_fail": "adapters/integrations/test_django_otp.py::test_a_wrong_code_is_told",
    "authn_mfa_enrolled": "adapters/integrations/test_django_otp.py::test_enrolment_is_when_a_device_is_confirmed",
    "authn_mfa_removed": "adapters/integrations/test_django_otp.py::test_enrolment_is_when_a_device_is_confirmed",
    "authn_token_reuse": "adapters/integrations/test_simplejwt.py::test_a_rotated_token_used_again_is_reuse",
    "admin_impersonation_start": "adapters/integrations/test_hijack.py::test_an_impersonation_names_both",
    "authn_new_device": "watch/test_watch_newcomers.py::test_a_new_device_is_told_whole",
    "sensitive_delete": "core/test_core_api.py::test_sensitive_records_each_kind_of_access",
    "audit_log_started": "journal/test_journal_writer.py::test_a_segment_begins_with_its_start_record",
    "audit_log_heartbeat": "journal/test_journal_writer.py::test_a_heartbeat_tells_the_counters",
    "audit_log_stopped": "journal/test_journal_writer.py::test_a_segment_ends_with_its_stop_record",
    "audit_log_delivery_failed": "journal/test_journal_writer.py::test_recovery_is_told_with_what_was_late_and_lost",
    "audit_integrity_fail": "watch/test_watch_step.py::test_a_broken_segment_is_told_whole_and_once",
    "sys_shutdown": "core/test_core_api.py::test_a_shutdown_is_recorded_before_the_segment_ends",
}
"""Core types that the core itself writes, or a library of which the tests run elsewhere, and the test that proves it."""


@pytest.fixture
def whole_folder(request):
    """Whether all tests of all adapters were selected; a part of them cannot emit everything."""
    option = request.config.option
    there = {item.path for item in request.session.items}
    narrowed = option.keyword or option.markexpr or any("::" in argument for argument in request.config.args)
    if narrowed or not set(ADAPTER_TESTS.rglob("test_*.py")) <= there:
        pytest.skip("only meaningful after all tests of the adapters")


def test_every_core_type_is_emitted_or_excused(whole_folder, emitted):
    """A core type that nothing emits is a promise of the catalogue that is not kept."""
    core = {name for name, definition in catalogue().items() if definition.tier == "core"}
    assert core - emitted - NOT_BY_AN_ADAPTER.keys() - PROVEN_ELSEWHERE.keys() == set()


def test_no_excuse_outlives_its_reason(whole_folder, emitted):
    """What an adapter's test emits needs no excuse any more."""
    assert NOT_BY_AN_ADAPTER.keys() & emitted == set()


def test_the_excuses_fit_the_catalogue():
    """Each excused type is of the core tier, and what is excused as by call or derived is so in the catalogue."""
    kinds = {"call": BY_CALL, "derived": DERIVED}
    for name, reason in {**NOT_BY_AN_ADAPTER, **PROVEN_ELSEWHERE}.items():
        definition = catalogue()[name]
        assert definition.tier == "core", name
        if reason in kinds.values():
            assert kinds[definition.emitted] == reason, name


@pytest.mark.parametrize(("name", "place"), PROVEN_ELSEWHERE.items())
def test_the_proof_elsewhere_exists(name, place):
    """The test that a type's excuse names is there."""
    file, _, test = place.partition("::")
    functions = {
        node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(node, ast.FunctionDef)
    }
    assert test in functions
