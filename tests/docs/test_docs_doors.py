"""docs/asgi.md and docs/sqlalchemy.md are executed: their code blocks in order, as one program, and what it records."""

import re
from pathlib import Path
from secrets import token_urlsafe

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code, names):
    """Execute a page's code as a module of its own: FastAPI looks a function's annotations up there."""
    exec(compile(code, "docs", "exec", dont_inherit=True), names)  # the page is ours


def told(entries):
    return [entry for entry in entries if not entry["event.name"].startswith("sys_")]


def test_asgi(entries):
    """The apps of docs/asgi.md serve, and record who read, exported, deleted and was refused what."""
    for name in ("fastapi", "litestar", "itsdangerous"):
        pytest.importorskip(name, exc_type=ImportError)
    from adapters.asgi.asgiclient import browsing

    token = token_urlsafe()
    names = {
        "__name__": __name__,
        "secret_key": token_urlsafe(),
        "tokens": {token: {"id": 7, "username": "kim"}},
    }
    run("".join(blocks("asgi.md")), names)
    with browsing(names["app"]) as browser:
        kim = {"Authorization": f"Bearer {token}"}
        assert browser.get("/patients/5", headers=kim).status == 200
        assert browser.get("/patients/5", headers={"Authorization": "Bearer made-up"}).status == 401
        assert browser.get("/orders.csv").status == 200
        assert browser.request("DELETE", "/orders/3").status == 200
        assert browser.get("/invoices/9").status == 403
    facts = [(e["event.name"], e.get("user.id"), e.get("seclog.target.type"), e.get("seclog.target.id"))
             for e in told(entries)]  # fmt: skip
    assert facts == [
        ("sensitive_read", "7", "patients", "5"),
        ("authn_token_invalid", None, None, None),
        ("authz_unauthenticated", None, None, None),
        ("data_export", None, "orders", None),
        ("authz_admin", None, "order", "3"),
        ("authz_fail", None, "invoice", "9"),
    ]
    assert (told(entries)[3]["seclog.count"], told(entries)[3]["seclog.format"]) == (2, "csv")
    assert told(entries)[5]["reason"] == "not_owner"


def test_asgi_other_doors(entries):
    """The middleware in the list, and the one around another framework, tell as well."""
    for name in ("fastapi", "litestar", "itsdangerous"):
        pytest.importorskip(name, exc_type=ImportError)
    from adapters.asgi.asgiclient import browsing

    names = {"__name__": __name__, "secret_key": token_urlsafe(), "tokens": {}}
    run("".join(blocks("asgi.md")), names)
    with browsing(names["listed"]) as browser:
        browser.get("/nothing")
        browser.get("/nothing", headers={"Cookie": "session=made-up"})
    with browsing(names["plain"]) as browser:
        browser.get("/secret")
    assert [entry["event.name"] for entry in told(entries)] == [
        "api_client_error",
        "session_use_after_expire",
        "api_client_error",
        "authz_fail",
    ]


def test_sqlalchemy(entries):
    """The session of docs/sqlalchemy.md leaves three entries, the key masked, and nothing of what was rolled back."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.orm import Session

    from seclog.adapters.sqlalchemy import forget

    models, use = blocks("sqlalchemy.md")
    old_key, new_key = token_urlsafe(24), token_urlsafe(24)
    names = {"__name__": __name__, "engine": sqlalchemy.create_engine("sqlite://"), "new_key": new_key}
    exec(compile(models, "docs", "exec", dont_inherit=True), names)  # the page is ours
    try:
        names["Base"].metadata.create_all(names["engine"])
        with Session(names["engine"]) as db:
            db.add_all([names["User"](username="kim"), names["Role"](name="support")])
            db.add(names["ShopSettings"](tax_rate=19, payment_api_key=old_key))
            db.commit()
        entries.clear()
        run(use, names)
    finally:
        for model in ("User", "Role", "ShopSettings"):
            forget(names[model])
    found = {entry["event.name"]: entry for entry in told(entries)}
    assert len(entries) == len(found) == 3
    assert found["authz_change"]["seclog.change.direction"] == "grant"
    assert found["authz_change"]["seclog.target.name"] == "kim"
    assert found["group_member_added"]["seclog.group.name"] == "support"
    assert found["config_changed"]["seclog.change.field"] == "payment_api_key"
    assert old_key not in str(entries)
    assert new_key not in str(entries)
