"""The shop, and the admin beside it."""

from django.contrib import admin
from django.urls import include, path

admin.site.site_header = "Corner Shop"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("shop.urls")),
]
