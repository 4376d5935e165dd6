"""The contract app in Django's idiom, with sync handlers and with async ones.

`SyncUrls` and `AsyncUrls` are the same URLs with one kind as the native one; the other kind is under /other/.
"""

import asyncio
import contextvars
import json
import threading
import time

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, PasswordResetForm
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path, reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView

import seclog
from adapters import contract_app
from adapters.contract_app import BOB, CHUNKS, PASSWORD, REPORT, SECRET, USERS, Boom, Swallowed, work
from djangoapp.models import StoreSettings

ATTACHED = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="orders.csv"'}
STREAMED = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="stream.csv"'}
LARGE = {"Content-Disposition": 'attachment; filename="large.bin"'}
BACKGROUND_SECONDS = 0.03


def text(body, status=200, **headers):
    return HttpResponse(body, status=status, content_type="text/plain", headers=headers)


def populate():
    """Make the users and the settings that the paths work on."""
    for user in USERS:
        get_user_model().objects.create_user(user.name, f"{user.name}@example.org", PASSWORD, id=user.id)
    StoreSettings.objects.create(pk=1, name="main", tax_rate=19, payment_api_key=SECRET)


class SorryMiddleware(MiddlewareMixin):
    """Answers `Swallowed` with the app's own error page, in sync and async stacks."""

    def process_exception(self, request, exception):
        return text("sorry", 500) if isinstance(exception, Swallowed) else None


# ── login and accounts ──────────────────────────────────────────────────────────────────────────────────────────


def log_in(request):
    if request.method == "GET":
        return text("login")
    form = AuthenticationForm(request, request.POST)
    if not form.is_valid():
        return text("wrong")
    login(request, form.get_user())
    return HttpResponseRedirect("/")


def log_out(request):
    logout(request)
    return text("bye")


def me(request):
    return text(request.user.get_username() or "nobody")


def password(request):
    given = request.POST
    fields = {"old_password": given["old"], "new_password1": given["new"], "new_password2": given["new"]}
    form = PasswordChangeForm(request.user, fields)
    if not form.is_valid():
        return text("wrong")
    form.save()
    return text("changed")


def reset(request):
    user = get_user_model().objects.get(username=request.POST["username"])
    form = PasswordResetForm({"email": user.email})
    assert form.is_valid()
    form.save(request=request)
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return text(reverse("password_reset_confirm", args=[uid, default_token_generator.make_token(user)]))


class Reset(PasswordResetConfirmView):
    def get_form_kwargs(self):
        about = super().get_form_kwargs()
        if "data" in about:
            new = about["data"]["new"]
            about["data"] = {"new_password1": new, "new_password2": new}
        return about

    def form_valid(self, form):
        form.save()
        return text("reset")

    def render_to_response(self, context, **about):
        return text("form" if self.validlink else "wrong")


class Bearer(TokenAuthentication):
    keyword = "Bearer"


class UseToken(APIView):
    authentication_classes = [Bearer]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return text("used")


class Unauthorized(APIView):
    authentication_classes = [Bearer]
    permission_classes = []

    def get(self, request):
        raise NotAuthenticated


class NewToken(ObtainAuthToken):
    def post(self, request, *args, **kwargs):
        return text(super().post(request, *args, **kwargs).data["token"])


def role(request):
    bob = get_user_model().objects.get(pk=BOB.id)
    bob.is_staff = True
    bob.save()
    return text("granted")


def config(request, **changes):
    store = StoreSettings.objects.get(pk=1)
    for field, value in changes.items():
        setattr(store, field, value)
    store.save()
    return text("saved")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def missing(request):
    raise Http404


def plain(request, status):
    return HttpResponse(b"" if status == 204 else b"plain", status=status, content_type="text/plain")


def swallowed(request):
    raise Swallowed(SECRET)


def read(request):
    if request.content_type == "application/json":
        try:
            return json.loads(request.body)
        except ValueError:
            return None
    return dict(request.POST)


def bad(request):
    read(request)
    return text("bad", 400)


