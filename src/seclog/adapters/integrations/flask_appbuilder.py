"""Flask-AppBuilder: logins of every kind, accounts, roles and their permissions, refusals, rows changed in its views.

The security manager is looked at on the app's own instance, since apps override its methods. What becomes of users,
roles and groups is not: the manager, the views, the REST API and `flask fab` each write in their own way, so the
flush is where all of them pass, and it is told after the commit. Logouts and sessions are Flask-Login's, tokens are
Flask-JWT-Extended's, and told by their integrations.

The permissions that the library gives its own admin role for each view at every start are no events. It has no
exports of rows. Tested with Flask-AppBuilder 5.3.0.
"""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from flask import Flask, request

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations.flask_login import device, identity
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("Flask-AppBuilder")
_LOGINS: Final = {
    "auth_user_db": "password",
    "auth_user_ldap": "ldap",
    "auth_user_remote_user": "remote_user",
    "auth_user_oauth": "oauth",
    "auth_user_saml": "saml",
}
_NAMED: Final = ("username", "email", "first_name", "last_name")
_ACTIONS: Final = frozenset({"action", "action_post"})
_MAX_IDS: Final = 100
_MAX_PERMISSIONS: Final = 100


class _Login:
    """What the calls inside of one login found."""

    def __init__(self) -> None:
        self.user: Any = None
        self.name: str | None = None
        self.is_active = True
        self.was_asked = False
        self.is_wrong = False


_login: ContextVar[_Login | None] = ContextVar("seclog_fab_login", default=None)
_view: ContextVar[Any] = ContextVar("seclog_fab_view", default=None)
"""The view whose form is being saved, or whose action runs."""
_own_admin: ContextVar[str | None] = ContextVar("seclog_fab_admin_role", default=None)
"""The name of the role that the library keeps complete, while it does."""
_models: dict[type[Any], str] = {}
"""The models of users, roles and groups of all apps, and which of these they are."""


def connect(app: Flask) -> None:
    """Wrap the security manager of an app, its views and their actions, and listen to the flushes."""
    manager = getattr(getattr(app, "appbuilder", None) or app.extensions.get("appbuilder"), "sm", None)
    if manager is None:
        return
    for name, method in _LOGINS.items():
        wrap_method(manager, name, _LOGIN_HOOKS[method], library=str(library))
    for name, around in (
        ("find_user", _find_user),
        ("update_user_auth_stat", _auth_stat),
        ("has_access", _has_access),
        ("add_permissions_view", _own_permissions),
        ("add_permissions_menu", _own_permissions),
        ("validate_api_key", _key_presented),
        ("create_api_key", _key_created),
        ("revoke_api_key", _key_revoked),
        ("export_roles", _roles_exported),
    ):
        wrap_method(manager, name, around, library=str(library))
    for name in ("_add", "_edit", "_delete"):
        library.wrap(f"flask_appbuilder.baseviews.BaseCRUDView.{name}", _in_view)
    for name, write in (("add", _add), ("edit", _edit), ("delete", _delete)):
        library.wrap(f"flask_appbuilder.models.sqla.interface.SQLAInterface.{name}", write)
    _wrap_actions(app)
    _listen(manager)


def _wrap_actions(app: Flask) -> None:
    """Views are bound to their methods when they are added: what the app calls is what it keeps."""
    kind = library.find("flask_appbuilder.views.ModelView")
    for endpoint, function in app.view_functions.items():
        owner = getattr(function, "__self__", None)
        if kind is not None and isinstance(owner, kind) and endpoint.rpartition(".")[2] in _ACTIONS:
            holder = _Holder(function)
            wrap_method(holder, "view", _action, library=str(library))
            app.view_functions[endpoint] = holder.view


class _Holder:
    def __init__(self, view: Any) -> None:
        self.view = view


