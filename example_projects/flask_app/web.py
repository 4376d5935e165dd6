"""What the pages are made with: forms, files, and a database session for each thread."""

from example_projects.asgi_shop import data
from example_projects.asgi_shop.data import User
from flask import Response, abort, render_template
from flask_login import UserMixin
from sqlalchemy import select
from sqlalchemy.orm import scoped_session, sessionmaker

db = scoped_session(sessionmaker(data.engine, expire_on_commit=False))


def find(table, **by):
    return db.scalar(select(table).filter_by(**by))


def found(table, pk):
    return db.get(table, pk) or abort(404)


class Visitor(UserMixin):
    """A user as Flask-Login wants one."""

    def __init__(self, user: User):
        self.user, self.id, self.username, self.is_staff = user, user.id, user.username, user.is_staff


def page(title, lines=(), status=200):
    return render_template("base.html", title=title, lines=lines), status


def form(title, *names, status=200, error="", more=(), lines=(), action=""):
    fields = [(name, "password" if "password" in name else "text", "", False) for name in names]
    facts = {"fields": [*fields, *more], "lines": lines, "action": action, "error": error}
    return render_template("form.html", title=title, **facts), status


def attachment(body, name, kind="text/plain"):
    return Response(body, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