class Quantity(serializers.Serializer):
    quantity = serializers.IntegerField(min_value=1, max_value=10)


class Validation(APIView):
    authentication_classes = []
    permission_classes = []

    def post(self, request):
        Quantity(data=request.data).is_valid(raise_exception=True)
        return text("valid")


# ── data and calls ──────────────────────────────────────────────────────────────────────────────────────────────


@seclog.export("orders", rows=3, format="csv")
def export(request):
    return text("exported")


@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(request, pk):
    if pk == 14:
        raise Boom(SECRET)
    return text("refunded", 402 if pk == 13 else 200)


def emit_caught(request):
    try:
        work("emit")
    except Exception:
        pass
    return text("done")


def unknown(request):
    seclog.emit("cat_on_keyboard", count=1)
    return text("done")


def hostile(request):
    contract_app.hostile()
    return text("done")


def job(request):
    with seclog.actor("import:orders"):
        work("job")
    return text("done")


def bound(request, who):
    seclog.bind_user(who, who)
    work("bound")
    return text("done")


def plain_thread(request):
    thread = threading.Thread(target=work, args=["plain thread"])
    thread.start()
    thread.join()
    return text("done")


def later():
    time.sleep(BACKGROUND_SECONDS)
    work("background")


async def alater():
    await asyncio.sleep(BACKGROUND_SECONDS)
    work("background")


class Sync:
    """The handlers that there are in both kinds."""

    @staticmethod
    @require_safe
    def home(request):
        return text("home")

    @staticmethod
    def forbidden(request):
        raise PermissionDenied

    @staticmethod
    def boom(request):
        read(request)
        raise Boom(SECRET)

    @staticmethod
    def stream(request):
        return StreamingHttpResponse(iter(CHUNKS), headers=STREAMED)

    @staticmethod
    def large_stream(request):
        return StreamingHttpResponse(contract_app.large_chunks(), headers=LARGE)

    @staticmethod
    def broken_stream(request):
        def chunks():
            yield CHUNKS[0]
            raise Boom(SECRET)

        return StreamingHttpResponse(chunks(), headers=STREAMED)

    @staticmethod
    @seclog.sensitive("patients", id_kwarg="pk")
    def patient(request, pk):
        return text(f"patient {pk}", 403 if pk == 13 else 200)

    @staticmethod
    def emit(request):
        request.user.is_authenticated  # noqa: B018 - looks who is logged in
        work("emit")
        return text("done")

    @staticmethod
    def thread(request):
        seclog.bind_user("worker-7", "worker-7")
        thread = threading.Thread(target=contextvars.copy_context().run, args=[work, "thread"])
        thread.start()
        thread.join()
        return text("done")

    @staticmethod
    def background(request):
        seclog.bind_user("worker-8", "worker-8")
        name = f"contract-background-{id(request)}"
        threading.Thread(target=contextvars.copy_context().run, args=[later], name=name).start()
        return text("done")

    @staticmethod
    def slow(request, who):
        seclog.bind_user(who, who)
        contract_app.meet()
        work("slow", who)
        contract_app.meet()
        raise PermissionDenied

    @staticmethod
    def slow_other(request, who):
        seclog.bind_user(who, who)
        contract_app.pause()
        work("slow", who)
        contract_app.pause()
        raise PermissionDenied