# ── logins ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _hook_of(method: str) -> Any:
    def around(original: Any, *args: Any, **kwargs: Any) -> Any:
        seen = _Login()
        token = _login.set(seen)
        try:
            user = original(*args, **kwargs)
        finally:
            _login.reset(token)
        with contained("a login"):
            if user:
                key, name = identity(user)  # the commit of the login's count may have expired the name
                accounts.login_succeeded(key, name or seen.name, method, **device())
            else:
                _tell_failure(seen, _typed(args, kwargs), method)
        return user

    return around


_LOGIN_HOOKS: Final = {method: _hook_of(method) for method in _LOGINS.values()}


def _typed(args: Any, kwargs: Any) -> str:
    given = args[0] if args else kwargs.get("username", kwargs.get("userinfo"))
    if isinstance(given, dict):
        given = given.get("username") or given.get("email")
    return "" if given is None else str(given)


def _tell_failure(seen: _Login, typed: str, method: str) -> None:
    if accounts.is_told(EventType.AUTHN_LOGIN_FAIL):
        return
    user = seen.user
    if user is None:
        reason = "unknown_user" if seen.was_asked else "incomplete_credentials"
        api.login_failed(typed, reason, known=False, auth_method=method)
        return
    key, name = identity(user)
    name = name or seen.name
    reason = "invalid_credentials" if seen.is_wrong else "refused" if seen.is_active else "inactive"
    api.login_failed(name or key, reason, user_id=key, auth_method=method)


def _find_user(original: Any, *args: Any, **kwargs: Any) -> Any:
    user = original(*args, **kwargs)
    seen = _login.get()
    if seen is not None:
        seen.was_asked = True
        if user is not None:
            with contained("a login"):  # now, since a commit expires the row
                seen.user, seen.name = user, identity(user)[1]
                seen.is_active = bool(user.__dict__.get("active", True))
    return user


