"""URLs of a Django that is mounted in another app."""

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import path


def deny(request):
    raise PermissionDenied


urlpatterns = [path("", lambda request: HttpResponse("home")), path("deny/", deny)]
