"""Wagtail: editors' actions, permissions, private pages, refusals, and what leaves."""

from io import BytesIO
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.urls import include, path

from conftest import whole
from neighbours.told import names, only

pytest.importorskip("wagtail")

from openpyxl import load_workbook
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.documents import get_document_model
from wagtail.documents import urls as wagtaildocs_urls
from wagtail.models import (
    APIToken,
    Collection,
    CollectionViewRestriction,
    GroupCollectionPermission,
    GroupPagePermission,
    Locale,
    Page,
    PageViewRestriction,
    Site,
)

from neighbours.models import Article, Shop
from seclog.adapters.integrations.wagtail import connect

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [
    path("cms/", include(wagtailadmin_urls)),
    path("documents/", include(wagtaildocs_urls)),
    path("", include(wagtail_urls)),
]


@pytest.fixture(autouse=True)
def _site(db, settings, tmp_path):
    """What Wagtail's migrations make: the tests run without them."""
    settings.MEDIA_ROOT = str(tmp_path)
    Locale.objects.get_or_create(language_code="en")
    root = Page.add_root(title="Root")
    home = root.add_child(instance=Page(title="Home", slug="home"))
    Site.objects.create(hostname="testserver", root_page=home, is_default_site=True)
    Collection.add_root(name="Root")


@pytest.fixture
def article(entries):
    article = Page.objects.get(slug="home").add_child(instance=Article(title="News", slug="news"))
    entries.clear()
    return article


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def boss(client, password, entries):
    """An administrator who is logged in."""
    boss = get_user_model().objects.create_superuser("boss", "boss@example.org", password)
    client.force_login(boss)
    entries.clear()
    return boss


@pytest.fixture
def editor(client, password, entries):
    """Somebody who may enter the admin, and do nothing there."""
    editor = get_user_model().objects.create_user("eve", "eve@example.org", password)
    kind, _ = ContentType.objects.get_or_create(app_label="wagtailadmin", model="admin")
    access, _ = Permission.objects.get_or_create(content_type=kind, codename="access_admin")
    editor.user_permissions.add(access)
    client.force_login(editor)
    entries.clear()
    return editor


@pytest.fixture
def post(client, commit, entries):
    def post(url, **data):
        with commit():
            return client.post(url, data)

    return post


COMMON = {"seclog.request.id", "seclog.session.id_hash", "seclog.duration_ms", "seclog.device.accept_language"}


def actions(entries):
    return [entry["seclog.action"] for entry in entries if entry["event.name"] == "authz_admin"]


def facts(entry):
    """What an entry says besides who, where and when."""
    return {
        key: value for key, value in entry.items() if key.startswith(("seclog.", "file.")) and key not in COMMON
    } | {
        "reason": entry.get("reason"),
        "user.name": entry.get("user.name"),
    }


# ── logins ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_is_told_once(client, password, entries):
    """Wagtail's own view, Django's signal."""
    get_user_model().objects.create_superuser("boss", "boss@example.org", password)
    entries.clear()
    client.post("/cms/login/", {"username": "boss", "password": password})
    assert names(entries) == ["authn_login_success"]


def test_a_failed_login_is_told_once(client, entries):
    """Of a name that nobody has."""
    client.post("/cms/login/", {"username": "nobody", "password": "wrong"})
    assert names(entries) == ["authn_login_fail"]
    assert only(entries, "authn_login_fail")["reason"] == "unknown_user"


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_by_redirect_is_told(client, editor, entries):
    """Wagtail answers 302 to its first page, with a message."""
    response = client.get("/cms/users/")
    assert (response.status_code, response["Location"]) == (302, "/cms/")
    assert names(entries) == ["authz_fail"]
    entry = only(entries, "authz_fail")
    assert (entry["user.id"], entry["reason"], entry["url.path"]) == (
        str(editor.pk),
        "permission_denied",
        "/cms/users/",
    )


def test_a_refused_page_is_told(client, editor, article, entries):
    """The view raises, and Wagtail makes a redirect of it."""
    assert client.get(f"/cms/pages/{article.pk}/edit/").status_code == 302
    assert names(entries) == ["authz_fail"]


def test_somebody_without_access_is_refused(client, password, entries):
    """Logged in, and sent to the login all the same."""
    client.force_login(get_user_model().objects.create_user("alice", "alice@example.org", password))
    entries.clear()
    assert client.get("/cms/").status_code == 302
    assert names(entries) == ["authz_fail"]