def _auth_stat(original: Any, user: Any, success: Any = True, *args: Any, **kwargs: Any) -> Any:
    seen = _login.get()
    if seen is not None:
        seen.is_wrong = not success
    return original(user, success, *args, **kwargs)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _has_access(original: Any, permission: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    is_granted = original(permission, view, *args, **kwargs)
    if not is_granted:
        with contained("remembering a refused permission"):
            scope = accounts.web_scope()
            # the first one is what was asked for; pages ask for more while they are drawn
            if scope is not None and scope.denied_permission is None and permission != "menu_access":
                scope.denied_permission = f"{permission} on {view}"
    return is_granted


# ── rows changed in views ─────────────────────────────────────────────────────────────────────────────────────────


def _in_view(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    token = _view.set(view)
    try:
        return original(view, *args, **kwargs)
    finally:
        _view.reset(token)


def _add(original: Any, interface: Any, item: Any, *args: Any, **kwargs: Any) -> Any:
    return _saved("create", original, interface, item, args, kwargs)


def _edit(original: Any, interface: Any, item: Any, *args: Any, **kwargs: Any) -> Any:
    return _saved("change", original, interface, item, args, kwargs)


def _delete(original: Any, interface: Any, item: Any, *args: Any, **kwargs: Any) -> Any:
    return _saved("delete", original, interface, item, args, kwargs)


def _saved(action: str, original: Any, interface: Any, item: Any, args: Any, kwargs: Any) -> Any:
    is_ours = _view.get() is not None and type(item) not in _models  # accounts are told by what becomes of them
    fields: dict[str, object] = {}
    if is_ours:
        with contained("a row before its change"):
            fields = {"seclog.action": action, "seclog.target.type": type(item).__name__, "seclog.count": 1}
            fields["seclog.target.id"] = _key(item)
            if action == "change":
                fields |= _changes(item)
    try:
        result = original(interface, item, *args, **kwargs)
    except Exception as error:
        with contained("a row that was not saved"):
            if is_ours:
                failed = accounts.present({**fields, "error.type": type(error).__name__})
                tell(Event(type=EventType.AUTHZ_ADMIN, outcome="failure", fields=failed))
        raise
    with contained("a saved row"):
        if is_ours:
            fields["seclog.target.id"] = fields.get("seclog.target.id") or _key(item)
            tell(Event(type=EventType.AUTHZ_ADMIN, fields=accounts.present(fields)))
    return result


def _key(item: Any) -> str | None:
    identity = getattr(getattr(item, "_sa_instance_state", None), "identity", None)
    return ",".join(map(str, identity)) if identity else None


def _changes(item: Any) -> dict[str, object]:
    """Return the columns of a row that its form has changed, with what they were: by name, so that secrets are seen."""
    old: dict[str, object] = {}
    new: dict[str, object] = {}
    state = item._sa_instance_state
    for column in state.mapper.column_attrs:
        history = state.attrs[column.key].history
        if history.added and history.deleted and history.added != history.deleted:
            old[column.key], new[column.key] = _plain(history.deleted[0]), _plain(history.added[0])
    for relation in state.mapper.relationships:
        history = state.attrs[relation.key].history
        if history.added or history.deleted:
            kept = history.unchanged or ()
            old[relation.key] = sorted(str(each) for each in (*kept, *(history.deleted or ())) if each is not None)
            new[relation.key] = sorted(str(each) for each in (*kept, *(history.added or ())) if each is not None)
    if not new:
        return {}
    return {"seclog.change.field": sorted(new), "seclog.change.old": old, "seclog.change.new": new}


def _plain(value: Any) -> object:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _action(original: Any, *args: Any, **kwargs: Any) -> Any:
    view = original.__self__
    token = _view.set(None)
    error: Exception | None = None
    try:
        return original(*args, **kwargs)
    except Exception as raised:
        error = raised
        raise
    finally:
        _view.reset(token)
        with contained("an action of a view"):
            _tell_action(view, kwargs, error)


def _tell_action(view: Any, kwargs: dict[str, Any], error: Exception | None) -> None:
    scope = accounts.web_scope()
    name = str(kwargs.get("name") or request.form.get("action", ""))
    ids = [str(kwargs["pk"])] if "pk" in kwargs else request.form.getlist("rowid")
    if name not in view.actions:
        return
    if scope is not None and scope.denied_permission is not None:  # a redirect and a message: nobody else sees it
        fields: dict[str, object] = {"seclog.view": f"{type(view).__module__}.{type(view).__qualname__}.{name}"}
        if accounts.acting_user() is None:
            accounts.propose(Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason="login_required", fields=fields))
        else:
            fields["seclog.permission"] = scope.denied_permission
            accounts.propose(Event(type=EventType.AUTHZ_FAIL, reason="permission_denied", fields=fields))
        return
    if "pk" in kwargs and not view.is_get_mutation_allowed():
        fields = {"seclog.view": f"{type(view).__module__}.{type(view).__qualname__}.{name}"}
        accounts.propose(Event(type=EventType.AUTHZ_FAIL, reason="get_not_allowed", fields=fields))
        return
    few = ids[:_MAX_IDS]
    fields = {
        "seclog.action": name,
        "seclog.target.type": view.datamodel.obj.__name__,
        "seclog.target.id": few[0] if len(few) == 1 else few,
        "seclog.count": len(ids),
        "error.type": None if error is None else type(error).__name__,
    }
    outcome = "success" if error is None else "failure"
    tell(Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=accounts.present(fields)))


# ── keys and exports ──────────────────────────────────────────────────────────────────────────────────────────────


