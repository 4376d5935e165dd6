"""Logins, sign-ups, passwords. What no hook can know is said in one line each: whether a name exists, what was reset.

Not said here, since the adapter sees it in the session: that somebody is logged in, that a session began or ended.
"""

import time
from collections.abc import Iterable, MutableMapping
from secrets import token_urlsafe

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, User
from example_projects.asgi_shop.pages import Field, page, to
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import seclog

SHORTEST_PASSWORD = 10
TOKEN = {"token_type": "bearer", "token_scope": "orders", "token_expires": "never"}
PASSWORDS = [Field("new_password1", "password"), Field("new_password2", "password")]


def enter(session: MutableMapping, user: User, seconds: int | None = None) -> None:
    """Begin a new session for a user; its CSRF token also tells it from others in the journal."""
    session.clear()
    session.update(user_id=user.id, username=user.username, csrf_token=token_urlsafe(24))
    if seconds is not None:
        session["until"] = time.time() + seconds


def session_user(db: Session, session: MutableMapping) -> User | None:
    """Return the user who is logged in; a session whose time is over ends here."""
    if "until" in session and session["until"] < time.time():
        seclog.emit("session_expired", reason="expired")
        session.clear()
        seclog.bind_user(None)  # from here on nobody acts
    user = db.get(User, session["user_id"]) if "user_id" in session else None
    return user if user is not None and user.is_active else None


def visitor(request: Request, db: Session, needed: Iterable[str] = ()) -> User:
    """Return the user who is logged in and has these permissions; "staff" is one.

    Raises:
        HTTPException: there is none: a redirect to the login; or they may not: 403.
    """
    user = session_user(db, request.session)
    if user is None:
        raise HTTPException(302, headers={"Location": f"/login/?next={request.url.path}"})
    if "staff" in needed and not user.is_staff:
        raise HTTPException(302, headers={"Location": f"/admin/login/?next={request.url.path}"})
    if not all(user.may(permission) for permission in needed if permission != "staff"):
        raise HTTPException(403)
    return user


def refused(user: User | None, password: str, staff: bool = False) -> str | None:
    """Return why somebody may not log in, None if they may."""
    if user is None or not data.is_right(user, password):
        return "unknown_user" if user is None and not data.is_right(None, password) else "invalid_credentials"
    return "inactive" if not user.is_active else "not_staff" if staff and not user.is_staff else None


def login(request: Request, db: Session, form: FormData | None) -> Response:
    """The login, and that of the back office."""
    staff = request.url.path.startswith("/admin/")
    fields = [Field("username"), Field("password", "password"), Field("public_computer", "checkbox")]
    links = [("/password/reset/", "Forgot your password?")]
    if form is None:
        return page(request, "Log in", fields=fields, links=links)
    user = data.find_user(db, name := str(form.get("username")))
    reason = refused(user, str(form.get("password")), staff)
    if reason:
        seclog.login_failed(name, reason, user_id=user and user.id, auth_method="password")
        return page(request, "Log in", fields=fields, links=links, problem="That is not right.")
    enter(request.session, user, data.PUBLIC_COMPUTER_SECONDS if form.get("public_computer") else None)
    return to("/admin/" if staff else "/orders/")


def logout(request: Request, db: Session, form: FormData | None) -> Response:
    request.session.clear()
    return to("/")


def signup(request: Request, db: Session, form: FormData | None) -> Response:
    fields = [Field("username"), Field("email", "email"), Field("password", "password")]
    if form is None:
        return page(request, "Sign up", fields=fields)
    name, password = str(form.get("username")), str(form.get("password"))
    if not name.isidentifier() or data.find_user(db, name) or len(password) < SHORTEST_PASSWORD:
        return page(request, "Sign up", fields=fields, status=400, problem="Choose another name, a longer password.")
    user = User(username=name, email=str(form.get("email")), password=data.hashed(password))
    db.add(user)
    db.flush()
    db.add(Customer(user_id=user.id, name=name))
    db.commit()
    seclog.emit("user_created", user_id=user.id, user_name=name, target_id=user.id, target_roles=[])
    return to("/login/")


