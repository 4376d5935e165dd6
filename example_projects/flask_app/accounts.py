"""Logins, sign-ups, passwords. What no hook can know is said in one line each: whether a name exists, what was reset.

Not said here, since the hooks of Flask-Login and the session see it: who logged in, that a session began or ended.
"""

import time
from math import inf

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import Customer, User
from example_projects.flask_app.web import Visitor, db, find, form, page
from flask import Blueprint, redirect, request, session
from flask_login import current_user, login_required, login_user, logout_user
from flask_wtf.csrf import CSRFError

import seclog

accounts = Blueprint("accounts", __name__)


@accounts.before_app_request
def end_on_public_computers():
    if time.time() > session.get("until", inf):
        seclog.emit("session_expired", reason="expired")
        seclog.bind_user(None)  # from here on nobody acts
        session.clear()


@accounts.app_errorhandler(CSRFError)
def not_our_form(error):
    return str(error.description), 403


@accounts.route("/login/", methods=["GET", "POST"])
@accounts.route("/admin/login/", methods=["GET", "POST"], endpoint="admin_login")
def login():
    staff, error = request.path.startswith("/admin/"), ""
    if request.method == "POST":
        user = find(User, username=request.form["username"])
        if not data.is_right(user, request.form["password"]):
            error = "invalid_credentials" if user else "unknown_user"
        elif staff and not user.is_staff:
            error = "not_staff"
        elif login_user(Visitor(user)):
            session["of"] = data.digest(user.password)  # a new password ends the sessions of the old one
            if "public_computer" in request.form:
                session["until"] = time.time() + data.PUBLIC_COMPUTER_SECONDS
            return redirect("/admin/" if staff else "/orders/")
        if error:
            seclog.login_failed(request.form["username"], error, user_id=user and user.id)
    more, lines = [("public_computer", "checkbox", "on", False)], [("Forgot your password?", "/password/reset/")]
    return form("Log in", "username", "password", error=error and "That is not right.", more=more, lines=lines)


@accounts.post("/logout/", defaults={"to": "/"})
@accounts.post("/admin/logout/", defaults={"to": "/admin/login/"})
def logout(to):
    logout_user()
    session.clear()
    return redirect(to)


@accounts.route("/signup/", methods=["GET", "POST"])
def signup():
    sent, fields = request.form, ("username", "email", "password")
    if request.method == "GET":
        return form("Sign up", *fields)
    if len(sent["password"]) < 10 or find(User, username=sent["username"]):
        return form("Sign up", *fields, status=400, error="Choose another name, or a longer password.")
    user = User(username=sent["username"], email=sent["email"], password=data.hashed(sent["password"]))
    db.add(user)
    db.flush()
    db.add(Customer(user_id=user.id, name=user.username))
    db.commit()
    seclog.emit("user_created", target_id=user.id, target_name=user.username)
    return redirect("/login/")


def set_password(user):
    user.password = data.hashed(request.form["new_password1"])
    db.commit()


@accounts.route("/password/change/", methods=["GET", "POST"])
@login_required
def change_password():
    user, sent = current_user.user, request.form
    if request.method == "GET" or not data.is_right(user, sent["old_password"]):
        return form("Change password", "old_password", "new_password1", "new_password2")
    set_password(user)
    session["of"] = data.digest(user.password)
    seclog.emit("authn_password_change", target_id=user.id, target_name=user.username)
    seclog.emit("session_renewed")
    return redirect("/")


@accounts.route("/password/reset/", methods=["GET", "POST"])
def reset():
    if request.method == "GET":
        return form("Forgot password", "email")
    user, kind = find(User, email=request.form["email"]), "authn_password_reset_request"
    if user is None:
        seclog.emit(kind, reason="unknown_user", user_name=data.unknown_name(request.form["email"]))
    else:
        seclog.emit(kind, target_id=user.id, target_name=user.username, user_name=user.username)
        data.send_mail(user.email, f"Choose a new password:\n\n{request.url_root}{data.reset_link(user)}\n")
    return redirect("/")


@accounts.route("/password/reset/<uid>/<token>/", methods=["GET", "POST"])
def new_password(uid, token):
    user = data.reset_user(db(), uid, token)
    if user is None:
        seclog.emit("authn_password_reset_fail", reason="invalid_token")
        return page("This link is no longer valid")
    if request.method == "GET":
        return form("New password", "new_password1", "new_password2")
    set_password(user)
    who = {"user_id": user.id, "user_name": user.username, "target_id": user.id}
    seclog.emit("authn_password_reset_complete", **who)
    return redirect("/login/")
