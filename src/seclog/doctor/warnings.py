"""What makes the record worse than it could be.

Addresses that anybody can choose, a misplaced middleware, a second record of the same things.
"""

from collections.abc import Iterator
from ipaddress import ip_network

from seclog.doctor.data import coverage, libraries
from seclog.doctor.facts import App, Surroundings
from seclog.doctor.report import Warned

_NAME_PROXIES = 'SECLOG["trusted_proxies"] = ["10.0.0.0/8"]  # the networks of your own proxies'


def warnings(app: App, around: Surroundings) -> Iterator[Warned]:
    """Return what is to be said about an app."""
    if around.problem is not None:
        text = f"seclog's settings are wrong, nothing is recorded: {around.problem}"
        yield Warned("settings", text, "correct the key that is named")
    if not app.routes:
        yield Warned(
            "no-routes",
            "the app has no routes yet: a function seems to put it together, so little can be told",
            'seclog doctor --app "module:create_app()"',
        )
    yield from _installation(app)
    yield from _proxies(app, around)
    yield from _trust(app, around)
    yield from _audit(app)


def _installation(app: App) -> Iterator[Warned]:
    if not app.installed:
        lines = coverage().install[app.framework]
        text = "seclog is not installed in this app: what follows is what it will record once it is"
        yield Warned("not-installed", text, "\n".join(lines))
        return
    if app.position is None:
        yield Warned(
            "middleware-missing",
            "seclog's middleware is missing: downloads, refused access and errors are not recorded",
            coverage().install[app.framework][-1],
        )
    elif app.position > 0:
        before = ", ".join(name.rpartition(".")[2] for name in app.middleware[: app.position])
        yield Warned(
            "middleware-misplaced",
            f"seclog's middleware is number {app.position + 1}:"
            f" what is refused or answered before it ({before}) is not recorded",
            coverage().install[app.framework][-1],
        )


def _proxies(app: App, around: Surroundings) -> Iterator[Warned]:
    trusted = around.settings.trusted_proxies
    if trusted and "proxy:rewritten" in app.traits:
        yield Warned(
            "proxies-twice",
            "the peer is already replaced by something in front of the app, and trusted_proxies replaces it once more",
            'SECLOG["trusted_proxies"] = []',
        )
    if "proxy:unchecked" in app.traits:
        signs = ", ".join(app.proxy_signs)
        yield Warned(
            "proxy-unchecked",
            f"{signs} believes X-Forwarded-For from whoever sends it:"
            " who reaches the app past the proxy chooses the address it is recorded with",
            f"remove it, and {_NAME_PROXIES}",
        )
    if trusted or "proxy:rewritten" in app.traits:
        return
    if app.proxy_signs:
        signs = ", ".join(app.proxy_signs)
        text = f"a proxy stands in front ({signs}), and trusted_proxies is empty: every entry has the proxy's address"
    else:
        text = "no proxy is configured: if one stands in front, every entry has its address"
    yield Warned("proxies-unset", text, _NAME_PROXIES)


def _trust(app: App, around: Surroundings) -> Iterator[Warned]:
    for network in around.settings.trusted_proxies:
        if network != "unix" and ip_network(network, strict=False).prefixlen == 0:
            yield Warned(
                "trusts-everybody",
                f"trusted_proxies contains {network}: every client can choose the address it is recorded with",
                _NAME_PROXIES,
            )
    for setting in app.trusts_everybody:
        name, _, consequence = setting.partition(": ")
        line = f"{name.partition(' ')[0]}: name hosts or networks instead of *"
        yield Warned("trusts-everybody", f"{name} trusts everybody: {consequence}", line)


def _audit(app: App) -> Iterator[Warned]:
    for name, library in libraries().audit.items():
        if name in app.traits or f"library:{name}" in app.traits:
            yield Warned("same-work", f"{library.title} records the same ({library.same})", library.keep)