def _new_password(db: Session, user: User, form: FormData) -> str | None:
    """Set a new password; return what is wrong with it, if anything."""
    password = str(form.get("new_password1"))
    if password != form.get("new_password2") or len(password) < SHORTEST_PASSWORD:
        return "Type the same password twice, ten characters or more."
    user.password = data.hashed(password)
    db.commit()
    return None


def change_password(request: Request, db: Session, form: FormData | None) -> Response:
    """For somebody who is logged in: the apps see to that."""
    user = db.get(User, request.session["user_id"])
    problem = None
    if form is not None:
        is_right = data.is_right(user, str(form.get("old_password")))
        problem = _new_password(db, user, form) if is_right else "That is not your password."
        if problem is None:
            enter(request.session, user)
            seclog.emit("authn_password_change", target_id=user.id)
            seclog.emit("session_renewed", reason="password_change")
            return to("/password/changed/")
    fields = [Field("old_password", "password"), *PASSWORDS]
    return page(request, "Change password", fields=fields, problem=problem or "", status=400 if problem else 200)


def forgot(request: Request, db: Session, form: FormData | None) -> Response:
    if form is None:
        return page(request, "Forgot password", fields=[Field("email", "email")])
    user = db.scalar(select(User).where(User.email == (email := str(form.get("email"))), User.is_active))
    if user is None:
        seclog.emit("authn_password_reset_request", reason="unknown_user", user_name=data.unknown_name(email))
    else:
        data.send_mail(user.email, f"Your link: {request.base_url}{data.reset_link(user)}\n")
        seclog.emit("authn_password_reset_request", user_name=user.username, target_id=user.id)
    return to("/password/sent/")


def reset(request: Request, db: Session, form: FormData | None) -> Response:
    """The page that a reset link leads to."""
    user = data.reset_user(db, **request.path_params)
    if user is None:
        seclog.emit("authn_password_reset_fail", reason="invalid_link")
        return page(request, "This link is no longer valid", links=[("/password/reset/", "Ask for a new one")])
    problem = _new_password(db, user, form) if form is not None else None
    if form is None or problem:
        status = 400 if problem else 200
        return page(request, "New password", fields=PASSWORDS, problem=problem or "", status=status)
    who = {"user_id": user.id, "user_name": user.username, "target_id": user.id}
    seclog.emit("authn_password_reset_complete", **who)
    return to("/password/done/")


def give_token(db: Session, name: str, password: str) -> str | None:
    """Return a new API token for a name and a password; None if they are not right."""
    user = data.find_user(db, name)
    reason = refused(user, password)
    if reason:
        seclog.login_failed(name, reason, user_id=user and user.id, auth_method="password")
        return None
    token = data.new_token(db, user)
    seclog.login_succeeded(user.id, user.username, token_type="bearer")
    seclog.emit("authn_token_created", token_id_hash=data.token_hash(token), **TOKEN)
    return token


def take_token(db: Session, token: str) -> None:
    """End an API token."""
    db.delete(db.get(data.Token, data.digest(token)))
    db.commit()
    seclog.emit("authn_token_revoked", reason="returned", token_id_hash=data.token_hash(token), token_type="bearer")


def said(request: Request, db: Session, form: FormData | None) -> Response:
    return page(request, "Look at your mail" if request.url.path.endswith("sent/") else "Done")


def home(request: Request, db: Session, form: FormData | None) -> Response:
    return page(request, "Good things for the table", lines=["Tea pots, cups, lamps and rugs, made nearby."])


PAGES = {
    "/": home,
    "/login/": login,
    "/admin/login/": login,
    "/logout/": logout,
    "/admin/logout/": logout,
    "/signup/": signup,
    "/password/reset/": forgot,
    "/password/reset/{uid}/{token}/": reset,
    "/password/sent/": said,
    "/password/done/": said,
    "/password/changed/": said,
}
"""Where these are; anybody may open them. `change_password` is for those who are logged in."""
