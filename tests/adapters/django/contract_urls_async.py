"""The contract app's URLs, with async handlers as the native kind."""

from adapters.django.contract_app import AsyncUrls

urlpatterns = AsyncUrls.urlpatterns