class Async:
    """The same as coroutines."""

    tasks = set()

    @staticmethod
    @require_safe
    async def home(request):
        return text("home")

    @staticmethod
    async def forbidden(request):
        raise PermissionDenied

    @staticmethod
    async def boom(request):
        read(request)
        raise Boom(SECRET)

    @staticmethod
    async def stream(request):
        async def chunks():
            for chunk in CHUNKS:
                yield chunk
                await asyncio.sleep(0)

        return StreamingHttpResponse(chunks(), headers=STREAMED)

    @staticmethod
    async def large_stream(request):
        async def chunks():
            for chunk in contract_app.large_chunks():
                yield chunk
                await asyncio.sleep(0)

        return StreamingHttpResponse(chunks(), headers=LARGE)

    @staticmethod
    async def broken_stream(request):
        async def chunks():
            yield CHUNKS[0]
            raise Boom(SECRET)

        return StreamingHttpResponse(chunks(), headers=STREAMED)

    @staticmethod
    @seclog.sensitive("patients", id_kwarg="pk")
    async def patient(request, pk):
        return text(f"patient {pk}", 403 if pk == 13 else 200)

    @staticmethod
    async def emit(request):
        await request.auser()
        work("emit")
        return text("done")

    @staticmethod
    async def thread(request):
        seclog.bind_user("worker-7", "worker-7")
        await sync_to_async(work)("thread")
        return text("done")

    @staticmethod
    async def background(request):
        seclog.bind_user("worker-8", "worker-8")
        task = asyncio.create_task(alater())
        Async.tasks.add(task)
        task.add_done_callback(Async.tasks.discard)
        return text("done")

    @staticmethod
    async def slow(request, who):
        seclog.bind_user(who, who)
        await contract_app.ameet()
        work("slow", who)
        await contract_app.ameet()
        raise PermissionDenied

    @staticmethod
    async def slow_other(request, who):
        seclog.bind_user(who, who)
        await contract_app.apause()
        work("slow", who)
        await contract_app.apause()
        raise PermissionDenied


def urls(native, other):
    """Return the URLs with one kind of handler as the native one."""
    table = {
        "login/": log_in,
        "logout/": log_out,
        "me/": me,
        "members/": login_required(lambda request: text("members")),
        "password/": password,
        "reset/": reset,
        "token/": NewToken.as_view(),
        "token/use/": UseToken.as_view(),
        "role/": login_required(role),
        "config/": login_required(lambda request: config(request, tax_rate=20)),
        "config/secret/": login_required(lambda request: config(request, payment_api_key="another")),
        "unauthorized/": Unauthorized.as_view(),
        "missing/": missing,
        "plain/<int:status>/": plain,
        "busy/": lambda request: text("busy", 429, **{"Retry-After": "7"}),
        "swallowed/": swallowed,
        "validation/": Validation.as_view(),
        "bad/": bad,
        "orders/<int:id>/": require_safe(lambda request, id: text(f"order {id}")),
        "redirect/": lambda request: HttpResponseRedirect("/"),
        "download/": lambda request: HttpResponse(REPORT, headers=ATTACHED),
        "inline/": lambda request: HttpResponse(REPORT, headers={"Content-Disposition": "inline"}),
        "patients/<int:pk>/": lambda request, pk: text(f"patient {pk}"),
        "export/": export,
        "admin-action/<int:pk>/": refund,
        "emit-caught/": emit_caught,
        "unknown/": unknown,
        "hostile/": hostile,
        "job/": job,
        "bound/<str:who>/": bound,
        "plain-thread/": plain_thread,
        "healthz": lambda request: text("well"),
        "healthz/down": lambda request: text("down", 503),
        "": native.home,
        "forbidden/": native.forbidden,
        "boom/": native.boom,
        "stream/": native.stream,
        "stream/large/": native.large_stream,
        "stream/broken/": native.broken_stream,
        "sensitive/<int:pk>/": native.patient,
        "emit/": native.emit,
        "thread/": native.thread,
        "background/": native.background,
        "slow/<str:who>/": native.slow,
        "other/": other.home,
        "other/forbidden/": other.forbidden,
        "other/boom/": other.boom,
        "other/emit/": other.emit,
        "other/sensitive/<int:pk>/": other.patient,
        "other/thread/": other.thread,
        "other/slow/<str:who>/": other.slow_other,
    }
    return [
        *(path(route, csrf_exempt(view)) for route, view in table.items()),
        path("reset/<uidb64>/<token>/", csrf_exempt(Reset.as_view()), name="password_reset_confirm"),
        path("protected/", lambda request: text("protected")),
    ]


class SyncUrls:
    """A URL configuration."""

    urlpatterns = urls(Sync, Async)


class AsyncUrls:
    """A URL configuration."""

    urlpatterns = urls(Async, Sync)
