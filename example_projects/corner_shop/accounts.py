"""Logins, sign-ups, passwords. What no hook can know is said in one line each: whether a name exists, what was reset.

Not said here, since the adapter sees it in the session: that somebody is logged in, that a session began or ended.
"""

import time
from collections.abc import Iterable, MutableMapping
from math import inf
from secrets import token_urlsafe
from typing import Any

from example_projects.corner_shop import data
from example_projects.corner_shop.data import Customer, User
from example_projects.corner_shop.pages import Answer, Field, Refused, Visit, page, to
from sqlalchemy import select
from sqlalchemy.orm import Session

import seclog

SHORTEST_PASSWORD = 10
PASSWORDS = [Field("new_password1", "password"), Field("new_password2", "password")]


# ── who is there, and what they may ───────────────────────────────────────────────────────────────


def end_if_over(session: MutableMapping[str, Any]) -> None:
    """End a session on a public computer when its time is over."""
    if time.time() > session.get("until", inf):
        seclog.emit("session_expired", reason="expired")
        seclog.bind_user(None)  # from here on nobody acts
        session.clear()


def owner(db: Session, session: MutableMapping[str, Any], user_id: object) -> User | None:
    """Return the user of a session, if the account is active and its password is the one the session began with."""
    user = db.get(User, int(str(user_id))) if user_id is not None else None
    return user if user and user.is_active and session.get("of") == data.digest(user.password) else None


def let_in(user: User | None, path: str, needed: Iterable[str] = ()) -> None:
    """Let in whoever is logged in and has these permissions; "staff" is one.

    Raises:
        Refused: they lead to a login, or may not.
    """
    if user is None:
        raise Refused(302, location=f"/login/?next={path}")
    if "staff" in needed and not user.is_staff:
        raise Refused(302, location=f"/admin/login/?next={path}")
    missing = [permission for permission in needed if permission != "staff" and not user.may(permission)]
    if missing:
        seclog.denied("permission_denied", permission=" ".join(missing))
        raise Refused(403)


def refused(user: User | None, password: str, staff: bool = False) -> str | None:
    """Return why somebody may not log in, None if they may."""
    if not data.is_right(user, password):
        return "invalid_credentials" if user else "unknown_user"
    assert user is not None
    return "inactive" if not user.is_active else "not_staff" if staff and not user.is_staff else None


# ── logging in and out ────────────────────────────────────────────────────────────────────────────


def login(visit: Visit) -> Answer:
    """The login, and that of the back office."""
    staff = visit.path.startswith("/admin/")
    fields = [Field("username"), Field("password", "password"), Field("public_computer", "checkbox")]
    links = [("/password/reset/", "Forgot your password?")]
    if visit.form is None:
        return page(visit, "Log in", fields=fields, links=links)
    user = data.find_user(visit.db, name := visit.sent("username"))
    reason = refused(user, visit.sent("password"), staff)
    if user is None or reason:
        seclog.login_failed(name, reason, user_id=user and user.id, auth_method="password")
        return page(visit, "Log in", fields=fields, links=links, problem="That is not right.")
    visit.log_in(user)
    visit.session["of"] = data.digest(user.password)  # a new password ends the sessions of the old one
    if visit.sent("public_computer"):
        visit.session["until"] = time.time() + data.PUBLIC_COMPUTER_SECONDS
    return to("/admin/" if staff else "/orders/")


def logout(visit: Visit) -> Answer:
    visit.log_out()
    return to("/")


def signup(visit: Visit) -> Answer:
    fields = [Field("username"), Field("email", "email"), Field("password", "password")]
    if visit.form is None:
        return page(visit, "Sign up", fields=fields)
    name, password = visit.sent("username"), visit.sent("password")
    if not name.isidentifier() or data.find_user(visit.db, name) or len(password) < SHORTEST_PASSWORD:
        return page(visit, "Sign up", fields=fields, status=400, problem="Choose another name, a longer password.")
    user = User(username=name, email=visit.sent("email"), password=data.hashed(password))
    visit.db.add(user)
    visit.db.flush()
    visit.db.add(Customer(user_id=user.id, name=name))
    visit.db.commit()
    seclog.emit("user_created", user_id=user.id, user_name=name, target_id=user.id, target_roles=[])
    return to("/login/")


# ── passwords ─────────────────────────────────────────────────────────────────────────────────────


def _new_password(visit: Visit, user: User) -> str:
    """Set a new password; return what is wrong with it, if anything."""
    password = visit.sent("new_password1")
    if password != visit.sent("new_password2") or len(password) < SHORTEST_PASSWORD:
        return "Type the same password twice, ten characters or more."
    user.password = data.hashed(password)
    visit.db.commit()
    return ""


def change_password(visit: Visit) -> Answer:
    """For somebody who is logged in."""
    user, problem = visit.user, ""
    assert user is not None
    if visit.form is not None:
        is_right = data.is_right(user, visit.sent("old_password"))
        problem = _new_password(visit, user) if is_right else "That is not your password."
        if not problem:
            visit.session.update(of=data.digest(user.password), csrf_token=token_urlsafe(24))
            seclog.emit("authn_password_change", target_id=user.id)
            seclog.emit("session_renewed", reason="password_change")
            return to("/password/changed/")
    fields = [Field("old_password", "password"), *PASSWORDS]
    return page(visit, "Change password", fields=fields, problem=problem, status=400 if problem else 200)


def forgot(visit: Visit) -> Answer:
    if visit.form is None:
        return page(visit, "Forgot password", fields=[Field("email", "email")])
    user = visit.db.scalar(select(User).where(User.email == (email := visit.sent("email")), User.is_active))
    if user is None:
        seclog.emit("authn_password_reset_request", reason="unknown_user", user_name=seclog.unknown_name(email))
    else:
        data.send_mail(user.email, f"Your link: {visit.site}{data.reset_link(user)}\n")
        seclog.emit("authn_password_reset_request", user_name=user.username, target_id=user.id)
    return to("/password/sent/")


def reset(visit: Visit, uid: str, token: str) -> Answer:
    """The page that a reset link leads to."""
    user = data.reset_user(visit.db, uid, token)
    if user is None:
        seclog.emit("authn_password_reset_fail", reason="invalid_link")
        return page(visit, "This link is no longer valid", links=[("/password/reset/", "Ask for a new one")])
    problem = _new_password(visit, user) if visit.form is not None else ""
    if visit.form is None or problem:
        return page(visit, "New password", fields=PASSWORDS, problem=problem, status=400 if problem else 200)
    who = {"user_id": user.id, "user_name": user.username, "target_id": user.id}
    seclog.emit("authn_password_reset_complete", **who)
    return to("/password/done/")


def said(visit: Visit) -> Answer:
    return page(visit, "Look at your mail" if visit.path.endswith("sent/") else "Done")
