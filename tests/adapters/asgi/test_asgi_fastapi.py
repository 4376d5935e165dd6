"""What FastAPI has of its own: routers, validation, token routes, security schemes, dependencies."""

import base64
import re
from enum import Enum
from typing import Annotated, Literal

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import (
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
    OAuth2PasswordRequestForm,
    SecurityScopes,
)
from pydantic import BaseModel, ConfigDict

import seclog
from adapters.asgi.asgiclient import browsing, names, told, watched
from seclog.adapters.asgi import Actor, audit_access

TOKEN = "token-of-the-test-1234"


class Colour(Enum):
    RED = "red"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    colour: Colour = Colour.RED
    kind: Literal["a", "b"] = "a"


class User(BaseModel):
    id: int
    username: str


oauth = OAuth2PasswordBearer(tokenUrl="token", scopes={"write": "Write"})


def scoped(scopes: SecurityScopes, token: str = Depends(oauth)):
    raise HTTPException(403, "Not enough permissions")


def get_user(request: Request):
    return User(id=5, username="eve")


def create_app():
    app, router = FastAPI(), APIRouter(prefix="/deep")

    @router.get("/deny/{id}")
    async def deny(id: int):
        raise HTTPException(403)

    @router.get("/crash/{id}")
    def crash(id: int):
        raise RuntimeError

    @app.post("/items")
    async def items(item: Item): ...

    @app.post("/token")
    async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
        if form.password != "right-word":
            raise HTTPException(400, "wrong")
        return {"access_token": TOKEN}

    @app.post("/told-token")
    async def told_token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
        seclog.login_failed(form.username, known=True)
        raise HTTPException(400, "wrong")

    @app.get("/bearer")
    def bearer(given: Annotated[object, Depends(HTTPBearer())]):
        if given.credentials != TOKEN:
            raise HTTPException(401)

    @app.get("/basic")
    def basic(given: Annotated[object, Depends(HTTPBasic())]):
        raise HTTPException(401)

    @app.get("/key")
    def key(given: Annotated[object, Depends(APIKeyHeader(name="X-Key"))]):
        raise HTTPException(401)

    @app.get("/query-key")
    def query_key(given: Annotated[object, Depends(APIKeyQuery(name="key"))]):
        raise HTTPException(401)

    @app.get("/scoped-and-more")
    def scopes_and_more(token: Annotated[object, Security(oauth, scopes=["write"])]):
        raise HTTPException(403)

    @app.get("/scoped")
    def scopes(user: Annotated[object, Security(scoped, scopes=["write"])]): ...

    @app.get("/patients/{pk}", dependencies=[Depends(audit_access("patients", id_param="pk"))])
    def patient(pk: int, user: Annotated[User, Actor(get_user)]):
        return JSONResponse({}, 404 if pk == 13 else 200)

    @app.get("/actor")
    def actor(user: Annotated[User, Actor(get_user)]):
        raise HTTPException(403)

    app.include_router(router, prefix="/api")
    return watched(app)


@pytest.fixture
def browser(entries):
    with browsing(create_app()) as browser:
        browser.get("/openapi.json")
        entries.clear()
        yield browser


@pytest.mark.parametrize(("path", "name"), [("deny", "authz_fail"), ("crash", "app_unhandled_exception")])
def test_the_template_has_the_routers_prefixes(browser, entries, path, name):
    """The template is what the client sees, with the prefixes of all routers."""
    browser.get(f"/api/deep/{path}/7")
    [entry] = told(entries)
    assert (entry["event.name"], entry["http.route"]) == (name, f"/api/deep/{path}/{{id}}")


@pytest.mark.parametrize(
    ("body", "name", "fields", "reason"),
    [
        ({"size": "huge-value"}, "input_validation_fail", ["size"], "int_parsing"),
        ({}, "input_validation_fail", ["size"], "missing"),
        ({"size": 1, "colour": "huge-value"}, "input_validation_discrete_fail", ["colour"], "invalid_choice"),
        ({"size": 1, "kind": "huge-value"}, "input_validation_discrete_fail", ["kind"], "invalid_choice"),
        ({"size": 1, "is_admin": "huge-value"}, "malicious_extraneous", ["is_admin"], "extra_field"),
    ],
)
def test_refused_input(browser, entries, body, name, fields, reason):
    """Refused input names fields and kinds of errors, never values."""
    assert browser.post("/items", json=body).status == 422
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.fields"], entry["reason"]) == (name, fields, reason)
    assert entry["seclog.places"] == ["body"]
    assert "huge-value" not in str(entry)


