"""The names of everything that can happen: OWASP Logging Vocabulary names verbatim, ours in the same form.

The records that describe each name are data, in `catalogue.json`; `catalogue.py` reads them.
"""

from enum import StrEnum, unique


@unique
class EventType(StrEnum):
    """One security event type. Its value is its name on disk."""

    __hash__ = str.__hash__  # Enum's own is written in Python; every record looks its type up

    # family 1: login
    AUTHN_LOGIN_SUCCESS = "authn_login_success"
    AUTHN_LOGIN_FAIL = "authn_login_fail"
    AUTHN_LOGIN_SUCCESSAFTERFAIL = "authn_login_successafterfail"
    AUTHN_LOGIN_FAIL_MAX = "authn_login_fail_max"
    AUTHN_LOGIN_LOCK = "authn_login_lock"
    AUTHN_LOGIN_UNLOCK = "authn_login_unlock"
    AUTHN_MFA_SUCCESS = "authn_mfa_success"
    AUTHN_MFA_FAIL = "authn_mfa_fail"
    AUTHN_MFA_ENROLLED = "authn_mfa_enrolled"
    AUTHN_MFA_REMOVED = "authn_mfa_removed"
    AUTHN_BRUTE_FORCE = "authn_brute_force"
    AUTHN_PASSWORD_SPRAYING = "authn_password_spraying"
    AUTHN_CREDENTIAL_STUFFING = "authn_credential_stuffing"
    AUTHN_ACCOUNT_ENUMERATION = "authn_account_enumeration"

    # family 2: password reset and change
    AUTHN_PASSWORD_CHANGE = "authn_password_change"
    AUTHN_PASSWORD_CHANGE_FAIL = "authn_password_change_fail"
    AUTHN_PASSWORD_RESET_REQUEST = "authn_password_reset_request"
    AUTHN_PASSWORD_RESET_COMPLETE = "authn_password_reset_complete"
    AUTHN_PASSWORD_RESET_FAIL = "authn_password_reset_fail"

    # family 3: sessions and tokens
    AUTHN_TOKEN_CREATED = "authn_token_created"
    AUTHN_TOKEN_REFRESHED = "authn_token_refreshed"
    AUTHN_TOKEN_REVOKED = "authn_token_revoked"
    AUTHN_TOKEN_DELETE = "authn_token_delete"
    AUTHN_TOKEN_EXPIRED = "authn_token_expired"
    AUTHN_TOKEN_INVALID = "authn_token_invalid"
    AUTHN_TOKEN_REUSE = "authn_token_reuse"
    SESSION_CREATED = "session_created"
    SESSION_RENEWED = "session_renewed"
    SESSION_EXPIRED = "session_expired"
    SESSION_LOGOUT = "session_logout"
    SESSION_REVOKED = "session_revoked"
    SESSION_USE_AFTER_EXPIRE = "session_use_after_expire"
    SESSION_HIJACK_SUSPECTED = "session_hijack_suspected"
    EXCESS_SESSIONS_EXCEEDED = "excess_sessions_exceeded"

    # family 4: users, roles and permissions
    AUTHZ_CHANGE = "authz_change"
    GROUP_MEMBER_ADDED = "group_member_added"
    GROUP_MEMBER_REMOVED = "group_member_removed"
    GROUP_PERMISSIONS_CHANGED = "group_permissions_changed"
    PRIVILEGE_PERMISSIONS_CHANGED = "privilege_permissions_changed"
    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_ARCHIVED = "user_archived"
    USER_ENABLED = "user_enabled"
    USER_DELETED = "user_deleted"

    # family 5: data access, export, download
    SENSITIVE_CREATE = "sensitive_create"
    SENSITIVE_READ = "sensitive_read"
    SENSITIVE_UPDATE = "sensitive_update"
    SENSITIVE_DELETE = "sensitive_delete"
    DATA_DOWNLOAD = "data_download"
    DATA_EXPORT = "data_export"
    DATA_IMPORT = "data_import"
    SENSITIVE_BULK_READ = "sensitive_bulk_read"

    # family 6: access denied
    AUTHZ_FAIL = "authz_fail"
    AUTHZ_UNAUTHENTICATED = "authz_unauthenticated"
    AUTHZ_SUCCESS = "authz_success"
    MALICIOUS_DIRECT_REFERENCE = "malicious_direct_reference"
    MALICIOUS_CSRF = "malicious_csrf"
    MALICIOUS_CORS = "malicious_cors"

    # family 7: API errors and input
    API_CLIENT_ERROR = "api_client_error"
    API_SERVER_ERROR = "api_server_error"
    APP_UNHANDLED_EXCEPTION = "app_unhandled_exception"
    INPUT_VALIDATION_FAIL = "input_validation_fail"
    INPUT_VALIDATION_DISCRETE_FAIL = "input_validation_discrete_fail"
    MALICIOUS_EXTRANEOUS = "malicious_extraneous"
    HTTP_METHOD_UNEXPECTED = "http_method_unexpected"
    EXCESS_RATE_LIMIT_EXCEEDED = "excess_rate_limit_exceeded"
    MALICIOUS_EXCESS_404 = "malicious_excess_404"
    MALICIOUS_ATTACK_TOOL = "malicious_attack_tool"
    MALICIOUS_SQLI = "malicious_sqli"
    MALICIOUS_CSP_VIOLATION = "malicious_csp_violation"

    # family 8: new device, address, place
    AUTHN_NEW_DEVICE = "authn_new_device"
    AUTHN_NEW_IP = "authn_new_ip"
    AUTHN_NEW_LOCATION = "authn_new_location"
    AUTHN_IMPOSSIBLE_TRAVEL = "authn_impossible_travel"

    # family 9: configuration and the record itself
    CONFIG_CHANGED = "config_changed"
    CRYPT_KEY_ROTATED = "crypt_key_rotated"
    SYS_MONITOR_DISABLED = "sys_monitor_disabled"
    SYS_MONITOR_ENABLED = "sys_monitor_enabled"
    AUDIT_LOG_STARTED = "audit_log_started"
    AUDIT_LOG_HEARTBEAT = "audit_log_heartbeat"
    AUDIT_LOG_STOPPED = "audit_log_stopped"
    AUDIT_LOG_CONFIG_CHANGED = "audit_log_config_changed"
    AUDIT_LOG_DELIVERY_FAILED = "audit_log_delivery_failed"
    AUDIT_LOG_ACCESSED = "audit_log_accessed"
    AUDIT_INTEGRITY_FAIL = "audit_integrity_fail"

    # family 10: admin actions
    AUTHZ_ADMIN = "authz_admin"
    ADMIN_IMPERSONATION_START = "admin_impersonation_start"
    ADMIN_IMPERSONATION_STOP = "admin_impersonation_stop"
    ADMIN_BREAKGLASS_USED = "admin_breakglass_used"
    ADMIN_COMMAND_RUN = "admin_command_run"

    # uploads, cryptography, system, MCP, decoys
    CRYPT_DECRYPT_FAIL = "crypt_decrypt_fail"
    CRYPT_ENCRYPT_FAIL = "crypt_encrypt_fail"
    UPLOAD_COMPLETE = "upload_complete"
    UPLOAD_STORED = "upload_stored"
    UPLOAD_VALIDATION = "upload_validation"
    UPLOAD_DELETE = "upload_delete"
    SEQUENCE_FAIL = "sequence_fail"
    SYS_STARTUP = "sys_startup"
    SYS_SHUTDOWN = "sys_shutdown"
    SYS_RESTART = "sys_restart"
    SYS_CRASH = "sys_crash"
    MCP_PROMPT_INJECTION = "mcp_prompt_injection"
    MCP_RESOURCE_EXHAUSTION = "mcp_resource_exhaustion"
    MCP_TOOL_POISONING = "mcp_tool_poisoning"
    HONEYTOKEN_ACCESSED = "honeytoken_accessed"
    DETECTION_ALERT = "detection_alert"
