"""The shop, and the admin beside it."""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path

admin.site.site_header = "Corner Shop"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("static/<path:path>", serve, {"insecure": True}),  # a web server's work, where there is one
    path("", include("shop.urls")),
]
