"""Every library around Django that is installed here, in one project."""

from importlib.util import find_spec

from djangoapp.settings import *  # noqa: F403
from djangoapp.settings import INSTALLED_APPS as _APPS
from djangoapp.settings import MIDDLEWARE as _MIDDLEWARE

_LIBRARIES = {
    "rest_framework_simplejwt": ["rest_framework_simplejwt.token_blacklist"],
    "oauth2_provider": ["oauth2_provider"],
    "axes": ["axes"],
    "django_otp": ["django_otp", "django_otp.plugins.otp_static", "django_otp.plugins.otp_totp"],
    "two_factor": ["two_factor"],
    "allauth": [
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.dummy",
        "allauth.mfa",
        "allauth.headless",
    ],
    "guardian": ["guardian"],
    "hijack": ["hijack"],
    "constance": ["constance"],
    "waffle": ["waffle"],
    "import_export": ["import_export"],
    "dj_rest_auth": ["dj_rest_auth"],
    "graphene_django": ["graphene_django"],
    "channels": ["channels"],
    "wagtail": [
        "wagtail.contrib.settings",
        "wagtail.users",
        "wagtail.sites",
        "wagtail.documents",
        "wagtail.images",
        "wagtail.snippets",
        "wagtail.search",
        "wagtail.admin",
        "wagtail",
        "modelcluster",
        "taggit",
        "neighbours",
    ],
}
INSTALLED_APPS = [*_APPS, *(app for name, apps in _LIBRARIES.items() if find_spec(name) for app in apps)]
MIDDLEWARE = [*_MIDDLEWARE]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
for _library, _middleware in (
    ("django_otp", "django_otp.middleware.OTPMiddleware"),
    ("allauth", "allauth.account.middleware.AccountMiddleware"),
    ("hijack", "hijack.middleware.HijackUserMiddleware"),
    ("axes", "axes.middleware.AxesMiddleware"),
):
    if find_spec(_library):
        MIDDLEWARE.append(_middleware)
if find_spec("guardian"):
    AUTHENTICATION_BACKENDS.append("guardian.backends.ObjectPermissionBackend")
if find_spec("allauth"):
    AUTHENTICATION_BACKENDS.append("allauth.account.auth_backends.AuthenticationBackend")
SILENCED_SYSTEM_CHECKS = ["axes.W003"]
AXES_ENABLED = False  # its own tests switch it on
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
MFA_TOTP_TOLERANCE = 1
SIMPLE_JWT = {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True}
OAUTH2_PROVIDER = {"SCOPES": {"read": "reading", "write": "writing"}, "PKCE_REQUIRED": False}
CONSTANCE_BACKEND = "constance.backends.database.DatabaseBackend"
CONSTANCE_CONFIG = {"TAX_RATE": (19, "percent"), "PAYMENT_API_KEY": ("", "of the bank")}
HIJACK_PERMISSION_CHECK = "hijack.permissions.superusers_only"
SOCIALACCOUNT_LOGIN_ON_GET = False
LOGIN_REDIRECT_URL = "/nowhere/"
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
STATIC_URL = "/static/"
WAGTAIL_SITE_NAME = "shop"
WAGTAILADMIN_BASE_URL = "http://testserver"
