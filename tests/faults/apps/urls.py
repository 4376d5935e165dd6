"""Views that record by the core's functions alone, and views that are given something to choke on."""

import asyncio
import itertools
import json
import os
import resource

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import seclog
from seclog import api

numbers = itertools.count()


def ping(request):
    """Answer."""
    return HttpResponse("pong")


def record(request):
    """Record `n` numbered entries; answer with the ids of those that are on disk."""
    size = int(request.GET.get("size", 0))
    filling = {f"filling_{number}": "x y " * 250 for number in range(size // 1000)}
    got = [
        api.emit("sensitive_read", target_type="orders", target_id=next(numbers), pid=os.getpid(), **filling)
        for _ in range(int(request.GET.get("n", 1)))
    ]
    return HttpResponse("\n".join(filter(None, got)), content_type="text/plain")


def unknown(request):
    """Record an event of a type that does not exist."""
    return HttpResponse(api.emit("cat_on_keyboard", count=1))


def login(request):
    """Record a login."""
    seclog.login_succeeded(request.GET["user"], request.GET["user"])
    return HttpResponse("welcome")


@csrf_exempt
def read_json(request):
    """Read a body as JSON, whatever it is."""
    try:
        return JsonResponse({"kind": type(json.loads(request.body)).__name__})
    except ValueError:
        return HttpResponse("this is no JSON", status=400)


@csrf_exempt
def read_form(request):
    """Read a body as a form, whatever it is."""
    return JsonResponse({"fields": len(request.POST), "files": len(request.FILES)})


@csrf_exempt
def upload(request):
    """Take files, record each, and answer with their sizes."""
    sizes = [file.size for file in request.FILES.values()]
    for size in sizes:
        api.emit("sensitive_create", target_type="files", count=size)
    return JsonResponse(sizes, safe=False)


def download(request):
    """Stream `mb` megabytes as an attachment, asynchronously where the server is."""
    chunks = (b"x" * 65536 for _ in range(int(request.GET.get("mb", 1)) * 16))
    content = _asynchronously(chunks) if isinstance(request, ASGIRequest) else chunks
    return StreamingHttpResponse(content, headers={"Content-Disposition": 'attachment; filename="report.bin"'})


async def _asynchronously(chunks):
    for chunk in chunks:
        await asyncio.sleep(0)  # as one that reads from somewhere: else the loop cannot hear that the client left
        yield chunk


def memory(request):
    """Answer with the largest size that this process ever had, in kB."""
    return HttpResponse(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def echo(request, rest):
    """Answer with how many characters of the path there are."""
    return HttpResponse(str(len(rest)))


urlpatterns = [
    path("ping", ping),
    path("record", record),
    path("unknown", unknown),
    path("login", login),
    path("json", read_json),
    path("form", read_form),
    path("upload", upload),
    path("download", download),
    path("memory", memory),
    path("echo/<path:rest>", echo),
]
