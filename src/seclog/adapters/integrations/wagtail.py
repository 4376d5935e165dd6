"""Wagtail: what editors do, who may edit or see what, what is refused in its admin, and what leaves it.

Logins, users, groups and their members are Django's, and told by its hooks. Everything done in Wagtail's admin (and the
publishing, moving and deleting of pages from anywhere) is written into Wagtail's own log, by one method: that is where
family 10 comes from. As with Django's admin, an action on a user or on settings is told as an action, and what it
changed as a change.

Traps: Wagtail's admin refuses with a redirect and a message instead of a 403; a page with a shared password answers 200.

Tested with wagtail 8.0.1.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from mimetypes import guess_type
from pathlib import PurePosixPath
from typing import Any, Final

from django.apps import apps
from django.db.models.signals import post_save, pre_delete

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.django import configuration, denials
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import acting_user, resolve_actor
from seclog.adapters.django.model_changes import (
    MAX_ROWS,
    Change,
    Row,
    doubtful,
    listen_to_bulk_create,
    observe,
    tell_after_commit,
)
from seclog.adapters.integrations._imports import when_imported
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations._tokens import about_token, token_hash
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("wagtail")

_PERMISSIONS: Final = {
    "GroupPagePermission": "page",
    "GroupCollectionPermission": "collection",
    "GroupSitePermission": "site",
}
"""The rows that give a group a permission somewhere -> their field that says where."""
_RESTRICTIONS: Final = {"PageViewRestriction": "page", "CollectionViewRestriction": "collection"}
_SERVED: Final = "wagtail.served document"


def connect() -> None:
    """Wrap and listen, app by app."""
    if not apps.is_installed("wagtail"):
        return
    library.wrap("wagtail.models.audit_log.BaseLogEntryManager.log_action", _log_action)
    library.wrap("wagtail.models.view_restrictions.BaseViewRestriction.accept_request", _accept_request)
    library.wrap("wagtail.forms.PasswordViewRestrictionForm.__init__", _password_asked)
    library.wrap("wagtail.forms.PasswordViewRestrictionForm.full_clean", _password_given)
    for name in _PERMISSIONS:
        model = library.find(f"wagtail.models.{name}")
        if model is not None:
            post_save.connect(_permission_saved, sender=model, dispatch_uid="seclog.wagtail")
            pre_delete.connect(_permission_deleted, sender=model, dispatch_uid="seclog.wagtail")
            listen_to_bulk_create(model, _permissions_created)
    for name, place in _RESTRICTIONS.items():
        model = library.find(f"wagtail.models.{name}")
        if model is not None:
            observe(model, "wagtail", _Restrictions(model, place))
    library.wrap("wagtail.models.APIToken.create_token", _token_created)
    library.wrap("wagtail.models.APIToken.revoke", _token_revoked)
    when_imported("wagtail.wagtail_hooks", "seclog.wagtail", _connect_site)
    when_imported("wagtail.api.v3.auth", "seclog.wagtail", _connect_api)
    if apps.is_installed("wagtail.admin"):
        library.wrap("wagtail.admin.auth.permission_denied", _permission_denied)
        library.wrap("wagtail.admin.views.mixins.SpreadsheetExportMixin.as_spreadsheet", _exported)
    if apps.is_installed("wagtail.documents"):
        library.listen("wagtail.documents.models.document_served", _document_served)
        when_imported("wagtail.documents.views.serve", "seclog.wagtail", _connect_documents)
    if apps.is_installed("wagtail.contrib.settings"):
        _observe_settings()


def _connect_site() -> None:
    """Whoever imported this function by name before Django's was wrapped would lead to the login unseen."""
    library.wrap("wagtail.wagtail_hooks.redirect_to_login", denials.led_to_login)


def _connect_api() -> None:
    library.wrap("wagtail.api.v3.auth.BearerTokenAuth.authenticate", _token_taken)