def _key_presented(original: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
    user = original(key, *args, **kwargs)
    with contained("an API key"):
        if user:
            api.bind_user(*identity(user))
        else:
            named: dict[str, object] = {
                "seclog.token.id_hash": accounts.token_hash(key),
                "seclog.token.type": "api_key",
            }
            with attempt() as session_user:
                fields = accounts.present({**named, **session_user})
                tell(Event(type=EventType.AUTHN_TOKEN_INVALID, reason="refused", fields=fields))
    return user


def _key_created(original: Any, user: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
    made = original(user, name, *args, **kwargs)
    with contained("a created API key"):
        if made:
            owner, _ = identity(user)
            expires = made.get("expires_on")
            fields: dict[str, object] = {
                "user.id": accounts.acting_user() or owner,
                "seclog.target.id": owner,
                "seclog.token.id_hash": accounts.token_hash(made.get("uuid")),
                "seclog.token.type": "api_key",
                "seclog.token.scope": made.get("scopes") or "all",
                "seclog.token.expires": expires.isoformat() if expires else "never",
            }
            tell(Event(type=EventType.AUTHN_TOKEN_CREATED, fields=accounts.present(fields)))
    return made


def _key_revoked(original: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
    is_revoked = original(key, *args, **kwargs)
    with contained("a revoked API key"):
        if is_revoked:
            fields = {"seclog.token.id_hash": accounts.token_hash(key), "seclog.token.type": "api_key"}
            tell(Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="revoked", fields=accounts.present(fields)))
    return is_revoked


def _roles_exported(original: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(*args, **kwargs)
    with contained("exported roles"):
        count = len(original.__self__.get_all_roles())
        fields: dict[str, object] = {"seclog.target.type": "Role", "seclog.count": count, "seclog.format": "json"}
        tell(Event(type=EventType.DATA_EXPORT, fields=fields))
    return result


# ── accounts and roles: what a flush writes ───────────────────────────────────────────────────────────────────────


def _own_permissions(original: Any, *args: Any, **kwargs: Any) -> Any:
    is_start = accounts.web_scope() is None
    token = _own_admin.set(original.__self__.auth_role_admin if is_start else None)
    try:
        return original(*args, **kwargs)
    finally:
        _own_admin.reset(token)


def _listen(manager: Any) -> None:
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    for kind in ("user", "role", "group"):
        model = getattr(manager, f"{kind}_model", None)
        if model is not None:
            _models[model] = kind
    if not event.contains(Session, "before_flush", _flushed):
        event.listen(Session, "before_flush", _flushed)


@safely
def _flushed(session: Any, context: Any, instances: Any) -> None:
    for kind, rows in (("new", session.new), ("changed", session.dirty), ("deleted", session.deleted)):
        for row in rows:
            model = _models.get(type(row))
            if model is not None:
                with contained("a changed account"):
                    _TOLD[model](session, kind, row)


def _after_commit(session: Any, told: Any) -> None:
    from seclog.adapters.sqlalchemy import after_commit

    after_commit(session, told)


def _is_queued(session: Any, told: Event) -> bool:
    """Tell whether this transaction has the event already: the REST API flushes a password, hashes it, and saves it."""
    from seclog.adapters.sqlalchemy.commit import pending_of

    return any(queued == told for _, queued, _ in pending_of(session).events)


def _history(row: Any, name: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what was added to a relationship, what was taken, and what it held before."""
    if name not in row._sa_instance_state.attrs:
        return [], [], []
    found = row._sa_instance_state.attrs[name].load_history()
    added, kept, removed = (list(items or ()) for items in (found.added, found.unchanged, found.deleted))
    return added, removed, kept + removed


def _changed_columns(session: Any, row: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the columns that the flush changes, old → new; what a commit has expired is read."""
    from seclog.adapters.sqlalchemy.rows import stored

    state = row._sa_instance_state
    for name in names:
        history = state.attrs[name].history
        if history.added:
            if history.deleted:
                old = history.deleted[0]
            else:
                connection = session.connection(bind_arguments={"mapper": state.mapper})
                old = stored(connection, state.mapper, state.identity, [name]).get(name)
            if old != history.added[0]:
                yield name, old, history.added[0]


def _user(session: Any, kind: str, user: Any) -> None:
    roles, taken, held = _history(user, "roles")
    groups, left, _ = _history(user, "groups")
    name = user.username
    if kind == "new":
        names = sorted(role.name for role in roles)

        def created() -> Event:
            about = accounts.about_user(_key(user), name)
            return Event(type=EventType.USER_CREATED, fields={**about, "seclog.target.roles": names})

        _after_commit(session, created)
        for group in groups:
            _after_commit(session, _Membership(EventType.GROUP_MEMBER_ADDED, user, name, group.name, "created"))
        return
    about = accounts.about_user(_key(user), name)
    if kind == "deleted":
        names = sorted(role.name for role in held)
        _after_commit(session, Event(type=EventType.USER_DELETED, fields={**about, "seclog.target.roles": names}))
        return
    for given, member in ((roles, EventType.GROUP_MEMBER_ADDED), (groups, EventType.GROUP_MEMBER_ADDED),
                          (taken, EventType.GROUP_MEMBER_REMOVED), (left, EventType.GROUP_MEMBER_REMOVED)):  # fmt: skip
        for each in given:
            _after_commit(session, _Membership(member, user, name, each.name))
    for field, old, new in _changed_columns(session, user, (*_NAMED, "active", "password")):
        told = _column_event(about, user, field, old, new)
        if field != "password" or not _is_queued(session, told):
            _after_commit(session, told)


class _Membership:
    """Makes the entry of a role or group given or taken, once the user has a key."""

    def __init__(self, kind: EventType, user: Any, name: Any, group: str, reason: str | None = None) -> None:
        self.kind, self.user, self.name, self.group, self.reason = kind, user, name, group, reason

    def __call__(self) -> Event:
        about = accounts.about_user(_key(self.user), self.name)
        return Event(type=self.kind, reason=self.reason, fields={**about, "seclog.group.name": self.group})


def _column_event(about: dict[str, object], user: Any, field: str, old: object, new: object) -> Event:
    if field == "password":
        method = accounts.method_of(_key(user))
        return Event(type=EventType.AUTHN_PASSWORD_CHANGE, fields={**about, "seclog.method": method})
    if field == "active":
        return Event(type=EventType.USER_ENABLED if new else EventType.USER_ARCHIVED, fields=about)
    values = {"seclog.change.field": field, "seclog.change.old": old, "seclog.change.new": new}
    return Event(type=EventType.USER_UPDATED, fields={**about, **values})


def _role(session: Any, kind: str, role: Any) -> None:
    added, removed, held = _history(role, "permissions")
    name = role.name
    if kind == "deleted":
        added, removed = [], held
    if (added or removed) and name != _own_admin.get():
        _tell_group(session, kind, name, "permissions", map(_permission, added), map(_permission, removed))
    if kind == "changed":
        _tell_rename(session, role)


def _group(session: Any, kind: str, group: Any) -> None:
    added, removed, held = _history(group, "roles")
    if kind == "deleted":
        added, removed = [], held
    if added or removed:
        given, taken = ((role.name for role in roles) for roles in (added, removed))
        _tell_group(session, kind, group.name, "roles", given, taken)
    if kind == "changed":
        _tell_rename(session, group)


def _permission(permission: Any) -> str:
    return f"{permission.permission.name} on {permission.view_menu.name}"


def _tell_group(session: Any, kind: str, name: str, field: str, added: Any, removed: Any) -> None:
    """Tell what was given to a role and taken from it. What it held all along is not told: that may be hundreds."""
    given, taken = sorted(added), sorted(removed)
    direction = "change" if given and taken else "grant" if given else "revoke"
    fields: dict[str, object] = {
        "seclog.group.name": name,
        "seclog.change.field": field,
        "seclog.change.direction": direction,
        "seclog.change.old": taken[:_MAX_PERMISSIONS],
        "seclog.change.new": given[:_MAX_PERMISSIONS],
        "seclog.count": len(given) + len(taken),
    }
    reason = {"new": "created", "deleted": "deleted"}.get(kind)
    _after_commit(session, Event(type=EventType.GROUP_PERMISSIONS_CHANGED, reason=reason, fields=fields))


def _tell_rename(session: Any, group: Any) -> None:
    for _, old, new in _changed_columns(session, group, ("name",)):
        values = {"seclog.change.field": "name", "seclog.change.old": old, "seclog.change.new": new}
        fields: dict[str, object] = {"seclog.group.name": new, "seclog.change.direction": "change", **values}
        _after_commit(session, Event(type=EventType.GROUP_PERMISSIONS_CHANGED, reason="renamed", fields=fields))


_TOLD: Final = {"user": _user, "role": _role, "group": _group}