def test_nobody_is_sent_to_the_login(client, entries):
    """No user, no admin."""
    client.get("/cms/")
    assert names(entries) == ["authz_unauthenticated"]


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_life_of_a_page(boss, post, article, entries):
    """Published, unpublished, moved, deleted: each an action of its own."""
    form = {"title": "News", "slug": "news", "comments-TOTAL_FORMS": 0, "comments-INITIAL_FORMS": 0}
    root = Page.objects.get(depth=1)
    post(f"/cms/pages/{article.pk}/edit/", **form, **{"action-publish": "1"})
    assert "publish" in actions(entries)
    entries.clear()
    post(f"/cms/pages/{article.pk}/unpublish/")
    assert actions(entries) == ["unpublish"]
    entries.clear()
    post(f"/cms/pages/{article.pk}/move/{root.pk}/confirm/")
    assert actions(entries) == ["move"]
    entries.clear()
    post(f"/cms/pages/{article.pk}/delete/")
    assert actions(entries) == ["delete"]


def test_an_action_is_told_whole(boss, post, article, entries):
    """What was done, to which page, by whom."""
    post(f"/cms/pages/{article.pk}/unpublish/")
    entry = whole(only(entries, "authz_admin"))
    assert {k: v for k, v in entry.items() if not k.startswith(("http.", "client.", "url."))} == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_admin",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": entry["severity"],
        "message": entry["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(boss.pk),
        "user.name": "boss",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.action": "unpublish",
        "seclog.target.type": "neighbours.Article",
        "seclog.target.id": str(article.pk),
        "seclog.target.name": "News",
    }


def test_pages_of_an_import_are_no_actions(article, entries):
    """Nobody did it in an admin."""
    article.save_revision().publish()
    assert names(entries) == []


def test_a_job_acts_for_who_scheduled_it(boss, article, commit, entries):
    """Outside of a request Wagtail's log knows the user."""
    revision = article.save_revision(user=boss)
    entries.clear()
    with commit():
        revision.publish(user=boss)
    [entry] = [entry for entry in entries if entry["event.name"] == "authz_admin"]
    assert (entry["user.id"], entry["seclog.action"]) == (str(boss.pk), "publish")


def test_users_are_told_as_django_tells_them(boss, post, entries):
    """Created, edited and deleted in Wagtail's admin: the action, and the fact."""
    secret = token_urlsafe()
    form = {"username": "alice", "email": "alice@example.org", "first_name": "A", "last_name": "L"}
    post("/cms/users/new/", **form, password1=secret, password2=secret)
    assert (actions(entries), only(entries, "user_created")["seclog.target.name"]) == (["create"], "alice")
    alice = get_user_model().objects.get(username="alice")
    entries.clear()
    post(f"/cms/users/edit/{alice.pk}/", **form)  # without is_active
    assert (actions(entries), only(entries, "user_archived")["seclog.target.id"]) == (["edit"], str(alice.pk))
    entries.clear()
    post(f"/cms/users/delete/{alice.pk}/")
    assert (actions(entries), only(entries, "user_deleted")["seclog.target.name"]) == (["delete"], "alice")


# ── permissions ──────────────────────────────────────────────────────────────────────────────────────────────────


def permission(codename):
    return Permission.objects.get(codename=codename)


def test_page_permissions_old_to_new(boss, article, commit, entries):
    """Given in bulk, as the form of a group does, and taken away."""
    group = Group.objects.create(name="Editors")
    add, change = permission("add_page"), permission("change_page")
    entries.clear()
    with commit():
        GroupPagePermission.objects.bulk_create(
            [GroupPagePermission(group=group, page=article.page_ptr, permission=p) for p in (add, change)]
        )
    both = ["wagtailcore.add_page", "wagtailcore.change_page"]
    assert facts(only(entries, "privilege_permissions_changed")) == {
        "seclog.target.type": "wagtailcore.Page",
        "seclog.target.id": str(article.pk),
        "seclog.target.name": "News",
        "seclog.grantee.type": "group",
        "seclog.grantee.id": str(group.pk),
        "seclog.grantee.name": "Editors",
        "seclog.change.field": "page_permissions",
        "seclog.change.direction": "grant",
        "seclog.change.old": [],
        "seclog.change.new": both,
        "seclog.change.added": both,
        "reason": None,
        "user.name": None,
    }
    entries.clear()
    with commit():
        group.page_permissions.filter(permission=add).delete()
    entry = only(entries, "privilege_permissions_changed")
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == (both, ["wagtailcore.change_page"])
    assert entry["seclog.change.removed"] == ["wagtailcore.add_page"]