def _connect_documents() -> None:
    library.wrap("wagtail.documents.views.serve.redirect", _document_redirected)


# ── what editors do ───────────────────────────────────────────────────────────────────────────────────────


def _log_action(original: Any, manager: Any, instance: Any, action: Any, *args: Any, **kwargs: Any) -> Any:
    entry = original(manager, instance, action, *args, **kwargs)
    with contained("Wagtail's log"):
        resolve_actor()
        somebody = entry.user_id or acting_user()
        if somebody is not None:  # else an import, a migration
            using = entry._state.db or manager.db
            tell_after_commit(using, [_logged(entry, instance, str(action))])
            if action == "wagtail.create" and _is_upload(instance):
                tell_after_commit(using, [_uploaded(entry, instance)])
    return entry


def _logged(entry: Any, instance: Any, action: str) -> Event:
    fields = {"seclog.action": action.removeprefix("wagtail."), **_about(entry, instance)}
    return Event(type=EventType.AUTHZ_ADMIN, fields=fields)


def _uploaded(entry: Any, instance: Any) -> Event:
    name = str(instance.file.name)
    fields = {
        **_about(entry, instance),
        "file.name": PurePosixPath(name).name,
        "file.type": guess_type(name)[0],
        "seclog.bytes": instance.file_size or instance.file.size,
    }
    return Event(type=EventType.UPLOAD_COMPLETE, fields={k: v for k, v in fields.items() if v is not None})


def _about(entry: Any, instance: Any) -> dict[str, object]:
    fields: dict[str, object] = {
        "seclog.target.type": type(instance)._meta.label,
        "seclog.target.id": str(instance.pk),
        "seclog.target.name": _name(instance, entry),
    }
    if acting_user() is None:  # a job, such as one that publishes what somebody scheduled
        fields["user.id"] = str(entry.user_id)
    return fields


def _name(instance: Any, entry: Any) -> str:
    """Return a user's login name, or the title that Wagtail logs."""
    named = getattr(instance, "get_username", None)
    return str(named()) if named is not None else str(entry.label)


def _is_upload(instance: Any) -> bool:
    kinds = (
        [library.find("wagtail.documents.models.AbstractDocument")] if apps.is_installed("wagtail.documents") else []
    )
    if apps.is_installed("wagtail.images"):
        kinds.append(library.find("wagtail.images.models.AbstractImage"))
    return isinstance(instance, tuple(kind for kind in kinds if kind is not None))


# ── who may edit what ─────────────────────────────────────────────────────────────────────────────────────