def test_a_path_parameter_of_the_wrong_kind(browser, entries):
    """The place of a refused parameter is told."""
    assert browser.get("/api/deep/deny/x").status == 422
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.places"]) == ("input_validation_fail", ["path"])


def test_a_token_route(browser, entries):
    """A token in exchange for a password is a login, by the form and the status."""
    browser.post("/token", form={"username": "eve", "password": "right-word"})
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.name"]) == ("authn_login_success", "eve")
    assert (entry["seclog.auth.method"], entry["seclog.detected_by"]) == ("password", "heuristic")
    assert "right-word" not in str(entries)


def test_a_token_route_that_refuses(browser, entries):
    """A refusal there is a failed login; the name, which nobody has looked up, is a pseudonym."""
    browser.post("/token", form={"username": "eve", "password": "wrong-word"})
    assert names(entries) == ["authn_login_fail"]
    assert re.fullmatch("unknown:[0-9a-f]{16}", told(entries)[0]["user.name"])
    assert "wrong-word" not in str(entries)


def test_a_token_route_that_tells_itself(browser, entries):
    """What the app has told is not told again."""
    browser.post("/told-token", form={"username": "eve", "password": "wrong-word"})
    assert told(entries)[0]["user.name"] == "eve"
    assert names(entries) == ["authn_login_fail"]


@pytest.mark.parametrize(
    ("path", "headers", "kind"),
    [
        ("/bearer", {"Authorization": "Bearer not-the-token-1"}, "bearer"),
        ("/key", {"X-Key": "not-the-token-1"}, "api_key"),
        ("/query-key?key=not-the-token-1", {}, "api_key"),
    ],
)
def test_a_refused_credential(browser, entries, path, headers, kind):
    """A token or key that is refused is told, by a keyed hash, and so is the request."""
    assert browser.get(path, headers=headers).status == 401
    token, request = told(entries)
    assert (token["event.name"], token["reason"]) == ("authn_token_invalid", "refused")
    assert (token["seclog.token.type"], len(token["seclog.token.id_hash"]) > 8) == (kind, True)
    assert request["event.name"] == "authz_unauthenticated"
    assert "not-the-token-1" not in str(entries)


@pytest.mark.parametrize("path", ["/bearer", "/key", "/query-key", "/basic", "/scoped"])
def test_a_missing_credential(browser, entries, path):
    """Without any credential only the request is told."""
    assert browser.get(path).status in (401, 403)
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("authz_unauthenticated", "not_authenticated")


def test_http_basic(browser, entries):
    """HTTP Basic carries a name and a password: its refusal is a failed login."""
    given = base64.b64encode(b"eve:wrong-word").decode()
    browser.get("/basic", headers={"Authorization": f"Basic {given}"})
    assert names(entries) == ["authn_login_fail", "authz_unauthenticated"]
    assert told(entries)[0]["seclog.detected_by"] == "heuristic"
    assert "wrong-word" not in str(entries)
    assert given not in str(entries)


def test_security_scopes(browser, entries):
    """A refusal names the scopes that the endpoint asks for."""
    browser.get("/scoped", headers={"Authorization": f"Bearer {TOKEN}"})
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.permission"]) == ("authz_fail", "write")


def test_security_scopes_that_were_there(browser, entries):
    """An endpoint that refuses by itself, once its scopes were found, lacks none of them."""
    browser.get("/scoped-and-more", headers={"Authorization": f"Bearer {TOKEN}"})
    [entry] = told(entries)
    assert entry["event.name"] == "authz_fail"
    assert "seclog.permission" not in entry


def test_audit_access(browser, entries):
    """A dependency says what the endpoint reads, and another who does."""
    assert browser.get("/patients/7").status == 200
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.target.type"]) == ("sensitive_read", "patients")
    assert (entry["seclog.target.id"], entry["user.id"], entry["user.name"]) == ("7", "5", "eve")


def test_audit_access_of_what_is_not_there(browser, entries):
    """What was not read is not told as read."""
    browser.get("/patients/13")
    assert names(entries) == ["api_client_error"]


def test_actor(browser, entries):
    """Who is found by a dependency is named in what follows."""
    browser.get("/actor")
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.id"], entry["user.name"]) == ("authz_fail", "5", "eve")


def test_audit_access_wants_a_known_action():
    """A wrong action is refused where it is written."""
    with pytest.raises(ValueError, match="action must be one of create, read, update, delete"):
        audit_access("patients", action="look")
