"""Redaction is the only road to disk: secrets planted in every part of a request are in no entry that it causes."""

import base64
import json
import string
from secrets import choice, token_hex, token_urlsafe
from urllib.parse import quote

import pytest
from django.contrib.auth import views
from django.http import HttpResponse, JsonResponse
from django.urls import path

import seclog

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def fails(request, **kwargs):
    request.POST.get("username")
    raise ValueError(f"upstream refused {request.META.get('HTTP_AUTHORIZATION')} for {request.GET.get('api_key')}")


def denies(request, **kwargs):
    return HttpResponse("no", status=403)


def rejects(request, **kwargs):
    request.POST.get("username")
    return JsonResponse({}, status=400)


def tells(request, **kwargs):
    seclog.emit(
        "sensitive_read",
        message=f"read with {request.META.get('HTTP_AUTHORIZATION')}",
        target_id=request.get_full_path(),
        details={
            "headers": dict(request.headers),
            "cookies": dict(request.COOKIES),
            "post": request.POST,
            "reset_token": kwargs.get("token"),
        },
    )
    return HttpResponse("ok")


VIEWS = {"fails": fails, "denies": denies, "rejects": rejects, "tells": tells}
urlpatterns = [
    path("login/", views.LoginView.as_view(template_name="form.html")),
    *(path(f"{name}/<token>/", view) for name, view in VIEWS.items()),
    *(path(f"{name}/", view) for name, view in VIEWS.items()),
]


def vendor_key():
    """Return a made-up key in a form that gives it away wherever it stands."""
    return "gh" + "p_" + "".join(choice(string.ascii_letters + string.digits) for _ in range(36))


def jwt():
    """Return a made-up JSON Web Token."""
    parts = (json.dumps({"alg": "HS256"}), json.dumps({"sub": token_hex(4)}))
    return ".".join([*(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts), token_urlsafe(32)])


def plant():
    """Return (arguments of a request, the secrets in them)."""
    secrets = {name: token_urlsafe(18) for name in ("password", "api_key", "sessionid", "csrf", "reset", "otp")}
    keys = {name: vendor_key() for name in ("agent", "referer", "path", "name", "query")}
    bearer = jwt()
    arguments = {
        "query": {"api_key": secrets["api_key"], "q": keys["query"]},
        "data": {"username": keys["name"], "password": secrets["password"], "otp": secrets["otp"]},
        "headers": {
            "User-Agent": f"curl/8 {keys['agent']}",
            "Referer": f"https://example.org/?token={keys['referer']}",
            "Authorization": f"Bearer {bearer}",
            "X-CSRFToken": secrets["csrf"],
            "X-Forwarded-For": "192.0.2.1",
        },
        "cookies": {"sessionid": secrets["sessionid"]},
        "reset": secrets["reset"],
        "path": keys["path"],
    }
    return arguments, [*secrets.values(), *keys.values(), bearer]


def forms(secret):
    """Return the forms in which a secret may stand somewhere."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["form", "json"])
def test_no_secret_of_a_request_is_written(client, entries, view, kind):
    """Whatever the view does with a request full of secrets, no entry holds one of them in any form."""
    client.raise_request_exception = False
    arguments, secrets = plant()
    for name, value in arguments["cookies"].items():
        client.cookies[name] = value
    data = arguments["data"]
    body = {"data": data} if kind == "form" else {"data": json.dumps(data), "content_type": "application/json"}
    for url in (f"/{view}/{arguments['reset']}/", f"/{view}/", f"/nothing/{arguments['path']}/"):
        client.post(url, query_params=arguments["query"], headers=arguments["headers"], **body)
    written = json.dumps(entries)
    assert len([e for e in entries if e["event.name"] != "sys_startup"]) >= 3
    for secret in secrets:
        for form in forms(secret):
            assert form not in written


def test_a_password_in_the_name_field_is_not_written(client, entries):
    """People type their password into the wrong field; a name that nobody has is a pseudonym."""
    password = token_urlsafe(12)
    client.post("/login/", {"username": password, "password": "x"})
    client.post("/login/", {"username": password, "password": ""})
    assert [e["event.name"] for e in entries if e["event.name"] == "authn_login_fail"] == ["authn_login_fail"] * 2
    assert password not in json.dumps(entries)