def test_collection_permissions_old_to_new(boss, commit, entries):
    """The same for files."""
    group, root = Group.objects.create(name="Editors"), Collection.get_first_root_node()
    entries.clear()
    with commit():
        GroupCollectionPermission.objects.create(group=group, collection=root, permission=permission("add_document"))
    entry = only(entries, "privilege_permissions_changed")
    assert (entry["seclog.target.type"], entry["seclog.change.field"]) == (
        "wagtailcore.Collection",
        "collection_permissions",
    )
    assert entry["seclog.change.new"] == ["wagtaildocs.add_document"]


# ── private pages ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_becomes_private_and_public(boss, post, article, entries):
    """The kind old to new; the shared password is nowhere."""
    secret = token_urlsafe()
    url = f"/cms/pages/{article.pk}/privacy/"
    post(url, restriction_type="password", password=secret)
    assert facts(only(entries, "privilege_permissions_changed")) == {
        "seclog.target.type": "wagtailcore.Page",
        "seclog.target.id": str(article.pk),
        "seclog.change.field": "view_restriction",
        "seclog.change.old": "none",
        "seclog.change.new": "password",
        "reason": None,
        "user.name": "boss",
    }
    entries.clear()
    post(url, restriction_type="password", password=secret[:-1])
    assert only(entries, "privilege_permissions_changed")["seclog.change.field"] == "view_restriction.password"
    entries.clear()
    post(url, restriction_type="none")
    assert only(entries, "privilege_permissions_changed")["seclog.change.new"] == "none"
    assert secret[:-1] not in str(entries)


def test_a_shared_password_is_asked_for_and_missed(client, article, password, entries):
    """The page answers 200 with a form; a wrong password does as well."""
    restriction = PageViewRestriction.objects.create(page=article, restriction_type="password", password=password)
    entries.clear()
    assert client.get("/news/").status_code == 200
    entry = only(entries, "authz_unauthenticated")
    assert (entry["reason"], entry["seclog.target.id"]) == ("password_required", str(article.pk))
    entries.clear()
    form = f"/_util/authenticate_with_password/{restriction.pk}/{article.pk}/"
    client.post(form, {"password": "wrong", "return_url": "/news/"})
    assert names(entries) == ["authn_login_fail"]
    assert facts(only(entries, "authn_login_fail")) == {
        "seclog.auth.method": "shared_password",
        "seclog.target.type": "wagtailcore.Page",
        "seclog.target.id": str(article.pk),
        "reason": "invalid_credentials",
        "user.name": None,
    }
    entries.clear()
    client.post(form, {"password": password, "return_url": "/news/"})
    client.get("/news/")
    assert names(entries) == []


def test_a_page_for_groups_refuses_who_is_in_none(client, article, password, entries):
    """A redirect to the login, although they are logged in."""
    PageViewRestriction.objects.create(page=article, restriction_type="groups")
    client.get("/news/")
    assert only(entries, "authz_unauthenticated")["reason"] == "login_required"
    client.force_login(get_user_model().objects.create_user("alice", "alice@example.org", password))
    entries.clear()
    client.get("/news/")
    assert names(entries) == ["authz_fail"]
    assert only(entries, "authz_fail")["seclog.permission"] == "view_restriction.groups"


def test_a_way_to_the_login_that_was_taken_by_name(client, article, monkeypatch, entries):
    """Wagtail's hooks may be imported before Django's function is wrapped."""
    from django.contrib.auth import views
    from wagtail import wagtail_hooks

    monkeypatch.setattr(wagtail_hooks, "redirect_to_login", views.redirect_to_login.__wrapped__)
    PageViewRestriction.objects.create(page=article, restriction_type="login")
    entries.clear()
    client.get("/news/")
    assert names(entries) == []
    connect()
    client.get("/news/")
    assert names(entries) == ["authz_unauthenticated"]


def test_the_form_of_a_group_is_one_change(boss, post, entries):
    """As an administrator fills it in: the action, and what the group may do where."""
    root = Page.objects.get(depth=1)
    form = {"name": "Editors", "page_permissions-0-page": root.pk, "page_permissions-0-permissions": "add_page"}
    for name in ("page_permissions", "collection_permissions", "document_permissions", "image_permissions"):
        form |= {f"{name}-TOTAL_FORMS": int(name == "page_permissions"), f"{name}-INITIAL_FORMS": 0}
    post("/cms/groups/new/", **form)
    entry = only(entries, "privilege_permissions_changed")
    assert (entry["seclog.change.new"], entry["user.name"]) == (["wagtailcore.add_page"], "boss")
    assert actions(entries) == ["create"]


