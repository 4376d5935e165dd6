"""Where the pages are, and who may open them; what a page shows or does that seclog cannot know is in the apps."""

from collections.abc import Callable
from typing import NamedTuple

from example_projects.corner_shop import accounts, office, orders
from example_projects.corner_shop.pages import Answer

View = Callable[..., Answer]
ANYBODY, CUSTOMERS, STAFF = None, (), ("staff",)


class Route(NamedTuple):
    """A page: `{pk:int}` in its path is a number, and what it needs is None if anybody may open it."""

    path: str
    view: View
    needs: tuple[str, ...] | None
    methods: tuple[str, ...] = ("GET", "POST")


ROUTES = (
    Route("/", orders.home, ANYBODY, ("GET",)),
    Route("/login/", accounts.login, ANYBODY),
    Route("/admin/login/", accounts.login, ANYBODY),
    Route("/logout/", accounts.logout, ANYBODY, ("POST",)),
    Route("/admin/logout/", accounts.logout, ANYBODY, ("POST",)),
    Route("/signup/", accounts.signup, ANYBODY),
    Route("/password/reset/", accounts.forgot, ANYBODY),
    Route("/password/reset/{uid}/{token}/", accounts.reset, ANYBODY),
    Route("/password/sent/", accounts.said, ANYBODY, ("GET",)),
    Route("/password/done/", accounts.said, ANYBODY, ("GET",)),
    Route("/password/changed/", accounts.said, CUSTOMERS, ("GET",)),
    Route("/password/change/", accounts.change_password, CUSTOMERS),
    Route("/orders/", orders.orders, CUSTOMERS, ("GET",)),
    Route("/orders/invoices/", orders.invoices, CUSTOMERS, ("GET",)),
    Route("/orders/{pk:int}/", orders.order, CUSTOMERS, ("GET",)),
    Route("/orders/{pk:int}/pay/", orders.pay, CUSTOMERS),
    Route("/orders/{pk:int}/invoice/", orders.invoice, CUSTOMERS, ("GET",)),
    Route("/admin/", office.index, STAFF, ("GET",)),
    Route("/admin/{kind}/", office.listing, STAFF),
    Route("/admin/{kind}/add/", office.add, STAFF),
    Route("/admin/{kind}/{pk:int}/change/", office.change, STAFF),
    Route("/admin/{kind}/{pk:int}/delete/", office.delete, STAFF),
)
