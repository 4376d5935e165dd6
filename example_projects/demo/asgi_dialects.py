"""How the Starlette and the FastAPI app say what all of them say."""

from example_projects.demo.dialects import PLAIN, Dialect
from example_projects.demo.steps import Entry

HASH = "[0-9a-f]*"
_WORDS = {
    **PLAIN,
    "token_scheme": "Bearer",
    "route_pay": "/orders/{pk:int}/pay/",
    "route_reset": "/password/reset/{uid}/{token}/",
    "route_signup": "/signup/",
    "route_api_orders": "/api/orders/",
    "route_api_forecast": "/api/forecast/",
    "view_order": "view_order",
}
_EXPIRED = (
    # the session itself says who it belonged to, name included
    Entry("session_expired", {"user.id": "{bob}", "seclog.session.id_hash": HASH, "reason": "expired"}),
    Entry("authz_unauthenticated", {"url.path": "/orders/"}, status=302, user=None),
)

FASTAPI = Dialect(
    words=_WORDS,
    instead={
        "bob comes back when the session has expired": _EXPIRED,
        # the router refuses the method before any dependency has read the token
        "bob's script uses the wrong method": (
            Entry("http_method_unexpected", {"http.request.method": "PUT", "url.path": "/api/orders/"}, status=405,
                  user=None),
        ),
    },
)  # fmt: skip

STARLETTE = Dialect(
    words=_WORDS,
    instead={
        "bob comes back when the session has expired": _EXPIRED,
    },
)