# ── what leaves and what comes in ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_report_is_an_export(client, boss, article, kind, entries):
    """With the rows that are in it."""
    article.save_revision(user=boss, log_action=True)
    article.save_revision(user=boss, log_action=True)
    entries.clear()
    response = client.get("/cms/reports/site-history/", {"export": kind})
    content = response.getvalue()
    if kind == "csv":
        rows = len(content.decode().splitlines()) - 1
    else:
        rows = load_workbook(BytesIO(content)).active.max_row - 1
    exported = facts(only(entries, "data_export"))
    assert exported == {
        "seclog.target.type": exported["seclog.target.type"],
        "seclog.count": rows,
        "seclog.format": kind,
        "reason": None,
        "user.name": "boss",
    }
    assert sorted(names(entries)) == ["data_download", "data_export"]


@pytest.fixture
def document(entries):
    Document = get_document_model()
    document = Document.objects.create(title="List", file=ContentFile(b"secret", name="list.txt"))
    entries.clear()
    return document


def test_a_document_is_a_download(client, document, entries):
    """Once, with its size."""
    b"".join(client.get(document.url))
    entry = only(entries, "data_download")
    assert (entry["file.name"], entry["seclog.bytes"]) == (document.filename, 6)
    assert names(entries) == ["data_download"]


@pytest.mark.parametrize("how", ["inline", "redirect"])
def test_a_document_that_is_no_attachment_is_a_download_too(client, document, settings, how, entries):
    """Shown in the browser, or handed out by the storage."""
    if how == "inline":
        settings.WAGTAILDOCS_INLINE_CONTENT_TYPES = ["text/plain"]
    else:
        settings.WAGTAILDOCS_SERVE_METHOD = "redirect"
    response = client.get(document.url)
    if response.streaming:
        b"".join(response)
    entry = only(entries, "data_download")
    assert (entry["file.name"], entry["seclog.bytes"]) == (document.filename, 6)


def test_a_private_document_is_refused(client, document, password, entries):
    """By its collection."""
    CollectionViewRestriction.objects.create(
        collection=document.collection, restriction_type="password", password=password
    )
    entries.clear()
    client.get(document.url)
    assert names(entries) == ["authz_unauthenticated"]
    assert only(entries, "authz_unauthenticated")["seclog.target.type"] == "wagtailcore.Collection"


def test_an_upload_is_told(boss, post, entries):
    """The action, and the file."""
    post("/cms/documents/add/", title="List", file=ContentFile(b"secret", name="list.txt"))
    document = get_document_model().objects.get()
    assert facts(only(entries, "upload_complete")) == {
        "seclog.target.type": "wagtaildocs.Document",
        "seclog.target.id": str(document.pk),
        "seclog.target.name": "List",
        "seclog.bytes": 6,
        "file.name": "list.txt",
        "file.type": "text/plain",
        "reason": None,
        "user.name": "boss",
    }
    assert actions(entries) == ["create"]


# ── settings and tokens ──────────────────────────────────────────────────────────────────────────────────────────


def test_settings_old_to_new(boss, post, entries):
    """Registered settings are watched by themselves."""
    shop = Shop.objects.create(hours="9-17")
    entries.clear()
    post(f"/cms/settings/neighbours/shop/{shop.pk}/", hours="9-18")
    entry = only(entries, "config_changed")
    assert (entry["seclog.target.name"], entry["seclog.change.old"], entry["seclog.change.new"]) == (
        "neighbours.Shop.hours",
        "9-17",
        "9-18",
    )
    assert actions(entries) == ["edit"]


def test_api_tokens(boss, commit, entries):
    """Made and given up, under the same hash."""
    with commit():
        token, plain = APIToken.create_token(user=boss, name="phone")
    created = only(entries, "authn_token_created")
    assert (created["seclog.target.id"], created["seclog.token.type"]) == (str(boss.pk), "api_token")
    with commit():
        token.revoke()
    assert only(entries, "authn_token_revoked")["seclog.token.id_hash"] == created["seclog.token.id_hash"]
    assert plain not in str(entries)


def test_a_refused_api_token(boss, commit, rf, entries):
    """Revoked, or never given out."""
    from wagtail.api.v3.auth import BearerTokenAuth

    token, plain = APIToken.create_token(user=boss, name="phone")
    assert BearerTokenAuth().authenticate(rf.get("/"), plain) is not None
    token.revoke()
    entries.clear()
    BearerTokenAuth().authenticate(rf.get("/"), plain)
    assert only(entries, "authn_token_invalid")["reason"] == "revoked"
    entries.clear()
    BearerTokenAuth().authenticate(rf.get("/"), token_urlsafe())
    assert only(entries, "authn_token_invalid")["reason"] == "unknown_token"