@safely
def _permission_saved(sender: Any, instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if created and not raw:
        tell_after_commit(using, _permission_events(sender, [instance], using, granted=True))


@safely
def _permission_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Told from before the delete, while the other permissions are there to be read; Django is in a transaction."""
    tell_after_commit(using, _permission_events(sender, [instance], using, granted=False))


def _permissions_created(model: Any, created: list[Any], using: str, unsure: str | None) -> None:
    """The form of a group makes all new rows at once."""
    events = _permission_events(model, created[:MAX_ROWS], using, granted=True)
    tell_after_commit(using, (doubtful(event, unsure) for event in events))


def _permission_events(model: Any, rows: list[Any], using: str, *, granted: bool) -> Iterator[Event]:
    """Make one event a group and place: what the group holds there, old → new."""
    resolve_actor()
    place = _PERMISSIONS[model.__name__]
    moved: dict[tuple[object, object], list[Any]] = defaultdict(list)
    for row in rows:
        moved[row.group_id, getattr(row, f"{place}_id")].append(row)
    for (group, where), some in moved.items():
        names = sorted(_codename(row) for row in some)
        held = model._base_manager.using(using).filter(group_id=group, **{f"{place}_id": where})
        pairs = held.values_list("permission__content_type__app_label", "permission__codename")[:MAX_ROWS]
        now = sorted({*(".".join(pair) for pair in pairs), *names})
        others = [name for name in now if name not in names]
        target = getattr(some[0], place)
        fields: dict[str, object] = {
            "seclog.target.type": type(target)._meta.label,
            "seclog.target.id": str(where),
            "seclog.target.name": str(target),
            "seclog.grantee.type": "group",
            "seclog.grantee.id": str(group),
            "seclog.grantee.name": some[0].group.name,
            "seclog.change.field": f"{place}_permissions",
            "seclog.change.direction": "grant" if granted else "revoke",
            "seclog.change.old": others if granted else now,
            "seclog.change.new": now if granted else others,
            "seclog.change.added" if granted else "seclog.change.removed": names,
        }
        yield Event(type=EventType.PRIVILEGE_PERMISSIONS_CHANGED, fields=fields)


def _codename(row: Any) -> str:
    return f"{row.permission.content_type.app_label}.{row.permission.codename}"


# ── who may see what ──────────────────────────────────────────────────────────────────────────────────────


class _Restrictions:
    """Makes events of rows that make a page or a collection private. The shared password is told as changed only."""

    title = None

    def __init__(self, model: Any, place: str) -> None:
        self._place = place
        self._model = model._meta.get_field(place).related_model
        self.fields = tuple(model._meta.get_field(name) for name in ("restriction_type", "password", place))

    def created(self, row: Row) -> Iterator[Event]:
        """Tell that something became private."""
        yield self._event(row, "view_restriction", "none", row.values.get("restriction_type"))

    def changed(self, row: Row, changes: list[Change]) -> Iterable[Event]:
        """Tell of another kind of restriction, or of another password."""
        for change in changes:
            if change.field == "restriction_type":
                yield self._event(row, "view_restriction", change.old, change.new)
            elif change.field == "password" and row.values.get("restriction_type") == "password":
                yield self._event(row, "view_restriction.password", None, None)

    def deleted(self, row: Row) -> Iterator[Event]:
        """Tell that something became public."""
        yield self._event(row, "view_restriction", row.values.get("restriction_type"), "none")

    def _event(self, row: Row, field: str, old: object, new: object) -> Event:
        resolve_actor()
        fields: dict[str, object] = {
            "seclog.target.type": self._model._meta.label,
            "seclog.target.id": str(row.values.get(self._place)),
            "seclog.change.field": field,
            "seclog.change.old": old,
            "seclog.change.new": new,
        }
        return Event(type=EventType.PRIVILEGE_PERMISSIONS_CHANGED, fields=fields)


def _accept_request(original: Any, restriction: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    """Also asked for lists of pages: what it refuses is remembered, and told if the request is refused."""
    accepted = original(restriction, request, *args, **kwargs)
    if not accepted:
        with contained("a private page"):
            scope = scopes.of()
            if scope is not None:
                scope.denied_permission = f"view_restriction.{restriction.restriction_type}"
    return accepted


def _password_asked(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    """Shown in the place of what was asked for: with an address to go back to."""
    original(form, *args, **kwargs)
    with contained("a private page"):
        scope = scopes.of()
        if scope is not None and not form.is_bound and form.initial.get("return_url"):
            scope.propose(denials.unauthenticated(scope.request, "password_required", **_private(form.restriction)))


def _password_given(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(form, *args, **kwargs)
    with contained("the password of a private page"), attempt() as session_user:
        if form.is_bound and "password" in form._errors:
            fields = {"seclog.auth.method": "shared_password", **_private(form.restriction), **session_user}
            tell(Event(type=EventType.AUTHN_LOGIN_FAIL, reason="invalid_credentials", fields=fields))
    return result


def _private(restriction: Any) -> dict[str, object]:
    place = _RESTRICTIONS.get(type(restriction).__name__)
    if place is None:
        return {}
    label = restriction._meta.get_field(place).related_model._meta.label
    return {"seclog.target.type": label, "seclog.target.id": str(getattr(restriction, f"{place}_id"))}


def _permission_denied(original: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    """A redirect to the admin's first page, with a message."""
    with contained("a refusal in Wagtail's admin"):
        scope = scopes.of()
        if scope is not None:
            scope.propose(denials.denied(scope, scope.request, "permission_denied"))
    return original(request, *args, **kwargs)


# ── what leaves ───────────────────────────────────────────────────────────────────────────────────────────


def _exported(original: Any, view: Any, queryset: Any, spreadsheet_format: Any, *args: Any, **kwargs: Any) -> Any:
    response = original(view, queryset, spreadsheet_format, *args, **kwargs)
    with contained("an export"):
        resolve_actor()
        model = getattr(queryset, "model", None)
        fields = {
            "seclog.target.type": model._meta.label if model is not None else type(view).__qualname__,
            "seclog.count": len(queryset) if isinstance(queryset, list | tuple) else queryset.count(),
            "seclog.format": str(spreadsheet_format),
        }
        tell(Event(type=EventType.DATA_EXPORT, fields=fields))
    return response


@safely
def _document_served(sender: Any, instance: Any = None, request: Any = None, **kwargs: Any) -> None:
    """Sent before it is clear how the document leaves; a file in the response is told by the response."""
    scope = scopes.of()
    if scope is not None:
        scope.note(_SERVED, instance)


def _document_redirected(original: Any, *args: Any, **kwargs: Any) -> Any:
    """The storage hands the file out by itself."""
    with contained("a document"):
        _tell_document()
    return original(*args, **kwargs)


def _tell_document() -> None:
    scope = scopes.of()
    document = scope.noted(_SERVED) if scope is not None else None
    if scope is None or document is None:
        return  # such as the way back from the password's form
    resolve_actor()
    fields = {"seclog.target.id": scopes.censored_path(scope.request), "file.name": document.filename}
    size = document.get_file_size()
    if size is not None:
        fields["seclog.bytes"] = size
    tell(Event(type=EventType.DATA_DOWNLOAD, fields=fields))


# ── API tokens ────────────────────────────────────────────────────────────────────────────────────────────
# Named by the digest that Wagtail keeps: the token itself is nowhere any more when it is revoked.


def _token_created(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    made = original(model, *args, **kwargs)
    with contained("a new token"):
        fields = {**_about_token(made[0]), "seclog.token.scope": "all", "seclog.token.expires": "never"}
        tell_after_commit(made[0]._state.db, [Event(type=EventType.AUTHN_TOKEN_CREATED, fields=fields)])
    return made


def _token_revoked(original: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(token, *args, **kwargs)
    with contained("a revoked token"):
        event = Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="revoked", fields=_about_token(token))
        tell_after_commit(token._state.db, [event])
    return result


def _token_taken(original: Any, authentication: Any, request: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    taken = original(authentication, request, token, *args, **kwargs)
    if taken is None:
        with contained("a refused token"):
            _tell_refused(str(token))
    return taken


def _tell_refused(token: str) -> None:
    from wagtail.models import APIToken

    known = APIToken.objects.filter(key_hash__in=APIToken.candidate_key_hashes(token)).first()
    if known is None:
        fields = about_token(None, token_hash(APIToken.hash_token(token)), "api_token")
        reason = "unknown_token"
    else:
        fields, reason = _about_token(known), "inactive" if known.revoked_at is None else "revoked"
    tell(Event(type=EventType.AUTHN_TOKEN_INVALID, reason=reason, fields=fields))


def _about_token(token: Any) -> dict[str, object]:
    return about_token(token.user_id, token_hash(token.key_hash), "api_token")


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────


def _observe_settings() -> None:
    """Observe the registered settings, unless the project names them in `watch_models` itself."""
    base = library.find("wagtail.contrib.settings.models.AbstractSetting")
    installation = api.installed()
    if base is None or installation is None:
        return
    for model in apps.get_models():
        if issubclass(model, base) and model._meta.label not in installation.settings.watch_models:
            configuration.watch(model)
