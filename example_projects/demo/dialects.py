"""Where the apps differ: the words that the story's templates use, and what one of them says in other entries.

The story itself (people, scenes, paths) is the same for all. A new app adds its dialect here, or in a file of its own
if it needs many `instead`s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from example_projects.demo.steps import Entry


@dataclass(frozen=True)
class Dialect:
    """How one app says what all of them say.

    Args:
        words: fills templates such as `{route_pay}`; every app has the same ones.
        instead: {scene's title: the entries it leaves in this app, in place of the story's}.
    """

    words: Mapping[str, str]
    instead: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)


DJANGO = Dialect(
    words={
        "session_cookie": "sessionid",
        "csrf_field": "csrfmiddlewaretoken",
        "token_scheme": "Token",
        # routes, as the framework writes them
        "route_pay": "orders/<int:pk>/pay/",
        "route_reset": "password/reset/<uidb64>/<token>/",
        "route_signup": "signup/",
        "route_api_orders": "api/orders/",
        "route_api_forecast": "api/forecast/",
        # the permission that the export asks for: "*" any, where the framework has permissions
        "view_order": "shop.view_order",
        # the back office: where it is, which form a page has, and what a target's type is called
        "admin_users": "/admin/auth/user/",
        "admin_shop": "/admin/shop/",
        "login_form": "login-form",
        "user_form": "user_form",
        "settings_form": "storesettings_form",
        "customer_form": "customer_form",
        "list_form": "changelist-form",
        "type_user": "auth.User",
        "type_settings": "shop.StoreSettings",
        "type_customer": "shop.Customer",
        "type_order": "shop.Order",
    },
)

PLAIN = {
    "session_cookie": "session",
    "csrf_field": "csrf_token",
    "token_scheme": "Token",
    "admin_users": "/admin/user/",
    "admin_shop": "/admin/",
    "login_form": "main",
    "user_form": "main",
    "settings_form": "main",
    "customer_form": "main",
    "list_form": "main",
    "type_user": "User",
    "type_settings": "StoreSettings",
    "type_customer": "Customer",
    "type_order": "Order",
}
"""What the frameworks without a back office share: theirs is a few pages with one form each (`id="main"`)."""

FLASK = Dialect(
    words={
        **PLAIN,
        "route_pay": "/orders/<int:pk>/pay/",
        "route_reset": "/password/reset/<uid>/<token>/",
        "route_signup": "/signup/",
        "route_api_orders": "/api/orders/",
        "route_api_forecast": "/api/forecast/",
        "view_order": "action:view_order",
    },
)
