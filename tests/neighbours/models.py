"""What a Wagtail project brings of its own."""

from importlib.util import find_spec

if find_spec("wagtail"):
    from django.db import models
    from wagtail.contrib.settings.models import BaseGenericSetting, register_setting
    from wagtail.models import Page

    class Article(Page):
        """A page type."""

        template = "form.html"

    @register_setting
    class Shop(BaseGenericSetting):
        """Settings that an editor may change."""

        hours = models.CharField(max_length=40, blank=True)
